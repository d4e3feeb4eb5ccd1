/* sync_regs.c - registers that travel in kvm_run, without ioctls of their own (KVM_CAP_SYNC_REGS) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>

#include "hypervisor/api/api.h"
#include "hypervisor/api/sync_regs.h"

bool sync_regs_are_known(const struct kvm_run *run)
{
    return !((run->kvm_valid_regs | run->kvm_dirty_regs) & ~(u64)KVM_SYNC_X86_VALID_FIELDS);
}

/* The page is shared with the client, who may write to it meanwhile: each struct is copied before it is
 * looked at. */
int sync_regs_load(struct vcpu *v)
{
    volatile struct kvm_run *run = v->run;
    u64 dirty = run->kvm_dirty_regs;
    struct kvm_sync_regs in = *(struct kvm_sync_regs *)&v->run->s.regs;
    int r = 0;

    if (dirty & KVM_SYNC_X86_REGS) {
        vcpu_set_regs(v, (union ioctl_arg){.data = &in.regs});
        run->kvm_dirty_regs &= ~(u64)KVM_SYNC_X86_REGS;
    }
    if (dirty & KVM_SYNC_X86_SREGS) {
        r = vcpu_set_sregs(v, (union ioctl_arg){.data = &in.sregs});
        if (r)
            return r;
        run->kvm_dirty_regs &= ~(u64)KVM_SYNC_X86_SREGS;
    }
    if (dirty & KVM_SYNC_X86_EVENTS) {
        r = vcpu_set_events(v, (union ioctl_arg){.data = &in.events});
        if (r)
            return r;
        run->kvm_dirty_regs &= ~(u64)KVM_SYNC_X86_EVENTS;
    }
    return 0;
}

void sync_regs_store(struct vcpu *v)
{
    u64 valid = v->run->kvm_valid_regs;
    struct kvm_sync_regs *out = &v->run->s.regs;

    if (valid & KVM_SYNC_X86_REGS)
        vcpu_get_regs(v, (union ioctl_arg){.data = &out->regs});
    if (valid & KVM_SYNC_X86_SREGS) {
        out->sregs = (struct kvm_sregs){0};
        vcpu_get_sregs(v, (union ioctl_arg){.data = &out->sregs});
    }
    if (valid & KVM_SYNC_X86_EVENTS) {
        out->events = (struct kvm_vcpu_events){0};
        vcpu_get_events(v, (union ioctl_arg){.data = &out->events});
    }
}
