/* store.h - definitions and states on disk, as XML that a person can read */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DOMAINS_STORE_H
#define DOMAINS_STORE_H

#include "manager/domains/domain.h"

/*
 * CONFIG/domains/NAME.xml     the definition of a persistent domain
 * CONFIG/autostart/NAME.xml   a link to it, if it starts with the daemon
 * RUN/domains/NAME.xml        of a running one: its state, process, and live document
 * RUN/domains/NAME.monitor    its QMP socket
 * STATE/save/NAME.save        of one that comes back as it was when it is started
 * STATE/snapshots/NAME/       its snapshots
 * LOG/NAME.log
 */
char *
store_path(const struct domain *d,
           const char *kind); /* "config", "autostart", "state", "monitor", "save", "snapshots", "log" */
int store_folders(struct manager *m, struct error *e);

int store_config(struct domain *d, struct vir_error *e);
void store_forget_config(struct domain *d);
int store_autostart(struct domain *d, bool autostart, struct vir_error *e);

bool store_has_save(const struct domain *d);
void store_forget_save(struct domain *d);

/* Writes the state of a running domain. A failure is reported and the domain goes on. */
void store_state(struct domain *d);
/* The same, if it runs: only what a migration has come to has changed. */
void store_phase(struct domain *d);
void store_forget_state(struct domain *d);

/* At the daemon's start, in a task: the definitions, then what was running. */
void store_load(struct manager *m);

#endif
