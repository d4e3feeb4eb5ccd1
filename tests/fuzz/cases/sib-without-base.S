/* sib-without-base.S - SIB without base, REX.B and 32-bit addresses */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/fuzz/cpu/replay.inc"

        fuzz_case sib-without-base
        set     STATE_RIP, 0x10000000
        code
        .byte   0x67, 0x4b, 0x0b, 0x1c, 0xbd, 0x33, 0x16, 0x35, 0xfa /* 10000000: or (%r13d,%r15d,4), %rbx */
        .byte   0x0f, 0x0b                                         /* 10000009: ud2 */
        end_case
