/* snapshot_disks.h - what snapshots do to a domain's images: by its machine while it runs, else in the files
 */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DOMAINS_SNAPSHOT_DISKS_H
#define DOMAINS_SNAPSHOT_DISKS_H

#include "manager/domains/domain.h"

enum { SNAPSHOT_DISKS_MAX = 64 };

/* All: in a task, inside a job of the domain; snapshot: the document, whose disks these are. 0, or -1 with e.
 */

/* All have it, or none has. Of a machine that runs, its state is kept as well. */
int snapshot_disks_make(struct domain *d, xmlNode *snapshot, const char *name, struct vir_error *e);
/* The domain does not run. */
int snapshot_disks_apply(struct domain *d, xmlNode *snapshot, const char *name, struct vir_error *e);
/* Those that have none are left alone. */
int snapshot_disks_remove(struct domain *d, xmlNode *snapshot, const char *name, struct vir_error *e);
/* Before one is made: none has one of that name; and what the machine knows of earlier ones is forgotten, so
 * that what snapshot_disks_settle finds is of this one. */
int snapshot_disks_prepare(struct domain *d, xmlNode *snapshot, const char *name, struct vir_error *e);
/* All have one. A machine that runs is not disturbed. */
int snapshot_disks_check_there(struct domain *d, xmlNode *snapshot, const char *name, struct vir_error *e);

/* What an earlier daemon has asked the machine to make has come to its end: true: and to a good one. */
bool snapshot_disks_settle(struct domain *d);

#endif
