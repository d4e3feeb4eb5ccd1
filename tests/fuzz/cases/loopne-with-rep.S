/* loopne-with-rep.S - REP before LOOPNE gives the condition on AMD */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/fuzz/cpu/replay.inc"

        fuzz_case loopne-with-rep
        set     STATE_RIP, 0x10000000
        set     STATE_GPR(14), 0xffffffffffffffe3
        code
        .byte   0xf3, 0x41, 0xe0, 0x04                             /* 10000000: loopne 0x0000000010000008 */
        .byte   0x4e, 0x0f, 0xbe, 0xf6                             /* 10000004: movsx %sil, %r14 */
        .byte   0x0f, 0x0b                                         /* 10000008: ud2 */
        end_case
