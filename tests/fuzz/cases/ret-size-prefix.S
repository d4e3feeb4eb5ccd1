/* ret-size-prefix.S - RET with an operand-size prefix pops 16 bits on AMD */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/fuzz/cpu/replay.inc"

        fuzz_case ret-size-prefix
        set     STATE_RIP, 0x10000000
        code
        .byte   0x48, 0xbc, 0xf4, 0x59, 0x00, 0x20, 0x00, 0x00, 0x00, 0x00 /* 10000000: mov $0x200059F4, %rsp */
        .byte   0x66, 0xf3, 0xc3                                   /* 1000000a: ret */
        .byte   0x0f, 0x0b                                         /* 1000000d: ud2 */
        end_case
