/* net_filter.h - which packets a network card receives, as its guest chooses (VIRTIO 1.2 section 5.1.6.5) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MACHINE_VIRTIO_NET_FILTER_H
#define MACHINE_VIRTIO_NET_FILTER_H

#include <jansson.h>
#include <sys/uio.h>

#include "base/base.h"

enum { MAC_SIZE = 6, MAC_TABLE = 64, VLANS = 4096 };

struct mac_table {
    u32 count;
    bool overflow; /* the guest wanted more than there is room for: all are received */
    u8 mac[MAC_TABLE][MAC_SIZE];
};

struct net_filter {
    u8 mac[MAC_SIZE];
    u8 mode[6]; /* by the commands of class 0: PROMISC, ALLMULTI, ALLUNI, NOMULTI, NOUNI, NOBCAST */
    struct mac_table unicast, multicast;
    bool vlan_all; /* the guest does not choose */
    u8 vlan[VLANS / 8];
};

/* As it is before the guest has said anything: all is received. */
void net_filter_reset(struct net_filter *f, const u8 *mac);

/* A command of the control queue, of class 0 (mode), 1 (addresses) or 2 (VLANs); iov: with class and command
 * in front. false: it is not valid, and nothing has changed. */
bool net_filter_control(struct net_filter *f, u8 class, u8 command, const struct iovec *iov, unsigned count);

bool net_filter_accepts(const struct net_filter *f, const u8 *packet, size_t len);

/* QAPI's RxFilterInfo. */
json_t *net_filter_describe(const struct net_filter *f, const char *name);

#endif
