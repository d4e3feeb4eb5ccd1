/* results.c - a guest's output on the first serial port, and its end */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/guests/lib/guest.h"

enum { COM1 = 0x3f8, LINE_STATUS = COM1 + 5, TRANSMITTER_EMPTY = 0x20 };

static void put(char c)
{
    while (!(inb(LINE_STATUS) & TRANSMITTER_EMPTY))
        ;
    outb(COM1, (u8)c);
}

void print(const char *s)
{
    for (; *s; s++)
        put(*s);
}

void print_hex(u64 v)
{
    print("0x");
    int shift = 60;
    while (shift > 0 && !(v >> shift))
        shift -= 4;
    for (; shift >= 0; shift -= 4)
        put("0123456789abcdef"[v >> shift & 15]);
}

static const char *difference;

bool on_tcg(void)
{
    struct cpuid r = cpuid(0x40000000, 0);
    return r.b == 0x54474354 && r.c == 0x43544743 && r.d == 0x47435447; /* "TCGTCGTCGTCG" */
}

void tcg_differs(const char *how)
{
    difference = how;
}

bool result(const char *name, bool good)
{
    const char *how = difference;
    difference = NULL;
    if (!good && how && on_tcg()) {
        skip(name, how);
        return false;
    }
    print(good ? "ok " : "FAIL ");
    print(name);
    if (good)
        print("\n");
    return !good;
}

void check_eq(const char *name, u64 got, u64 want)
{
    if (!result(name, got == want))
        return;
    print(": got ");
    print_hex(got);
    print(", want ");
    print_hex(want);
    print("\n");
}

void check(const char *name, bool good)
{
    if (result(name, good))
        print("\n");
}

void skip(const char *name, const char *why)
{
    print("skip ");
    print(name);
    print(": ");
    print(why);
    print("\n");
}

/* ACPI soft-off: SLP_EN with the board's number for S5. It is 5 on ours; QEMU's boards take 0. */
_Noreturn void guest_exit(void)
{
    enum { PM1A_CNT = 0x604, SLP_EN = 0x2000 };
    print("done\n");
    outw(PM1A_CNT, SLP_EN | 5 << 10);
    outw(PM1A_CNT, SLP_EN);
    for (;;)
        __asm__ volatile("cli\n\thlt");
}
