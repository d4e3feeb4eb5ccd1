/* cmpxchg16b-misaligned-flags.S - the flags that #GP of CMPXCHG16B shows, the page being in the TLB */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/fuzz/cpu/replay.inc"

        fuzz_case cmpxchg16b-misaligned-flags
        set     STATE_RIP, 0x10000000
        set     STATE_RFLAGS, 0x2d7
        set     STATE_GPR(1), 0x20003347
        code
        mov     (%rcx), %rbx
        cmpxchg16b (%rcx)
        adc     $1, %al
        and     $1, %al
        ud2
        end_case
