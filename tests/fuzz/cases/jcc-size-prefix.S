/* jcc-size-prefix.S - a near branch with an operand-size prefix, not taken: AMD has a 16-bit displacement */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/fuzz/cpu/replay.inc"

        fuzz_case jcc-size-prefix
        set     STATE_RIP, 0x10000000
        code
        .byte   0x66, 0x0f, 0x8a, 0xfb, 0x0e                       /* 10000000: jp 0x0000000010000F00 */
        .byte   0x0f, 0x0b                                         /* 10000005: ud2 */
        end_case
