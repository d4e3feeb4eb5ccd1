/* mulx-evicted.S - MULX whose three registers are not in the host's */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/fuzz/cpu/replay.inc"

        fuzz_case mulx-evicted
        set     STATE_RIP, 0x10000000
        set     STATE_GPR(2), 0x123456789abcdef
        set     STATE_GPR(12), -1
        set     STATE_GPR(14), 0xfedcba987654321
        set     STATE_GPR(15), -1
        code
        mulx    %r14, %r12, %r15
        ud2
        end_case
