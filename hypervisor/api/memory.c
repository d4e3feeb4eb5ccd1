/* memory.c - memory slots: KVM_SET_USER_MEMORY_REGION, the dirty log, guest-physical accesses
 * (api.rst 4.35, 4.8, 4.117) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hypervisor/api/api.h"
#include "hypervisor/api/dirty_ring.h"
#include "hypervisor/api/user.h"
#include "hypervisor/direct/backing.h"
#include "hypervisor/translate/dump.h"
#include "hypervisor/translate/engine.h"
#include "lodge/kvm_abi.h"

enum { PAGE_SHIFT = 12, PAGE_SIZE = 1 << PAGE_SHIFT };
#define MAX_SLOT_PAGES ((1ull << 31) - 1) /* KVM_MEM_MAX_NR_PAGES */
#define PHYSICAL_LIMIT BIT(52)            /* SDM 3A 4.1.4: MAXPHYADDR is at most 52 */
#define USER_SPACE_END (BIT(47) - PAGE_SIZE)

static u64 slot_size(const struct memslot *s)
{
    return s->pages << PAGE_SHIFT;
}

static bool slot_holds(const struct memslot *s, gpa a)
{
    return a - s->base < slot_size(s);
}

/* The index of the first slot whose base is above a. */
static unsigned upper_bound(const struct memory *m, gpa a)
{
    unsigned low = 0, high = m->count;

    while (low < high) {
        unsigned middle = (low + high) / 2;
        if (m->slot[middle].base <= a)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct memslot *memory_find(const struct memory *m, gpa a)
{
    unsigned i = upper_bound(m, a);
    const struct memslot *s = i ? &m->slot[i - 1] : NULL;

    return s && slot_holds(s, a) ? (struct memslot *)s : NULL;
}

/* ---- guest-physical accesses ---- */

static size_t bytes_in_slot(const struct memslot *s, gpa a, size_t n)
{
    return min((u64)n, s->base + slot_size(s) - a);
}

/* Whether all of [a, a + n) is RAM, writable RAM if write. */
static bool range_is_ram(const struct memory *m, gpa a, size_t n, bool write)
{
    while (n) {
        struct memslot *s = memory_find(m, a);
        if (!s || (write && (s->flags & KVM_MEM_READONLY)))
            return false;
        size_t part = bytes_in_slot(s, a, n);
        a += part;
        n -= part;
    }
    return true;
}

bool phys_read(const struct memory *m, gpa a, void *buf, size_t n)
{
    u8 *to = buf;

    if (!range_is_ram(m, a, n, false))
        return false;
    while (n) {
        struct memslot *s = memory_find(m, a);
        size_t part = bytes_in_slot(s, a, n);
        memcpy(to, s->host + (a - s->base), part);
        a += part;
        to += part;
        n -= part;
    }
    return true;
}

static void mark_dirty_range(struct vcpu *v, struct memslot *s, gpa a, size_t n)
{
    for (gpa page = ALIGN_DOWN(a, PAGE_SIZE); page < a + n; page += PAGE_SIZE)
        memory_mark_dirty(v, s, page);
}

static bool range_write(const struct memory *m, struct vcpu *v, gpa a, const void *buf, size_t n)
{
    const u8 *from = buf;

    if (!range_is_ram(m, a, n, true))
        return false;
    while (n) {
        struct memslot *s = memory_find(m, a);
        size_t part = bytes_in_slot(s, a, n);
        memcpy(s->host + (a - s->base), from, part);
        mark_dirty_range(v, s, a, part);
        a += part;
        from += part;
        n -= part;
    }
    return true;
}

/* On behalf of the VM: it stands in the first vcpu's ring. */
bool phys_write(struct vm *vm, gpa a, const void *buf, size_t n)
{
    return range_write(vm_memory(vm), vm->vcpu[0], a, buf, n);
}

bool vcpu_phys_write(struct vcpu *v, gpa a, const void *buf, size_t n)
{
    return range_write(vcpu_memory(v), v, a, buf, n);
}

u8 *phys_page(const struct memory *m, gpa a, bool *writable)
{
    struct memslot *s = memory_find(m, a);

    if (!s)
        return NULL;
    if (writable)
        *writable = !(s->flags & KVM_MEM_READONLY);
    return s->host + (ALIGN_DOWN(a, PAGE_SIZE) - s->base);
}

void memory_mark_dirty(struct vcpu *v, struct memslot *s, gpa a)
{
    u64 page = (a - s->base) >> PAGE_SHIFT, bit = BIT(page % 64);

    if (s->dirty && !(__atomic_fetch_or(&s->dirty[page / 64], bit, __ATOMIC_RELAXED) & bit) && v->ring.gfn)
        dirty_ring_push(v, s, page);
}

/* ---- changes: with vm->lock, and nobody else looking ---- */

/* Its memory may become one that shadows can map. */
static void adopt(struct vm *vm, const struct memslot *s)
{
    bool has_run = false;
    for (unsigned i = 0; i < vm->vcpu_count; i++)
        has_run |= vm->vcpu[i]->has_run;
    if (vm->backing)
        backing_adopt(vm->backing, s->host, slot_size(s), has_run);
}

void memory_change_begin(struct vm *vm)
{
    pthread_rwlock_wrlock(&vm->slots_lock);
    vm_stop_vcpus(vm);
}

void memory_change_end(struct vm *vm)
{
    engine_slots_changed(vm);
    vm_resume_vcpus(vm);
    pthread_rwlock_unlock(&vm->slots_lock);
}

/* Bits 31:16 of a slot's number are its address space. */
static bool id_is_valid(u32 id)
{
    return id >> 16 < ADDRESS_SPACES && (id & 0xffff) < VM_MAX_SLOTS;
}

static struct memory *memory_of_id(struct vm *vm, u32 id)
{
    return &vm->memory[id >> 16];
}

struct memslot *memory_slot(struct vm *vm, u32 id)
{
    if (!id_is_valid(id))
        return NULL;
    struct memory *m = memory_of_id(vm, id);
    for (unsigned i = 0; i < m->count; i++)
        if (m->slot[i].id == id)
            return &m->slot[i];
    return NULL;
}

static void slot_remove(struct memory *m, struct memslot *s)
{
    m->count--;
    memmove(s, s + 1, (size_t)(&m->slot[m->count] - s) * sizeof(*s));
}

static void slot_insert(struct memory *m, struct memslot s)
{
    unsigned i = upper_bound(m, s.base);

    memmove(&m->slot[i + 1], &m->slot[i], (m->count - i) * sizeof(s));
    m->slot[i] = s;
    m->count++;
}

/* Rounded up to 64 pages, as the bitmap that KVM_GET_DIRTY_LOG writes (api.rst 4.8). */
static size_t dirty_words(u64 pages)
{
    return ALIGN_UP(pages, 64) / 64;
}

static bool overlaps_other(const struct memory *m, const struct memslot *s)
{
    for (unsigned i = 0; i < m->count; i++) {
        const struct memslot *other = &m->slot[i];
        if (other->id != s->id && s->base < other->base + slot_size(other) &&
            other->base < s->base + slot_size(s))
            return true;
    }
    return false;
}

/* What can be refused without looking at the slots (the kernel's order). */
static bool region_is_sane(const struct kvm_userspace_memory_region *r)
{
    if (r->flags & ~(u32)(KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY))
        return false;
    if ((r->memory_size | r->guest_phys_addr | r->userspace_addr) % PAGE_SIZE)
        return false;
    if (r->userspace_addr > USER_SPACE_END || r->memory_size > USER_SPACE_END - r->userspace_addr)
        return false;
    if (!id_is_valid(r->slot))
        return false;
    return r->guest_phys_addr + r->memory_size >= r->guest_phys_addr &&
           r->memory_size >> PAGE_SHIFT <= MAX_SLOT_PAGES;
}

static int region_delete(struct vm *vm, struct memslot *old)
{
    u64 *dirty = old->dirty;

    DUMP(NULL, DUMP_MEMORY, "slot %u deleted: gpa %09llx\n", old->id, (unsigned long long)old->base);
    memory_change_begin(vm);
    slot_remove(memory_of_id(vm, old->id), old);
    memory_change_end(vm);
    free(dirty);
    return 0;
}

/* A log begins empty, or with all pages in it, so that the first pass over them needs no protection. */
static u64 *dirty_create(const struct vm *vm, u64 pages)
{
    size_t words = dirty_words(pages);
    u64 *dirty = calloc(words, sizeof(u64));

    if (dirty && (vm->manual_dirty_log & KVM_DIRTY_LOG_INITIALLY_SET) && !vm->dirty_ring_bytes) {
        memset(dirty, 0xff, words * sizeof(u64));
        if (pages % 64)
            dirty[words - 1] = BIT(pages % 64) - 1;
    }
    return dirty;
}

/* Puts s in the place of old, which may be NULL; of a moved slot the dirty log goes on. */
static int region_replace(struct vm *vm, struct memslot *old, struct memslot s)
{
    struct memory *m = memory_of_id(vm, s.id);
    u64 *unused = old ? old->dirty : NULL;

    if (s.flags & KVM_MEM_LOG_DIRTY_PAGES) {
        s.dirty = unused ? unused : dirty_create(vm, s.pages);
        if (!s.dirty)
            return -ENOMEM;
        unused = NULL;
    }
    DUMP(NULL, DUMP_MEMORY, "slot %u %s: gpa %09llx, %llu pages, flags %x\n", s.id, old ? "changed" : "added",
         (unsigned long long)s.base, (unsigned long long)s.pages, s.flags);
    memory_change_begin(vm);
    adopt(vm, &s);
    if (old)
        slot_remove(m, old);
    slot_insert(m, s);
    memory_change_end(vm);
    free(unused);
    return 0;
}

static int region_set(struct vm *vm, const struct kvm_userspace_memory_region *r)
{
    struct memslot s = {.id = r->slot,
                        .flags = r->flags,
                        .base = r->guest_phys_addr,
                        .pages = r->memory_size >> PAGE_SHIFT,
                        .host = (u8 *)r->userspace_addr};

    if (!region_is_sane(r))
        return -EINVAL;
    struct memslot *old = memory_slot(vm, s.id);
    if (!s.pages)
        return old ? region_delete(vm, old) : -EINVAL;
    if (old && (s.host != old->host || s.pages != old->pages || ((s.flags ^ old->flags) & KVM_MEM_READONLY)))
        return -EINVAL;
    if (old && s.base == old->base)
        return s.flags == old->flags ? 0 : region_replace(vm, old, s);
    if (overlaps_other(memory_of_id(vm, s.id), &s))
        return -EEXIST;
    if (s.base + slot_size(&s) > PHYSICAL_LIMIT)
        return -EINVAL;
    return region_replace(vm, old, s);
}

int vm_set_user_memory_region(struct vm *vm, union ioctl_arg arg)
{
    return region_set(vm, arg.data);
}

/* api.rst 4.140: beyond the former, it has guest_memfd, which only confidential VMs have. */
int vm_set_user_memory_region2(struct vm *vm, union ioctl_arg arg)
{
    const struct kvm_userspace_memory_region2 *r = arg.data;

    return region_set(vm, &(struct kvm_userspace_memory_region){.slot = r->slot,
                                                                .flags = r->flags,
                                                                .guest_phys_addr = r->guest_phys_addr,
                                                                .memory_size = r->memory_size,
                                                                .userspace_addr = r->userspace_addr});
}

/* api.rst 4.143: has the host's pages in place, before the guest waits for them. What is done is taken off
 * the range; an error counts only when nothing could be done. */
static int pre_fault(const struct memory *m, struct kvm_pre_fault_memory *range)
{
    u64 whole = range->size;
    int r = 0;

    for (u8 byte; range->size && !r;) {
        struct memslot *s = memory_find(m, range->gpa);
        r = s ? user_read(&byte, (u64)(s->host + (range->gpa - s->base)), sizeof(byte)) : -ENOENT;
        if (!r) {
            range->gpa += PAGE_SIZE;
            range->size -= PAGE_SIZE;
        }
    }
    return range->size == whole ? r : 0;
}

int vcpu_pre_fault_memory(struct vcpu *v, union ioctl_arg arg)
{
    struct kvm_pre_fault_memory *range = arg.data;

    if (range->flags || (range->gpa | range->size) % PAGE_SIZE || range->gpa + range->size <= range->gpa)
        return -EINVAL;
    pthread_rwlock_rdlock(&v->vm->slots_lock);
    int r = pre_fault(vcpu_memory(v), range);
    pthread_rwlock_unlock(&v->vm->slots_lock);
    return r;
}

/* ---- the dirty log ---- */

static struct memslot *logged_slot(struct vm *vm, u32 id, int *r)
{
    struct memslot *s = memory_slot(vm, id);

    if (vm->dirty_ring_bytes) {
        *r = -ENXIO;
        return NULL;
    }
    *r = !id_is_valid(id) ? -EINVAL : !s || !s->dirty ? -ENOENT : 0;
    return s;
}

/* Copies the bitmap, and clears it unless the client does that itself. Vcpus mark a page when their TLB first
 * admits a write to it, so after a clear none may keep such an entry: the slots count as changed. */
static void dirty_take(struct vm *vm, struct memslot *s, u64 *bitmap)
{
    size_t bytes = dirty_words(s->pages) * sizeof(u64);

    if (vm->manual_dirty_log) {
        memcpy(bitmap, s->dirty, bytes);
        return;
    }
    memory_change_begin(vm);
    memcpy(bitmap, s->dirty, bytes);
    memset(s->dirty, 0, bytes);
    memory_change_end(vm);
}

int vm_get_dirty_log(struct vm *vm, union ioctl_arg arg)
{
    const struct kvm_dirty_log *log = arg.data;
    int r;
    struct memslot *s = logged_slot(vm, log->slot, &r);

    if (r)
        return r;
    size_t bytes = dirty_words(s->pages) * sizeof(u64);
    u64 *bitmap = malloc(bytes);
    if (!bitmap)
        return -ENOMEM;
    dirty_take(vm, s, bitmap);
    r = user_write((u64)log->dirty_bitmap, bitmap, bytes);
    free(bitmap);
    return r;
}

static void dirty_clear(struct vm *vm, struct memslot *s, u64 first_page, const u64 *bitmap, size_t words)
{
    memory_change_begin(vm);
    for (size_t i = 0; i < words; i++)
        s->dirty[first_page / 64 + i] &= ~bitmap[i];
    memory_change_end(vm);
}

/* Whole words of the bitmap, but for the slot's last pages. */
static bool clear_is_sane(const struct kvm_clear_dirty_log *log, const struct memslot *s)
{
    return log->first_page <= s->pages && log->num_pages <= s->pages - log->first_page &&
           (log->num_pages == s->pages - log->first_page || !(log->num_pages & 63));
}

int vm_clear_dirty_log(struct vm *vm, union ioctl_arg arg)
{
    const struct kvm_clear_dirty_log *log = arg.data;
    int r;

    if (id_is_valid(log->slot) && (log->first_page & 63))
        return -EINVAL;
    struct memslot *s = logged_slot(vm, log->slot, &r);
    if (r)
        return r;
    if (!clear_is_sane(log, s))
        return -EINVAL;
    size_t words = dirty_words(log->num_pages);
    u64 *bitmap = malloc(words * sizeof(u64) + 1); /* + 1: no page is no failure */
    if (!bitmap)
        return -ENOMEM;
    r = user_read(bitmap, (u64)log->dirty_bitmap, words * sizeof(u64));
    if (!r)
        dirty_clear(vm, s, log->first_page, bitmap, words);
    free(bitmap);
    return r;
}

void memory_destroy(struct vm *vm)
{
    for (const struct memory *m = vm->memory; m < vm->memory + ADDRESS_SPACES; m++)
        for (unsigned i = 0; i < m->count; i++)
            free(m->slot[i].dirty);
}
