/* undefined-then-defined.S - an undefined instruction is replaced by another with the same first byte */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/fuzz/cpu/replay.inc"

        fuzz_case undefined-then-defined
        set     STATE_RIP, 0x10001000
        code
        .byte   0x0f, 0x0a, 0xc0
        ud2
        end_case

        fuzz_case defined-then
        set     STATE_RIP, 0x10001000
        set     STATE_GPR(0), 0x1234
        code
        bswap   %eax
        ud2
        end_case
