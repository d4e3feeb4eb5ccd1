/* rdfsbase-size-prefix.S - an operand-size prefix does not count in RDFSBASE */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/fuzz/cpu/replay.inc"

        fuzz_case rdfsbase-size-prefix
        set     STATE_RIP, 0x10000000
        set     STATE_GPR(3), -1
        set     STATE_FS, 0x123456789
        code
        .byte   0x66, 0xf3, 0x0f, 0xae, 0xc3           /* rdfsbase %ebx */
        ud2
        end_case
