/* evex-absent.S - parts of AVX-512 that are not there are undefined before their operand faults */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/fuzz/cpu/replay.inc"

        fuzz_case evex-absent
        set     STATE_RIP, 0x10000000
        set     STATE_K(5), 0xffffffffffffffff
        code
        .byte   0x62, 0xf2, 0xfd, 0xad, 0xcb, 0x22                 /* 10000000: vrcp28sd (%rdx), %xmm0, %xmm4 {%k5} {z} */
        .byte   0x0f, 0x0b                                         /* 10000006: ud2 */
        end_case
