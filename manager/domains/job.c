/* job.c - one thing at a time on a domain */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "manager/daemon/manager.h"
#include "manager/domains/job.h"
#include "manager/rpc/params.h"

enum { WAIT_SECONDS = 30, NS_PER_MS = 1000000 };

struct job_waiter {
    struct job_waiter *next;
    struct wait wait;
};

static void remove_waiter(struct job *j, struct job_waiter *w)
{
    struct job_waiter **at = &j->waiters;
    while (*at && *at != w)
        at = &(*at)->next;
    if (!*at)
        return; /* job_end took it out, and gave the job to it */
    *at = w->next;
    if (j->waiters_end == &w->next)
        j->waiters_end = at;
}

/* The job passes from hand to hand, so that a newcomer cannot get in between. */
static int wait_for_turn(struct domain *d, struct vir_error *e)
{
    struct job *j = &d->job;
    struct job_waiter w = {0};
    *j->waiters_end = &w;
    j->waiters_end = &w.next;
    bool mine = task_wait(&d->manager->tasks, &w.wait, loop_now() + WAIT_SECONDS * 1000000000ull);
    remove_waiter(j, &w);
    return mine ? 0
                : vir_fail(e, VIR_ERR_OPERATION_TIMEOUT,
                           "cannot acquire state change lock: another call works on domain '%s'", d->name);
}

int job_begin(struct domain *d, enum job_operation operation, struct vir_error *e)
{
    domain_get(d);
    if (d->job.operation && wait_for_turn(d, e) < 0) {
        domain_put(d);
        return -1;
    }
    d->job.operation = operation;
    d->job.since = loop_now();
    d->job.total = d->job.processed = d->job.remaining = 0;
    d->job.aborted = d->job.final = false;
    return 0;
}

void job_end(struct domain *d)
{
    struct job *j = &d->job;
    struct job_waiter *next = j->waiters;
    j->operation = JOB_NONE;
    if (next) {
        j->waiters = next->next;
        if (!j->waiters)
            j->waiters_end = &j->waiters;
        j->operation = JOB_MODIFY; /* until the next holder says what it does */
        task_wake(&d->manager->tasks, &next->wait);
    }
    domain_put(d);
}

int job_begin_active(struct domain *d, enum job_operation operation, struct vir_error *e)
{
    if (job_begin(d, operation, e) < 0)
        return -1;
    if (domain_active(d) && d->machine.qmp)
        return 0;
    domain_not_running(e);
    job_end(d);
    return -1;
}

void job_tell(const struct job *j, u64 elapsed, struct params *p)
{
    static const char *const what[] = {"data", "memory"};
    params_i32(p, (s32)j->operation, "operation");
    params_u64(p, elapsed / NS_PER_MS, "time_elapsed");
    for (size_t i = 0; i < ARRAY_SIZE(what); i++) {
        params_u64(p, j->total, "%s_total", what[i]);
        params_u64(p, j->processed, "%s_processed", what[i]);
        params_u64(p, j->remaining, "%s_remaining", what[i]);
    }
}
