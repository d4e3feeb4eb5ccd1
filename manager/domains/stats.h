/* stats.h - what a running machine and its disks have done so far */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DOMAINS_STATS_H
#define DOMAINS_STATS_H

#include <jansson.h>

#include "manager/domains/domain.h"

/* The counters of a disk, by QEMU's names in query-blockstats. */
struct disk_counter {
    const char *qmp, *flags_name, *stats_name; /* the monitor's, virDomainBlockStatsFlags', domstats' */
};
enum { DISK_COUNTERS = 8 };
extern const struct disk_counter disk_counters[DISK_COUNTERS];

/* In a task. The machine's answers: to be released. NULL with e. */
json_t *stats_ask(struct domain *d, const char *command, struct vir_error *e);

/* From the answer to query-blockstats (or to query-block): the object of this disk, or NULL. */
json_t *stats_of_disk(json_t *answer, xmlNode *disk);
/* One counter of that object; -1: it does not say. */
s64 stats_counter(json_t *of_disk, const char *qmp);

/* In a task. What an image says of itself. False: it cannot be read. */
struct image_facts {
    const char *path, *format;
    u64 capacity, allocation, physical; /* bytes: the guest's disk; used, and long, on the host */
    char why[256];
};
bool stats_image(struct manager *m, struct image_facts *f);
bool stats_disk_image(struct manager *m, xmlNode *disk, struct image_facts *f);

/* Counters of an interface of the host: rx bytes, packets, errs, drop, tx ...; as the guest sees them. False:
 * there is none of that name. */
bool stats_host_interface(const char *name, u64 counters[8]);

#endif
