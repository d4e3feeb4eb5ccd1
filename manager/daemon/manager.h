/* manager.h - all that the daemon has */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DAEMON_MANAGER_H
#define DAEMON_MANAGER_H

#include "manager/daemon/resource.h"
#include "manager/daemon/settings.h"
#include "manager/domains/domain.h"
#include "manager/domains/emulator.h"
#include "manager/rpc/server.h"

struct manager {
    struct loop loop;
    struct tasks tasks;
    struct server server;
    struct settings settings;
    struct domains domains;
    struct resources pools, networks;
    struct emulator *emulators;
    struct failed_migration failed_migration;
    bool kvm_known, kvm_hardware; /* emulator_host_has_kvm */
};

/* With its settings: all that is there before anything is read or listened to. 0 or -errno with e. */
int manager_init(struct manager *m, struct error *e);
/* In a task: what is on disk. */
void manager_load(struct manager *m);
/* All but the settings; machines run on. */
void manager_free(struct manager *m);

#endif
