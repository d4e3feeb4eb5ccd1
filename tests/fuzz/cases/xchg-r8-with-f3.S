/* xchg-r8-with-f3.S - F3 REX.B 90 is XCHG, not PAUSE */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/fuzz/cpu/replay.inc"

        fuzz_case xchg-r8-with-f3
        set     STATE_RIP, 0x10000000
        set     STATE_GPR(8), 0x8649c18aca9ba6d3
        code
        .byte   0x36, 0xf3, 0x49, 0x90                             /* 10000000: pause */
        .byte   0x0f, 0x0b                                         /* 10000004: ud2 */
        end_case
