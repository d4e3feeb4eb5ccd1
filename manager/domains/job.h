/* job.h - one thing at a time on a domain */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DOMAINS_JOB_H
#define DOMAINS_JOB_H

#include "manager/domains/domain.h"

/* In a task. Waits until no other job runs on the domain, and holds the domain. 0, or -1 with e: it took too
 * long. */
int job_begin(struct domain *d, enum job_operation operation, struct vir_error *e);
void job_end(struct domain *d);

/* job_begin, and the domain must (still) be running. */
int job_begin_active(struct domain *d, enum job_operation operation, struct vir_error *e);

/* How far a job is, or was, by libvirt's names; elapsed: in nanoseconds. */
struct params;
void job_tell(const struct job *j, u64 elapsed, struct params *p);

#endif
