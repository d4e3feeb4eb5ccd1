/* network.h - a network: what stands behind the interfaces that name it */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef NETWORKS_NETWORK_H
#define NETWORKS_NETWORK_H

#include "manager/daemon/resource.h"

/*
 * There is no bridge of the daemon's own. A network with <forward mode='nat'/>, or without <forward>, is the
 * user-mode network that each machine has in its own program, with the network's addresses: guests reach the
 * host and (nat) the world, but not each other. With <forward mode='bridge'/>, it is that bridge of the host.
 */
extern const struct resource_kind network_kind;

/* The name of the host's bridge; NULL: it is a user-mode network. */
const char *network_bridge(const struct resource *network);

/* What a user-mode network is told, by QEMU's names: net, host, dhcpstart, restrict. Calls set for each. */
void network_user_properties(const struct resource *network,
                             void (*set)(void *opaque, const char *name, const char *value), void *opaque);

/* At the first start: the one that is called "default". */
void network_make_default(struct resources *networks);

#endif
