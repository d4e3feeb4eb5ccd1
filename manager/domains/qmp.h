/* qmp.h - the manager's end of a machine's monitor (QEMU's QMP specification) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DOMAINS_QMP_H
#define DOMAINS_QMP_H

#include <jansson.h>

#include "manager/daemon/task.h"
#include "manager/rpc/vir_error.h"

struct qmp;

struct qmp_ops {
    void (*event)(void *opaque, const char *name, json_t *data, json_t *whole);
    void (*lost)(void *opaque); /* the machine closed the connection, or broke the protocol; once */
};

/* In a task. Tries to connect until the deadline, or *give_up; then greets. NULL with e. */
struct qmp *qmp_connect(struct tasks *t, const char *path, u64 deadline, const bool *give_up,
                        const struct qmp_ops *ops, void *opaque, struct vir_error *e);

/* No answers and events come after this; whoever waits for one gets an error. */
void qmp_close(struct qmp *q);

/* In a task. Sends a command and waits for its answer, at most `seconds`. arguments (NULL: none) is used up.
 * result NULL: not wanted; else to be released. 0, or -1 with e. */
int qmp_call(struct qmp *q, unsigned seconds, const char *command, json_t *arguments, json_t **result,
             struct vir_error *e);
/* The same with a file descriptor that goes with the command. */
int qmp_call_fd(struct qmp *q, unsigned seconds, int fd, const char *command, json_t *arguments,
                struct vir_error *e);

/* A whole command as a client wrote it; the answer with it, as text to be freed. NULL with e. */
char *qmp_pass(struct qmp *q, unsigned seconds, const char *command, struct vir_error *e);

#endif
