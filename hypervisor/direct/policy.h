/* policy.h - which address spaces run directly, by what it has brought so far */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A program that is found in ring 3 by two interrupts in a row computes. It is tried, and stays as long as
 * the time that it runs between two stops is worth more than the stops. If it does not pay, it is left to the
 * translator for a while, which doubles each time; its mappings stay meanwhile, so that the next try begins
 * with them.
 * How much slower the translator would be is not known: twice as slow at least (policy.c, GAIN).
 */
#ifndef DIRECT_POLICY_H
#define DIRECT_POLICY_H

#include "base/base.h"

enum { POLICY_SPACES = 64 };

/* All times are nanoseconds of processors that have worked for the vcpu: others may be using them meanwhile.
 */
struct policy_space {
    u64 cr3;
    u64 sampled;    /* when an interrupt found it in ring 3 last */
    u64 not_before; /* it is tried again */
    u64 pause;      /* how long the next one is */
    bool active;
    u32 samples;
    u64 inside, outside; /* since this was looked at last */
};

struct policy {
    bool always; /* LODGE_STRESS=direct */
    struct policy_space space[POLICY_SPACES];
};

/* An interrupt has found cr3 in ring 3. */
void policy_sample(struct policy *p, u64 cr3, u64 now);
bool policy_wants(struct policy *p, u64 cr3);
/* It has been inside for so long, and that has cost so much besides. false: it is given up for a while. */
bool policy_account(struct policy *p, u64 cr3, u64 inside, u64 outside, u64 now);

#endif
