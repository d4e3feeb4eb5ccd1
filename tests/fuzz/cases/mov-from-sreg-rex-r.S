/* mov-from-sreg-rex-r.S - REX.R does not count in the number of a segment register */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/fuzz/cpu/replay.inc"

        fuzz_case mov-from-sreg-rex-r
        set     STATE_RIP, 0x10000000
        code
        .byte   0x66, 0x45, 0x8c, 0xde                             /* 10000000: mov %ds, %r14w */
        .byte   0x0f, 0x0b                                         /* 10000004: ud2 */
        end_case
