/* offload.h - what a card leaves to others: checksums and the cutting of long packets (VIRTIO 1.2
 * section 5.1.6) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MACHINE_NET_OFFLOAD_H
#define MACHINE_NET_OFFLOAD_H

#include "base/base.h"

/* struct virtio_net_hdr, without the number of buffers; what Linux's tap has in front of a packet, too. */
struct net_header {
    u8 flags, gso_type;
    u16 hdr_len, gso_size, csum_start, csum_offset;
};
_Static_assert(sizeof(struct net_header) == 10, "section 5.1.6");

enum { NET_NEEDS_CSUM = 1, NET_DATA_VALID = 2 }; /* flags */
enum { NET_GSO_NONE = 0, NET_GSO_TCPV4 = 1, NET_GSO_TCPV6 = 4, NET_GSO_ECN = 0x80 };

/* What somebody takes as it is: a packet whose checksum is missing, and long ones. */
enum net_offloads { NET_TAKES_CSUM = 1, NET_TAKES_TSO4 = 2, NET_TAKES_TSO6 = 4, NET_TAKES_ECN = 8 };

/* The Internet checksum's sum (RFC 1071) of bytes, on top of `sum`; not yet folded. */
u64 net_sum(const u8 *bytes, size_t len, u64 sum);
/* Folded and complemented, in the order in which it stands in a packet. */
u16 net_checksum(u64 sum);

/* Gives emit packets that one who takes no more than `takes` can use: the packet as it is, or with its
 * checksum (written into it), or cut into pieces. What the header says is checked: a packet that it does not
 * fit is lost. */
void net_resolve(const struct net_header *h, u8 *packet, size_t len, unsigned takes,
                 void (*emit)(void *opaque, const struct net_header *h, const u8 *packet, size_t len),
                 void *opaque);

#endif
