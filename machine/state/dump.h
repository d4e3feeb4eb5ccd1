/* dump.h - the guest's memory and its processors' registers, in a core file */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MACHINE_STATE_DUMP_H
#define MACHINE_STATE_DUMP_H

#include <stdbool.h>

#include "base/base.h"
#include "base/error.h"

struct machine;

/* QAPI's DumpStatus. */
enum dump_status { DUMP_NONE, DUMP_ACTIVE, DUMP_COMPLETED, DUMP_FAILED, DUMP_STATUSES };
extern const char *const dump_status_names[DUMP_STATUSES];

/* The last one. loop.lock covers all but what the writing thread alone uses. */
struct dump {
    enum dump_status status;
    u64 total;             /* bytes of memory */
    _Atomic u64 completed; /* of these */
    bool was_running;
    int old_state; /* enum run_state, if it was not */
    int fd;
    u64 begin, length; /* of the guest's addresses, what is wanted */
    u8 *head;          /* what comes before memory */
    size_t head_size;
};

/* With the lock held. The guest stands still until all is written; a thread does that. begin, length: the
 * part of the guest's addresses that is wanted. fd: taken, if it begins. 0, or -errno with e for what is
 * known at once. */
int dump_start(struct machine *m, int fd, u64 begin, u64 length, struct error *e);

/* Waits until it has ended, the lock being free meanwhile. */
void dump_wait(struct machine *m);

#endif
