/* ac-fxsave-words.S - with alignment checks FXSAVE still raises #GP where 4 divides the address and 16 does not */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/fuzz/cpu/replay.inc"

        fuzz_case ac-fxsave-words
        set     STATE_RIP, 0x10000000
        code
        mov     $0x20005080, %esp
        push    $0x40202
        popfq
        fxsave  0x20000004
        ud2
        end_case
