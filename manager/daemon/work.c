/* work.c - what blocks the thread that does it, done by another thread while the task waits */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <pthread.h>
#include <signal.h>

#include "manager/daemon/work.h"

struct work {
    struct tasks *tasks;
    int (*run)(void *arg);
    void *arg;
    int result;
    struct wait done;
};

static void *work_thread(void *arg)
{
    struct work *w = arg;
    struct tasks *t = w->tasks;
    w->result = w->run(w->arg);
    loop_lock(t->loop);
    task_wake(t, &w->done); /* w is the task's: gone as soon as the lock is */
    loop_unlock(t->loop);
    return NULL;
}

int work_run(struct tasks *t, int (*run)(void *arg), void *arg)
{
    struct work w = {.tasks = t, .run = run, .arg = arg};
    sigset_t all, old;
    pthread_attr_t attributes;
    pthread_t thread;
    sigfillset(&all);
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    bool started = pthread_create(&thread, &attributes, work_thread, &w) == 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attributes);
    if (!started)
        return run(arg);
    task_wait(t, &w.done, 0);
    return w.result;
}
