/* ac-fnsave-before-paging.S - a misaligned FNSAVE is #AC before it is a page fault */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/fuzz/cpu/replay.inc"

        fuzz_case ac-fnsave-before-paging
        set     STATE_RIP, 0x10000000
        code
        .byte   0x48, 0xbc, 0x80, 0x50, 0x00, 0x20, 0x00, 0x00, 0x00, 0x00 /* 10000000: mov $0x20005080, %rsp */
        .byte   0x68, 0x02, 0x02, 0x04, 0x00               /* 1000000a: push $0x40202 */
        .byte   0x9d                                       /* 1000000f: popfq */
        .byte   0xdd, 0x34, 0x25, 0x02, 0x40, 0x00, 0x20   /* 10000010: fnsave 0x20004002 */
        .byte   0x0f, 0x0b                                 /* 10000017: ud2 */
        end_case
