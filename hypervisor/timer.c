/* timer.c - deadlines of a VM's chips, run by one helper thread */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A sorted list and a futex. The thread sleeps until wake_at; arming a timer wakes it only when the new
 * deadline is earlier than that. So a guest that keeps pushing its next tick into the future costs no system
 * call: the thread wakes once at the old time, finds nothing due and sleeps again.
 */
#include "hypervisor/timer.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "hypervisor/cpu/vcpu.h"

enum { NS_PER_S = 1000000000 };
#define NEVER UINT64_MAX

struct timers {
    pthread_mutex_t
        lock; /* covers all below, and the list's timers; a leaf: no other lock is taken under it */
    pthread_cond_t idle; /* running became NULL */
    pthread_t thread;
    struct timer *first;   /* by deadline */
    struct timer *running; /* its expired is being called */
    u64 wake_at;           /* when the thread looks again by itself */
    _Atomic u32 wakeups;   /* futex word: changes when wake_at becomes earlier */
    bool quit;
};

static void timer_unlink(struct timers *s, struct timer *t)
{
    for (struct timer **p = &s->first; *p; p = &(*p)->next) {
        if (*p == t) {
            *p = t->next;
            break;
        }
    }
    t->deadline = 0;
}

static void timer_insert(struct timers *s, struct timer *t, u64 deadline)
{
    struct timer **p = &s->first;

    while (*p && (*p)->deadline <= deadline)
        p = &(*p)->next;
    t->deadline = deadline;
    t->next = *p;
    *p = t;
}

static void timers_wake(struct timers *s)
{
    s->wake_at = 0;
    s->wakeups++;
    syscall(SYS_futex, &s->wakeups, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* Called with the lock held; without it while asleep. */
static void timers_sleep(struct timers *s)
{
    u64 until = s->first ? s->first->deadline : NEVER;
    struct timespec t = {.tv_sec = (time_t)(until / NS_PER_S), .tv_nsec = (long)(until % NS_PER_S)};
    u32 wakeups = s->wakeups;

    s->wake_at = until;
    pthread_mutex_unlock(&s->lock);
    syscall(SYS_futex, &s->wakeups, FUTEX_WAIT_BITSET_PRIVATE, wakeups, until == NEVER ? NULL : &t, NULL,
            FUTEX_BITSET_MATCH_ANY);
    pthread_mutex_lock(&s->lock);
}

static void timer_run(struct timers *s, struct timer *t)
{
    timer_unlink(s, t);
    s->running = t;
    pthread_mutex_unlock(&s->lock);
    t->expired(t);
    pthread_mutex_lock(&s->lock);
    s->running = NULL;
    pthread_cond_broadcast(&s->idle);
}

static void *timers_main(void *arg)
{
    struct timers *s = arg;

    prctl(PR_SET_NAME, "lodge-timers");
    prctl(PR_SET_TIMERSLACK, 1);
    pthread_mutex_lock(&s->lock);
    while (!s->quit) {
        if (s->first && s->first->deadline <= host_now_ns())
            timer_run(s, s->first);
        else
            timers_sleep(s);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

struct timers *timers_create(void)
{
    struct timers *s = calloc(1, sizeof(*s));
    sigset_t all, old;
    int err;

    if (!s)
        return NULL;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->idle, NULL);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    err = pthread_create(&s->thread, NULL, timers_main, s);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (err) {
        free(s);
        errno = err;
        return NULL;
    }
    return s;
}

void timers_destroy(struct timers *s)
{
    pthread_mutex_lock(&s->lock);
    s->quit = true;
    timers_wake(s);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->thread, NULL);
    pthread_cond_destroy(&s->idle);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

void timer_arm(struct timers *s, struct timer *t, u64 deadline)
{
    pthread_mutex_lock(&s->lock);
    if (t->deadline)
        timer_unlink(s, t);
    if (deadline)
        timer_insert(s, t, deadline);
    if (deadline && deadline < s->wake_at)
        timers_wake(s);
    pthread_mutex_unlock(&s->lock);
}

void timer_cancel(struct timers *s, struct timer *t)
{
    pthread_mutex_lock(&s->lock);
    if (t->deadline)
        timer_unlink(s, t);
    while (s->running == t && !pthread_equal(pthread_self(), s->thread))
        pthread_cond_wait(&s->idle, &s->lock);
    if (t->deadline)
        timer_unlink(s, t);
    pthread_mutex_unlock(&s->lock);
}
