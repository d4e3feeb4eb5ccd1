/* net.h - network back ends: the host's end of the guest's network cards, by the ids that -netdev gives them
 */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MACHINE_NET_NET_H
#define MACHINE_NET_NET_H

#include "base/config/properties.h"
#include "base/loop.h"

enum { NET_MAX_PACKET = 65535 + 18 };

/* All of this runs under the loop's lock. Packets are Ethernet frames without their checksum. */
struct net_backend;

/* A kind of back end: one const descriptor in its file and one line in net.c. Its struct begins with a struct
 * net_backend. */
struct net_type {
    const char *name, *help;
    const struct property_row *rows;
    /* NULL with e. p: without type and id. */
    struct net_backend *(*create)(struct loop *loop, const struct properties *p, struct error *e);
    void (*destroy)(struct net_backend *b);
    void (*send)(struct net_backend *b, const u8 *packet, size_t len); /* from the guest */
};
extern const struct net_type net_user;

struct net_backend {
    const struct net_type *type;
    char *id;
    const char *user; /* the device that has it; NULL: none */
    void (*receive)(void *opaque, const u8 *packet, size_t len);
    void *opaque;
    struct net_backend *next;
};

struct net_set {
    struct loop *loop;
    struct net_backend *first;
};

/* -netdev and netdev_add. 0 or -errno with e. */
int net_add(struct net_set *s, const struct properties *p, struct error *e);
/* -EBUSY while a device has it. */
int net_remove(struct net_set *s, const char *id, struct error *e);
void net_help(const char *type);

/* A back end has one user, which gets what arrives from then on. NULL with e. */
struct net_backend *net_attach(struct net_set *s, const char *id, const char *user,
                               void (*receive)(void *opaque, const u8 *packet, size_t len), void *opaque,
                               struct error *e);
void net_detach(struct net_backend *b);

void net_close_all(struct net_set *s);

/* For the back ends: something has arrived for the guest. */
static inline void net_deliver(struct net_backend *b, const u8 *packet, size_t len)
{
    if (b->receive && len <= NET_MAX_PACKET)
        b->receive(b->opaque, packet, len);
}

#endif
