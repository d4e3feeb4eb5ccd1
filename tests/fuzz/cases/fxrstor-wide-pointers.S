/* fxrstor-wide-pointers.S - FIP and FDP keep as many bits as the CPU's linear addresses have, not as CPUID says */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/fuzz/cpu/replay.inc"

        fuzz_case fxrstor-wide-pointers
        set     STATE_RIP, 0x10000000
        set     0x200009c0, 0xbfa5dc5cd9540e22
        set     0x200009d0, 0xbf8a04a94a51575e
        code
        .byte   0x48, 0xbd, 0x17, 0xdd, 0xe9, 0xb9, 0xff, 0xff, 0xff, 0xff /* mov $-0x461622E9, %rbp */
        .byte   0x4e, 0x0f, 0xae, 0x8d, 0xa9, 0x2c, 0x16, 0x66     /* fxrstor64 0x66162CA9(%rbp) */
        .byte   0x0f, 0x0b                                         /* ud2 */
        end_case
