/* alignment-before-paging.S - a misaligned SSE operand raises #GP, also where nothing is mapped */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/fuzz/cpu/replay.inc"

        fuzz_case alignment-before-paging
        set     STATE_RIP, 0x10000000
        code
        .byte   0x66, 0x0f, 0x38, 0x1c, 0xb4, 0xb6, 0x2e, 0x32, 0x08, 0x31 /* 10000000: pabsb 0x3108322E(%rsi,%rsi,4), %xmm6 */
        .byte   0x0f, 0x0b                                         /* 1000000a: ud2 */
        end_case
