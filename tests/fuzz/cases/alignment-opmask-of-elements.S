/* alignment-opmask-of-elements.S - no #AC, before #PF, for elements that an opmask selects */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/fuzz/cpu/replay.inc"

        fuzz_case alignment-opmask-of-elements
        set     STATE_RIP, 0x10000000
        set     STATE_GPR(4), 0x20005098
        set     STATE_GPR(14), 0x9670a7fb
        set     STATE_K(4), 0xffffffffffffffff
        set     0x20005098, 0x966d9dd6f11f989f
        code
        .byte   0x66, 0xf2, 0x4e, 0x9d                             /* 10000000: popfq */
        .byte   0x62, 0xc2, 0x55, 0xa4, 0x9c, 0x64, 0xae, 0xb3     /* 10000004: vfnmadd132ps -0x9A0(%r14,%rbp,4), %ymm21, %ymm20 {%k4} {z} */
        .byte   0x0f, 0x0b                                         /* 1000000c: ud2 */
        end_case
