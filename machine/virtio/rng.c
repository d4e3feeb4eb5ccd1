/* rng.c - virtio entropy device (VIRTIO 1.2 section 5.4) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>

#include "machine/virtio/rng.h"
#include "machine/virtio/types.h"

enum { QUEUE_SIZE = 8, MAX_BYTES = 256, NS_PER_MS = 1000000 };

struct virtio_rng {
    struct virtio_device v;
    const char *rng;
    struct object *source; /* NULL: the kernel */
    u64 max_bytes, left;   /* in each period, and in this one */
    u32 period;            /* milliseconds */
    struct loop_timer next_period;
};

/* As many as there may be: false: none until the next period, or until the source has some. */
static bool answer(struct virtio_rng *d, struct virtqueue *q, const struct virtq_chain *c)
{
    u8 bytes[MAX_BYTES]; /* as many as getrandom(2) always gives whole; a driver that wants more asks again */
    size_t wanted = min(c->in_bytes, sizeof(bytes));
    size_t n = rng_bytes(d->source, bytes, (size_t)min((u64)wanted, d->left));
    if (!n && wanted)
        return false;
    d->left -= n;
    virtq_push(q, c->head, (u32)virtq_write(q, c, 0, bytes, n));
    return true;
}

static void serve(struct virtio_rng *d)
{
    struct virtqueue *q = &d->v.queue[0];
    struct virtq_chain c;
    while (virtq_pop(q, &c)) {
        if (!answer(d, q, &c)) {
            virtq_unpop(q);
            if (!d->next_period.armed)
                loop_arm(d->v.loop, &d->next_period, loop_now() + (u64)d->period * NS_PER_MS);
            break;
        }
    }
    virtq_notify(q);
}

static void rng_notify(struct virtio_device *v, unsigned queue)
{
    (void)queue;
    serve(container_of(v, struct virtio_rng, v));
}

static void period_begins(struct loop_timer *t)
{
    struct virtio_rng *d = container_of(t, struct virtio_rng, next_period);
    d->left = d->max_bytes;
    if (virtio_running(&d->v) && pci_is_master(&d->v.pci))
        serve(d);
}

static int rng_create(struct virtio_device *v, const struct pci_place *place, struct error *e)
{
    struct virtio_rng *d = container_of(v, struct virtio_rng, v);
    struct object *source = d->rng ? object_find(place->objects, d->rng) : NULL;
    bool is_rng = source && (source->type == &rng_builtin || source->type == &rng_random);
    if (d->rng && !is_rng)
        return error_set(e, ENODEV, "virtio-rng-pci: rng '%s' is no source: add -object rng-random,id=%s",
                         d->rng, d->rng);
    d->rng = NULL; /* it was the property list's */
    d->source = source;
    if (source)
        source->users++;
    d->left = d->max_bytes;
    d->next_period.expired = period_begins;
    virtio_add_queue(v, QUEUE_SIZE);
    return 0;
}

static void rng_destroy(struct virtio_device *v)
{
    struct virtio_rng *d = container_of(v, struct virtio_rng, v);
    loop_cancel(v->loop, &d->next_period);
    if (d->source)
        d->source->users--;
}

static void rng_reset(struct virtio_device *v)
{
    (void)v;
}

static const struct property_row rng_rows[] = {
    {"rng", PROPERTY_TEXT, offsetof(struct virtio_rng, rng), .help = "an -object: where they come from"},
    {"max-bytes", PROPERTY_U64, offsetof(struct virtio_rng, max_bytes), "9223372036854775807",
     "at most so many in each period", 1},
    {"period", PROPERTY_U32, offsetof(struct virtio_rng, period), "65536", "its milliseconds", 1},
    VIRTIO_ROWS(struct virtio_rng),
    {0}};

const struct virtio_type virtio_rng = {
    .pci = VIRTIO_PCI("virtio-rng", "random numbers of the host's", rng_rows),
    .id = 4,
    .class = 0x00ff,
    .size = sizeof(struct virtio_rng),
    .create = rng_create,
    .destroy = rng_destroy,
    .reset = rng_reset,
    .notify = rng_notify,
};
