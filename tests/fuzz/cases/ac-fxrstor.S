/* ac-fxrstor.S - with alignment checks FXRSTOR raises #AC, not #GP, where 4 does not divide the address */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/fuzz/cpu/replay.inc"

        fuzz_case ac-fxrstor
        set     STATE_RIP, 0x10000000
        set     0x20005ff8, 0xbc4e90bad7a7a06a
        code
        .byte   0x48, 0xbc, 0xfc, 0x5f, 0x00, 0x20, 0x00, 0x00, 0x00, 0x00 /* 10000000: mov $0x20005FFC, %rsp */
        .byte   0x9d                                               /* 1000000a: popfq */
        .byte   0x0f, 0xae, 0x8f, 0x5b, 0xe5, 0x39, 0xec           /* 1000000b: fxrstor -0x13C61AA5(%rdi) */
        .byte   0x0f, 0x0b                                         /* 10000012: ud2 */
        end_case
