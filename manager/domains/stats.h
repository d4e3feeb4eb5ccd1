/* stats.h - what a running machine and its disks have done so far */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DOMAINS_STATS_H
#define DOMAINS_STATS_H

#include <jansson.h>

#include "manager/domains/domain.h"
#include "manager/storage/image_facts.h"

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

/* In a task. What the image of a disk says of itself. False: it cannot be read, or there is none (path NULL).
 */
bool stats_disk_image(struct manager *m, xmlNode *disk, struct image_facts *f);

/* What an interface has counted: rx bytes, packets, errs, drop, tx ...; as the guest sees them. Of one that
 * the host has, the host's counters, else the machine's (answer: to x-query-netdev-stats, or NULL). False:
 * nobody counts. */
enum { INTERFACE_COUNTERS = 8 };
bool stats_of_interface(json_t *answer, xmlNode *interface, u64 counters[INTERFACE_COUNTERS]);

#endif
