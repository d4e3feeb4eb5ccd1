/* blk.c - virtio block device (VIRTIO 1.2 section 5.2) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "machine/block/block.h"
#include "machine/virtio/blk.h"
#include "machine/virtio/types.h"
#include "machine/virtio/virtio.h"

enum {
    F_SEG_MAX = 2,
    F_RO = 5,
    F_BLK_SIZE = 6,
    F_FLUSH = 9,
    F_TOPOLOGY = 10,
    F_CONFIG_WCE = 11,
    F_MQ = 12,
    F_DISCARD = 13,
    F_WRITE_ZEROES = 14
};
enum { T_IN = 0, T_OUT = 1, T_FLUSH = 4, T_GET_ID = 8, T_DISCARD = 11, T_WRITE_ZEROES = 13 };
enum { S_OK = 0, S_IOERR = 1, S_UNSUPP = 2 };
enum { SECTOR = 512, ID_BYTES = 20, MAX_QUEUES = 63, MAX_SECTORS = 1 << 22 };
enum { SEGMENT_UNMAP = 1 };

struct blk_config {
    u64 capacity;
    u32 size_max, seg_max;
    u16 cylinders;
    u8 heads, sectors;
    u32 blk_size;
    u8 physical_block_exp, alignment_offset;
    u16 min_io_size;
    u32 opt_io_size;
    u8 writeback, unused0;
    u16 num_queues;
    u32 max_discard_sectors, max_discard_seg, discard_sector_alignment;
    u32 max_write_zeroes_sectors, max_write_zeroes_seg;
    u8 write_zeroes_may_unmap, unused1[3];
} __attribute__((packed));
_Static_assert(sizeof(struct blk_config) == 60, "section 5.2.4");

struct header {
    u32 type, reserved;
    u64 sector;
};

struct segment { /* of a discard, or of zeros to write */
    u64 sector;
    u32 sectors, flags;
};

struct virtio_blk {
    struct virtio_device v;
    const char *drive, *serial;
    u32 logical, physical, queues, queue_size;
    unsigned werror, rerror, write_cache, fixed;
    bool discard, write_zeroes, config_wce, share_rw;
    bool write_through; /* as it was when the guest came */
    char id[ID_BYTES];
    struct block_set *blocks;
    struct block_node *node;
    unsigned in_flight;
    pthread_cond_t idle;
    u8 again[MAX_QUEUES][VIRTQ_MAX_SIZE / 8]; /* heads of chains that are to be begun once more */
};

/* A request at the node, with the memory that it is about. */
struct blk_request {
    struct block_request block;
    struct virtio_blk *d;
    struct virtqueue *queue;
    u16 head;
    u32 in_bytes; /* of the data, without the status */
    u8 *status;
    struct iovec iov[];
};

static void finish(struct virtqueue *q, u16 head, u8 *status_at, u8 status, u32 in_bytes)
{
    *status_at = status;
    ram_mark(q->device->ram, status_at, 1);
    virtq_push(q, head, in_bytes + 1);
}

static void request_done(struct block_request *b, int result)
{
    struct blk_request *r = container_of(b, struct blk_request, block);
    struct virtio_blk *d = r->d;
    for (unsigned i = 0; i < b->iov_count && b->op == BLOCK_READ; i++)
        ram_mark(d->v.ram, b->iov[i].iov_base, b->iov[i].iov_len);
    finish(r->queue, r->head, r->status, result < 0 ? S_IOERR : S_OK, result < 0 ? 0 : r->in_bytes);
    virtq_notify(r->queue);
    if (--d->in_flight == 0)
        pthread_cond_broadcast(&d->idle);
    free(r);
}

/* A chain that is being worked on. */
struct work {
    struct virtio_blk *d;
    struct virtqueue *queue;
    const struct virtq_chain *chain;
    struct header header;
    u8 *status;
    size_t data_bytes; /* of the part that the header and the status leave */
};

static void submit(const struct work *w, struct block_request b, const struct iovec *iov, unsigned count,
                   size_t skip)
{
    struct blk_request *r = malloc(sizeof(*r) + count * sizeof(r->iov[0]));
    if (!r) {
        finish(w->queue, w->chain->head, w->status, S_IOERR, 0);
        return;
    }
    *r = (struct blk_request){
        .block = b, .d = w->d, .queue = w->queue, .head = w->chain->head, .status = w->status};
    r->block.iov = r->iov;
    r->block.iov_count = count ? iov_part(iov, count, skip, w->data_bytes, r->iov) : 0;
    r->block.done = request_done;
    r->in_bytes = b.op == BLOCK_READ ? (u32)w->data_bytes : 0;
    w->d->in_flight++;
    block_submit(w->d->node, &r->block);
}

/* The byte range of sectors, if the disk has them all. */
static bool range(const struct virtio_blk *d, u64 sector, u64 bytes, u64 *offset)
{
    u64 size = block_size(d->node);
    *offset = sector * SECTOR;
    return sector <= size / SECTOR && bytes % SECTOR == 0 && bytes <= size - *offset;
}

static u8 read_or_write(const struct work *w)
{
    const struct virtq_chain *c = w->chain;
    bool write = w->header.type == T_OUT;
    struct block_request b = {.op = write ? BLOCK_WRITE : BLOCK_READ, .bytes = w->data_bytes};
    if ((write && block_read_only(w->d->node)) || !range(w->d, w->header.sector, b.bytes, &b.offset))
        return S_IOERR;
    if (write)
        submit(w, b, c->iov, c->out_count, sizeof(struct header));
    else
        submit(w, b, c->in, c->in_count, 0);
    return S_OK;
}

static u8 flush(const struct work *w)
{
    submit(w, (struct block_request){.op = BLOCK_FLUSH}, NULL, 0, 0);
    return S_OK;
}

/* One segment, as the configuration says (max_discard_seg). */
static u8 discard_or_zero(const struct work *w)
{
    struct segment s;
    bool zero = w->header.type == T_WRITE_ZEROES;
    struct block_request b = {.op = zero ? BLOCK_WRITE_ZEROES : BLOCK_DISCARD};
    if (w->data_bytes != sizeof(s) || block_read_only(w->d->node))
        return S_IOERR;
    iov_read(w->chain->iov, w->chain->out_count, sizeof(struct header), &s, sizeof(s));
    b.bytes = (u64)s.sectors * SECTOR;
    b.unmap = s.flags & SEGMENT_UNMAP;
    if (s.flags & ~(u32)(zero ? SEGMENT_UNMAP : 0))
        return S_UNSUPP;
    if (s.sectors > MAX_SECTORS || !range(w->d, s.sector, b.bytes, &b.offset))
        return S_IOERR;
    submit(w, b, NULL, 0, 0);
    return S_OK;
}

static u8 get_id(const struct work *w)
{
    u32 n = (u32)virtq_write(w->queue, w->chain, 0, w->d->id, min(w->data_bytes, (size_t)ID_BYTES));
    finish(w->queue, w->chain->head, w->status, S_OK, n);
    return S_OK;
}

static const struct {
    u32 type;
    unsigned feature;                   /* that has to be negotiated; 0: none */
    bool in;                            /* the data is written to the guest */
    u8 (*handle)(const struct work *w); /* S_OK: it will be, or has been, finished */
} handlers[] = {
    {T_IN, 0, true, read_or_write},
    {T_OUT, 0, false, read_or_write},
    {T_FLUSH, 0, false, flush},
    {T_GET_ID, 0, true, get_id},
    {T_DISCARD, F_DISCARD, false, discard_or_zero},
    {T_WRITE_ZEROES, F_WRITE_ZEROES, false, discard_or_zero},
};

static u8 handle(struct work *w)
{
    for (size_t i = 0; i < ARRAY_SIZE(handlers); i++) {
        if (handlers[i].type != w->header.type)
            continue;
        if (handlers[i].feature && !virtio_has(&w->d->v, handlers[i].feature))
            return S_UNSUPP;
        w->data_bytes = handlers[i].in ? w->chain->in_bytes - 1 : w->chain->out_bytes - sizeof(w->header);
        return handlers[i].handle(w);
    }
    return S_UNSUPP;
}

/* A request is a header, data, and a status: its last byte. */
static bool start_request(struct virtio_blk *d, struct virtqueue *q, const struct virtq_chain *c)
{
    struct work w = {.d = d, .queue = q, .chain = c};
    if (!c->in_bytes || iov_read(c->iov, c->out_count, 0, &w.header, sizeof(w.header)) < sizeof(w.header)) {
        virtio_broken(&d->v);
        return false;
    }
    const struct iovec *last = &c->in[c->in_count - 1];
    w.status = (u8 *)last->iov_base + last->iov_len - 1;
    u8 status = handle(&w);
    if (status != S_OK)
        finish(q, c->head, w.status, status, 0);
    return true;
}

static bool head_in(const u8 *heads, unsigned head)
{
    return heads[head / 8] >> head % 8 & 1;
}

/* Requests that had failed when the machine was saved, and for which the guest had been stopped. */
static void begin_again(struct virtio_blk *d, struct virtqueue *q)
{
    u8 *heads = d->again[q->index];
    struct virtq_chain c;
    for (unsigned head = 0; head < q->size; head++) {
        if (!head_in(heads, head))
            continue;
        heads[head / 8] &= (u8)~BIT(head % 8);
        if (!virtq_chain_at(q, (u16)head, &c) || !start_request(d, q, &c))
            return;
    }
}

static void blk_notify(struct virtio_device *v, unsigned queue)
{
    struct virtio_blk *d = container_of(v, struct virtio_blk, v);
    struct virtqueue *q = &v->queue[queue];
    struct virtq_chain c;
    begin_again(d, q);
    while (virtq_pop(q, &c) && start_request(d, q, &c))
        ;
    virtq_notify(q);
}

static void rung(void *opaque)
{
    virtio_rung(opaque);
}

static void blk_reset(struct virtio_device *v)
{
    struct virtio_blk *d = container_of(v, struct virtio_blk, v);
    block_drain(d->node, true);
    while (d->in_flight)
        pthread_cond_wait(&d->idle, &v->loop->lock);
    block_drain(d->node, false);
    memset(d->again, 0, sizeof(d->again));
    block_set_write_through(d->node, d->write_through);
    v->config[offsetof(struct blk_config, writeback)] = !d->write_through;
}

/* The guest chooses whether a write is done when it is in the file, or a flush is needed for that. */
static void blk_config_written(struct virtio_device *v)
{
    struct virtio_blk *d = container_of(v, struct virtio_blk, v);
    u8 *writeback = &v->config[offsetof(struct blk_config, writeback)];
    *writeback &= 1;
    if (virtio_has(v, F_CONFIG_WCE))
        block_set_write_through(d->node, !*writeback);
}

static void set_config(struct virtio_blk *d)
{
    struct blk_config c = {
        .capacity = block_size(d->node) / SECTOR,
        .seg_max = d->queue_size - 2,
        .blk_size = d->logical,
        .physical_block_exp = (u8)__builtin_ctz(d->physical / d->logical),
        .num_queues = (u16)d->queues,
        .writeback = !d->write_through,
        .max_discard_sectors = MAX_SECTORS,
        .max_discard_seg = 1,
        .discard_sector_alignment = d->logical / SECTOR,
        .max_write_zeroes_sectors = MAX_SECTORS,
        .max_write_zeroes_seg = 1,
        .write_zeroes_may_unmap = 1,
    };
    memcpy(d->v.config, &c, sizeof(c));
}

static const char *const on_off_auto[] = {"off", "on", "auto", NULL};
enum { CACHE_OFF = 0, CACHE_AUTO = 2, POLICY_AUTO = 4, READ_POLICY_AUTO = 3 };
static const char *const read_policies[] = {"report", "ignore", "stop", "auto", NULL};

static int check(const struct virtio_blk *d, struct error *e)
{
    if (d->queue_size < 4 || d->queue_size & (d->queue_size - 1))
        return error_set(e, EINVAL, "virtio-blk-pci: queue-size must be a power of 2 from 4 to %d",
                         VIRTQ_MAX_SIZE);
    if (!d->drive)
        return error_set(e, EINVAL, "virtio-blk-pci: 'drive' is missing: name a block node");
    if (d->logical & (d->logical - 1) || d->physical & (d->physical - 1) || d->physical < d->logical)
        return error_set(e, EINVAL,
                         "virtio-blk-pci: block sizes must be powers of 2, and the physical one not the "
                         "smaller");
    return 0;
}

static void set_features(struct virtio_blk *d)
{
    const struct {
        bool wanted;
        unsigned feature;
    } rows[] = {{d->discard, F_DISCARD},
                {d->write_zeroes, F_WRITE_ZEROES},
                {d->config_wce, F_CONFIG_WCE},
                {d->queues > 1, F_MQ}};
    u64 *offered = &d->v.offered;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (!rows[i].wanted)
            *offered &= ~BIT(rows[i].feature);
    if (block_read_only(d->node))
        *offered = (*offered | BIT(F_RO)) & ~(BIT(F_DISCARD) | BIT(F_WRITE_ZEROES));
}

static int blk_create(struct virtio_device *v, const struct pci_place *place, struct error *e)
{
    struct virtio_blk *d = container_of(v, struct virtio_blk, v);
    int r = check(d, e);
    if (r < 0)
        return r;
    const struct block_use use = {.name = d->drive,
                                  .user = "virtio-blk-pci",
                                  .werror = d->werror == POLICY_AUTO ? -1 : (int)d->werror,
                                  .rerror = d->rerror == READ_POLICY_AUTO ? -1 : (int)d->rerror,
                                  .write_through = d->write_cache == CACHE_OFF};
    d->blocks = place->blocks;
    d->node = block_attach(place->blocks, &use, e);
    if (!d->node)
        return -ENODEV;
    d->write_through = d->node->options.write_through;
    v->kick_fd = block_doorbell(d->node, rung, v);
    pthread_cond_init(&d->idle, NULL);
    if (d->serial)
        memcpy(d->id, d->serial, min(strlen(d->serial), sizeof(d->id)));
    d->drive = d->serial = NULL; /* they were the property list's */
    if (!d->queues)
        d->queues = min(max(place->cpus, 1u), (unsigned)MAX_QUEUES);
    set_features(d);
    set_config(d);
    for (unsigned i = 0; i < d->queues; i++)
        virtio_add_queue(v, (u16)d->queue_size);
    return 0;
}

static void blk_destroy(struct virtio_device *v)
{
    struct virtio_blk *d = container_of(v, struct virtio_blk, v);
    pthread_cond_destroy(&d->idle);
    block_detach(d->blocks, d->node);
}

/* All requests are done or held (block_wait). A held one becomes a chain in its queue again, with which the
 * guest goes on here or elsewhere. */
static void blk_saving(void *object)
{
    struct virtio_blk *d = object;
    for (struct block_request *b = block_take_held(d->node), *next; b; b = next) {
        struct blk_request *r = container_of(b, struct blk_request, block);
        next = b->next;
        d->again[r->queue->index][r->head / 8] |= (u8)BIT(r->head % 8);
        d->in_flight--;
        free(r);
    }
}

static bool again_is_good(const struct virtio_blk *d)
{
    for (unsigned i = 0; i < MAX_QUEUES; i++) {
        const struct virtqueue *q = &d->v.queue[i];
        const unsigned size = i < d->v.queue_count && q->enabled ? q->size : 0;
        for (unsigned head = size; head < VIRTQ_MAX_SIZE; head++)
            if (head_in(d->again[i], head))
                return false;
    }
    return true;
}

static int blk_loaded(void *object, struct error *e)
{
    struct virtio_blk *d = object;
    u64 sectors;
    memcpy(&sectors, d->v.config, sizeof(sectors));
    if (sectors != block_size(d->node) / SECTOR)
        return error_set(e, EINVAL, "the saved state has a disk '%s' of %llu sectors, and this one has %llu",
                         d->drive, (unsigned long long)sectors,
                         (unsigned long long)block_size(d->node) / SECTOR);
    if (!again_is_good(d))
        return error_set(e, EINVAL, "the saved state of a disk is damaged: a request is in no queue");
    blk_config_written(&d->v);
    return 0;
}

static const struct state_field blk_fields[] = {STATE(struct virtio_blk, again), {0}};
static const struct state_table blk_state = {"virtio-blk", 2, blk_fields, blk_saving, blk_loaded};

static const struct property_row blk_rows[] = {
    {"drive", PROPERTY_TEXT, offsetof(struct virtio_blk, drive), .help = "the block node"},
    {"serial", PROPERTY_TEXT, offsetof(struct virtio_blk, serial), .help = "the disk's serial number"},
    {"num-queues", PROPERTY_U32, offsetof(struct virtio_blk, queues), NULL, "default: one for each processor",
     1, MAX_QUEUES},
    {"queue-size", PROPERTY_U32, offsetof(struct virtio_blk, queue_size), "256", "requests in a queue", 4,
     VIRTQ_MAX_SIZE},
    {"werror", PROPERTY_CHOICE, offsetof(struct virtio_blk, werror), "auto",
     "what an error of the host does when it writes; auto: as the node says", .choices = block_policies},
    {"rerror", PROPERTY_CHOICE, offsetof(struct virtio_blk, rerror), "auto", "the same when it reads",
     .choices = read_policies},
    {"write-cache", PROPERTY_CHOICE, offsetof(struct virtio_blk, write_cache), "auto",
     "off: a write is done when it is in the file", .choices = on_off_auto},
    {"config-wce", PROPERTY_BOOL, offsetof(struct virtio_blk, config_wce), "on", "the guest may change that"},
    {"discard", PROPERTY_BOOL, offsetof(struct virtio_blk, discard), "on", "the guest may discard"},
    {"write-zeroes", PROPERTY_BOOL, offsetof(struct virtio_blk, write_zeroes), "on",
     "it may write zeros as such"},
    {"share-rw", PROPERTY_BOOL, offsetof(struct virtio_blk, share_rw), "off",
     "(nothing: locks are the node's)"},
    {"logical_block_size", PROPERTY_U32, offsetof(struct virtio_blk, logical), "512", "bytes", 512, 4096},
    {"physical_block_size", PROPERTY_U32, offsetof(struct virtio_blk, physical), "512", "bytes", 512, 65536},
    VIRTIO_ROWS(struct virtio_blk),
    {0}};

const struct virtio_type virtio_blk = {
    .pci = VIRTIO_PCI("virtio-blk", "a disk", blk_rows),
    .id = 2,
    .class = 0x0100,
    .features = BIT(F_SEG_MAX) | BIT(F_BLK_SIZE) | BIT(F_FLUSH) | BIT(F_TOPOLOGY) | BIT(F_DISCARD) |
                BIT(F_WRITE_ZEROES) | BIT(F_CONFIG_WCE) | BIT(F_MQ),
    .config_size = sizeof(struct blk_config),
    .size = sizeof(struct virtio_blk),
    .create = blk_create,
    .destroy = blk_destroy,
    .reset = blk_reset,
    .notify = blk_notify,
    .config_written = blk_config_written,
    .config_writable_from = offsetof(struct blk_config, writeback),
    .config_writable_size = 1,
    .state = &blk_state,
};

static struct virtio_blk *from_pci(struct pci_device *p)
{
    return p && p->type == &virtio_blk.pci ? container_of(p, struct virtio_blk, v.pci) : NULL;
}

struct pci_device *virtio_blk_find(const struct pci_bus *b, const struct block_node *n)
{
    for (unsigned s = 0; s < PCI_SLOTS; s++) {
        const struct virtio_blk *d = from_pci(b->slot[s]);
        if (d && d->node == n)
            return b->slot[s];
    }
    return NULL;
}

void virtio_blk_resized(struct pci_device *p)
{
    struct virtio_blk *d = from_pci(p);
    const u64 sectors = block_size(d->node) / SECTOR;
    memcpy(d->v.config + offsetof(struct blk_config, capacity), &sectors, sizeof(sectors));
    virtio_config_changed(&d->v);
}
