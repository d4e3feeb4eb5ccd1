/* net.h - network back ends: the host's end of the guest's network cards, by the ids that -netdev gives them
 */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MACHINE_NET_NET_H
#define MACHINE_NET_NET_H

#include <jansson.h>

#include "base/config/properties.h"
#include "base/loop.h"
#include "machine/net/offload.h"

enum { NET_MAX_PACKET = 65535 + 18 };

/*
 * All of this runs under the loop's lock. Packets are Ethernet frames without their checksum, with a header
 * that says what is missing or can be left as it is; net_send and net_deliver see to it that neither side
 * gets what it does not take.
 */
struct net_backend;
struct net_set;
struct chardevs;

/* A kind of back end: one const descriptor in its file and one line in net.c. Its struct begins with a struct
 * net_backend. */
struct net_type {
    const char *name, *help;
    const struct property_row *rows;
    /* NULL with e. p: without type and id. */
    struct net_backend *(*create)(const struct net_set *s, const struct properties *p, struct error *e);
    void (*destroy)(struct net_backend *b);
    void (*send)(struct net_backend *b, const struct net_header *h, const u8 *packet,
                 size_t len);             /* from the guest */
    void (*taken)(struct net_backend *b); /* b->client_takes has changed; NULL: nothing to do */
    /* One line for `info network`. */
    void (*describe)(const struct net_backend *b, char *text, size_t size);
};
extern const struct net_type net_bridge, net_socket, net_tap, net_user;

/* The card that has a back end. */
struct net_client {
    void *opaque;
    const char *model;
    const char *(*id)(void *opaque); /* NULL: it has none */
    /* false: the packet is lost, for want of a driver or of room. */
    bool (*receive)(void *opaque, const struct net_header *h, const u8 *packet, size_t len);
    void (*set_link)(void *opaque, bool up);
    json_t *(*rx_filter)(void *opaque); /* QAPI's RxFilterInfo */
    void (*announce)(void *opaque);     /* tells its network where it is now */
};

/* Something that sees all packets (-object filter-dump). */
struct net_watcher {
    void (*see)(struct net_watcher *t, const u8 *packet, size_t len);
    struct net_watcher *next;
};

/* What has passed so far, as the guest's card hands it over: a long packet that is cut later counts once. */
struct net_traffic {
    u64 packets, bytes, dropped;
};

struct net_backend {
    const struct net_type *type;
    char *id;
    unsigned takes;        /* enum net_offloads, of what the guest sends */
    unsigned client_takes; /* of what it receives */
    bool link_down;
    struct net_traffic sent, received; /* by the guest */
    struct net_client client;          /* receive NULL: none */
    struct net_watcher *watchers;
    struct net_backend *next;
};

struct net_set {
    struct loop *loop;
    struct chardevs *chardevs;
    struct net_backend *first;
    unsigned default_macs; /* given so far */
};

/* -netdev and netdev_add. 0 or -errno with e. */
int net_add(struct net_set *s, const struct properties *p, struct error *e);
/* -EBUSY while a device or a filter has it. */
int net_remove(struct net_set *s, const char *id, struct error *e);
void net_help(const char *type);
/* By its own id, or by its card's. */
struct net_backend *net_find(const struct net_set *s, const char *id);
/* Of both the back end and the card. */
void net_set_link(struct net_backend *b, bool up);

/* A back end has one client, which gets what arrives from then on. NULL with e. */
struct net_backend *net_attach(struct net_set *s, const char *id, const struct net_client *c,
                               struct error *e);
void net_detach(struct net_backend *b);
/* What the client takes from now on. */
void net_client_takes(struct net_backend *b, unsigned takes);

void net_close_all(struct net_set *s);

/* For the client: a packet of the guest's, which may be written to. */
void net_send(struct net_backend *b, const struct net_header *h, u8 *packet, size_t len);

/* For the back ends: something has arrived for the guest; it may be written to. */
void net_deliver(struct net_backend *b, const struct net_header *h, u8 *packet, size_t len);

#endif
