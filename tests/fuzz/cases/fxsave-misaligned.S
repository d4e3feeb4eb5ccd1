/* fxsave-misaligned.S - FXSAVE checks its first byte, its alignment, and then its last byte */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/fuzz/cpu/replay.inc"

        fuzz_case fxsave-misaligned
        set     STATE_RIP, 0x10000000
        set     STATE_GPR(5), 0x00007fffffffffdd
        code
        fxsave  (%rbp)
        ud2
        end_case
