/* net.c - virtio network card (VIRTIO 1.2 section 5.1) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine/net/net.h"
#include "machine/virtio/net_filter.h"
#include "machine/virtio/types.h"

enum {
    F_CSUM = 0,
    F_GUEST_CSUM = 1,
    F_CTRL_GUEST_OFFLOADS = 2,
    F_MAC = 5,
    F_GUEST_TSO4 = 7,
    F_GUEST_TSO6 = 8,
    F_GUEST_ECN = 9,
    F_HOST_TSO4 = 11,
    F_HOST_TSO6 = 12,
    F_HOST_ECN = 13,
    F_MRG_RXBUF = 15,
    F_STATUS = 16,
    F_CTRL_VQ = 17,
    F_CTRL_RX = 18,
    F_CTRL_VLAN = 19,
    F_CTRL_RX_EXTRA = 20,
    F_GUEST_ANNOUNCE = 21,
    F_CTRL_MAC_ADDR = 23,
    F_COUNT
};
enum { RX, TX, CONTROL, QUEUE_SIZE = 256, CONTROL_SIZE = 64, NUM_BUFFERS = 10 };
enum { STATUS_LINK_UP = 1, STATUS_ANNOUNCE = 2, BACKLOG = 256 };

struct net_config {
    u8 mac[MAC_SIZE];
    u16 status;
};

/* Section 5.1.6: with VERSION_1 the count is always there. */
struct header {
    struct net_header h;
    u16 buffers;
};
enum { HEADER = sizeof(struct header) };
_Static_assert(HEADER == 12, "section 5.1.6");

struct packet {
    struct net_header h;
    size_t len;
    u8 data[];
};

struct virtio_net {
    struct virtio_device v;
    const char *netdev, *mac;
    u8 own_mac[MAC_SIZE];
    bool has[F_COUNT]; /* features that the properties leave on */
    struct net_backend *backend;
    struct event_sink events;
    struct net_filter filter;
    u64 guest_takes;                 /* of the features, those that hold for what it receives now */
    bool filter_asked;               /* a monitor has read the filter since the last event about it */
    struct packet *backlog[BACKLOG]; /* what the guest had no buffers for */
    unsigned head, count;
    u8 buffer[NET_MAX_PACKET];
};

/* Takes chains until there is room for the header and the packet; writes them. How many chains; 0: there are
 * not enough buffers, and none is taken; -1: the packet can never be taken, as the guest's one buffer is too
 * small for it. */
static int fill(struct virtio_net *d, const struct net_header *h, const u8 *packet, size_t len)
{
    struct virtqueue *q = &d->v.queue[RX];
    const struct header header = {*h, 1};
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
            virtq_write(q, at, 0, &header, HEADER);
        size_t n = virtq_write(q, at, skip, packet + done, len - done);
        virtq_fill(q, chains++, at->head, (u32)(skip + n));
        done += n;
    } while (done < len && virtio_has(&d->v, F_MRG_RXBUF) && chains < q->size);
    if (done == len && chains) {
        const u16 count = (u16)chains;
        virtq_write(q, &first, NUM_BUFFERS, &count, sizeof(count));
        return (int)chains;
    }
    bool too_small = chains && !virtio_has(&d->v, F_MRG_RXBUF);
    for (; chains; chains--)
        virtq_unpop(q);
    return too_small ? -1 : 0;
}

/* true: the packet is done with. */
static bool deliver(struct virtio_net *d, const struct net_header *h, const u8 *packet, size_t len)
{
    struct virtqueue *q = &d->v.queue[RX];
    int chains = virtq_ready(q) ? fill(d, h, packet, len) : 0;
    if (chains > 0)
        virtq_flush(q, (unsigned)chains);
    return chains != 0;
}

static bool keep(struct virtio_net *d, const struct net_header *h, const u8 *packet, size_t len)
{
    struct packet *p = d->count < BACKLOG ? malloc(sizeof(*p) + len) : NULL;
    if (!p)
        return false; /* networks lose packets */
    p->h = *h;
    p->len = len;
    memcpy(p->data, packet, len);
    d->backlog[(d->head + d->count++) % BACKLOG] = p;
    return true;
}

static void drop_first(struct virtio_net *d)
{
    free(d->backlog[d->head]);
    d->head = (d->head + 1) % BACKLOG;
    d->count--;
}

static bool receive(void *opaque, const struct net_header *h, const u8 *packet, size_t len)
{
    struct virtio_net *d = opaque;
    if (!virtio_running(&d->v) || !pci_is_master(&d->v.pci))
        return false;
    if (!net_filter_accepts(&d->filter, packet, len))
        return true;
    bool taken = (!d->count && deliver(d, h, packet, len)) || keep(d, h, packet, len);
    virtq_notify(&d->v.queue[RX]);
    return taken;
}

static void receive_backlog(struct virtio_net *d)
{
    while (d->count) {
        const struct packet *p = d->backlog[d->head];
        if (!deliver(d, &p->h, p->data, p->len))
            break;
        drop_first(d);
    }
    virtq_notify(&d->v.queue[RX]);
}

static void transmit(struct virtio_net *d)
{
    struct virtqueue *q = &d->v.queue[TX];
    struct virtq_chain c;
    while (virtq_pop(q, &c)) {
        struct header h;
        if (iov_read(c.iov, c.out_count, 0, &h, HEADER) < HEADER) {
            virtio_broken(&d->v);
            return;
        }
        size_t len = iov_read(c.iov, c.out_count, HEADER, d->buffer, sizeof(d->buffer));
        virtq_push(q, c.head, 0);
        if (c.out_bytes - HEADER == len && len)
            net_send(d->backend, &h.h, d->buffer, len);
    }
    virtq_notify(q);
}

/* ---- the control queue (section 5.1.6.5) ---- */

/* What the guest takes: what it has negotiated, until it says otherwise. */
static void set_guest_takes(struct virtio_net *d, u64 features)
{
    d->guest_takes = features;
    static const u8 rows[][2] = {{F_GUEST_CSUM, NET_TAKES_CSUM},
                                 {F_GUEST_TSO4, NET_TAKES_TSO4},
                                 {F_GUEST_TSO6, NET_TAKES_TSO6},
                                 {F_GUEST_ECN, NET_TAKES_ECN}};
    unsigned takes = 0;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (features >> rows[i][0] & 1)
            takes |= rows[i][1];
    net_client_takes(d->backend, takes & NET_TAKES_CSUM ? takes : 0); /* long packets have no checksum */
}

static bool control_filter(struct virtio_net *d, u8 class, u8 command, const struct iovec *iov,
                           unsigned count)
{
    const struct net_filter before = d->filter;
    if (!net_filter_control(&d->filter, class, command, iov, count))
        return false;
    memcpy(d->v.config, d->filter.mac, MAC_SIZE);
    if (d->filter_asked && d->v.pci.id && memcmp(&before, &d->filter, sizeof(before))) {
        char path[128];
        snprintf(path, sizeof(path), "/machine/peripheral/%s/virtio-backend", d->v.pci.id);
        d->filter_asked = false;
        event_send(&d->events, "NIC_RX_FILTER_CHANGED",
                   json_pack("{s:s,s:s}", "name", d->v.pci.id, "path", path));
    }
    return true;
}

static bool control_announce(struct virtio_net *d, u8 class, u8 command, const struct iovec *iov,
                             unsigned count)
{
    struct net_config *c = (struct net_config *)d->v.config;
    (void)class, (void)iov, (void)count;
    if (command || !(c->status & STATUS_ANNOUNCE))
        return false;
    c->status &= (u16)~STATUS_ANNOUNCE;
    return true;
}

static bool control_offloads(struct virtio_net *d, u8 class, u8 command, const struct iovec *iov,
                             unsigned count)
{
    u64 wanted;
    (void)class;
    if (command || iov_read(iov, count, 2, &wanted, sizeof(wanted)) < sizeof(wanted) ||
        wanted & ~d->v.features)
        return false;
    set_guest_takes(d, wanted);
    return true;
}

static bool control(struct virtio_net *d, const struct iovec *iov, unsigned count)
{
    static const struct {
        u8 class, feature;
        bool (*handle)(struct virtio_net *d, u8 class, u8 command, const struct iovec *iov, unsigned count);
    } rows[] = {{0, F_CTRL_RX, control_filter},
                {1, F_CTRL_VQ, control_filter},
                {2, F_CTRL_VLAN, control_filter},
                {3, F_GUEST_ANNOUNCE, control_announce},
                {5, F_CTRL_GUEST_OFFLOADS, control_offloads}};
    u8 head[2];
    if (iov_read(iov, count, 0, head, sizeof(head)) < sizeof(head))
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (rows[i].class == head[0] && virtio_has(&d->v, rows[i].feature))
            return rows[i].handle(d, head[0], head[1], iov, count);
    return false;
}

static void take_control(struct virtio_net *d)
{
    struct virtqueue *q = &d->v.queue[CONTROL];
    struct virtq_chain c;
    while (virtq_pop(q, &c)) {
        if (!c.in_bytes) {
            virtio_broken(&d->v);
            return;
        }
        const u8 failed = !control(d, c.iov, c.out_count);
        virtq_push(q, c.head, (u32)virtq_write(q, &c, 0, &failed, 1));
    }
    virtq_notify(q);
}

static void net_notify(struct virtio_device *v, unsigned queue)
{
    struct virtio_net *d = container_of(v, struct virtio_net, v);
    static void (*const serve[])(struct virtio_net *) = {receive_backlog, transmit, take_control};
    serve[queue](d);
}

static void net_started(struct virtio_device *v)
{
    struct virtio_net *d = container_of(v, struct virtio_net, v);
    set_guest_takes(d, v->features);
    d->filter.vlan_all = !virtio_has(v, F_CTRL_VLAN);
}

/* ---- the host's end ---- */

static const char *card_id(void *opaque)
{
    return ((struct virtio_net *)opaque)->v.pci.id;
}

static void set_link(void *opaque, bool up)
{
    struct virtio_net *d = opaque;
    struct net_config *c = (struct net_config *)d->v.config;
    u16 status = (u16)((c->status & ~STATUS_LINK_UP) | (up ? STATUS_LINK_UP : 0));
    if (status == c->status)
        return;
    c->status = status;
    virtio_config_changed(&d->v);
}

static void announce(void *opaque)
{
    struct virtio_net *d = opaque;
    struct net_config *c = (struct net_config *)d->v.config;
    if (!virtio_has(&d->v, F_GUEST_ANNOUNCE))
        return;
    c->status |= STATUS_ANNOUNCE;
    virtio_config_changed(&d->v);
}

static json_t *rx_filter(void *opaque)
{
    struct virtio_net *d = opaque;
    d->filter_asked = true;
    return net_filter_describe(&d->filter, d->v.pci.id ? d->v.pci.id : "virtio-net-pci");
}

/* ---- life ---- */

static void net_reset(struct virtio_device *v)
{
    struct virtio_net *d = container_of(v, struct virtio_net, v);
    struct net_config *c = (struct net_config *)v->config;
    while (d->count)
        drop_first(d);
    c->status &= (u16)~STATUS_ANNOUNCE;
    net_filter_reset(&d->filter, d->own_mac);
    memcpy(c->mac, d->own_mac, MAC_SIZE);
    set_guest_takes(d, 0);
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

/* QEMU's, of which each card has the next. */
static void default_mac(struct net_set *s, u8 *mac)
{
    const u8 first[MAC_SIZE] = {0x52, 0x54, 0x00, 0x12, 0x34, 0x56};
    memcpy(mac, first, MAC_SIZE);
    mac[5] = (u8)(mac[5] + s->default_macs++);
}

static int net_create(struct virtio_device *v, const struct pci_place *place, struct error *e)
{
    struct virtio_net *d = container_of(v, struct virtio_net, v);
    struct net_config *c = (struct net_config *)v->config;
    const struct net_client client = {d, "virtio-net-pci", card_id, receive, set_link, rx_filter, announce};
    if (!d->netdev)
        return error_set(e, EINVAL, "virtio-net-pci: 'netdev' is missing: name a -netdev");
    int r = d->mac ? parse_mac(d->mac, d->own_mac, e) : 0;
    if (r < 0)
        return r;
    d->backend = net_attach(place->nets, d->netdev, &client, e);
    if (!d->backend)
        return -ENODEV;
    if (!d->mac)
        default_mac(place->nets, d->own_mac);
    d->netdev = d->mac = NULL; /* they were the property list's */
    d->events = place->events;
    d->filter_asked = true;
    c->status = d->backend->link_down ? 0 : STATUS_LINK_UP;
    for (unsigned f = 0; f < F_COUNT; f++)
        if (!d->has[f] && f != F_MAC)
            v->offered &= ~BIT(f);
    net_reset(v);
    virtio_add_queue(v, QUEUE_SIZE);
    virtio_add_queue(v, QUEUE_SIZE);
    virtio_add_queue(v, CONTROL_SIZE);
    return 0;
}

static void net_destroy(struct virtio_device *v)
{
    net_detach(container_of(v, struct virtio_net, v)->backend);
}

#define FEATURE(name, f, help)                                               \
    {                                                                        \
        name, PROPERTY_BOOL, offsetof(struct virtio_net, has[f]), "on", help \
    }
static const struct property_row net_rows[] = {
    {"netdev", PROPERTY_TEXT, offsetof(struct virtio_net, netdev), .help = "the host's end"},
    {"mac", PROPERTY_TEXT, offsetof(struct virtio_net, mac),
     .help = "the card's address; default: 52:54:00:12:34:56, and the next"},
    FEATURE("csum", F_CSUM, "the guest leaves checksums out"),
    FEATURE("guest_csum", F_GUEST_CSUM, "the host leaves them out"),
    FEATURE("host_tso4", F_HOST_TSO4, "the guest sends long TCP packets"),
    FEATURE("host_tso6", F_HOST_TSO6, "the same over IPv6"),
    FEATURE("host_ecn", F_HOST_ECN, "with congestion marks"),
    FEATURE("guest_tso4", F_GUEST_TSO4, "the guest gets long TCP packets"),
    FEATURE("guest_tso6", F_GUEST_TSO6, "the same over IPv6"),
    FEATURE("guest_ecn", F_GUEST_ECN, "with congestion marks"),
    FEATURE("mrg_rxbuf", F_MRG_RXBUF, "a packet may take several buffers"),
    FEATURE("status", F_STATUS, "the guest sees whether there is a link"),
    FEATURE("ctrl_vq", F_CTRL_VQ, "a control queue"),
    FEATURE("ctrl_rx", F_CTRL_RX, "by which the guest chooses what it receives"),
    FEATURE("ctrl_rx_extra", F_CTRL_RX_EXTRA, "in more ways"),
    FEATURE("ctrl_vlan", F_CTRL_VLAN, "by VLAN, too"),
    FEATURE("ctrl_mac_addr", F_CTRL_MAC_ADDR, "the guest changes its address"),
    FEATURE("ctrl_guest_offloads", F_CTRL_GUEST_OFFLOADS, "the guest changes guest_csum and the like"),
    FEATURE("guest_announce", F_GUEST_ANNOUNCE, "the guest tells its network where it is, when asked"),
    VIRTIO_ROWS(struct virtio_net),
    {0}};

static int net_loaded(void *object, struct error *e)
{
    struct virtio_net *d = object;
    if (d->filter.unicast.count <= MAC_TABLE && d->filter.multicast.count <= MAC_TABLE) {
        set_guest_takes(d, d->guest_takes & d->v.features);
        return 0;
    }
    d->filter.unicast.count = d->filter.multicast.count = 0;
    return error_set(e, EINVAL, "the saved state of a network card is damaged: it has more than %d addresses",
                     MAC_TABLE);
}

static const struct state_field net_fields[] = {STATE(struct virtio_net, filter.mac),
                                                STATE(struct virtio_net, filter.mode),
                                                STATE(struct virtio_net, filter.unicast.count),
                                                STATE_BOOL(struct virtio_net, filter.unicast.overflow),
                                                STATE(struct virtio_net, filter.unicast.mac),
                                                STATE(struct virtio_net, filter.multicast.count),
                                                STATE_BOOL(struct virtio_net, filter.multicast.overflow),
                                                STATE(struct virtio_net, filter.multicast.mac),
                                                STATE_BOOL(struct virtio_net, filter.vlan_all),
                                                STATE(struct virtio_net, filter.vlan),
                                                STATE(struct virtio_net, guest_takes),
                                                {0}};
static const struct state_table net_state = {"virtio-net", 1, net_fields, .loaded = net_loaded};

const struct virtio_type virtio_net = {
    .pci = VIRTIO_PCI("virtio-net", "a network card", net_rows),
    .id = 1,
    .class = 0x0200,
    .features = BIT(F_CSUM) | BIT(F_GUEST_CSUM) | BIT(F_CTRL_GUEST_OFFLOADS) | BIT(F_MAC) |
                BIT(F_GUEST_TSO4) | BIT(F_GUEST_TSO6) | BIT(F_GUEST_ECN) | BIT(F_HOST_TSO4) |
                BIT(F_HOST_TSO6) | BIT(F_HOST_ECN) | BIT(F_MRG_RXBUF) | BIT(F_STATUS) | BIT(F_CTRL_VQ) |
                BIT(F_CTRL_RX) | BIT(F_CTRL_VLAN) | BIT(F_CTRL_RX_EXTRA) | BIT(F_GUEST_ANNOUNCE) |
                BIT(F_CTRL_MAC_ADDR),
    .config_size = sizeof(struct net_config),
    .size = sizeof(struct virtio_net),
    .create = net_create,
    .destroy = net_destroy,
    .reset = net_reset,
    .started = net_started,
    .state = &net_state,
    .notify = net_notify,
};
