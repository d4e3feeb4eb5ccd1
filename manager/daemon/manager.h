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
    bool kvm_known, kvm_hardware; /* emulator_host_has_kvm */
};

#endif
