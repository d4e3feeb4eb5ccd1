/* msr_filter.c - KVM_X86_SET_MSR_FILTER (api.rst 4.97): which MSRs guests may read and write */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>

#include "hypervisor/api/api.h"
#include "hypervisor/api/user.h"
#include "hypervisor/cpu/msr_exit.h"

enum { BITMAP_MAX = 0x600 }; /* bytes: KVM_MSR_FILTER_MAX_BITMAP_SIZE */

void msr_filter_destroy(struct msr_filter *f)
{
    if (!f)
        return;
    for (size_t i = 0; i < ARRAY_SIZE(f->range); i++)
        free(f->range[i].bitmap);
    free(f);
}

static int range_set(struct msr_range *to, const struct kvm_msr_filter_range *from)
{
    size_t bytes = ((size_t)from->nmsrs + 7) / 8;

    if (from->flags & ~(u32)(KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE))
        return -EINVAL;
    if (!from->nmsrs)
        return 0;
    if (!from->flags || bytes > BITMAP_MAX)
        return -EINVAL;
    to->bitmap = malloc(bytes);
    if (!to->bitmap)
        return -ENOMEM;
    to->flags = from->flags;
    to->base = from->base;
    to->count = from->nmsrs;
    return user_read(to->bitmap, (u64)from->bitmap, bytes);
}

static int filter_fill(struct msr_filter *f, const struct kvm_msr_filter *from)
{
    bool empty = true;
    int r = 0;

    f->allow = !(from->flags & KVM_MSR_FILTER_DEFAULT_DENY);
    for (size_t i = 0; i < ARRAY_SIZE(f->range) && !r; i++) {
        r = range_set(&f->range[i], &from->ranges[i]);
        empty &= !from->ranges[i].nmsrs;
    }
    if (!r && empty && !f->allow) /* a guest that may read no MSR at all cannot be meant */
        r = -EINVAL;
    return r;
}

int vm_set_msr_filter(struct vm *vm, union ioctl_arg arg)
{
    const struct kvm_msr_filter *from = arg.data;

    if (from->flags & ~(u32)KVM_MSR_FILTER_DEFAULT_DENY)
        return -EINVAL;
    struct msr_filter *f = calloc(1, sizeof(*f)), *old = vm->msr_filter;
    int r = f ? filter_fill(f, from) : -ENOMEM;
    if (r) {
        msr_filter_destroy(f);
        return r;
    }
    vm_stop_vcpus(vm);
    vm->msr_filter = f;
    vm_resume_vcpus(vm);
    msr_filter_destroy(old);
    return 0;
}
