/* stress.h - random modes of the engine, which must change nothing that a guest can see */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TRANSLATE_STRESS_H
#define TRANSLATE_STRESS_H

#include "base/base.h"

enum stress_mode {
    STRESS_BLOCK = BIT(0), /* one instruction in a block */
    STRESS_CACHE = BIT(1), /* the code cache is full again and again, with some ten blocks or some thousand */
    STRESS_TLB = BIT(2),   /* the TLB is flushed at random */
    STRESS_SLOW =
        BIT(3), /* few pages enter the TLB; their operands go through the slow path, half in vcpu.bounce */
    STRESS_EXIT = BIT(4),   /* translated code is left for the run loop at random */
    STRESS_DIRECT = BIT(5), /* ring 3 runs directly whenever it can (direct/) */
    STRESS_CHECKED = BIT(6) /* half of the pages of code have blocks that check themselves (checked.c) */
};

struct stress {
    unsigned modes; /* enum stress_mode */
    u64 state;      /* of the random numbers */
    unsigned room;  /* STRESS_CACHE: blocks until the cache is full */
};

/* From LODGE_STRESS in the environment: names separated by commas (block, cache, tlb, slow, exit, direct,
 * checked, all), and seed=N. An unknown name is told on stderr and ignored. */
void stress_init(struct stress *s);

static inline u64 stress_random(struct stress *s)
{
    s->state ^= s->state << 13;
    s->state ^= s->state >> 7;
    return s->state ^= s->state << 17;
}

/* One time in n, if the mode is on. */
static inline bool stress_now(struct stress *s, unsigned mode, unsigned n)
{
    return unlikely(s->modes & mode) && stress_random(s) % n == 0;
}

/* Asked before each block that is made: STRESS_CACHE has the cache full before it is. */
bool stress_cache_full(struct stress *s);

#endif
