/* queue.c - split virtqueues, with indirect descriptors and event indices (VIRTIO 1.2 section 2.7) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "machine/virtio/virtio.h"

enum { DESC_NEXT = 1, DESC_WRITE = 2, DESC_INDIRECT = 4 };
enum { AVAIL_NO_INTERRUPT = 1 };
enum { DESC_SIZE = 16, RING_HEADER = 4, USED_ELEMENT = 8 };

struct desc {
    u64 gpa;
    u32 len;
    u16 flags, next;
};
_Static_assert(sizeof(struct desc) == DESC_SIZE, "section 2.7.5");

/* The rings are shared with running processors: each field is read or written once. */

static u16 load16(const u8 *at)
{
    return __atomic_load_n((const u16 *)at, __ATOMIC_ACQUIRE);
}

static void store16(u8 *at, u16 v)
{
    __atomic_store_n((u16 *)at, v, __ATOMIC_RELEASE);
}

static u16 avail_flags(const struct virtqueue *q)
{
    return load16(q->avail);
}

static u16 avail_index(const struct virtqueue *q)
{
    return load16(q->avail + 2);
}

static u16 avail_ring(const struct virtqueue *q, u16 at)
{
    return load16(q->avail + RING_HEADER + 2 * (at % q->size));
}

static u16 used_event(const struct virtqueue *q)
{
    return load16(q->avail + RING_HEADER + 2 * q->size);
}

static void mark(struct virtqueue *q, const void *at, size_t n)
{
    ram_mark(q->device->ram, at, n);
}

static void set_avail_event(struct virtqueue *q, u16 v)
{
    u8 *at = q->used + RING_HEADER + USED_ELEMENT * q->size;
    store16(at, v);
    mark(q, at, sizeof(v));
}

bool virtq_restore(struct virtqueue *q)
{
    const struct ram *ram = q->device->ram;
    if (!q->size || q->desc_gpa % 16 || q->avail_gpa % 2 || q->used_gpa % 4)
        return false;
    q->desc = ram_at(ram, q->desc_gpa, (u64)DESC_SIZE * q->size);
    q->avail = ram_at(ram, q->avail_gpa, RING_HEADER + 2ull * q->size + 2);
    q->used = ram_at(ram, q->used_gpa, RING_HEADER + (u64)USED_ELEMENT * q->size + 2);
    q->enabled = q->desc && q->avail && q->used;
    return q->enabled;
}

bool virtq_enable(struct virtqueue *q)
{
    q->last_avail = q->used_index = q->signalled = 0;
    return virtq_restore(q);
}

/* Adds what one descriptor says to the chain. */
static bool add_buffer(struct virtqueue *q, struct virtq_chain *c, const struct desc *d)
{
    unsigned n = c->out_count + c->in_count;
    void *host = ram_at(q->device->ram, d->gpa, d->len);
    if (n == VIRTQ_MAX_SIZE || !d->len || !host || (c->in_count && !(d->flags & DESC_WRITE)))
        return false;
    c->iov[n] = (struct iovec){host, d->len};
    if (d->flags & DESC_WRITE) {
        c->in_count++;
        c->in_bytes += d->len;
    } else {
        c->out_count++;
        c->out_bytes += d->len;
    }
    return true;
}

/* Follows the chain that starts at `at` of a table with `size` descriptors. A chain is never longer than its
 * table, so that a loop ends. */
static bool walk(struct virtqueue *q, struct virtq_chain *c, const u8 *table, u32 size, u16 at, bool indirect)
{
    for (u32 steps = 0; steps < size; steps++) {
        struct desc d;
        if (at >= size)
            return false;
        memcpy(&d, table + DESC_SIZE * (size_t)at, sizeof(d));
        __asm__ volatile("" : "+m"(d)); /* what was checked is what is used */
        if (d.flags & DESC_INDIRECT) {
            const u8 *inner = ram_at(q->device->ram, d.gpa, d.len);
            return !indirect && virtio_has(q->device, VIRTIO_F_INDIRECT_DESC) && !(d.flags & DESC_NEXT) &&
                   d.len && d.len % DESC_SIZE == 0 && d.len / DESC_SIZE <= VIRTQ_MAX_SIZE && inner &&
                   walk(q, c, inner, d.len / DESC_SIZE, 0, true);
        }
        if (!add_buffer(q, c, &d))
            return false;
        if (!(d.flags & DESC_NEXT))
            return true;
        at = d.next;
    }
    return false;
}

bool virtq_ready(struct virtqueue *q)
{
    if (!q->enabled || !virtio_running(q->device))
        return false;
    u16 waiting = (u16)(avail_index(q) - q->last_avail);
    if (!waiting && virtio_has(q->device, VIRTIO_F_EVENT_IDX)) {
        set_avail_event(q, q->last_avail);
        __atomic_thread_fence(
            __ATOMIC_SEQ_CST); /* the event before the index, as the driver does the reverse */
        waiting = (u16)(avail_index(q) - q->last_avail);
    }
    if (waiting > q->size)
        virtio_broken(q->device);
    return waiting && waiting <= q->size;
}

bool virtq_chain_at(struct virtqueue *q, u16 head, struct virtq_chain *c)
{
    c->head = head;
    c->out_count = c->in_count = 0;
    c->out_bytes = c->in_bytes = 0;
    if (head >= q->size || !walk(q, c, q->desc, q->size, head, false)) {
        virtio_broken(q->device);
        return false;
    }
    c->in = c->iov + c->out_count;
    return true;
}

bool virtq_pop(struct virtqueue *q, struct virtq_chain *c)
{
    if (virtio_is_held(q->device) || !virtq_ready(q) || !virtq_chain_at(q, avail_ring(q, q->last_avail), c))
        return false;
    q->last_avail++;
    return true;
}

void virtq_unpop(struct virtqueue *q)
{
    q->last_avail--;
}

size_t virtq_write(struct virtqueue *q, const struct virtq_chain *c, size_t offset, const void *from,
                   size_t bytes)
{
    const size_t done = iov_write(c->in, c->in_count, offset, from, bytes);
    size_t left = done;
    for (unsigned i = 0; i < c->in_count && left; i++) {
        const size_t skip = min(offset, c->in[i].iov_len), n = min(c->in[i].iov_len - skip, left);
        mark(q, (const u8 *)c->in[i].iov_base + skip, n);
        offset -= skip;
        left -= n;
    }
    return done;
}

void virtq_fill(struct virtqueue *q, unsigned ahead, u16 head, u32 written)
{
    const u32 element[2] = {head, written};
    u16 at = (u16)(q->used_index + ahead) % q->size;
    if (!q->enabled)
        return;
    memcpy(q->used + RING_HEADER + USED_ELEMENT * at, element, sizeof(element));
    mark(q, q->used + RING_HEADER + USED_ELEMENT * at, sizeof(element));
}

void virtq_flush(struct virtqueue *q, unsigned count)
{
    if (!q->enabled)
        return;
    q->used_index = (u16)(q->used_index + count);
    store16(q->used + 2, q->used_index);
    mark(q, q->used + 2, sizeof(u16));
}

void virtq_push(struct virtqueue *q, u16 head, u32 written)
{
    virtq_fill(q, 0, head, written);
    virtq_flush(q, 1);
}

/* Section 2.7.7.2: with event indices, when used_index has passed used_event since the last look. */
static bool wants_interrupt(struct virtqueue *q)
{
    __atomic_thread_fence(
        __ATOMIC_SEQ_CST); /* the used index before the driver's wish, as the driver the reverse */
    if (!virtio_has(q->device, VIRTIO_F_EVENT_IDX))
        return !(avail_flags(q) & AVAIL_NO_INTERRUPT);
    u16 since = (u16)(q->used_index - q->signalled), event = (u16)(q->used_index - used_event(q) - 1);
    q->signalled = q->used_index;
    return event < since;
}

static void interrupt(struct virtio_device *d, u16 vector, u8 isr)
{
    if (msix_enabled(&d->pci)) {
        msix_signal(&d->pci, vector);
        return;
    }
    d->isr |= isr;
    intx_set(&d->pci, true);
}

enum { ISR_QUEUE = 1, ISR_CONFIG = 2 };

void virtq_notify(struct virtqueue *q)
{
    if (q->enabled && virtio_running(q->device) && wants_interrupt(q))
        interrupt(q->device, q->vector, ISR_QUEUE);
}

void virtio_config_changed(struct virtio_device *d)
{
    d->generation++;
    if (d->status & VIRTIO_DRIVER_OK)
        interrupt(d, d->config_vector, ISR_CONFIG);
}

void virtio_broken(struct virtio_device *d)
{
    if (d->status & VIRTIO_NEEDS_RESET)
        return;
    d->status |= VIRTIO_NEEDS_RESET;
    if (d->status & VIRTIO_DRIVER_OK)
        interrupt(d, d->config_vector, ISR_CONFIG);
}
