/* timer.h - deadlines of a VM's chips, run by one helper thread */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HYPERVISOR_TIMER_H
#define HYPERVISOR_TIMER_H

#include "base/base.h"

struct timers;
struct timer {
    u64 deadline;                     /* host_now_ns() units; 0 = not armed */
    void (*expired)(struct timer *t); /* on the helper thread, no lock held; may arm again */
    struct timer *next;
};

/* Starts the thread (all signals blocked). NULL with errno on failure. */
struct timers *timers_create(void);
void timers_destroy(struct timers *s); /* joins the thread */
/* Any thread, and with locks held that expired takes too. Arming an armed timer moves it; deadline 0 disarms
 * without waiting: expired may be about to run, so under its own lock it looks whether it is still meant. */
void timer_arm(struct timers *s, struct timer *t, u64 deadline);
/* After it returns, expired is not running and will not be called (except when called from expired itself):
 * for freeing the timer. The caller holds no lock that expired takes. */
void timer_cancel(struct timers *s, struct timer *t);

#endif
