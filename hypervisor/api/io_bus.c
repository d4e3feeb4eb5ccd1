/* io_bus.c - KVM_IOEVENTFD, KVM_REGISTER_COALESCED_MMIO (api.rst 4.59, 4.116) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hypervisor/api/api.h"
#include "hypervisor/api/io_bus.h"
#include "hypervisor/api/eventfd.h"
#include "hypervisor/translate/engine.h"

enum { MAX_ZONES = 1000 }; /* NR_IOBUS_DEVS of the kernel, which does not count ioeventfds */

struct ioeventfd {
    enum io_bus_kind kind;
    u64 address, match;
    u32 len; /* 0: any */
    bool any_value;
    struct eventfd eventfd;
};

struct zone {
    enum io_bus_kind kind;
    u64 address;
    u32 size;
};

/* Lists in the order of registration, which is the order in which they are asked. */
struct io_bus {
    pthread_rwlock_t lock; /* after vm->lock and a vcpu's lock; a leaf */
    struct ioeventfd *ioeventfd;
    unsigned ioeventfds, room;
    struct zone zone[MAX_ZONES];
    unsigned zones;
};

struct io_bus *io_bus_create(void)
{
    struct io_bus *b = calloc(1, sizeof(*b));

    if (b)
        pthread_rwlock_init(&b->lock, NULL);
    return b;
}

void io_bus_destroy(struct io_bus *b)
{
    for (unsigned i = 0; i < b->ioeventfds; i++)
        eventfd_drop(&b->ioeventfd[i].eventfd);
    pthread_rwlock_destroy(&b->lock);
    free(b->ioeventfd);
    free(b);
}

/* ---- a guest's write ---- */

static bool ioeventfd_matches(const struct ioeventfd *e, enum io_bus_kind kind, u64 address, unsigned len,
                              u64 value)
{
    if (e->kind != kind || e->address != address)
        return false;
    return !e->len || (e->len == len && (e->any_value || e->match == value));
}

static bool zone_holds(const struct zone *z, enum io_bus_kind kind, u64 address, u64 len)
{
    return z->kind == kind && address >= z->address && len <= z->size &&
           address - z->address <= z->size - len;
}

/*
 * The kernel has one ring for a VM, to be seen through each vcpu's mapping. Here each mapping has pages of
 * its own, and the ring is that of the vcpu that was made first. Its indices are the client's to change: they
 * are read once. false: it is full.
 */
static bool ring_append(struct vm *vm, enum io_bus_kind kind, u64 address, unsigned len, const void *data)
{
    enum { ENTRIES = (4096 - sizeof(struct kvm_coalesced_mmio_ring)) / sizeof(struct kvm_coalesced_mmio) };
    struct kvm_coalesced_mmio_ring *ring =
        (void *)((u8 *)vm->vcpu[0]->run + KVM_COALESCED_MMIO_PAGE_OFFSET * 4096);
    u32 last = __atomic_load_n(&ring->last, __ATOMIC_RELAXED), next = (last + 1) % ENTRIES;

    if (last >= ENTRIES || next == __atomic_load_n(&ring->first, __ATOMIC_ACQUIRE))
        return false;
    struct kvm_coalesced_mmio *m = &ring->coalesced_mmio[last];
    m->phys_addr = address;
    m->len = len;
    m->pio = kind == BUS_PIO;
    memcpy(m->data, data, len);
    __atomic_store_n(&ring->last, next, __ATOMIC_RELEASE);
    return true;
}

static bool signal_ioeventfd(struct io_bus *b, enum io_bus_kind kind, u64 address, unsigned len,
                             const void *data)
{
    bool found = false;
    u64 value = 0;

    memcpy(&value, data, len);
    pthread_rwlock_rdlock(&b->lock);
    for (unsigned i = 0; i < b->ioeventfds && !found; i++)
        if (ioeventfd_matches(&b->ioeventfd[i], kind, address, len, value)) {
            eventfd_signal(&b->ioeventfd[i].eventfd);
            found = true;
        }
    pthread_rwlock_unlock(&b->lock);
    return found;
}

/* The lock is held for writing: it orders the ring's writers, too. */
static bool coalesce(struct vm *vm, enum io_bus_kind kind, u64 address, unsigned len, const void *data)
{
    struct io_bus *b = vm->io_bus;
    bool done = false;

    if (!__atomic_load_n(&b->zones, __ATOMIC_RELAXED))
        return false;
    pthread_rwlock_wrlock(&b->lock);
    for (unsigned i = 0; i < b->zones && !done; i++)
        done = zone_holds(&b->zone[i], kind, address, len) && ring_append(vm, kind, address, len, data);
    pthread_rwlock_unlock(&b->lock);
    return done;
}

bool io_bus_write(struct vcpu *v, enum io_bus_kind kind, u64 address, unsigned len, const void *data)
{
    if (signal_ioeventfd(v->vm->io_bus, kind, address, len, data)) {
        engine_new_generation(v->vm); /* what the device will do is not told by anything else */
        return true;
    }
    return coalesce(v->vm, kind, address, len, data);
}

/* ---- KVM_IOEVENTFD ---- */

static int ioeventfd_check(const struct kvm_ioeventfd *k)
{
    bool sized = k->len == 1 || k->len == 2 || k->len == 4 || k->len == 8;

    if ((k->len && !sized) || k->addr + k->len < k->addr)
        return -EINVAL;
    if (k->flags & ~(u32)KVM_IOEVENTFD_VALID_FLAG_MASK)
        return -EINVAL;
    return !k->len && (k->flags & KVM_IOEVENTFD_FLAG_DATAMATCH) ? -EINVAL : 0;
}

static enum io_bus_kind ioeventfd_kind(u32 flags)
{
    if (flags & KVM_IOEVENTFD_FLAG_PIO)
        return BUS_PIO;
    return flags & KVM_IOEVENTFD_FLAG_VIRTIO_CCW_NOTIFY ? BUS_CCW : BUS_MMIO;
}

static struct ioeventfd ioeventfd_make(const struct kvm_ioeventfd *k)
{
    return (struct ioeventfd){
        .kind = ioeventfd_kind(k->flags),
        .address = k->addr,
        .len = k->len,
        .any_value = !(k->flags & KVM_IOEVENTFD_FLAG_DATAMATCH),
        .match = k->datamatch,
    };
}

/* One write would go to both. */
static bool ioeventfds_collide(const struct ioeventfd *a, const struct ioeventfd *b)
{
    if (a->kind != b->kind || a->address != b->address)
        return false;
    if (!a->len || !b->len)
        return true;
    return a->len == b->len && (a->any_value || b->any_value || a->match == b->match);
}

static int make_room(struct io_bus *b)
{
    unsigned room = b->room ? 2 * b->room : 16;
    struct ioeventfd *p = realloc(b->ioeventfd, room * sizeof(*p));

    if (!p)
        return -ENOMEM;
    b->ioeventfd = p;
    b->room = room;
    return 0;
}

static int ioeventfd_add(struct io_bus *b, const struct ioeventfd *e)
{
    int r = 0;

    for (unsigned i = 0; i < b->ioeventfds; i++)
        if (ioeventfds_collide(&b->ioeventfd[i], e))
            return -EEXIST;
    pthread_rwlock_wrlock(&b->lock);
    if (b->ioeventfds == b->room)
        r = make_room(b);
    if (!r)
        b->ioeventfd[b->ioeventfds++] = *e;
    pthread_rwlock_unlock(&b->lock);
    return r;
}

static int ioeventfd_assign(struct io_bus *b, const struct kvm_ioeventfd *k)
{
    struct ioeventfd e = ioeventfd_make(k);
    int r = eventfd_hold(k->fd, &e.eventfd);

    if (r)
        return r;
    r = ioeventfd_add(b, &e);
    if (r)
        eventfd_drop(&e.eventfd);
    return r;
}

static bool ioeventfds_equal(const struct ioeventfd *a, const struct ioeventfd *b)
{
    return a->kind == b->kind && a->address == b->address && a->len == b->len &&
           a->any_value == b->any_value && (a->any_value || a->match == b->match) &&
           a->eventfd.id == b->eventfd.id;
}

static int ioeventfd_remove(struct io_bus *b, const struct ioeventfd *e)
{
    unsigned i = 0;

    while (i < b->ioeventfds && !ioeventfds_equal(&b->ioeventfd[i], e))
        i++;
    if (i == b->ioeventfds)
        return -ENOENT;
    pthread_rwlock_wrlock(&b->lock);
    eventfd_drop(&b->ioeventfd[i].eventfd);
    b->ioeventfds--;
    memmove(&b->ioeventfd[i], &b->ioeventfd[i + 1], (b->ioeventfds - i) * sizeof(*e));
    pthread_rwlock_unlock(&b->lock);
    return 0;
}

static int ioeventfd_deassign(struct io_bus *b, const struct kvm_ioeventfd *k)
{
    struct ioeventfd e = ioeventfd_make(k);
    int r = eventfd_hold(k->fd, &e.eventfd);

    if (r)
        return r;
    r = ioeventfd_remove(b, &e);
    eventfd_drop(&e.eventfd);
    return r;
}

int vm_ioeventfd(struct vm *vm, union ioctl_arg arg)
{
    const struct kvm_ioeventfd *k = arg.data;

    if (k->flags & KVM_IOEVENTFD_FLAG_DEASSIGN)
        return ioeventfd_deassign(vm->io_bus, k);
    int r = ioeventfd_check(k);
    return r ? r : ioeventfd_assign(vm->io_bus, k);
}

/* ---- KVM_REGISTER_COALESCED_MMIO, KVM_UNREGISTER_COALESCED_MMIO ---- */

int vm_register_coalesced_mmio(struct vm *vm, union ioctl_arg arg)
{
    const struct kvm_coalesced_mmio_zone *z = arg.data;
    struct io_bus *b = vm->io_bus;

    if (z->pio > 1)
        return -EINVAL;
    if (b->zones == MAX_ZONES)
        return -ENOSPC;
    pthread_rwlock_wrlock(&b->lock);
    b->zone[b->zones++] = (struct zone){z->pio ? BUS_PIO : BUS_MMIO, z->addr, z->size};
    pthread_rwlock_unlock(&b->lock);
    return 0;
}

/* All zones that hold this one; that there are none is no error. */
int vm_unregister_coalesced_mmio(struct vm *vm, union ioctl_arg arg)
{
    const struct kvm_coalesced_mmio_zone *z = arg.data;
    struct io_bus *b = vm->io_bus;
    unsigned kept = 0;

    if (z->pio > 1)
        return -EINVAL;
    pthread_rwlock_wrlock(&b->lock);
    for (unsigned i = 0; i < b->zones; i++)
        if (!zone_holds(&b->zone[i], z->pio ? BUS_PIO : BUS_MMIO, z->addr, z->size))
            b->zone[kept++] = b->zone[i];
    b->zones = kept;
    pthread_rwlock_unlock(&b->lock);
    return 0;
}
