/* pv_eoi.c - the end of an interrupt by a bit in the guest's memory, MSR_KVM_PV_EOI_EN
 * (Documentation/virt/kvm/x86/msr.rst) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An interrupt whose end nobody waits for is announced by a bit: a guest that finds it set clears it, and
 * need not write the EOI register. The bit is set when the interrupt is taken and nothing else is in service
 * or requested. It is taken back before anybody looks at the local APIC: if the guest has cleared it, the
 * interrupt has ended; else the guest is to write the register, as it would have done without the bit.
 *
 * Only the vcpu's own thread touches the bit, so that the guest's test and ours are one after the other. Who
 * else makes an interrupt pending meanwhile kicks the vcpu, whichever its priority is.
 */
#include <linux/kvm_para.h>

#include "hypervisor/irq/chips.h"

enum { PV_EOI_ENABLED = KVM_MSR_ENABLED };

/* The guest's byte, or NULL. */
static u8 *pv_eoi_byte(struct vcpu *v)
{
    gpa a = v->pv_eoi_msr & ~(u64)PV_EOI_ENABLED;
    bool writable;
    u8 *page =
        v->pv_eoi_msr & PV_EOI_ENABLED ? phys_page(vm_memory(v->vm), ALIGN_DOWN(a, 4096), &writable) : NULL;

    return page && writable ? page + (a & 4095) : NULL;
}

static bool pv_eoi_store(struct vcpu *v, u8 value)
{
    gpa a = v->pv_eoi_msr & ~(u64)PV_EOI_ENABLED;
    u8 *byte = pv_eoi_byte(v);

    if (!byte)
        return false;
    *byte = value;
    memory_mark_dirty(v, memory_find(vm_memory(v->vm), a), a);
    return true;
}

void pv_eoi_offer(struct lapic *l, u8 vector)
{
    if (!(l->v->pv_eoi_msr & PV_EOI_ENABLED) || !lapic_is_alone(l, vector) || ioapic_sends(l->chips, vector))
        return;
    l->pv_eoi = pv_eoi_store(l->v, KVM_PV_EOI_ENABLED);
}

void pv_eoi_take_back(struct lapic *l)
{
    const u8 *byte;

    if (!l->pv_eoi)
        return;
    l->pv_eoi = false;
    byte = pv_eoi_byte(l->v);
    if (!byte || *byte)
        pv_eoi_store(l->v, KVM_PV_EOI_DISABLED);
    else
        lapic_eoi(l);
}

void pv_eoi_leave(struct vcpu *v)
{
    struct lapic *l = v->lapic;

    if (!l || !l->pv_eoi)
        return;
    pthread_mutex_lock(&l->chips->lock);
    pv_eoi_take_back(l);
    pthread_mutex_unlock(&l->chips->lock);
}

/* The byte is part of an aligned word, as guests test it so. */
bool pv_eoi_write(struct vcpu *v, u64 msr)
{
    if (!v->lapic || msr & 2)
        return false;
    v->pv_eoi_msr = msr;
    return !(msr & PV_EOI_ENABLED) || pv_eoi_byte(v);
}
