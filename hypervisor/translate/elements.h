/* elements.h - the elements of a memory operand that an instruction accesses (SDM 1 15.6.4) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TRANSLATE_ELEMENTS_H
#define TRANSLATE_ELEMENTS_H

#include "base/base.h"

/* Bit i stands for element i, of size bytes. Where there is no opmask, one element is the whole operand. */
struct elements {
    u64 accessed, checked; /* checked: may fault; all accessed ones, and for some stores also the others */
    unsigned size;
};

/* By the descriptor of the access (translate.h), and the opmask that it names as it is in the CPU now. */
struct elements elements_of(u32 descriptor);

/* Of a set that is not empty: the first byte's distance from the operand's start, and the last one's. */
static inline unsigned elements_first(u64 set, unsigned size)
{
    return (unsigned)__builtin_ctzll(set) * size;
}
static inline unsigned elements_last(u64 set, unsigned size)
{
    return (64 - (unsigned)__builtin_clzll(set)) * size - 1;
}

#endif
