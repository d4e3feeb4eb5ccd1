/* gather-unselected.S - a gather that faults has taken the unselected elements before out of its mask */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/fuzz/cpu/replay.inc"

        fuzz_case gather-unselected
        set     STATE_RIP, 0x10000000
        set     STATE_XMM(0), 0xc052e7ff0c69de8f
        set     STATE_XMM(0) + 8, 0xbfa46c061b3af673
        set     STATE_YMMH(0), 0x3ffecf04124e7f91
        set     STATE_YMMH(0) + 8, 0xbfa0d1bd2416cf63
        code
        .byte   0xc4, 0x42, 0x7d, 0x90, 0x44, 0x68, 0xbd           /* 10000000: vpgatherddl %ymm0, -0x43(%r8,%ymm5,2), %ymm8 */
        .byte   0x0f, 0x0b                                         /* 10000007: ud2 */
        end_case
