/* alignment-opmask-of-result.S - no #AC where an opmask selects elements of the result only */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/fuzz/cpu/replay.inc"

        fuzz_case alignment-opmask-of-result
        set     STATE_RIP, 0x10000000
        set     STATE_GPR(2), 0x20000ef8
        set     0x20000080, 0x3fecd81968f6d6eb
        code
        .byte   0x48, 0xbc, 0x80, 0x00, 0x00, 0x20, 0x00, 0x00, 0x00, 0x00 /* 10000000: mov $0x20000080, %rsp */
        .byte   0x9d                                               /* 1000000a: popfq */
        .byte   0x62, 0x23, 0x7d, 0x4c, 0x1a, 0x12, 0x89           /* 1000000b: vinsertf32x8 $0x89, (%rdx), %zmm0, %zmm26 {%k4} */
        .byte   0x0f, 0x0b                                         /* 10000012: ud2 */
        end_case
