/* guest_debug.c - KVM_SET_GUEST_DEBUG: who debugs the guest from outside (api.rst 4.87; cpu/debug.h) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>

#include "hypervisor/api/api.h"
#include "hypervisor/cpu/debug.h"

/* The injected exception is the guest's own, of which the debugger has found that it was not meant. */
static int inject(struct vcpu *v, u32 control)
{
    if (!(control & (KVM_GUESTDBG_INJECT_DB | KVM_GUESTDBG_INJECT_BP)))
        return 0;
    if (v->event.pending || v->debug.trap)
        return -EBUSY;
    event_inject_exception(v, control & KVM_GUESTDBG_INJECT_DB ? EXC_DB : EXC_BP);
    return 0;
}

/* Bits of control that are not known are ignored, as by the kernel. */
int vcpu_set_guest_debug(struct vcpu *v, union ioctl_arg arg)
{
    const struct kvm_guest_debug *d = arg.data;
    int r = inject(v, d->control);

    if (r)
        return r;
    v->debug.control = d->control & KVM_GUESTDBG_ENABLE ? d->control : 0;
    memcpy(v->debug.host_dr, d->arch.debugreg, sizeof(v->debug.host_dr));
    debug_update(v);
    vcpu_kick(v, REQ_EVENT);
    return 0;
}
