/* maskmovq-empty-mask.S - MASKMOVQ faults for bytes that the mask leaves out on AMD, having entered MMX mode */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/fuzz/cpu/replay.inc"

        fuzz_case maskmovq-empty-mask
        set     STATE_RIP, 0x10000000
        code
        .byte   0x49, 0x0f, 0xf7, 0xc1                             /* 10000000: maskmovq %mm1, %mm0 */
        .byte   0x0f, 0x0b                                         /* 10000004: ud2 */
        end_case
