/* xsave-across-canonical.S - XSAVE finds a page fault in its first part first */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/fuzz/cpu/replay.inc"

        fuzz_case xsave-across-canonical
        set     STATE_RIP, 0x10000000
        set     STATE_GPR(6), 0x800000000000
        code
        .byte   0x0f, 0xae, 0x66, 0xc0                             /* 10000000: xsave -0x40(%rsi) */
        .byte   0x0f, 0x0b                                         /* ud2 */
        end_case
