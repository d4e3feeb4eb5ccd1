/* stress.h - random modes of the engine, which must change nothing that a guest can see */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TRANSLATE_STRESS_H
#define TRANSLATE_STRESS_H

#include "base/base.h"

enum stress_mode {
    STRESS_BLOCK = BIT(0), /* one instruction in a block */
    STRESS_CACHE = BIT(1), /* a code cache that is full again and again */
    STRESS_TLB = BIT(2),   /* the TLB is flushed at random */
    STRESS_SLOW =
        BIT(3), /* few pages enter the TLB; their operands go through the slow path, half in vcpu.bounce */
    STRESS_EXIT = BIT(4), /* translated code is left for the run loop at random */
};

struct stress {
    unsigned modes; /* enum stress_mode */
    u64 state;      /* of the random numbers */
};

/* From LODGE_STRESS in the environment: names separated by commas (block, cache, tlb, slow, exit, all), and
 * seed=N. An unknown name is told on stderr and ignored. */
void stress_init(struct stress *s);

/* One time in n, if the mode is on. */
static inline bool stress_now(struct stress *s, unsigned mode, unsigned n)
{
    if (likely(!(s->modes & mode)))
        return false;
    s->state ^= s->state << 13;
    s->state ^= s->state >> 7;
    s->state ^= s->state << 17;
    return s->state % n == 0;
}

#endif
