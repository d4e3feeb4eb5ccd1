/* retf-read-order.S - far RET reads CS first on AMD */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/fuzz/cpu/replay.inc"

        fuzz_case retf-read-order
        set     STATE_RIP, 0x10000000
        set     STATE_GPR(4), 0x20007e71
        code
        .byte   0x48, 0xcb                                         /* 10000000: retfq */
        .byte   0x0f, 0x0b                                         /* ud2 */
        end_case
