/* virtio.h - a virtio device: its queues, and the transport over PCI that all share (VIRTIO 1.2) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MACHINE_VIRTIO_VIRTIO_H
#define MACHINE_VIRTIO_VIRTIO_H

#include <poll.h>
#include <sys/uio.h>

#include "machine/pci/pci.h"

/*
 * All of this runs under the loop's lock. What the guest writes, descriptors above all, is read once,
 * checked, and then used; whatever is wrong with it sets DEVICE_NEEDS_RESET (section 2.1.2), and the device
 * does nothing more until the guest resets it.
 */

enum { VIRTQ_MAX_SIZE = 256, VIRTIO_MAX_QUEUES = 64, VIRTIO_NO_VECTOR = 0xffff };

enum { /* device status, section 2.1 */
       VIRTIO_ACKNOWLEDGE = 1,
       VIRTIO_DRIVER = 2,
       VIRTIO_DRIVER_OK = 4,
       VIRTIO_FEATURES_OK = 8,
       VIRTIO_NEEDS_RESET = 64,
       VIRTIO_FAILED = 128,
};

enum { /* feature bits of all devices, section 6 */
       VIRTIO_F_INDIRECT_DESC = 28,
       VIRTIO_F_EVENT_IDX = 29,
       VIRTIO_F_VERSION_1 = 32,
};

struct virtio_device;

/* Section 2.7. The addresses are the guest's; the pointers are there while the queue is enabled. */
struct virtqueue {
    u16 size, vector;
    bool enabled;
    u64 desc_gpa, avail_gpa, used_gpa;
    u16 last_avail, used_index; /* how far we have come in either ring */
    u16 signalled;              /* used_index at the last look at used_event */
    const u8 *desc, *avail;
    u8 *used;
    u16 max_size; /* constant from here */
    unsigned index;
    struct virtio_device *device;
};

/* A chain of descriptors that the guest has made available: what it has written, then what it wants written.
 */
struct virtq_chain {
    u16 head;
    unsigned out_count, in_count;
    size_t out_bytes, in_bytes;
    struct iovec *in; /* follows the out part in iov */
    struct iovec iov[VIRTQ_MAX_SIZE];
};

/* The eventfd of a queue's notifications. */
struct virtio_doorbell {
    struct pci_doorbell pci;
    struct loop_watch watch;
    struct virtio_device *device;
    unsigned index;
    bool on, own; /* own: and watched by the loop; else the device's, which looks itself */
};

/* A kind of virtio device: one const descriptor in its file. Its own struct begins with a struct
 * virtio_device. */
struct virtio_type {
    struct pci_type pci;
    u16 id;    /* section 5 */
    u16 class; /* of the PCI device */
    u64 features;
    unsigned config_size;
    size_t size; /* of the device's struct */
    /* Properties have been read, the queues added. 0 or -errno with e; then destroy is not called. */
    int (*create)(struct virtio_device *d, const struct pci_place *place, struct error *e);
    void (*destroy)(struct virtio_device *d);
    /* All that the guest has asked for is forgotten or, where memory is being written, waited for: the lock
     * may be free meanwhile. No queue is enabled any more. */
    void (*reset)(struct virtio_device *d);
    void (*started)(struct virtio_device *d);                /* DRIVER_OK; NULL: nothing to do */
    void (*notify)(struct virtio_device *d, unsigned queue); /* there is something in an enabled queue */
    void (*config_written)(struct virtio_device *d);         /* NULL: the space is read only */
    unsigned config_writable_from, config_writable_size;     /* the bytes that the guest may write */
    const struct state_table *state; /* of its own struct, besides what all have; NULL: nothing */
    int (*parts)(struct virtio_device *d, const char *instance, state_visit *visit,
                 void *opaque); /* and more */
};

struct virtio_device {
    struct pci_device pci;
    const struct virtio_type *type;
    const struct ram *ram;
    struct loop *loop;
    u64 offered, features; /* features: what the driver has taken; 0 before FEATURES_OK */
    u64 driver_features;   /* as written so far */
    u32 offered_select, driver_select;
    u16 queue_select, config_vector;
    u8 status, isr, generation;
    unsigned queue_count;
    struct virtqueue queue[VIRTIO_MAX_QUEUES];
    struct virtio_doorbell doorbell[VIRTIO_MAX_QUEUES];
    bool ioeventfd;  /* the option */
    int kick_fd;     /* rings for all queues, and whoever watches it calls virtio_rung; -1: there is none */
    u8 config[64];   /* of the device; kept up to date by it */
    unsigned window; /* the capability with a way to the registers */
};

/* What virtio_type.pci is, with these. */
struct pci_device *virtio_pci_create(const struct pci_type *type, const struct pci_place *place,
                                     const struct properties *p, struct error *e);
void virtio_pci_reset(struct pci_device *d);
void virtio_pci_destroy(struct pci_device *d);
int virtio_pci_parts(struct pci_device *d, const char *instance, state_visit *visit, void *opaque);
void virtio_pci_restart(struct pci_device *d);
#define VIRTIO_PCI(name_, help_, rows, ...)                                                    \
    {                                                                                          \
        .name = name_ "-pci", .alias = name_, .help = help_, .properties = rows,               \
        .create = virtio_pci_create, .reset = virtio_pci_reset, .destroy = virtio_pci_destroy, \
        .parts = virtio_pci_parts, .restart = virtio_pci_restart, __VA_ARGS__                  \
    }

#define VIRTIO_ROWS(type)                                                   \
    {                                                                       \
        "ioeventfd", PROPERTY_BOOL, offsetof(type, v.ioeventfd), "on",      \
            "the guest does not wait while the device takes a notification" \
    }

static inline bool virtio_has(const struct virtio_device *d, unsigned feature)
{
    return d->features >> feature & 1;
}

/* In type->create. size: a power of 2. */
void virtio_add_queue(struct virtio_device *d, u16 size);

static inline bool virtio_running(const struct virtio_device *d)
{
    return (d->status & (VIRTIO_DRIVER_OK | VIRTIO_NEEDS_RESET)) == VIRTIO_DRIVER_OK;
}

/* The guest stands still, and its memory with it: who has something for it waits for pci_bus_go. */
static inline bool virtio_is_held(const struct virtio_device *d)
{
    return d->pci.bus && d->pci.bus->still;
}

/* The driver says that there is something in the queue; in all of them. */
void virtio_notified(struct virtio_device *d, unsigned queue);
void virtio_rung(struct virtio_device *d);

/* doorbell.c: the queue is enabled, and not any more. */
void virtio_doorbell_on(struct virtqueue *q);
void virtio_doorbell_off(struct virtqueue *q);

/* The driver has done what it must not do. */
void virtio_broken(struct virtio_device *d);
/* d->config has changed: tells the driver. */
void virtio_config_changed(struct virtio_device *d);

/* ---- queue.c ---- */

/* Takes the rings into use, or says no: they are not in memory, or not aligned. */
bool virtq_enable(struct virtqueue *q);

/* Takes enabled rings into use again, as they were. */
bool virtq_restore(struct virtqueue *q);

/* The next chain: true. Else the queue is empty, and the driver will notify when it is not; or broken. */
bool virtq_pop(struct virtqueue *q, struct virtq_chain *c);
/* The chain that begins there, which was popped before and is not used yet; false: broken. */
bool virtq_chain_at(struct virtqueue *q, u16 head, struct virtq_chain *c);
/* Gives the chain back that was popped last, as if it had not been. */
void virtq_unpop(struct virtqueue *q);
/* Whether virtq_pop would give one. Asks the driver to notify if not. */
bool virtq_ready(struct virtqueue *q);

/* Writes to the chain's in part, from `offset` bytes on; how many there was room for. What a device writes to
 * it by other means, it marks (ram_mark). */
size_t virtq_write(struct virtqueue *q, const struct virtq_chain *c, size_t offset, const void *from,
                   size_t bytes);

/* The chain is used: `written` bytes of its in part. virtq_notify then interrupts, if the driver wants it. */
void virtq_push(struct virtqueue *q, u16 head, u32 written);
/* For several chains at once (mergeable receive buffers): fill each, then publish all. */
void virtq_fill(struct virtqueue *q, unsigned ahead, u16 head, u32 written);
void virtq_flush(struct virtqueue *q, unsigned count);
void virtq_notify(struct virtqueue *q);

/* Between a buffer and an iovec; from `offset` bytes on. The bytes copied: fewer where the iovec ends. */
size_t iov_read(const struct iovec *iov, unsigned count, size_t offset, void *to, size_t bytes);
size_t iov_write(const struct iovec *iov, unsigned count, size_t offset, const void *from, size_t bytes);
size_t iov_fill(const struct iovec *iov, unsigned count, size_t offset, u8 value, size_t bytes);
/* Makes the part [offset, offset + bytes) of iov in `part`, which has room for `count`; the entries that it
 * takes. */
unsigned iov_part(const struct iovec *iov, unsigned count, size_t offset, size_t bytes, struct iovec *part);

#endif
