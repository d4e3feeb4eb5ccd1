/* bts-evicted-offset.S - a bit offset in a register that is not in the host's, backwards into another page */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/fuzz/cpu/replay.inc"

        fuzz_case bts-evicted-offset
        set     STATE_RIP, 0x10000000
        set     STATE_GPR(13), 0xffffffffffff7ffd
        set     STATE_GPR(14), 0x20001004
        code
        lock btsq %r13, (%r14)
        ud2
        end_case
