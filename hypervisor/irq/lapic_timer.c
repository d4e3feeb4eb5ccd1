/* lapic_timer.c - the local APIC's timer: one-shot, periodic, TSC-deadline (SDM 3A 10.5.4) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The bus clock is 1 GHz as KVM's unless user space chose another, so a count is nanoseconds by the divide
 * configuration. `expires` is the truth; the host timer only says when to look at it, so a call that comes
 * late or no longer counts does no harm. A period starts where the one before ended, not when the host
 * noticed: the timer does not drift. Periods that the host has slept through make one interrupt.
 */
#include "hypervisor/irq/chips.h"

static bool timer_is_deadline(struct lapic *l)
{
    return (*lapic_reg(l, APIC_LVT_TIMER) & LVT_TIMER_MODE) == LVT_TSC_DEADLINE;
}

static bool timer_is_periodic(struct lapic *l)
{
    return (*lapic_reg(l, APIC_LVT_TIMER) & LVT_TIMER_MODE) == LVT_PERIODIC;
}

/* SDM 3A figure 10-10: bits 3, 1, 0 are 0 for 2, 1 for 4 ... 6 for 128, 7 for 1. */
static u64 count_to_ns(struct lapic *l, u32 count)
{
    u32 divide = *lapic_reg(l, APIC_DIVIDE);
    unsigned shift = ((divide & 3) + (divide >> 1 & 4) + 1) & 7;

    return ((u64)count << shift) * l->v->vm->apic_bus_ns;
}

static u64 timer_period(struct lapic *l)
{
    return count_to_ns(l, *lapic_reg(l, APIC_INITIAL_COUNT));
}

/* Fast periods are served only so often, so that no guest keeps the host busy. */
static void timer_schedule(struct lapic *l, u64 expires)
{
    u64 when = expires;

    if (expires && timer_is_periodic(l) && timer_period(l) < MIN_PERIOD_NS)
        when = max(expires, host_now_ns() + MIN_PERIOD_NS);
    l->expires = expires;
    timer_arm(l->v->vm->timers, &l->timer, when);
}

static void timer_fire(struct lapic *l)
{
    if (timer_is_deadline(l))
        l->v->tsc_deadline = 0;
    lapic_local(l, APIC_LVT_TIMER);
}

/* A deadline that has passed fires at once. It may also be looked at a little early, as the clock that wakes
 * us is steered and the TSC is not. */
static void timer_start_deadline(struct lapic *l)
{
    s64 left = (s64)(l->v->tsc_deadline - guest_tsc(l->v));
    bool ahead = l->v->tsc_deadline && left > 0;

    timer_schedule(l, ahead ? host_now_ns() + guest_tsc_to_ns(l->v, (u64)left) + 1 : 0);
    if (l->v->tsc_deadline && !ahead)
        timer_fire(l);
}

static void timer_start_count(struct lapic *l, u64 ns)
{
    timer_schedule(l, ns ? host_now_ns() + ns : 0);
}

void lapic_timer_stop(struct lapic *l)
{
    timer_schedule(l, 0);
}

static void timer_next_period(struct lapic *l, u64 now)
{
    u64 period = timer_period(l);

    timer_schedule(l, period ? l->expires + ((now - l->expires) / period + 1) * period : 0);
}

/* Does what is due. Whoever looks at the timer, or changes it, comes here first, as the timers' thread may be
 * late: a count that has been read as 0 has ended, whatever the mode becomes. */
static void timer_catch_up(struct lapic *l)
{
    u64 now = host_now_ns();

    if (!l->expires || now < l->expires)
        return;
    if (timer_is_deadline(l)) {
        timer_start_deadline(l);
        return;
    }
    if (timer_is_periodic(l))
        timer_next_period(l, now);
    else
        l->expires = 0;
    timer_fire(l);
}

/* The timers' thread; moved or stopped meanwhile, it is not due. */
static void timer_expired(struct timer *t)
{
    struct lapic *l = container_of(t, struct lapic, timer);

    pthread_mutex_lock(&l->chips->lock);
    timer_catch_up(l);
    pthread_mutex_unlock(&l->chips->lock);
}

void lapic_timer_start(struct lapic *l)
{
    timer_catch_up(l);
    if (timer_is_deadline(l))
        timer_start_deadline(l);
    else
        timer_start_count(l, timer_period(l));
}

u32 lapic_timer_count(struct lapic *l)
{
    u64 period = timer_period(l);
    s64 left;

    timer_catch_up(l);
    if (!l->expires || timer_is_deadline(l) || !period)
        return 0;
    left = (s64)(l->expires - host_now_ns());
    if (left <= 0)
        left = timer_is_periodic(l) ? (s64)(period - (u64)-left % period) : 0;
    return (u32)((u64)left / count_to_ns(l, 1));
}

/* A switch to or from TSC-deadline mode stops the timer. */
void lapic_timer_set_lvt(struct lapic *l, u32 value)
{
    u32 *lvt = lapic_reg(l, APIC_LVT_TIMER), old = *lvt;

    timer_catch_up(l);
    if (!cpuid_has(l->v, 1, 0, 2, 24)) /* TSC-deadline */
        value &= ~(u32)LVT_TSC_DEADLINE;
    *lvt = value;
    if ((old ^ value) & LVT_TSC_DEADLINE) {
        *lapic_reg(l, APIC_INITIAL_COUNT) = 0;
        l->v->tsc_deadline = 0;
        lapic_timer_stop(l);
    }
}

/* The count stays and goes on at the new speed. */
void lapic_timer_set_divide(struct lapic *l, u32 value)
{
    u32 count = lapic_timer_count(l);

    *lapic_reg(l, APIC_DIVIDE) = value;
    if (count)
        timer_start_count(l, count_to_ns(l, count));
}

/* Goes on from a saved count. A count of 0 may tell of an interrupt that was not sent any more, and QEMU
 * saves no count at all: as in the kernel, a periodic timer then starts a new period, and one-shot fires at
 * once. */
void lapic_timer_restore(struct lapic *l, u32 count)
{
    u32 initial = *lapic_reg(l, APIC_INITIAL_COUNT);
    u64 left = count_to_ns(l, min(count, initial));

    if (timer_is_deadline(l))
        timer_start_deadline(l);
    else if (initial && !left)
        timer_start_count(l, timer_is_periodic(l) ? timer_period(l) : 1);
    else
        timer_start_count(l, left);
}

void lapic_set_tsc_deadline(struct vcpu *v, u64 value)
{
    struct lapic *l = v->lapic;

    if (!l)
        return;
    pthread_mutex_lock(&l->chips->lock);
    if (lapic_hardware_enabled(l) && timer_is_deadline(l)) {
        v->tsc_deadline = value;
        timer_start_deadline(l);
    }
    pthread_mutex_unlock(&l->chips->lock);
}

u64 lapic_get_tsc_deadline(struct vcpu *v)
{
    return v->lapic && timer_is_deadline(v->lapic) ? v->tsc_deadline : 0;
}

void lapic_tsc_changed(struct vcpu *v)
{
    struct lapic *l = v->lapic;

    if (!l)
        return;
    pthread_mutex_lock(&l->chips->lock);
    if (timer_is_deadline(l))
        timer_start_deadline(l);
    pthread_mutex_unlock(&l->chips->lock);
}

void lapic_timer_init(struct lapic *l)
{
    l->timer.expired = timer_expired;
}
