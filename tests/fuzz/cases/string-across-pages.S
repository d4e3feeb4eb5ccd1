/* string-across-pages.S - a backward MOVS with overlap, from page to page */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/fuzz/cpu/replay.inc"

        fuzz_case string-across-pages
        set     STATE_RIP, 0x10000000
        set     STATE_RFLAGS, 0x602
        set     STATE_GPR(1), 600
        set     STATE_GPR(6), 0x20001123
        set     STATE_GPR(7), 0x20001125
        set     0x20001120, 0x1122334455667788
        code
        rep movsw
        ud2
        end_case
