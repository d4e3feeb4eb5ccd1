/* transport.c - virtio over PCI: the registers behind its BARs, negotiation, reset (VIRTIO 1.2 section 4.1)
 */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine/virtio/virtio.h"

enum { VENDOR_VIRTIO = 0x1af4, DEVICE_BASE = 0x1040, REVISION = 1, SUBSYSTEM = 0x1100 };
enum { BAR_MSIX = 1, BAR_REGISTERS = 4 };

/* The parts of the registers' BAR. */
enum {
    COMMON = 0x0000,
    ISR = 0x1000,
    DEVICE = 0x2000,
    NOTIFY = 0x3000,
    PART_SIZE = 0x1000,
    BAR_SIZE = 0x4000
};
enum { NOTIFY_MULTIPLIER = 4 };

enum { CFG_COMMON = 1, CFG_NOTIFY = 2, CFG_ISR = 3, CFG_DEVICE = 4, CFG_PCI = 5 };

/* struct virtio_pci_cap (section 4.1.4). */
enum { CAP_TYPE = 3, CAP_BAR = 4, CAP_OFFSET = 8, CAP_LENGTH = 12, CAP_SIZE = 16, CAP_EXTRA = 16 };

/* struct virtio_pci_common_cfg (section 4.1.4.3). */
enum {
    DEVICE_FEATURE_SELECT = 0,
    DEVICE_FEATURE = 4,
    DRIVER_FEATURE_SELECT = 8,
    DRIVER_FEATURE = 12,
    CONFIG_MSIX_VECTOR = 16,
    NUM_QUEUES = 18,
    DEVICE_STATUS = 20,
    CONFIG_GENERATION = 21,
    QUEUE_SELECT = 22,
    QUEUE_SIZE = 24,
    QUEUE_MSIX_VECTOR = 26,
    QUEUE_ENABLE = 28,
    QUEUE_NOTIFY_OFF = 30,
    QUEUE_DESC = 32,
    QUEUE_DRIVER = 40,
    QUEUE_DEVICE = 48,
    COMMON_SIZE = 56,
};

static struct virtio_device *from_pci(struct pci_device *d)
{
    return container_of(d, struct virtio_device, pci);
}

/* The selected queue; beyond the last, one that is not there: its size is 0 (section 4.1.4.3). */
static struct virtqueue *selected(struct virtio_device *d)
{
    return d->queue_select < d->queue_count ? &d->queue[d->queue_select] : NULL;
}

static u32 feature_word(u64 features, u32 select)
{
    return select < 2 ? (u32)(features >> (32 * select)) : 0;
}

static u64 read_queue(const struct virtqueue *q, u64 offset)
{
    switch (offset) {
    case QUEUE_SIZE: return q->size;
    case QUEUE_MSIX_VECTOR: return q->vector;
    case QUEUE_ENABLE: return q->enabled;
    case QUEUE_NOTIFY_OFF: return q->index;
    case QUEUE_DESC: return q->desc_gpa;
    case QUEUE_DESC + 4: return q->desc_gpa >> 32;
    case QUEUE_DRIVER: return q->avail_gpa;
    case QUEUE_DRIVER + 4: return q->avail_gpa >> 32;
    case QUEUE_DEVICE: return q->used_gpa;
    case QUEUE_DEVICE + 4: return q->used_gpa >> 32;
    default: return 0;
    }
}

static u64 read_common(struct virtio_device *d, u64 offset)
{
    const struct virtqueue *q = selected(d);
    switch (offset) {
    case DEVICE_FEATURE_SELECT: return d->offered_select;
    case DEVICE_FEATURE: return feature_word(d->offered, d->offered_select);
    case DRIVER_FEATURE_SELECT: return d->driver_select;
    case DRIVER_FEATURE: return feature_word(d->driver_features, d->driver_select);
    case CONFIG_MSIX_VECTOR: return d->config_vector;
    case NUM_QUEUES: return d->queue_count;
    case DEVICE_STATUS: return d->status;
    case CONFIG_GENERATION: return d->generation;
    case QUEUE_SELECT: return d->queue_select;
    default: return q ? read_queue(q, offset) : 0;
    }
}

static u16 valid_vector(const struct virtio_device *d, u64 vector)
{
    return vector < d->pci.msix.vectors ? (u16)vector : VIRTIO_NO_VECTOR;
}

static void set_low(u64 *gpa, u64 value)
{
    *gpa = (*gpa & ~0xffffffffull) | (u32)value;
}

static void set_high(u64 *gpa, u64 value)
{
    *gpa = (u32)*gpa | value << 32;
}

/* A queue that is enabled keeps its place and size (section 4.1.4.3.2). */
static void write_queue(struct virtio_device *d, struct virtqueue *q, u64 offset, u64 value)
{
    if (offset == QUEUE_MSIX_VECTOR) {
        q->vector = valid_vector(d, value);
        return;
    }
    if (q->enabled)
        return;
    switch (offset) {
    case QUEUE_SIZE:
        if (value && value <= q->max_size && !(value & (value - 1)))
            q->size = (u16)value;
        break;
    case QUEUE_ENABLE:
        if (value == 1 && virtq_enable(q))
            virtio_doorbell_on(q);
        else if (value == 1)
            virtio_broken(d);
        break;
    case QUEUE_DESC: set_low(&q->desc_gpa, value); break;
    case QUEUE_DESC + 4: set_high(&q->desc_gpa, value); break;
    case QUEUE_DRIVER: set_low(&q->avail_gpa, value); break;
    case QUEUE_DRIVER + 4: set_high(&q->avail_gpa, value); break;
    case QUEUE_DEVICE: set_low(&q->used_gpa, value); break;
    case QUEUE_DEVICE + 4: set_high(&q->used_gpa, value); break;
    default: break;
    }
}

static void reset_registers(struct virtio_device *d)
{
    d->features = d->driver_features = 0;
    d->offered_select = d->driver_select = 0;
    d->queue_select = 0;
    d->config_vector = VIRTIO_NO_VECTOR;
    d->status = d->isr = 0;
    for (unsigned i = 0; i < d->queue_count; i++) {
        struct virtqueue *q = &d->queue[i];
        virtio_doorbell_off(q);
        *q = (struct virtqueue){.size = q->max_size,
                                .vector = VIRTIO_NO_VECTOR,
                                .max_size = q->max_size,
                                .index = q->index,
                                .device = d};
    }
}

/* The device may wait for its I/O meanwhile with the lock free: the registers are reset before, so that
 * nobody starts anything, and after, for what somebody did start. */
static void reset_device(struct virtio_device *d)
{
    reset_registers(d);
    d->type->reset(d);
    reset_registers(d);
    intx_set(&d->pci, false);
}

/* Features that were not offered, or without VERSION_1, are not OK: the bit does not stay (section 3.1.1). */
static u8 accept_features(struct virtio_device *d, u8 status)
{
    bool good = !(d->driver_features & ~d->offered) && d->driver_features >> VIRTIO_F_VERSION_1 & 1;
    if (!good)
        return status & (u8)~VIRTIO_FEATURES_OK;
    d->features = d->driver_features;
    return status;
}

static void write_status(struct virtio_device *d, u8 status)
{
    if (!status) {
        reset_device(d);
        return;
    }
    u8 set = status & (u8)~d->status;
    if (set & VIRTIO_FEATURES_OK)
        status = accept_features(d, status);
    if (!(status & VIRTIO_FEATURES_OK))
        status &= (u8)~VIRTIO_DRIVER_OK;
    d->status = status | (d->status & VIRTIO_NEEDS_RESET);
    if (set & d->status & VIRTIO_DRIVER_OK && d->type->started)
        d->type->started(d);
}

static void write_driver_features(struct virtio_device *d, u32 value)
{
    unsigned shift = 32 * d->driver_select;
    if (d->status & VIRTIO_FEATURES_OK || d->driver_select > 1)
        return;
    d->driver_features = (d->driver_features & ~(0xffffffffull << shift)) | (u64)value << shift;
}

static void write_common(struct virtio_device *d, u64 offset, u64 value)
{
    struct virtqueue *q = selected(d);
    switch (offset) {
    case DEVICE_FEATURE_SELECT: d->offered_select = (u32)value; break;
    case DRIVER_FEATURE_SELECT: d->driver_select = (u32)value; break;
    case DRIVER_FEATURE: write_driver_features(d, (u32)value); break;
    case CONFIG_MSIX_VECTOR: d->config_vector = valid_vector(d, value); break;
    case DEVICE_STATUS: write_status(d, (u8)value); break;
    case QUEUE_SELECT: d->queue_select = (u16)value; break;
    default:
        if (q)
            write_queue(d, q, offset, value);
        break;
    }
}

/* Reading it clears it, and lets the pin go (section 4.1.4.5). */
static u8 read_isr(struct virtio_device *d)
{
    u8 isr = d->isr;
    d->isr = 0;
    intx_set(&d->pci, false);
    return isr;
}

static u64 read_config(const struct virtio_device *d, u64 offset, unsigned size)
{
    u64 value = 0;
    if (offset + size <= d->type->config_size)
        memcpy(&value, d->config + offset, size);
    return value;
}

static void write_config(struct virtio_device *d, u64 offset, unsigned size, u64 value)
{
    const struct virtio_type *t = d->type;
    if (!t->config_written || offset < t->config_writable_from ||
        offset + size > t->config_writable_from + t->config_writable_size)
        return;
    memcpy(d->config + offset, &value, size);
    t->config_written(d);
}

/* By a doorbell it may come late: the guest has been stopped, or the device is on its way out. */
void virtio_notified(struct virtio_device *d, unsigned queue)
{
    if (queue < d->queue_count && d->queue[queue].enabled && virtio_running(d) && pci_is_master(&d->pci) &&
        d->pci.bus && !virtio_is_held(d))
        d->type->notify(d, queue);
}

void virtio_rung(struct virtio_device *d)
{
    for (unsigned i = 0; i < d->queue_count; i++)
        virtio_notified(d, i);
}

static u64 register_read(void *opaque, u64 offset, unsigned size)
{
    struct virtio_device *d = opaque;
    u64 at = offset % PART_SIZE;
    switch (offset - at) {
    case COMMON: return read_common(d, at);
    case ISR: return at ? 0 : read_isr(d);
    case DEVICE: return read_config(d, at, size);
    default: return 0;
    }
}

static void register_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    struct virtio_device *d = opaque;
    u64 at = offset % PART_SIZE;
    switch (offset - at) {
    case COMMON: write_common(d, at, value); break;
    case DEVICE: write_config(d, at, size, value); break;
    case NOTIFY: virtio_notified(d, (unsigned)at / NOTIFY_MULTIPLIER); break;
    default: break;
    }
}

static const struct bus_ops register_ops = {register_read, register_write, 4};

/* ---- the window to the registers in configuration space (section 4.1.4.9) ---- */

static bool window(const struct virtio_device *d, u32 *offset, u32 *size)
{
    const u8 *cap = d->pci.config + d->window;
    *offset = pci_get32(cap + CAP_OFFSET);
    *size = pci_get32(cap + CAP_LENGTH);
    return cap[CAP_BAR] == BAR_REGISTERS && (*size == 1 || *size == 2 || *size == 4) &&
           *offset % *size == 0 && *offset < BAR_SIZE;
}

static bool touches_window(const struct virtio_device *d, unsigned offset, unsigned size)
{
    unsigned data = d->window + CAP_EXTRA;
    return offset < data + 4 && data < offset + size;
}

static void config_reading(struct pci_device *p, unsigned offset, unsigned size)
{
    struct virtio_device *d = from_pci(p);
    u32 at, n;
    if (touches_window(d, offset, size) && window(d, &at, &n))
        pci_put32(p->config + d->window + CAP_EXTRA, (u32)register_read(d, at, n));
}

static void config_written(struct pci_device *p, unsigned offset, unsigned size)
{
    struct virtio_device *d = from_pci(p);
    u32 at, n;
    if (touches_window(d, offset, size) && window(d, &at, &n))
        register_write(d, at, n, pci_get32(p->config + d->window + CAP_EXTRA) & MASK(8 * n - 1, 0));
}

/* ---- life ---- */

static unsigned add_capability(struct virtio_device *d, u8 type, u32 offset, u32 length, unsigned extra)
{
    unsigned at = pci_add_capability(&d->pci, PCI_CAP_VENDOR, CAP_SIZE + extra);
    u8 *c = d->pci.config + at;
    c[2] = (u8)(CAP_SIZE + extra);
    c[CAP_TYPE] = type;
    c[CAP_BAR] = BAR_REGISTERS;
    pci_put32(c + CAP_OFFSET, offset);
    pci_put32(c + CAP_LENGTH, length);
    return at;
}

static void add_window(struct virtio_device *d)
{
    d->window = add_capability(d, CFG_PCI, 0, 0, 4);
    u8 *w = d->pci.writable + d->window;
    w[CAP_BAR] = 0xff;
    memset(w + CAP_OFFSET, 0xff, 12); /* offset, length, data */
    d->pci.config[d->window + CAP_BAR] = 0;
    d->pci.config_reading = config_reading;
    d->pci.config_written = config_written;
}

static void add_registers(struct virtio_device *d)
{
    const struct virtio_type *t = d->type;
    pci_add_bar(&d->pci, BAR_REGISTERS, BAR_SIZE, &register_ops, d);
    add_window(d);
    unsigned at = add_capability(d, CFG_NOTIFY, NOTIFY, NOTIFY_MULTIPLIER * d->queue_count, 4);
    pci_put32(d->pci.config + at + CAP_EXTRA, NOTIFY_MULTIPLIER);
    if (t->config_size)
        add_capability(d, CFG_DEVICE, DEVICE, t->config_size, 0);
    add_capability(d, CFG_ISR, ISR, 1, 0);
    add_capability(d, CFG_COMMON, COMMON, COMMON_SIZE, 0);
    pci_add_msix(&d->pci, min(d->queue_count + 1, (unsigned)PCI_MSIX_VECTORS), BAR_MSIX);
    d->pci.config[PCI_INTERRUPT_PIN] = 1; /* A */
}

void virtio_add_queue(struct virtio_device *d, u16 size)
{
    ASSERT(d->queue_count < VIRTIO_MAX_QUEUES && size <= VIRTQ_MAX_SIZE);
    d->queue[d->queue_count] = (struct virtqueue){.max_size = size, .index = d->queue_count, .device = d};
    d->doorbell[d->queue_count].pci =
        (struct pci_doorbell){.bar = BAR_REGISTERS, .offset = NOTIFY + NOTIFY_MULTIPLIER * d->queue_count};
    d->queue_count++;
}

static int create(struct virtio_device *d, const struct virtio_type *t, const struct pci_place *place,
                  const struct properties *p, struct error *e)
{
    const struct pci_identity identity = {.vendor = VENDOR_VIRTIO,
                                          .device = DEVICE_BASE + t->id,
                                          .subsystem_vendor = VENDOR_VIRTIO,
                                          .subsystem = SUBSYSTEM,
                                          .class = t->class,
                                          .revision = REVISION};
    static const struct property_row none[] = {{0}};
    int r = properties_read(p, t->pci.properties ? t->pci.properties : none, d, t->pci.name, e);
    if (r < 0)
        return r;
    d->type = t;
    d->kick_fd = -1;
    d->ram = place->ram;
    d->loop = place->loop;
    d->offered =
        t->features | BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_F_INDIRECT_DESC) | BIT(VIRTIO_F_EVENT_IDX);
    pci_device_init(&d->pci, &t->pci, &identity);
    if ((r = t->create(d, place, e)) < 0)
        return r;
    add_registers(d);
    reset_registers(d);
    return 0;
}

struct pci_device *virtio_pci_create(const struct pci_type *type, const struct pci_place *place,
                                     const struct properties *p, struct error *e)
{
    const struct virtio_type *t = container_of(type, struct virtio_type, pci);
    struct virtio_device *d = calloc(1, t->size);
    int r = d ? create(d, t, place, p, e) : error_set(e, ENOMEM, "%s: no memory", type->name);
    if (r == 0)
        return &d->pci;
    free(d);
    return NULL;
}

void virtio_pci_reset(struct pci_device *p)
{
    reset_device(from_pci(p));
    pci_device_reset(p);
}

void virtio_pci_destroy(struct pci_device *p)
{
    struct virtio_device *d = from_pci(p);
    d->type->destroy(d);
    free(d);
}

/* ---- saved state ---- */

static bool is_vector(const struct virtio_device *d, u16 vector)
{
    return vector == VIRTIO_NO_VECTOR || vector < d->pci.msix.vectors;
}

static int virtio_loaded(void *object, struct error *e)
{
    const struct virtio_device *d = object;
    if (d->features & ~d->offered)
        return error_set(e, EINVAL, "the saved state of %s uses features 0x%llx, which this one has not",
                         d->type->pci.name, (unsigned long long)(d->features & ~d->offered));
    if (!is_vector(d, d->config_vector))
        return error_set(e, EINVAL, "the saved state of %s is damaged: interrupt vector %u",
                         d->type->pci.name, d->config_vector);
    return 0;
}

static int queue_loaded(void *object, struct error *e)
{
    struct virtqueue *q = object;
    bool size = q->size && q->size <= q->max_size && !(q->size & (q->size - 1));
    if (!size || !is_vector(q->device, q->vector) || (q->enabled && !virtq_restore(q)))
        return error_set(e, EINVAL,
                         "the saved state of %s is damaged: queue %u has size %u, vector %u, or is nowhere",
                         q->device->type->pci.name, q->index, q->size, q->vector);
    if (q->enabled)
        virtio_doorbell_on(q);
    return 0;
}

static const struct state_field virtio_fields[] = {STATE(struct virtio_device, features),
                                                   STATE(struct virtio_device, driver_features),
                                                   STATE(struct virtio_device, offered_select),
                                                   STATE(struct virtio_device, driver_select),
                                                   STATE(struct virtio_device, queue_select),
                                                   STATE(struct virtio_device, config_vector),
                                                   STATE(struct virtio_device, status),
                                                   STATE(struct virtio_device, isr),
                                                   STATE(struct virtio_device, generation),
                                                   STATE(struct virtio_device, config),
                                                   {0}};
static const struct state_table virtio_state = {"virtio", 1, virtio_fields, .loaded = virtio_loaded};

static const struct state_field queue_fields[] = {
    STATE(struct virtqueue, size),         STATE(struct virtqueue, vector),
    STATE_BOOL(struct virtqueue, enabled), STATE(struct virtqueue, desc_gpa),
    STATE(struct virtqueue, avail_gpa),    STATE(struct virtqueue, used_gpa),
    STATE(struct virtqueue, last_avail),   STATE(struct virtqueue, used_index),
    STATE(struct virtqueue, signalled),    {0}};
static const struct state_table queue_state = {"virtqueue", 1, queue_fields, .loaded = queue_loaded};

/* Its own part comes first: it may have to wait until the queues are as they stay. */
int virtio_pci_parts(struct pci_device *p, const char *instance, state_visit *visit, void *opaque)
{
    struct virtio_device *d = from_pci(p);
    char name[48];
    int r = d->type->state ? visit(opaque, d->type->state, instance, d) : 0;
    if (r == 0)
        r = visit(opaque, &virtio_state, instance, d);
    for (unsigned i = 0; i < d->queue_count && r == 0; i++) {
        snprintf(name, sizeof(name), "%.20s queue %u", instance, i);
        r = visit(opaque, &queue_state, name, &d->queue[i]);
    }
    return r == 0 && d->type->parts ? d->type->parts(d, instance, visit, opaque) : r;
}

/* What waits in the queues, nobody will notify again. */
void virtio_pci_restart(struct pci_device *p)
{
    virtio_rung(from_pci(p));
}
