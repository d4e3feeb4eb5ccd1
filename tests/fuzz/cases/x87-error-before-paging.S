/* x87-error-before-paging.S - a waiting x87 exception comes before the page fault of the operand */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/fuzz/cpu/replay.inc"

        fuzz_case x87-error-before-paging
        set     STATE_RIP, 0x10000000
        set     0x20002390, 0x3f9bc953375ccdbe
        code
        .byte   0x48, 0xbb, 0x90, 0x23, 0x00, 0x20, 0x00, 0x00, 0x00, 0x00 /* 10000000: mov $0x20002390, %rbx */
        .byte   0xd9, 0x23                                         /* 1000000a: fldenv (%rbx) */
        .byte   0xf2, 0xd8, 0x41, 0x70                             /* 1000000c: fadd 0x70(%rcx) */
        .byte   0x0f, 0x0b                                         /* 10000010: ud2 */
        end_case
