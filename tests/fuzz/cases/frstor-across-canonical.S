/* frstor-across-canonical.S - the x87 state is loaded word by word: a page fault comes before a bad last address */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/fuzz/cpu/replay.inc"

        fuzz_case frstor-across-canonical
        set     STATE_RIP, 0x10000000
        set     STATE_GPR(6), 0x800000000000
        code
        .byte   0xf2, 0x42, 0xdd, 0x66, 0xa3                       /* 10000000: frstor -0x5D(%rsi) */
        .byte   0x0f, 0x0b                                         /* 10000005: ud2 */
        end_case
