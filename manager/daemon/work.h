/* work.h - what blocks the thread that does it, done by another thread while the task waits */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DAEMON_WORK_H
#define DAEMON_WORK_H

#include "manager/daemon/task.h"

/* In a task. Returns what run(arg) returns; run touches nothing of the daemon's but arg. Without a thread to
 * be had, it is done here and now. */
int work_run(struct tasks *t, int (*run)(void *arg), void *arg);

#endif
