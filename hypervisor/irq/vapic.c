/* vapic.c - a task priority that old guests keep in memory: KVM_SET_VAPIC_ADDR, KVM_TPR_ACCESS_REPORTING
 * (api.rst 4.44, 4.46) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The client hears of each access to the TPR, and may patch the guest's code to use a word in memory instead:
 * bits 7:0 are the TPR, which the guest writes, 15:8 the class in service, 31:24 the vector requested, by
 * which it knows that it has to say so when it lowers its priority (KVM_HC_VAPIC_POLL_IRQ). As nobody hears
 * of the guest's writes, the word is read before anybody looks at the local APIC, and whatever makes an
 * interrupt pending kicks the vcpu.
 */
#include "hypervisor/irq/chips.h"

#include <errno.h>

void vapic_load(struct lapic *l)
{
    u32 word;

    if (l->vapic && phys_read(vm_memory(l->v->vm), l->vapic, &word, sizeof(word)))
        *lapic_reg(l, APIC_TPR) = word & 0xff;
}

void vapic_store(struct lapic *l)
{
    int irr, isr;

    if (!l->vapic)
        return;
    lapic_highest(l, &irr, &isr);
    u32 word = (u32)max(irr, 0) << 24 | (u32)(max(isr, 0) & 0xf0) << 8 | (*lapic_reg(l, APIC_TPR) & 0xff);
    phys_write(l->v->vm, l->vapic, &word, sizeof(word));
}

/* The instruction that reads starts again when the client has heard of it. */
void vapic_before_tpr_read(struct vcpu *v)
{
    bool told = v->tpr_access.told;

    v->tpr_access.told = false;
    if (told || !v->lapic->tpr_reports)
        return;
    v->tpr_access.told = true;
    v->run->tpr_access.rip = v->rip;
    v->run->tpr_access.is_write = 0;
    vcpu_exit(v, KVM_EXIT_TPR_ACCESS);
}

/* One that writes ends first. */
void vapic_tpr_written(struct lapic *l)
{
    if (!l->tpr_reports)
        return;
    l->v->tpr_access.written = true;
    l->v->tpr_access.rip = l->v->rip;
    vcpu_kick(l->v, REQ_LOOK);
}

void vapic_enter(struct vcpu *v)
{
    struct lapic *l = v->lapic;

    if (!l || !l->vapic)
        return;
    pthread_mutex_lock(&l->chips->lock);
    lapic_catch_up(l);
    vapic_store(l);
    pthread_mutex_unlock(&l->chips->lock);
}

int vapic_set_address(struct vcpu *v, u64 address)
{
    struct lapic *l = v->lapic;
    u32 word;

    if (!l || (address && !phys_read(vm_memory(v->vm), address, &word, sizeof(word))))
        return -EINVAL;
    l->vapic = address;
    return 0;
}

int vapic_report_accesses(struct vcpu *v, bool on)
{
    if (!v->lapic)
        return -EINVAL;
    v->lapic->tpr_reports = on;
    return 0;
}
