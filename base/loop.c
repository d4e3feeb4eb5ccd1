/* loop.c - the event loop: one per program, on its main thread */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/loop.h"

enum { NS_PER_S = 1000000000 };

int loop_init(struct loop *l)
{
    *l = (struct loop){.lock = PTHREAD_MUTEX_INITIALIZER};
    l->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return l->wake_fd < 0 ? -errno : 0;
}

void loop_free(struct loop *l)
{
    close(l->wake_fd);
    free(l->watch);
    free(l->polled);
    free(l->poll);
}

void loop_lock(struct loop *l)
{
    pthread_mutex_lock(&l->lock);
}

void loop_unlock(struct loop *l)
{
    pthread_mutex_unlock(&l->lock);
}

u64 loop_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (u64)t.tv_sec * NS_PER_S + (u64)t.tv_nsec;
}

static void loop_wake(struct loop *l)
{
    u64 one = 1;
    if (l->sleeping && write(l->wake_fd, &one, sizeof(one)) < 0)
        return; /* EAGAIN: a wake-up is pending already */
}

static unsigned find_watch(const struct loop *l, const struct loop_watch *w)
{
    unsigned i = 0;
    while (i < l->watch_count && l->watch[i] != w)
        i++;
    return i;
}

static void *resized(void *array, size_t size)
{
    array = realloc(array, size);
    ASSERT(array); /* a few hundred bytes that the program cannot run without */
    return array;
}

void loop_add(struct loop *l, struct loop_watch *w)
{
    if (l->watch_count == l->watch_room) {
        l->watch_room = max(2 * l->watch_room, 16u);
        l->watch = resized(l->watch, l->watch_room * sizeof(*l->watch));
    }
    l->watch[l->watch_count++] = w;
    loop_wake(l);
}

void loop_remove(struct loop *l, struct loop_watch *w)
{
    unsigned i = find_watch(l, w);
    if (i == l->watch_count)
        return;
    l->watch[i] = l->watch[--l->watch_count];
    loop_wake(l);
}

void loop_set_events(struct loop *l, struct loop_watch *w, short events)
{
    if (w->events == events)
        return;
    w->events = events;
    loop_wake(l);
}

void loop_cancel(struct loop *l, struct loop_timer *t)
{
    if (!t->armed)
        return;
    struct loop_timer **at = &l->timers;
    while (*at != t)
        at = &(*at)->next;
    *at = t->next;
    t->armed = false;
}

void loop_arm(struct loop *l, struct loop_timer *t, u64 deadline)
{
    loop_cancel(l, t);
    struct loop_timer **at = &l->timers;
    while (*at && (*at)->deadline <= deadline)
        at = &(*at)->next;
    t->deadline = deadline;
    t->armed = true;
    t->next = *at;
    *at = t;
    if (l->timers == t)
        loop_wake(l);
}

static void run_timers(struct loop *l)
{
    u64 now = loop_now();
    while (l->timers && l->timers->deadline <= now) {
        struct loop_timer *t = l->timers;
        loop_cancel(l, t);
        t->expired(t);
    }
}

/* How long poll may sleep: until the first timer, or for ever (NULL). */
static struct timespec *time_to_sleep(const struct loop *l, struct timespec *t)
{
    if (!l->timers)
        return NULL;
    u64 now = loop_now();
    u64 ns = l->timers->deadline > now ? l->timers->deadline - now : 0;
    *t = (struct timespec){.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};
    return t;
}

static void wait_and_dispatch(struct loop *l)
{
    unsigned n = l->watch_count;
    struct pollfd *p = l->poll = resized(l->poll, (n + 1) * sizeof(*p));
    struct loop_watch **polled = l->polled = resized(l->polled, (n + 1) * sizeof(*polled));
    p[0] = (struct pollfd){.fd = l->wake_fd, .events = POLLIN};
    for (unsigned i = 0; i < n; i++) {
        polled[i] = l->watch[i];
        p[i + 1] = (struct pollfd){.fd = polled[i]->fd, .events = polled[i]->events};
    }
    struct timespec t, *timeout = time_to_sleep(l, &t);
    l->sleeping = true;
    loop_unlock(l);
    int ready = ppoll(p, n + 1, timeout, NULL);
    loop_lock(l);
    l->sleeping = false;
    if (ready <= 0)
        return;
    u64 drained;
    if (p[0].revents && read(l->wake_fd, &drained, sizeof(drained)) < 0)
        ASSERT(errno == EAGAIN || errno == EINTR);
    /* A handler, or another thread meanwhile, may have removed a watch that was polled. */
    for (unsigned i = 0; i < n; i++)
        if (p[i + 1].revents && find_watch(l, polled[i]) < l->watch_count)
            polled[i]->ready(polled[i], p[i + 1].revents);
}

void loop_run(struct loop *l)
{
    loop_lock(l);
    while (!l->stopped) {
        run_timers(l);
        if (!l->stopped)
            wait_and_dispatch(l);
    }
    l->stopped = false;
    loop_unlock(l);
}

void loop_stop(struct loop *l)
{
    l->stopped = true;
    loop_wake(l);
}
