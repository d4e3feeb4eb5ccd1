/* evex-absent-part.S - FP16's instruction on a host without it is undefined before its operand is looked at */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/fuzz/cpu/replay.inc"

        fuzz_case evex-absent-part
        set     STATE_RIP, 0x10000000
        set     STATE_K(5), 0x3fffffffffffff
        code
        .byte   0x62, 0x95, 0x66, 0x4d, 0x5c, 0x20                 /* vsubsh (%r8), %xmm3, %xmm4 {%k5} */
        .byte   0x0f, 0x0b                                         /* ud2 */
        end_case
