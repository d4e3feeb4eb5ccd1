/* xchg-r8-lost-flags.S - F3 REX.B 90 changes the register that the flags were made from */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/fuzz/cpu/replay.inc"

        fuzz_case xchg-r8-lost-flags
        set     STATE_RIP, 0x10000000
        set     STATE_GPR(0), 0xff
        set     STATE_GPR(8), 0
        code
        test    $0x0e, %al
        .byte   0xf3, 0x49, 0x90                       /* xchg %rax, %r8 */
        and     (%r9), %r10w
        ud2
        end_case
