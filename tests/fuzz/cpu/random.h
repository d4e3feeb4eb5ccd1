/* random.h - the fuzzer's random numbers: xorshift64* */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef FUZZ_CPU_RANDOM_H
#define FUZZ_CPU_RANDOM_H

#include "base/base.h"

struct random {
    u64 state; /* not 0 */
};

static inline u64 random64(struct random *r)
{
    r->state ^= r->state >> 12;
    r->state ^= r->state << 25;
    r->state ^= r->state >> 27;
    return r->state * 0x2545f4914f6cdd1d;
}

/* 0 to n - 1 */
static inline u32 random_below(struct random *r, u32 n)
{
    return (u32)((random64(r) >> 32) * n >> 32);
}

static inline bool random_percent(struct random *r, u32 percent)
{
    return random_below(r, 100) < percent;
}

/* Index of one of the weights, chosen by weight. */
static inline u32 random_choice(struct random *r, const u8 *weights, u32 n)
{
    u32 sum = 0, i;
    for (i = 0; i < n; i++)
        sum += weights[i];
    u32 x = random_below(r, sum);
    for (i = 0; x >= weights[i]; i++)
        x -= weights[i];
    return i;
}

#endif
