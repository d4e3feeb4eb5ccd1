/* absolute-far-apart.S - two absolute addresses, 2^63 apart and more, are not one access */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/fuzz/cpu/replay.inc"

        fuzz_case absolute-far-apart
        set     STATE_RIP, 0x10000000
        code
        .byte   0xa1, 0x00, 0x50, 0x00, 0x20, 0, 0, 0, 0           /* 10000000: mov 0x20005000, %eax */
        .byte   0xa1, 0x00, 0x50, 0x00, 0x20, 0, 0, 0, 0x80        /* 10000009: mov 0x8000000020005000, %eax */
        .byte   0x0f, 0x0b                                         /* 10000012: ud2 */
        end_case
