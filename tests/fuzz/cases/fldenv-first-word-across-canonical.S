/* fldenv-first-word-across-canonical.S - the first word itself is not canonical */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/fuzz/cpu/replay.inc"

        fuzz_case fldenv-first-word-across-canonical
        set     STATE_RIP, 0x10000000
        set     STATE_GPR(6), 0x800000000000
        code
        .byte   0xd9, 0x66, 0xfd                                   /* 10000000: fldenv -3(%rsi) */
        .byte   0x0f, 0x0b                                         /* ud2 */
        end_case
