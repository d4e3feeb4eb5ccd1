/* evex-gather-beyond.S - the first element of a gather clears the register beyond the vector */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/fuzz/cpu/replay.inc"

        fuzz_case evex-gather-beyond
        set     STATE_RIP, 0x10000000
        set     STATE_ZMM(16) + 0, 0x64fb4656345ac8bc
        set     STATE_ZMM(16) + 8, 0x3954664d7b263df0
        set     STATE_ZMM(16) + 16, 0xef7d800f58ea5986
        set     STATE_ZMM(16) + 32, 0x8129af96abb8dece
        set     STATE_K(4), 0xffffffffffffffff
        set     0x20000fd8, 0xf3
        code
        .byte   0x62, 0x71, 0xfe, 0x48, 0x6f, 0x04, 0x25, 0xcb, 0x0f, 0x00, 0x20 /* 10000000: vmovdqu64z 0x20000FCB, %zmm8 */
        .byte   0x48, 0xb9, 0xec, 0x43, 0x13, 0xa8, 0xff, 0xff, 0xff, 0xff /* 1000000b: mov $-0x57ECBC14, %rcx */
        .byte   0x62, 0xa2, 0x7d, 0x0c, 0x92, 0x84, 0x41, 0x9d, 0xcc, 0xec, 0x77 /* 10000015: vgatherdpsl 0x77ECCC9D(%rcx,%xmm8,2), %xmm16 {%k4} */
        .byte   0x0f, 0x0b                                         /* 10000020: ud2 */
        end_case
