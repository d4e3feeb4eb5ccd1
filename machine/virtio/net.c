/* net.c - virtio network card (VIRTIO 1.2 section 5.1) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine/net/net.h"
#include "machine/virtio/virtio.h"

enum { F_MAC = 5, F_MRG_RXBUF = 15, F_STATUS = 16 };
enum { RX, TX, QUEUE_SIZE = 256, HEADER = 12, NUM_BUFFERS = 10, MAC_SIZE = 6, STATUS_LINK_UP = 1 };
enum { BACKLOG = 256 };

struct packet {
    size_t len;
    u8 data[];
};

struct virtio_net {
    struct virtio_device v;
    const char *netdev, *mac;
    struct net_backend *backend;
    struct packet *backlog[BACKLOG]; /* what the guest had no buffers for */
    unsigned head, count;
    u8 buffer[NET_MAX_PACKET];
};

/* Takes chains until there is room for the header and the packet; writes them. How many chains; 0: there are
 * not enough buffers, and none is taken; -1: the packet can never be taken, as the guest's one buffer is too
 * small for it. */
static int fill(struct virtio_net *d, const u8 *packet, size_t len)
{
    struct virtqueue *q = &d->v.queue[RX];
    static const u8 header[HEADER] = {[NUM_BUFFERS] = 1};
    struct virtq_chain first, c;
    unsigned chains = 0;
    size_t done = 0;
    do {
        struct virtq_chain *at = chains ? &c : &first;
        size_t skip = chains ? 0 : HEADER;
        if (!virtq_pop(q, at))
            break;
        if (at->in_bytes < skip) {
            virtio_broken(&d->v);
            return 0;
        }
        if (!chains)
            iov_write(at->in, at->in_count, 0, header, HEADER);
        size_t n = iov_write(at->in, at->in_count, skip, packet + done, len - done);
        virtq_fill(q, chains++, at->head, (u32)(skip + n));
        done += n;
    } while (done < len && virtio_has(&d->v, F_MRG_RXBUF) && chains < q->size);
    if (done == len && chains) {
        const u16 count = (u16)chains;
        iov_write(first.in, first.in_count, NUM_BUFFERS, &count, sizeof(count));
        return (int)chains;
    }
    bool too_small = chains && !virtio_has(&d->v, F_MRG_RXBUF);
    for (; chains; chains--)
        virtq_unpop(q);
    return too_small ? -1 : 0;
}

/* true: the packet is done with. */
static bool deliver(struct virtio_net *d, const u8 *packet, size_t len)
{
    struct virtqueue *q = &d->v.queue[RX];
    int chains = virtq_ready(q) ? fill(d, packet, len) : 0;
    if (chains > 0)
        virtq_flush(q, (unsigned)chains);
    return chains != 0;
}

static void keep(struct virtio_net *d, const u8 *packet, size_t len)
{
    struct packet *p = d->count < BACKLOG ? malloc(sizeof(*p) + len) : NULL;
    if (!p)
        return; /* networks lose packets */
    p->len = len;
    memcpy(p->data, packet, len);
    d->backlog[(d->head + d->count++) % BACKLOG] = p;
}

static void drop_first(struct virtio_net *d)
{
    free(d->backlog[d->head]);
    d->head = (d->head + 1) % BACKLOG;
    d->count--;
}

static void receive(void *opaque, const u8 *packet, size_t len)
{
    struct virtio_net *d = opaque;
    if (!virtio_running(&d->v) || !pci_is_master(&d->v.pci))
        return;
    if (d->count || !deliver(d, packet, len))
        keep(d, packet, len);
    virtq_notify(&d->v.queue[RX]);
}

static void receive_backlog(struct virtio_net *d)
{
    while (d->count && deliver(d, d->backlog[d->head]->data, d->backlog[d->head]->len))
        drop_first(d);
    virtq_notify(&d->v.queue[RX]);
}

static void transmit(struct virtio_net *d)
{
    struct virtqueue *q = &d->v.queue[TX];
    struct virtq_chain c;
    while (virtq_pop(q, &c)) {
        if (c.out_bytes < HEADER) {
            virtio_broken(&d->v);
            return;
        }
        size_t len = iov_read(c.iov, c.out_count, HEADER, d->buffer, sizeof(d->buffer));
        virtq_push(q, c.head, 0);
        if (c.out_bytes - HEADER == len && len)
            d->backend->type->send(d->backend, d->buffer, len);
    }
    virtq_notify(q);
}

static void net_notify(struct virtio_device *v, unsigned queue)
{
    struct virtio_net *d = container_of(v, struct virtio_net, v);
    if (queue == TX)
        transmit(d);
    else
        receive_backlog(d);
}

static void net_reset(struct virtio_device *v)
{
    struct virtio_net *d = container_of(v, struct virtio_net, v);
    while (d->count)
        drop_first(d);
}

/* "52:54:00:12:34:56", and no group's address. */
static int parse_mac(const char *text, u8 *mac, struct error *e)
{
    char rest;
    if (sscanf(text, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%c", mac, mac + 1, mac + 2, mac + 3, mac + 4,
               mac + 5, &rest) == MAC_SIZE &&
        !(mac[0] & 1))
        return 0;
    return error_set(e, EINVAL, "virtio-net-pci: mac '%s' is no address of a card: use 52:54:00:XX:XX:XX",
                     text);
}

static int net_create(struct virtio_device *v, const struct pci_place *place, struct error *e)
{
    struct virtio_net *d = container_of(v, struct virtio_net, v);
    const u16 status = STATUS_LINK_UP;
    if (!d->netdev)
        return error_set(e, EINVAL, "virtio-net-pci: 'netdev' is missing: name a -netdev");
    int r = parse_mac(d->mac, v->config, e);
    if (r < 0)
        return r;
    d->backend = net_attach(place->nets, d->netdev, "virtio-net-pci", receive, d, e);
    if (!d->backend)
        return -ENODEV;
    d->netdev = d->mac = NULL; /* they were the property list's */
    memcpy(v->config + MAC_SIZE, &status, sizeof(status));
    virtio_add_queue(v, QUEUE_SIZE);
    virtio_add_queue(v, QUEUE_SIZE);
    return 0;
}

static void net_destroy(struct virtio_device *v)
{
    net_detach(container_of(v, struct virtio_net, v)->backend);
}

static const struct property_row net_rows[] = {
    {"netdev", PROPERTY_TEXT, offsetof(struct virtio_net, netdev), .help = "the host's end"},
    {"mac", PROPERTY_TEXT, offsetof(struct virtio_net, mac), "52:54:00:12:34:56", "the card's address"},
    {0}};

const struct virtio_type virtio_net = {
    .pci = VIRTIO_PCI("virtio-net", "a network card", net_rows),
    .id = 1,
    .class = 0x0200,
    .features = BIT(F_MAC) | BIT(F_MRG_RXBUF) | BIT(F_STATUS),
    .config_size = 8,
    .size = sizeof(struct virtio_net),
    .create = net_create,
    .destroy = net_destroy,
    .reset = net_reset,
    .notify = net_notify,
};
