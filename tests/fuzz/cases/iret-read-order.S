/* iret-read-order.S - IRET reads the flags first on AMD */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/fuzz/cpu/replay.inc"

        fuzz_case iret-read-order
        set     STATE_RIP, 0x10000000
        set     STATE_GPR(4), 0x20007e71
        code
        .byte   0xcf                                               /* 10000000: iretd */
        .byte   0x0f, 0x0b                                         /* ud2 */
        end_case
