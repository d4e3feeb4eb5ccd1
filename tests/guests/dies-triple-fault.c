/* dies-triple-fault.c - a fault with nowhere to go: the machine says so, with the registers, and ends */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/guests/lib/guest.h"

int main(void)
{
    static const struct {
        u16 limit;
        u64 base;
    } __attribute__((packed)) empty = {0, 0};
    print("ok until here\n");
    __asm__ volatile("lidt %0\n\tud2" ::"m"(empty));
    return 0;
}
