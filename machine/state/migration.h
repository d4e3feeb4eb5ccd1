/* migration.h - a machine moves: out of this process, to a file or another process, and in */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MACHINE_STATE_MIGRATION_H
#define MACHINE_STATE_MIGRATION_H

#include <pthread.h>

#include "machine/state/channel.h"
#include "machine/state/ram_stream.h"

struct machine;

/* QAPI's MigrationStatus. */
enum migration_status {
    MIGRATION_NONE,
    MIGRATION_SETUP,
    MIGRATION_CANCELLING,
    MIGRATION_CANCELLED,
    MIGRATION_ACTIVE,
    MIGRATION_COMPLETED,
    MIGRATION_FAILED,
    MIGRATION_STATUSES
};
extern const char *const migration_status_names[MIGRATION_STATUSES];

/* A thread reads or writes the stream; what it has to do with the machine, it does with the lock. */
struct migration {
    enum migration_status status;
    bool incoming;  /* the one that status is about */
    bool deferred;  /* -incoming defer: migrate-incoming says from where */
    bool autostart; /* the guest runs when it is here */
    bool events;    /* the capability: MIGRATION tells each change of status */
    u64 max_bandwidth, downtime_limit_ms;

    _Atomic bool cancelled;
    bool was_running; /* when it began to move out; and, moved in, whether it was */
    int old_state;    /* enum run_state, if it was not */
    struct channel channel;
    struct ram_stream ram;
    char *uri;
    int fd;
    u64 started, setup_ms, total_ms, downtime_ms; /* started: loop_now() */
    u64 ram_bytes, bandwidth;                     /* bytes in a second */
    struct error error;
};

void migration_init(struct migration *g);

/* Moves it out. Returns at once: 0, or -EINVAL with e for what is known at once. fd: of fd:NAME, else -1;
 * taken. */
int migration_start(struct machine *m, const char *uri, int fd, struct error *e);
void migration_cancel(struct machine *m);

/* Waits for it to come in. The machine has been created for that, and does not run. */
int migration_incoming(struct machine *m, const char *uri, int fd, struct error *e);

static inline bool migration_is_active(const struct migration *g)
{
    return g->status == MIGRATION_SETUP || g->status == MIGRATION_ACTIVE || g->status == MIGRATION_CANCELLING;
}

#endif
