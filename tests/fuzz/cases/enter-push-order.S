/* enter-push-order.S - ENTER faults at its first push first */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/fuzz/cpu/replay.inc"

        fuzz_case enter-push-order
        set     STATE_RIP, 0x10000000
        set     STATE_GPR(4), 0x20004fb8
        code
        .byte   0x66, 0x4e, 0xc8, 0xb5, 0xa4, 0x41                 /* 10000000: enter $0x41, $0xA4B5 */
        .byte   0x0f, 0x0b                                         /* 10000006: ud2 */
        end_case
