/* fisttp-unmasked.S - an x87 store that raises an unmasked exception does not write, also across pages */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/fuzz/cpu/replay.inc"

        fuzz_case fisttp-unmasked
        set     STATE_RIP, 0x10000000
        set     STATE_FCW, 0x37180b7c
        set     0x20005ff8, 0x1111111111111111
        set     0x20006000, 0x2222222222222222
        code
        .byte   0x46, 0xdb, 0x0d, 0xf7, 0x5f, 0x00, 0x10           /* 10000000: fisttp 0x0000000020005FFE */
        .byte   0x0f, 0x0b                                         /* 10000007: ud2 */
        end_case
