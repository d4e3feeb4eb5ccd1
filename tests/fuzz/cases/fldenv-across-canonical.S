/* fldenv-across-canonical.S - FLDENV loads word by word */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/fuzz/cpu/replay.inc"

        fuzz_case fldenv-across-canonical
        set     STATE_RIP, 0x10000000
        set     STATE_GPR(6), 0x800000000000
        code
        .byte   0xd9, 0x66, 0xf9                                   /* 10000000: fldenv -7(%rsi) */
        .byte   0x0f, 0x0b                                         /* ud2 */
        end_case
