/* enter-size-prefix.S - ENTER with an operand-size prefix writes BP alone */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/fuzz/cpu/replay.inc"

        fuzz_case enter-size-prefix
        set     STATE_RIP, 0x10000000
        set     STATE_GPR(4), 0x20005100
        set     STATE_GPR(5), -1
        code
        .byte   0x66, 0xc8, 0x10, 0x00, 0x00           /* enter $0x10, $0 */
        ud2
        end_case
