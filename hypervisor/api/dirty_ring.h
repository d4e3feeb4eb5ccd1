/* dirty_ring.h - pages that guests have written to, in a ring of each vcpu (KVM_CAP_DIRTY_LOG_RING;
 * api.rst 8.29) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A page enters the ring of the vcpu that wrote to it, once: a bit in the slot's bitmap says that it is
 * there, until user space has harvested it (KVM_DIRTY_GFN_F_RESET) and called KVM_RESET_DIRTY_RINGS.
 */
#ifndef API_DIRTY_RING_H
#define API_DIRTY_RING_H

#include "hypervisor/vm.h"

enum {
    DIRTY_RING_MAX = 65536 * sizeof(struct kvm_dirty_gfn), /* bytes: KVM_DIRTY_RING_MAX_ENTRIES */
    DIRTY_RING_OFFSET = 64 * 4096,                         /* in a vcpu's file: KVM_DIRTY_LOG_PAGE_OFFSET */
};

/* For KVM_ENABLE_CAP, before there are vcpus. 0, -EINVAL, -E2BIG. */
int dirty_ring_enable(struct vm *vm, u64 bytes);
/* The ring of a new vcpu, in its file. 0 or -errno. */
int dirty_ring_create(struct vcpu *v);
void dirty_ring_destroy(struct vcpu *v);
/* A page of slot s, by its number there, that is not in a ring yet. Any thread. */
void dirty_ring_push(struct vcpu *v, const struct memslot *s, u64 page);
/* The next KVM_RUN is to end with KVM_EXIT_DIRTY_RING_FULL. */
bool dirty_ring_is_full(const struct vcpu *v);
/* There is no room but for what a vcpu writes without executing an instruction: it must leave this one. */
bool dirty_ring_is_at_end(const struct vcpu *v);

#endif
