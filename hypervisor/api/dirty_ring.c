/* dirty_ring.c - pages that guests have written to, in a ring of each vcpu (KVM_CAP_DIRTY_LOG_RING;
 * api.rst 8.29) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <sys/mman.h>

#include "hypervisor/api/api.h"
#include "hypervisor/api/dirty_ring.h"

/* Of a ring, how many entries are kept for what happens between the moment when the rest is used and the
 * exit: the stores of one block of translated code, with the page walks that these need. */
enum { RESERVED = 576, RESERVED_AT_END = 32 };

int dirty_ring_enable(struct vm *vm, u64 bytes)
{
    if (!bytes || bytes & (bytes - 1) || bytes < RESERVED * sizeof(struct kvm_dirty_gfn))
        return -EINVAL;
    if (bytes > DIRTY_RING_MAX)
        return -E2BIG;
    if (vm->dirty_ring_bytes || vm->vcpu_count)
        return -EINVAL;
    vm->dirty_ring_bytes = (u32)bytes;
    return 0;
}

int dirty_ring_create(struct vcpu *v)
{
    size_t bytes = v->vm->dirty_ring_bytes;

    if (!bytes)
        return 0;
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, DIRTY_RING_OFFSET);
    if (p == MAP_FAILED)
        return -errno;
    pthread_mutex_init(&v->ring.lock, NULL);
    v->ring.entries = (u32)(bytes / sizeof(struct kvm_dirty_gfn));
    v->ring.gfn = p;
    return 0;
}

void dirty_ring_destroy(struct vcpu *v)
{
    if (!v->ring.gfn)
        return;
    munmap(v->ring.gfn, v->ring.entries * sizeof(struct kvm_dirty_gfn));
    pthread_mutex_destroy(&v->ring.lock);
}

static u32 room(const struct vcpu *v)
{
    return v->ring.entries - (atomic_load(&v->ring.pushed) - atomic_load(&v->ring.reset));
}

static struct kvm_dirty_gfn *entry(struct vcpu *v, u32 index)
{
    return &v->ring.gfn[index & (v->ring.entries - 1)];
}

bool dirty_ring_is_full(const struct vcpu *v)
{
    return v->ring.gfn && room(v) <= RESERVED;
}

bool dirty_ring_is_at_end(const struct vcpu *v)
{
    return v->ring.gfn && room(v) <= RESERVED_AT_END;
}

void dirty_ring_push(struct vcpu *v, const struct memslot *s, u64 page)
{
    pthread_mutex_lock(&v->ring.lock);
    if (room(v)) {
        struct kvm_dirty_gfn *e = entry(v, v->ring.pushed);
        e->slot = s->id;
        e->offset = page;
        __atomic_store_n(&e->flags, KVM_DIRTY_GFN_F_DIRTY, __ATOMIC_RELEASE);
        v->ring.pushed++;
    }
    pthread_mutex_unlock(&v->ring.lock);
    if (dirty_ring_is_full(v))
        vcpu_kick(v, REQ_LOOK);
}

/* The entries are in memory that user space may write what it likes to. */
static void page_reset(struct vm *vm, const struct kvm_dirty_gfn *e)
{
    u32 id = __atomic_load_n(&e->slot, __ATOMIC_RELAXED);
    u64 page = __atomic_load_n(&e->offset, __ATOMIC_RELAXED);

    struct memslot *s = memory_slot(vm, id);

    if (s && s->dirty && page < s->pages)
        s->dirty[page / 64] &= ~BIT(page % 64);
}

static int ring_reset(struct vcpu *v)
{
    int count = 0;

    while (atomic_load(&v->ring.reset) != atomic_load(&v->ring.pushed)) {
        struct kvm_dirty_gfn *e = entry(v, v->ring.reset);
        if (!(__atomic_load_n(&e->flags, __ATOMIC_ACQUIRE) & KVM_DIRTY_GFN_F_RESET))
            break;
        page_reset(v->vm, e);
        __atomic_store_n(&e->flags, 0, __ATOMIC_RELEASE);
        v->ring.reset++;
        count++;
    }
    return count;
}

/* api.rst 4.135. How many pages were reset; from then on, a write to one of them is noted again. */
int vm_reset_dirty_rings(struct vm *vm, union ioctl_arg arg)
{
    int count = 0;

    (void)arg;
    if (!vm->dirty_ring_bytes)
        return -EINVAL;
    memory_change_begin(vm);
    for (unsigned i = 0; i < vm->vcpu_count; i++)
        count += ring_reset(vm->vcpu[i]);
    memory_change_end(vm);
    return count;
}
