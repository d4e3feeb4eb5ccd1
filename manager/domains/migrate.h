/* migrate.h - a domain moves from this daemon to another, and here from another (libvirt's migration protocol
 * 3) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DOMAINS_MIGRATE_H
#define DOMAINS_MIGRATE_H

#include "manager/domains/domain.h"

/*
 * A client leads, who has connections to both daemons; or the source leads, as the client of the destination
 * (migrate_peer.c). Each call is a step, and begins where the one before has ended:
 *
 *   source       begin     is it allowed? the document                     MIGRATION_BEGUN
 *   destination  prepare   a machine waits at a port                       MIGRATION_PREPARED
 *   source       perform   its state goes there, the guest stands still    MIGRATION_SENT
 *   destination  finish    the guest runs there                            MIGRATION_ARRIVED
 *   source       confirm   the machine ends here
 *
 * Never do both sides run it. Whatever fails until the guest stands still, it runs on at the source; what
 * fails at `finish`, the client tells by `confirm`. The job lasts over the calls: from `begin` to `confirm`,
 * and from `prepare` to `finish`. When the client goes in between, the source goes on as far as it knows the
 * truth: only behind `perform` it does not, and leaves the guest paused (as libvirt does); the destination
 * throws away what it has. A daemon that was killed does the same when it is back: the phase is in the state
 * file.
 */

/* virDomainMigrateFlags that are understood; what is refused of the others is in the table of migrate.c. */
enum {
    MIGRATE_LIVE = 1,
    MIGRATE_PEER2PEER = 2,
    MIGRATE_PERSIST_DEST = 8,
    MIGRATE_UNDEFINE_SOURCE = 16,
    MIGRATE_PAUSED = 32,
    MIGRATE_CHANGE_PROTECTION = 256,
    MIGRATE_UNSAFE = 512,
    MIGRATE_OFFLINE = 1024,
    MIGRATE_ABORT_ON_ERROR = 4096,
};

/* What a client gives with a call. */
struct migrate_args {
    u32 flags;
    const char *uri;            /* where the state goes */
    const char *name;           /* how it is to be called there */
    const char *xml;            /* what it is to be there */
    const char *persistent_xml; /* what it is to be defined as there */
    const char *listen_address;
    const char *destination; /* MIGRATE_PEER2PEER: the daemon */
    u64 bandwidth;           /* MiB a second; 0: as it is set */
    const u8 *cookie;
    u32 cookie_size;
};

/* What it gets; strings in the call's arena. */
struct migrate_answer {
    char *cookie, *xml, *uri;
};

/* 0, or -1 with e: flags that are not known, or not supported. */
int migrate_check_flags(u64 flags, const char *function, struct vir_error *e);

/* All: in a task; 0, or -1 with the call's error. */
int migrate_begin(struct call *call, struct domain *d, const struct migrate_args *a,
                  struct migrate_answer *answer);
int migrate_prepare(struct call *call, const struct migrate_args *a, struct migrate_answer *answer);
int migrate_perform(struct call *call, struct domain *d, const struct migrate_args *a,
                    struct migrate_answer *answer);
int migrate_finish(struct call *call, const struct migrate_args *a, bool cancelled, struct domain **d,
                   struct migrate_answer *answer);
int migrate_confirm(struct call *call, struct domain *d, const struct migrate_args *a, bool cancelled);

/* Whether it is on its way out: it may be paused then. */
bool migrate_is_sending(const struct domain *d);
int migrate_suspend(struct domain *d, struct vir_error *e);

/* life.c: the machine has ended, by itself or because it was told to. */
void migrate_machine_ended(struct domain *d);
/* A daemon finds a machine that was on its way, in a job. */
void migrate_recover(struct domain *d);
/* At the daemon's end: nobody waits for anything any more. */
void migrate_forget_all(struct manager *m);

#endif
