/* prefetch-of-register.S - 0F 0D with a register is undefined on AMD */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/fuzz/cpu/replay.inc"

        fuzz_case prefetch-of-register
        set     STATE_RIP, 0x10000000
        code
        .byte   0x66, 0xf2, 0x4f, 0x0f, 0x0d, 0xe0                 /* 10000000: nop %r12, %r8 */
        .byte   0x0f, 0x0b                                         /* 10000006: ud2 */
        end_case
