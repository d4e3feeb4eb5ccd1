/* random.h - random numbers from a seed: splitmix64 */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef LOCKSTEP_RANDOM_H
#define LOCKSTEP_RANDOM_H

#include "base/base.h"

struct random {
    u64 x;
};

static inline u64 random_u64(struct random *r)
{
    u64 z = (r->x += 0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static inline u32 random_below(struct random *r, u32 n)
{
    return (u32)((random_u64(r) >> 32) * n >> 32);
}

static inline bool one_in(struct random *r, u32 n)
{
    return random_below(r, n) == 0;
}

#define RANDOM_OF(r, array) ((array)[random_below(r, ARRAY_SIZE(array))])

#endif
