/* task.h - a function that may wait in the middle, while the event loop goes on: one for each call and each
 * job */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DAEMON_TASK_H
#define DAEMON_TASK_H

#include "base/loop.h"

/*
 * The daemon has one thread. What must wait (for an answer of a machine, for a child process, for another
 * task) runs as a task with a stack of its own, so that it reads from top to bottom; when it waits, the loop
 * runs. Between two waits nothing else runs, so there are no locks; after a wait, everything that is not held
 * may have changed.
 */
struct task;

struct tasks {
    struct loop *loop;
    struct task *current; /* NULL: the loop itself */
    struct task *ready, **ready_end;
    struct task *spare;           /* finished ones, whose stacks can be had again */
    unsigned spare_count, active; /* those that have begun and not ended */
    struct loop_timer resume;     /* fires at once when a task is ready */
    void *loop_context;
};

/* What a task waits for; zero-initialised. One task at a time. */
struct wait {
    struct task *task;
    bool woken;
};

void tasks_init(struct tasks *t, struct loop *loop);
void tasks_free(struct tasks *t);

/* Runs run(arg) until it first waits. From the loop or from a task. */
void task_start(struct tasks *t, void (*run)(void *arg), void *arg);

/* In a task: returns true once the wait was woken, or false when loop_now() has come to the deadline (0:
 * never). */
bool task_wait(struct tasks *t, struct wait *w, u64 deadline);

/* Anyone: the task that waits goes on soon. Sticks when nobody waits yet. */
void task_wake(struct tasks *t, struct wait *w);

/* In a task: sleeps. */
void task_sleep(struct tasks *t, u64 nanoseconds);

/* In a task: waits until the descriptor is ready for `events`, or the deadline. */
bool task_wait_fd(struct tasks *t, int fd, short events, u64 deadline);

#endif
