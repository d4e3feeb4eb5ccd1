/* rng.c - virtio entropy device (VIRTIO 1.2 section 5.4) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <sys/random.h>

#include "machine/virtio/virtio.h"

enum { QUEUE_SIZE = 8, MAX_BYTES = 256 }; /* of one request: more comes with the next */

struct virtio_rng {
    struct virtio_device v;
};

static void rng_notify(struct virtio_device *v, unsigned queue)
{
    struct virtqueue *q = &v->queue[queue];
    struct virtq_chain c;
    u8 bytes[MAX_BYTES]; /* as many as getrandom(2) always gives whole */
    while (virtq_pop(q, &c)) {
        ssize_t n = getrandom(bytes, min(c.in_bytes, sizeof(bytes)), 0);
        virtq_push(q, c.head, n > 0 ? (u32)iov_write(c.in, c.in_count, 0, bytes, (size_t)n) : 0);
    }
    virtq_notify(q);
}

static int rng_create(struct virtio_device *v, const struct pci_place *place, struct error *e)
{
    (void)place, (void)e;
    virtio_add_queue(v, QUEUE_SIZE);
    return 0;
}

static void rng_nothing(struct virtio_device *v)
{
    (void)v;
}

const struct virtio_type virtio_rng = {
    .pci = VIRTIO_PCI("virtio-rng", "random numbers of the host's", NULL),
    .id = 4,
    .class = 0x00ff,
    .size = sizeof(struct virtio_rng),
    .create = rng_create,
    .destroy = rng_nothing,
    .reset = rng_nothing,
    .notify = rng_notify,
};
