/* alignment-of-32-bytes.S - an operand of 32 bytes that is aligned to 16 is no #AC */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/fuzz/cpu/replay.inc"

        fuzz_case alignment-of-32-bytes
        set     STATE_RIP, 0x10000000
        set     0x20001810, 0xf6de66541de517e3
        code
        .byte   0x48, 0xbc, 0x15, 0x18, 0x00, 0x20, 0x00, 0x00, 0x00, 0x00 /* 10000000: mov $0x20001815, %rsp */
        .byte   0x9d                                               /* 1000000a: popfq */
        .byte   0x48, 0xb8, 0x10, 0x21, 0x00, 0x20, 0x00, 0x00, 0x00, 0x00 /* 1000000b: mov $0x20002110, %rax */
        .byte   0x62, 0x72, 0xfd, 0xae, 0x00, 0x60, 0x24           /* 10000015: vpshufb 0x480(%rax), %ymm0, %ymm12 {%k6} {z} */
        .byte   0x0f, 0x0b                                         /* 1000001c: ud2 */
        end_case
