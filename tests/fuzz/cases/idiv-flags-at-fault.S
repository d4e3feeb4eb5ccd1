/* idiv-flags-at-fault.S - the flags that #DE shows are those before */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/fuzz/cpu/replay.inc"

        fuzz_case idiv-flags-at-fault
        set     STATE_RIP, 0x10000000
        set     STATE_RFLAGS, 0xad7
        set     STATE_GPR(2), 0x20005508
        code
        idivl   (%rdx)
        adc     %dl, %dl
        ud2
        end_case
