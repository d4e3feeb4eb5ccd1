/* snapshot.h - what a domain and its disks were like at a time: kept inside its qcow2 images */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DOMAINS_SNAPSHOT_H
#define DOMAINS_SNAPSHOT_H

#include "manager/domains/domain.h"

/*
 * A snapshot is a document (<domainsnapshot>, libvirt's) in STATE/snapshots/DOMAIN/NAME.xml, and in each
 * image of the domain a snapshot of that name. Nothing of them is held in memory: who asks for them reads the
 * folder. The current one, which the next one's parent is, has <active>1</active>, which clients do not see.
 * One that is being made has <unfinished>1</unfinished>, and is not there yet.
 */
struct snapshot {
    char *name;
    const char *parent; /* in xml; NULL: none */
    u64 created;        /* seconds */
    bool current;
    xmlNode *xml;
};

struct snapshots {
    struct snapshot *at; /* the oldest first, and so a parent before its children */
    unsigned count;
};

struct snapshots snapshots_read(const struct domain *d);
void snapshots_free(struct snapshots *s);
struct snapshot *snapshots_find(const struct snapshots *s, const char *name);
struct snapshot *snapshots_current(const struct snapshots *s);
bool snapshots_is_leaf(const struct snapshots *s, const struct snapshot *one);
/* Whether `one` stems from `ancestor`; deep: not only as its child. */
bool snapshots_descends(const struct snapshots *s, const struct snapshot *one, const char *ancestor,
                        bool deep);

/* It was made while the domain ran: the machine's state is kept, too. */
bool snapshot_has_memory(const struct snapshot *s);

/* All that is below: in a task, inside a job of the domain. 0, or -1 with e. */

/* xml: the client's <domainsnapshot>, which is completed. keep: its document is, too. halt: a domain that
 * runs is off behind it. */
int snapshot_make(struct domain *d, xmlNode *xml, bool keep, bool halt, struct vir_error *e);
/* The disks and the definition are again as they were. The domain does not run. */
int snapshot_go_back(struct domain *d, struct snapshots *s, struct snapshot *to, struct vir_error *e);
/* So is the machine, of one that has its memory: what runs now ends. */
int snapshot_resume(struct domain *d, struct snapshots *s, struct snapshot *to, bool paused,
                    struct vir_error *e);
/* disks: those inside the images are removed as well. Children become those of its parent. */
int snapshot_remove(struct domain *d, struct snapshots *s, struct snapshot *one, bool disks,
                    struct vir_error *e);

/* What an earlier daemon has begun to make is finished, or gone. */
void snapshots_settle(struct domain *d);

/* The domain is forgotten: so are the documents. */
void snapshots_forget(struct domain *d);

/* "%s" does for the name of a file; else -1 with e. */
int snapshot_check_name(const char *name, struct vir_error *e);

#endif
