/* repe-cmpsb-operand-order.S - REPE CMPSB reads the operand at rSI first on AMD */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/fuzz/cpu/replay.inc"

        fuzz_case repe-cmpsb-operand-order
        set     STATE_RIP, 0x10000000
        set     STATE_GPR(1), 5
        set     STATE_GPR(7), 0x17
        code
        repe cmpsb
        ud2
        end_case
