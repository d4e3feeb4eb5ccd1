/* process.h - other programs: run to their end with what they print, in a task */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DAEMON_PROCESS_H
#define DAEMON_PROCESS_H

#include <sys/types.h>

#include "manager/daemon/task.h"
#include "manager/rpc/vir_error.h"

/* Starts argv (ends with NULL) with these standard descriptors, in a session of its own; descriptors that are
 * not close-on-exec go with it. known (NULL: nobody) is called with the pid before the program begins: should
 * the daemon die first, the program never begins. Returns the pid or -errno, also where the program cannot be
 * executed. */
pid_t process_spawn(const char *const *argv, int in, int out, int err, void (*known)(void *opaque, pid_t pid),
                    void *opaque);

/* Runs it, waits at most `seconds`, and gives what it printed on both outputs (to be freed; NULL: not wanted)
 * and its status. 0 with status 0; else -1 with e, which quotes the last line that it printed. */
int process_run(struct tasks *t, const char *const *argv, unsigned seconds, char **output,
                struct vir_error *e);

/* A descriptor that becomes readable when the process ends; -errno. */
int process_watch(pid_t pid);

/* When it was started, in the kernel's ticks; 0: there is no such process, or it has ended. */
u64 process_start_time(pid_t pid);

#endif
