/* maskmovdqu-empty-mask.S - MASKMOVDQU faults for bytes that the mask leaves out on AMD */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/fuzz/cpu/replay.inc"

        fuzz_case maskmovdqu-empty-mask
        set     STATE_RIP, 0x10000000
        set     STATE_GPR(7), 0x20006ffc
        code
        maskmovdqu %xmm3, %xmm12
        ud2
        end_case
