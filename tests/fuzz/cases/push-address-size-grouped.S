/* push-address-size-grouped.S - the address-size prefix does not count for the stack's address, in a group neither */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/fuzz/cpu/replay.inc"

        fuzz_case push-address-size-grouped
        set     STATE_RIP, 0x10000000
        code
        .byte   0x89, 0x04, 0x25, 0x00, 0x50, 0x00, 0x20           /* 10000000: mov %eax, 0x20005000 */
        .byte   0x48, 0xbc, 0xb8, 0x50, 0x00, 0x20, 0x00, 0x00, 0x00, 0x80 /* 10000007: mov $0x80000000200050B8, %rsp */
        .byte   0x67, 0x41, 0x51                                   /* 10000011: push %r9 */
        .byte   0x56                                               /* 10000014: push %rsi */
        .byte   0x0f, 0x0b                                         /* 10000015: ud2 */
        end_case
