/* save.h - a machine's state goes into a file, and comes back */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DOMAINS_SAVE_H
#define DOMAINS_SAVE_H

#include "manager/domains/domain.h"

/* virDomainSaveRestoreFlags and virDomainCoreDumpFlags */
enum { SAVE_BYPASS_CACHE = 1, SAVE_RUNNING = 2, SAVE_PAUSED = 4, SAVE_RESET_NVRAM = 8 };
enum { DUMP_CRASH = 1, DUMP_LIVE = 2, DUMP_BYPASS_CACHE = 4, DUMP_RESET = 8, DUMP_MEMORY_ONLY = 16 };

/* All: in a task, inside a job of the domain. 0, or -1 with e; then the guest runs on as before, and there is
 * no file. */

/* The machine ends. xml: what it is to be when it comes back; NULL: what it is. */
int save_domain(struct domain *d, const char *path, const char *xml, u32 flags, struct vir_error *e);
/* format: virDomainCoreDumpFormat; only with DUMP_MEMORY_ONLY other than 0, which then is ELF. */
int dump_domain(struct domain *d, const char *path, u32 format, u32 flags, struct vir_error *e);

/* Starts it as it was saved; the file stays. live: the document it comes back as. */
struct save_image;
int restore_domain(struct domain *d, xmlNode *live, struct save_image *s, u32 flags, struct vir_error *e);

/* The machine's state goes to the descriptor, which stays the caller's, at most `speed` MiB a second. The
 * machine stands still then. */
int save_write_state(struct domain *d, int fd, u64 speed, struct vir_error *e);
/* Ends that, if it is under way. */
void save_cancel(struct domain *d);
/* Needs no job. */
int save_set_speed(struct domain *d, u64 speed, struct vir_error *e);

/* Whoever asks for it: the job that runs gives up. */
int save_abort(struct domain *d, struct vir_error *e);

/* The next daemon finds a machine that was being saved: it runs on. */
void save_recover(struct domain *d);

#endif
