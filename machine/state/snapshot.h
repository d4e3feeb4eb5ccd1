/* snapshot.h - the machine and its disks as of one moment, kept inside qcow2 images */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MACHINE_STATE_SNAPSHOT_H
#define MACHINE_STATE_SNAPSHOT_H

#include <stdbool.h>

#include "base/error.h"

struct machine;

/*
 * All disks get a snapshot of one name, and one of them the state of the machine as well: what a migration
 * writes (stream.c), in the place where QEMU has its own. The guest stands still meanwhile. The rules of
 * which disks these are, and the errors, are QEMU's (migration/savevm.c, block/snapshot.c).
 */
struct snapshot_wanted {
    const char *tag;
    const char *vmstate;        /* the node that has the state; NULL: the first that can */
    const char *const *devices; /* nodes; NULL: all that can be written */
    unsigned count;
};

/* One at a time. loop.lock covers it. */
struct snapshot {
    bool active;
    bool was_running; /* and goes on, when it is done */
};

/* All: with the lock held, which is free meanwhile, from any thread; a second call waits for the first. 0 or
 * -errno with e. */

/* instead: of one that has the name. After an error all is as it was. */
int snapshot_save(struct machine *m, const struct snapshot_wanted *w, bool instead, struct error *e);
/* The guest goes on from there if it runs now. What is wrong with the snapshot is found before anything is
 * changed; should the host fail behind that point, the guest stands still for good (internal-error). */
int snapshot_load(struct machine *m, const struct snapshot_wanted *w, struct error *e);
/* Disks that have none of the name are left alone. */
int snapshot_delete(struct machine *m, const struct snapshot_wanted *w, struct error *e);

/* Waits until there is none active: with the lock held, which is free meanwhile. */
void snapshot_wait(struct machine *m);

#endif
