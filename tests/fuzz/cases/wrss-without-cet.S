/* wrss-without-cet.S - WRSS is undefined where CET is not enabled */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/fuzz/cpu/replay.inc"

        fuzz_case wrss-without-cet
        set     STATE_RIP, 0x10000000
        code
        .byte   0x0f, 0x38, 0xf6, 0x95, 0x69, 0x44, 0x9b, 0x44     /* 10000000: wrssd %edx, 0x449B4469(%rbp) */
        .byte   0x0f, 0x0b                                         /* 10000008: ud2 */
        end_case
