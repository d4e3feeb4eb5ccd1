/* policy.c - which address spaces run directly, by what it has brought so far */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/direct/policy.h"

/* GAIN: what the translator takes more than direct execution, in times of that, at least. */
enum { SAMPLES = 2, GAIN = 2 };
#define US(n)        ((n)*1000ull)
#define MS(n)        ((n)*1000000ull)
#define SHORTEST_GAP US(1000)
#define LONGEST_GAP  MS(20)
#define FIRST_PAUSE  MS(5)
#define LAST_PAUSE   MS(100)
#define WINDOW       US(1000)

static struct policy_space *space_of(struct policy *p, u64 cr3)
{
    struct policy_space *s = &p->space[(cr3 >> 12 ^ cr3 >> 18) % POLICY_SPACES];
    if (s->cr3 != cr3)
        *s = (struct policy_space){.cr3 = cr3, .pause = FIRST_PAUSE};
    return s;
}

void policy_sample(struct policy *p, u64 cr3, u64 now)
{
    struct policy_space *s = space_of(p, cr3);
    u64 gap = now - s->sampled;
    if (s->active || now < s->not_before || gap < SHORTEST_GAP)
        return;
    s->samples = gap < LONGEST_GAP ? s->samples + 1 : 1;
    s->sampled = now;
    if (s->samples < SAMPLES)
        return;
    s->active = true;
    s->inside = WINDOW;
    s->outside = 0;
}

bool policy_wants(struct policy *p, u64 cr3)
{
    return p->always || space_of(p, cr3)->active;
}

static void give_up(struct policy_space *s, u64 now)
{
    s->active = false;
    s->samples = 0;
    s->not_before = now + s->pause;
    s->pause = min(2 * s->pause, LAST_PAUSE);
}

bool policy_account(struct policy *p, u64 cr3, u64 inside, u64 outside, u64 now)
{
    struct policy_space *s = space_of(p, cr3);
    s->inside += inside;
    s->outside += outside;
    if (s->outside < WINDOW)
        return true;
    if (GAIN * s->inside >= s->outside)
        s->pause = FIRST_PAUSE;
    else
        give_up(s, now);
    s->inside = s->outside = 0;
    return s->active;
}
