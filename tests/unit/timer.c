/* timer.c - test of hypervisor/timer.c: order, moving, cancelling */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <signal.h>

#include "tests/unit/test.h"
#include "tests/unit/irq_fake.h"

enum { MS = 1000000 };

static struct timers *timers;

struct probe {
    struct timer timer;
    _Atomic unsigned calls;
    _Atomic u64 when;
    _Atomic bool hold, all_blocked;
    u64 again; /* arms itself again so much later */
};

static void expired(struct timer *t)
{
    struct probe *p = container_of(t, struct probe, timer);
    sigset_t set;

    pthread_sigmask(SIG_SETMASK, NULL, &set);
    p->all_blocked = sigismember(&set, SIGINT) && sigismember(&set, SIGALRM) && sigismember(&set, SIGUSR1);
    p->when = host_now_ns();
    p->calls++;
    while (p->hold)
        sleep_ns(MS / 10);
    if (p->again)
        timer_arm(timers, t, host_now_ns() + p->again);
}

static void test_once(void)
{
    static struct probe p = {.timer.expired = expired};
    u64 deadline = host_now_ns() + 2 * MS;

    timer_arm(timers, &p.timer, deadline);
    WAIT_UNTIL(p.calls == 1);
    CHECK(p.when >= deadline);
    CHECK(p.all_blocked);
    sleep_ns(3 * MS);
    CHECK_EQ(p.calls, 1);
    timer_arm(timers, &p.timer, 1); /* past */
    WAIT_UNTIL(p.calls == 2);
}

static struct probe gate = {.timer.expired = expired};

/* Keeps the thread busy, so that nothing expires while a test arms timers. */
static void gate_close(void)
{
    unsigned calls = gate.calls;

    gate.hold = true;
    timer_arm(timers, &gate.timer, 1);
    WAIT_UNTIL(gate.calls == calls + 1);
}

static void test_move(void)
{
    static struct probe p = {.timer.expired = expired};
    u64 deadline = host_now_ns() + 5 * MS;

    timer_arm(timers, &p.timer, host_now_ns() + 3600ull * 1000 * MS);
    timer_arm(timers, &p.timer, deadline); /* nearer: the sleeping thread is told */
    WAIT_UNTIL(p.calls == 1);
    CHECK(p.when >= deadline);
    gate_close();
    timer_arm(timers, &p.timer, 1);
    deadline = host_now_ns() + 5 * MS;
    timer_arm(timers, &p.timer, deadline); /* further */
    gate.hold = false;
    WAIT_UNTIL(p.calls == 2);
    CHECK(p.when >= deadline);
    timer_arm(timers, &p.timer, host_now_ns() + 3600ull * 1000 * MS);
    timer_arm(timers, &p.timer, 0); /* disarms */
    CHECK_EQ(p.timer.deadline, 0);
}

static struct timer ordered[3];
static _Atomic unsigned order, orders;

static void expired_in_order(struct timer *t)
{
    order = order * 10 + (unsigned)(t - ordered) + 1;
    orders++;
}

static void test_order(void)
{
    u64 now = host_now_ns();

    gate_close();
    for (unsigned i = 0; i < 3; i++)
        ordered[i].expired = expired_in_order;
    timer_arm(timers, &ordered[2], now + 3);
    timer_arm(timers, &ordered[0], now + 1);
    timer_arm(timers, &ordered[1], now + 2);
    gate.hold = false;
    WAIT_UNTIL(orders == 3);
    CHECK_EQ(order, 123);
}

static void test_again(void)
{
    static struct probe p = {.timer.expired = expired, .again = MS / 2};

    timer_arm(timers, &p.timer, 1);
    WAIT_UNTIL(p.calls >= 5);
    timer_cancel(timers, &p.timer);
    unsigned calls = p.calls;
    sleep_ns(3 * MS);
    CHECK_EQ(p.calls, calls);
}

static struct probe slow = {.timer.expired = expired, .hold = true};
static _Atomic bool cancelled;

static void *cancel_slow(void *arg)
{
    timer_cancel(timers, &slow.timer);
    cancelled = true;
    return arg;
}

/* Cancel waits for a call that is running; arming does not. */
static void test_cancel_waits(void)
{
    pthread_t thread;

    timer_arm(timers, &slow.timer, 1);
    WAIT_UNTIL(slow.calls == 1);
    timer_arm(timers, &slow.timer, 0);
    pthread_create(&thread, NULL, cancel_slow, NULL);
    sleep_ns(5 * MS);
    CHECK(!cancelled);
    slow.hold = false;
    pthread_join(thread, NULL);
    CHECK(cancelled);
}

int main(void)
{
    timers = timers_create();
    CHECK(timers != NULL);
    test_once();
    test_move();
    test_order();
    test_again();
    test_cancel_waits();
    timers_destroy(timers);
    return TEST_DONE();
}
