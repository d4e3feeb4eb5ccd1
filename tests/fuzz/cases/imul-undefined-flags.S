/* imul-undefined-flags.S - IMUL leaves the flags alone that the manual calls undefined */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/fuzz/cpu/replay.inc"

        fuzz_case imul-undefined-flags
        set     STATE_RIP, 0x10000000
        code
        .byte   0x49, 0xbe, 0x2a, 0x54, 0x00, 0x20, 0x00, 0x00, 0x00, 0x00 /* 10000000: mov $0x2000542A, %r14 */
        .byte   0x41, 0x69, 0x4e, 0xd6, 0xf3, 0x21, 0x81, 0x21     /* 1000000a: imul $0x218121F3, -0x2A(%r14), %ecx */
        .byte   0x0f, 0x0b                                         /* 10000012: ud2 */
        end_case
