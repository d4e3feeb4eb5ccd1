/* jcc-size-prefix-taken.S - a near branch with an operand-size prefix cuts rip to 16 bits on AMD */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/fuzz/cpu/replay.inc"

        fuzz_case jcc-size-prefix-taken
        set     STATE_RIP, 0x10000000
        code
        .byte   0x66, 0x71, 0x00                                   /* 10000000: jno 0x0000000010000003 */
        .byte   0x0f, 0x0b                                         /* 10000003: ud2 */
        end_case
