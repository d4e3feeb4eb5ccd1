/* loop.h - the event loop: one per program, on its main thread */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef BASE_LOOP_H
#define BASE_LOOP_H

#include <pthread.h>

#include "base/base.h"

/*
 * The loop owns the program's one big lock. Handlers run with it held; other threads (vcpus) take it around
 * everything that touches what handlers touch. All functions below but loop_init and loop_run need it held.
 *
 * poll(2) and not epoll: a console may be a regular file, which epoll refuses, and there are few descriptors
 * (a machine) or quiet ones (the manager).
 */

struct pollfd;

struct loop_watch {
    int fd;
    short events; /* POLLIN, POLLOUT; 0: only errors and hang-ups */
    void (*ready)(struct loop_watch *w, short revents);
};

struct loop_timer {
    u64 deadline; /* loop_now() units */
    bool armed;
    void (*expired)(struct loop_timer *t);
    struct loop_timer *next;
};

struct loop {
    pthread_mutex_t lock;
    int wake_fd;   /* an eventfd: ends a poll whose watches or timers have changed */
    bool sleeping; /* the main thread is in poll */
    bool stopped;
    struct loop_watch **watch, **polled; /* those there are; those that a poll began with */
    struct pollfd *poll;
    unsigned watch_count, watch_room;
    struct loop_timer *timers; /* by deadline */
};

/* 0 or -errno. */
int loop_init(struct loop *l);
void loop_free(struct loop *l);
void loop_lock(struct loop *l);
void loop_unlock(struct loop *l);

/* Nanoseconds of CLOCK_MONOTONIC. */
u64 loop_now(void);

/* The caller owns the watch; it stays where it is until removed. */
void loop_add(struct loop *l, struct loop_watch *w);
void loop_remove(struct loop *l, struct loop_watch *w); /* nothing if it is not there */
void loop_set_events(struct loop *l, struct loop_watch *w, short events);

/* Arming an armed timer moves it. */
void loop_arm(struct loop *l, struct loop_timer *t, u64 deadline);
void loop_cancel(struct loop *l, struct loop_timer *t);

/* Runs handlers until loop_stop; takes the lock itself and returns without it. A stop that came before
 * counts. */
void loop_run(struct loop *l);
void loop_stop(struct loop *l);

#endif
