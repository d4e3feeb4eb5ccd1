/* policy.c - which address spaces run directly, by what it has brought so far */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/direct/policy.h"

enum {
    SAMPLES = 2,
    SHORTEST_GAP_US = 1000,
    LONGEST_GAP_MS = 20,
    FIRST_PAUSE_MS = 20,
    LAST_PAUSE_MS = 2000,
    CREDIT_US = 4000,
    WINDOW_US = 1000,
    GAIN = 2 /* what the translator would take more, in times of what it takes directly, at least */
};

static struct policy_space *space_of(struct policy *p, u64 cr3)
{
    struct policy_space *s = &p->space[(cr3 >> 12 ^ cr3 >> 18) % POLICY_SPACES];
    if (s->cr3 != cr3)
        *s = (struct policy_space){.cr3 = cr3, .pause = FIRST_PAUSE_MS * 1000000ull};
    return s;
}

void policy_sample(struct policy *p, u64 cr3, u64 now)
{
    struct policy_space *s = space_of(p, cr3);
    if (s->active || now < s->not_before || now - s->sampled < SHORTEST_GAP_US * 1000ull)
        return;
    s->samples = now - s->sampled < LONGEST_GAP_MS * 1000000ull ? s->samples + 1 : 1;
    s->sampled = now;
    if (s->samples < SAMPLES)
        return;
    s->active = true;
    s->inside = CREDIT_US * 1000ull;
    s->outside = 0;
}

bool policy_wants(struct policy *p, u64 cr3)
{
    return p->always || space_of(p, cr3)->active;
}

bool policy_account(struct policy *p, u64 cr3, u64 inside, u64 outside, u64 now)
{
    struct policy_space *s = space_of(p, cr3);
    s->inside += inside;
    s->outside += outside;
    if (s->outside < WINDOW_US * 1000ull)
        return true;
    if (GAIN * s->inside >= s->outside) {
        s->pause = FIRST_PAUSE_MS * 1000000ull; /* what is left of the credit is forgotten */
    } else {
        s->active = false;
        s->samples = 0;
        s->not_before = now + s->pause;
        s->pause = min(2 * s->pause, LAST_PAUSE_MS * 1000000ull);
    }
    s->inside = s->outside = 0;
    return s->active;
}
