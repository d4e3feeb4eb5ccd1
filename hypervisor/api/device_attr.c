/* device_attr.c - KVM_HAS/GET/SET_DEVICE_ATTR (api.rst 4.80, 4.81; devices/vcpu.rst) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>

#include "hypervisor/api/api.h"
#include "hypervisor/api/user.h"
#include "hypervisor/irq/irq.h"

enum { SYSTEM_GROUP = 0 }; /* of the system descriptor's attributes, which have no group */

static bool is_xcomp_guest_supp(const struct kvm_device_attr *a)
{
    return a->group == SYSTEM_GROUP && a->attr == KVM_X86_XCOMP_GUEST_SUPP;
}

static int system_attr(const struct kvm_device_attr *a)
{
    return is_xcomp_guest_supp(a) ? 0 : -ENXIO;
}

int system_has_device_attr(union ioctl_arg arg)
{
    return system_attr(arg.data);
}

int system_get_device_attr(union ioctl_arg arg)
{
    const struct kvm_device_attr *a = arg.data;
    u64 xcr0 = xcr0_offered();
    int r = system_attr(a);

    return r ? r : user_write(a->addr, &xcr0, sizeof(xcr0));
}

static int vcpu_attr(const struct kvm_device_attr *a)
{
    return a->group == KVM_VCPU_TSC_CTRL && a->attr == KVM_VCPU_TSC_OFFSET ? 0 : -ENXIO;
}

int vcpu_has_device_attr(struct vcpu *v, union ioctl_arg arg)
{
    (void)v;
    return vcpu_attr(arg.data);
}

int vcpu_get_device_attr(struct vcpu *v, union ioctl_arg arg)
{
    const struct kvm_device_attr *a = arg.data;
    int r = vcpu_attr(a);

    return r ? r : user_write(a->addr, &v->tsc_offset, sizeof(v->tsc_offset));
}

int vcpu_set_device_attr(struct vcpu *v, union ioctl_arg arg)
{
    const struct kvm_device_attr *a = arg.data;
    u64 offset;
    int r = vcpu_attr(a);

    if (!r)
        r = user_read(&offset, a->addr, sizeof(offset));
    if (r)
        return r;
    pthread_rwlock_rdlock(&v->vm->slots_lock); /* the clock's pages change with it */
    tsc_set_offset(v, offset, true);
    pthread_rwlock_unlock(&v->vm->slots_lock);
    return 0;
}
