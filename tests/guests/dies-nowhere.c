/* dies-nowhere.c - a jump to where there is no memory: what is there cannot be executed */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/guests/lib/guest.h"

int main(void)
{
    print("ok until here\n");
    __asm__ volatile("jmp *%0" ::"r"(0xfd000000ull));
    return 0;
}
