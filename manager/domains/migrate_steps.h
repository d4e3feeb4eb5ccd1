/* migrate_steps.h - the source's steps, of which a peer-to-peer migration is made, too */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DOMAINS_MIGRATE_STEPS_H
#define DOMAINS_MIGRATE_STEPS_H

#include "manager/domains/migrate.h"

/* All: in the domain's job; 0, or -1 with the call's error. */

/* Whether it may move, and the document and the cookie for the destination. */
int source_describe(struct call *call, struct domain *d, const struct migrate_args *a,
                    struct migrate_answer *answer);
/* The state goes to a->uri; on failure the guest runs on. */
int source_send(struct call *call, struct domain *d, const struct migrate_args *a,
                struct migrate_answer *answer);
/* The destination has it. */
int source_end(struct call *call, struct domain *d, const struct migrate_args *a);
/* The destination does not have it. */
void source_run_on(struct domain *d);
/* The job ends. */
void migrate_release(struct domain *d);

/* migrate_peer.c: all the steps, with this daemon as the destination's client. */
int peer_migrate(struct call *call, struct domain *d, const struct migrate_args *a);

#endif
