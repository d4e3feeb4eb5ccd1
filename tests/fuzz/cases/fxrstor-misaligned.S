/* fxrstor-misaligned.S - FXRSTOR finds the address not canonical before it is found misaligned */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/fuzz/cpu/replay.inc"

        fuzz_case fxrstor-misaligned
        set     STATE_RIP, 0x10000000
        set     STATE_GPR(5), 0x1234567812345671
        code
        fxrstor (%rbp)
        ud2
        end_case
