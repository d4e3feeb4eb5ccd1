/* cmps-operand-order.S - CMPS reads the operand at rDI first on AMD */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/fuzz/cpu/replay.inc"

        fuzz_case cmps-operand-order
        set     STATE_RIP, 0x10000000
        set     STATE_GPR(7), 0x3a
        code
        .byte   0x44, 0xa7                                         /* 10000000: cmpsd */
        .byte   0x0f, 0x0b                                         /* 10000002: ud2 */
        end_case
