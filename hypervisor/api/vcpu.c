/* vcpu.c - ioctls of a vcpu but for its registers: run, events, CPUID, MSRs, local APIC (api.rst ch. 4) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>
#include <linux/kvm_para.h>

#include "hypervisor/api/api.h"
#include "hypervisor/api/sync_regs.h"
#include "hypervisor/api/user.h"
#include "hypervisor/cpu/smm.h"
#include "hypervisor/irq/irq.h"
#include "hypervisor/signals.h"
#include "hypervisor/translate/engine.h"

/* ---- KVM_RUN ---- */

/* The part of kvm_run that is told on every return (api.rst ch. 5). */
static void run_report(struct vcpu *v)
{
    struct kvm_run *run = v->run;

    run->if_flag = !!(v->rflags & FLAG_IF);
    run->flags = v->smm.active ? KVM_RUN_X86_SMM : 0;
    run->apic_base = v->apic_base;
    run->ready_for_interrupt_injection = irqchip_has_pic(v->vm) || vcpu_interrupt_window(v);
    if (v->lapic)
        run->cr8 = lapic_get_tpr(v);
}

int vcpu_ioctl_run(struct vcpu *v, union ioctl_arg arg)
{
    (void)arg;
    if (!sync_regs_are_known(v->run))
        return -EINVAL;
    if (!v->has_run)
        signals_watch();
    v->has_run = true;
    int r = sync_regs_load(v);
    if (!r)
        r = !v->lapic && v->run->cr8 > 15 ? -EINVAL : vcpu_run(v);
    sync_regs_store(v);
    run_report(v);
    return r;
}

/* api.rst 4.17 */
int vcpu_set_signal_mask(struct vcpu *v, union ioctl_arg arg)
{
    struct kvm_signal_mask head;
    u64 mask;

    if (!arg.value) {
        signals_set_mask(v, NULL);
        return 0;
    }
    if (user_read(&head, arg.value, sizeof(head)))
        return -EFAULT;
    if (head.len != sizeof(mask))
        return -EINVAL;
    if (user_read(&mask, arg.value + sizeof(head), sizeof(mask)))
        return -EFAULT;
    signals_set_mask(v, &mask);
    return 0;
}

/* ---- events ---- */

/* An exception whose CR2 or DR6 is not written yet travels with it, if user space knows of that. */
static void event_get_exception(struct vcpu *v, struct kvm_vcpu_events *e)
{
    if (!v->vm->exception_payload)
        event_deliver_payload(v);
    e->exception.injected = !v->event.has_payload;
    e->exception.pending = v->event.has_payload;
    e->exception.nr = v->event.vector;
    e->exception.has_error_code = v->event.has_error_code;
    e->exception.error_code = v->event.error_code;
    e->exception_has_payload = v->event.has_payload;
    e->exception_payload = v->event.has_payload ? v->event.payload : 0;
}

/* KVM keeps an exception, an interrupt and an NMI on their way apart; a processor has one at a time. */
int vcpu_get_events(struct vcpu *v, union ioctl_arg arg)
{
    struct kvm_vcpu_events *e = arg.data;
    bool on_its_way = v->event.pending && !v->event.soft; /* a soft one happens anew: rip is still on it */

    if (on_its_way && !v->event.external) {
        event_get_exception(v, e);
    } else if (on_its_way && v->event.vector == EXC_NMI) {
        e->nmi.injected = 1;
    } else if (on_its_way) {
        e->interrupt.injected = 1;
        e->interrupt.nr = v->event.vector;
    }
    e->interrupt.shadow = v->interrupt_shadow;
    e->nmi.pending = v->nmi_pending != 0;
    e->nmi.masked = v->nmi_blocked;
    e->smi.smm = v->smm.active;
    e->smi.pending = v->smm.pending;
    e->smi.smm_inside_nmi = v->smm.inside_nmi;
    e->smi.latched_init = v->init_pending;
    e->triple_fault.pending = v->vm->triple_fault_event && v->triple_fault;
    e->flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW | KVM_VCPUEVENT_VALID_SMM |
               (v->vm->exception_payload ? KVM_VCPUEVENT_VALID_PAYLOAD : 0) |
               (v->vm->triple_fault_event ? KVM_VCPUEVENT_VALID_TRIPLE_FAULT : 0);
    return 0;
}

static bool exception_is_pending(const struct kvm_vcpu_events *e)
{
    return (e->flags & KVM_VCPUEVENT_VALID_PAYLOAD) && e->exception.pending;
}

static int events_check(const struct vcpu *v, const struct kvm_vcpu_events *e)
{
    const u32 known = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SIPI_VECTOR |
                      KVM_VCPUEVENT_VALID_SHADOW | KVM_VCPUEVENT_VALID_SMM |
                      (v->vm->exception_payload ? KVM_VCPUEVENT_VALID_PAYLOAD : 0) |
                      (v->vm->triple_fault_event ? KVM_VCPUEVENT_VALID_TRIPLE_FAULT : 0);
    bool exception = e->exception.injected || exception_is_pending(e);

    if (e->flags & ~known)
        return -EINVAL;
    if (exception && (e->exception.nr > 31 || e->exception.nr == EXC_NMI))
        return -EINVAL;
    if ((e->flags & KVM_VCPUEVENT_VALID_SMM) && (e->smi.smm || e->smi.pending) &&
        v->mp_state == KVM_MP_STATE_INIT_RECEIVED)
        return -EINVAL; /* the SMI is latched there */
    return 0;
}

static void events_set_smm(struct vcpu *v, const struct kvm_vcpu_events *e)
{
    if (v->smm.active != !!e->smi.smm)
        smm_switch(v, e->smi.smm);
    v->smm.pending = e->smi.pending;
    v->smm.inside_nmi = e->smi.smm && e->smi.smm_inside_nmi;
    if (v->lapic)
        v->init_pending = e->smi.latched_init;
}

static void event_set_exception(struct vcpu *v, const struct kvm_vcpu_events *e)
{
    u8 nr = e->exception.nr;

    v->event.pending = true;
    v->event.vector = nr;
    v->event.has_error_code = e->exception.has_error_code;
    v->event.error_code = e->exception.error_code;
    v->event.fault = nr != EXC_DB && nr != EXC_BP && nr != EXC_OF;
    v->event.has_payload = exception_is_pending(e) && e->exception_has_payload;
    v->event.payload = e->exception_payload;
}

int vcpu_set_events(struct vcpu *v, union ioctl_arg arg)
{
    const struct kvm_vcpu_events *e = arg.data;
    int r = events_check(v, e);

    if (r)
        return r;
    memset(&v->event, 0, sizeof(v->event));
    v->debug.trap = 0;
    if (e->exception.injected || exception_is_pending(e))
        event_set_exception(v, e);
    else if (e->nmi.injected)
        event_queue_nmi(v);
    else if (e->interrupt.injected)
        event_queue_interrupt(v, e->interrupt.nr);
    v->nmi_blocked = e->nmi.masked;
    if (e->flags & KVM_VCPUEVENT_VALID_SHADOW)
        v->interrupt_shadow = e->interrupt.shadow;
    if (e->flags & KVM_VCPUEVENT_VALID_NMI_PENDING)
        v->nmi_pending = e->nmi.pending != 0;
    if (e->flags & KVM_VCPUEVENT_VALID_TRIPLE_FAULT)
        v->triple_fault = e->triple_fault.pending;
    if ((e->flags & KVM_VCPUEVENT_VALID_SIPI_VECTOR) && v->lapic)
        v->sipi_vector = (u8)e->sipi_vector;
    if (e->flags & KVM_VCPUEVENT_VALID_SMM)
        events_set_smm(v, e);
    vcpu_kick(v, REQ_EVENT);
    return 0;
}

/* api.rst 4.16: for an interrupt controller in user space, or a PIC beside local APICs that are here. */
int vcpu_interrupt(struct vcpu *v, union ioctl_arg arg)
{
    const struct kvm_interrupt *i = arg.data;

    if (i->irq > 255)
        return -EINVAL;
    if (irqchip_has_pic(v->vm))
        return -ENXIO;
    engine_new_generation(v->vm);
    int r = 0;
    if (v->lapic)
        r = lapic_extint(v, (u8)i->irq);
    else
        event_queue_interrupt(v, (u8)i->irq);
    vcpu_kick(v, REQ_EVENT);
    return r;
}

int vcpu_nmi(struct vcpu *v, union ioctl_arg arg)
{
    (void)arg;
    lapic_nmi(v);
    return 0;
}

int vcpu_smi(struct vcpu *v, union ioctl_arg arg)
{
    (void)arg;
    smi_raise(v);
    return 0;
}

/* ---- local APIC and multiprocessor state ---- */

int vcpu_get_lapic(struct vcpu *v, union ioctl_arg arg)
{
    if (!v->lapic)
        return -EINVAL;
    lapic_get_state(v, arg.data);
    return 0;
}

int vcpu_set_lapic(struct vcpu *v, union ioctl_arg arg)
{
    return v->lapic ? lapic_set_state(v, arg.data) : -EINVAL;
}

int vcpu_get_mp_state(struct vcpu *v, union ioctl_arg arg)
{
    ((struct kvm_mp_state *)arg.data)->mp_state = v->mp_state;
    return 0;
}

/* An INIT waits for the end of system management mode. */
static bool mp_state_is_possible(const struct vcpu *v, u32 state)
{
    bool starts = state == KVM_MP_STATE_INIT_RECEIVED || state == KVM_MP_STATE_SIPI_RECEIVED;

    return !starts || (!v->smm.active && !v->smm.pending);
}

/* api.rst 4.39: states other than RUNNABLE are those of a local APIC that the library has. */
int vcpu_set_mp_state(struct vcpu *v, union ioctl_arg arg)
{
    u32 state = ((const struct kvm_mp_state *)arg.data)->mp_state;

    if (state > KVM_MP_STATE_SIPI_RECEIVED || (!v->lapic && state != KVM_MP_STATE_RUNNABLE) ||
        !mp_state_is_possible(v, state))
        return -EINVAL;
    v->mp_state = state;
    vcpu_kick(v, REQ_EVENT);
    return 0;
}

int vcpu_set_vapic_addr(struct vcpu *v, union ioctl_arg arg)
{
    const struct kvm_vapic_addr *a = arg.data;

    pthread_rwlock_rdlock(&v->vm->slots_lock);
    int r = vapic_set_address(v, a->vapic_addr);
    pthread_rwlock_unlock(&v->vm->slots_lock);
    return r;
}

int vcpu_tpr_access_reporting(struct vcpu *v, union ioctl_arg arg)
{
    const struct kvm_tpr_access_ctl *c = arg.data;

    return c->flags ? -EINVAL : vapic_report_accesses(v, c->enabled);
}

/* ---- CPUID ---- */

enum { CPUID_VADDR_LEAF = 0x80000008 };

/* Virtual addresses have 48 or 57 bits, or the leaf tells nothing (the kernel's kvm_check_cpuid). */
static bool cpuid_is_valid(const struct kvm_cpuid_entry2 *e, u32 n)
{
    for (u32 i = 0; i < n; i++)
        if (e[i].function == CPUID_VADDR_LEAF) {
            u8 bits = (u8)(e[i].eax >> 8);
            return bits == 48 || bits == 57 || bits == 0;
        }
    return true;
}

/* Takes out the bits that follow the state of the processor: they are the library's, not the client's. */
static struct kvm_cpuid_entry2 without_runtime_bits(struct kvm_cpuid_entry2 e)
{
    static const struct {
        u32 function, index, eax, ebx, ecx, edx;
    } runtime[] = {
        /* OSXSAVE, TSC deadline, x2APIC, MONITOR; APIC */
        {.function = 1, .ecx = BIT(27) | BIT(24) | BIT(21) | BIT(3), .edx = BIT(9)},
        /* OSPKE */
        {.function = 7, .ecx = BIT(4)},
        /* the size of the XSAVE area */
        {.function = 0xd, .index = 0, .ebx = UINT32_MAX},
        {.function = 0xd, .index = 1, .ebx = UINT32_MAX},
        {.function = KVM_CPUID_FEATURES, .eax = BIT(KVM_FEATURE_PV_UNHALT)},
    };

    for (size_t i = 0; i < ARRAY_SIZE(runtime); i++)
        if (e.function == runtime[i].function && e.index == runtime[i].index) {
            e.eax &= ~runtime[i].eax;
            e.ebx &= ~runtime[i].ebx;
            e.ecx &= ~runtime[i].ecx;
            e.edx &= ~runtime[i].edx;
        }
    return e;
}

static bool cpuid_equals(const struct vcpu *v, const struct kvm_cpuid_entry2 *e, u32 n)
{
    if (n != v->cpuid_count)
        return false;
    for (u32 i = 0; i < n; i++) {
        struct kvm_cpuid_entry2 a = without_runtime_bits(e[i]), b = without_runtime_bits(v->cpuid[i]);
        if (a.function != b.function || a.index != b.index || a.flags != b.flags || a.eax != b.eax ||
            a.ebx != b.ebx || a.ecx != b.ecx || a.edx != b.edx)
            return false;
    }
    return true;
}

/* Once the vcpu has run, only the same CPUID again. */
int vcpu_set_cpuid2(struct vcpu *v, union ioctl_arg arg)
{
    struct kvm_cpuid_entry2 entries[MAX_CPUID_ENTRIES];
    struct kvm_cpuid2 head;

    if (user_read(&head, arg.value, sizeof(head)))
        return -EFAULT;
    if (head.nent > MAX_CPUID_ENTRIES)
        return -E2BIG;
    if (user_read(entries, arg.value + sizeof(head), head.nent * sizeof(entries[0])))
        return -EFAULT;
    if (v->has_run)
        return cpuid_equals(v, entries, head.nent) ? 0 : -EINVAL;
    if (!cpuid_is_valid(entries, head.nent))
        return -EINVAL;
    memcpy(v->cpuid, entries, head.nent * sizeof(entries[0]));
    v->cpuid_count = head.nent;
    cpuid_update(v);
    tlb_flush_all(v); /* the reserved bits of page tables may be others now */
    return 0;
}

/* The entries as the guest sees them now. */
int vcpu_get_cpuid2(struct vcpu *v, union ioctl_arg arg)
{
    struct kvm_cpuid_entry2 entries[MAX_CPUID_ENTRIES];
    struct kvm_cpuid2 head;

    if (user_read(&head, arg.value, sizeof(head)))
        return -EFAULT;
    if (head.nent < v->cpuid_count)
        return -E2BIG;
    for (u32 i = 0; i < v->cpuid_count; i++) {
        u32 out[4];
        cpuid_query(v, v->cpuid[i].function, v->cpuid[i].index, out);
        entries[i] = v->cpuid[i];
        entries[i].eax = out[0];
        entries[i].ebx = out[1];
        entries[i].ecx = out[2];
        entries[i].edx = out[3];
    }
    head.nent = v->cpuid_count;
    if (user_write(arg.value + sizeof(head), entries, head.nent * sizeof(entries[0])) ||
        user_write(arg.value, &head, sizeof(head)))
        return -EFAULT;
    return 0;
}

/* ---- MSRs (api.rst 4.18, 4.19): both return how many were done before the first that is refused ---- */

static bool msr_get_step(struct vcpu *v, struct kvm_msr_entry *e)
{
    u64 value;

    if (!msr_read(v, e->index, &value, true))
        return false;
    e->data = value;
    return true;
}

static bool msr_set_step(struct vcpu *v, struct kvm_msr_entry *e)
{
    return msr_write(v, e->index, e->data, true);
}

int vcpu_get_msrs(struct vcpu *v, union ioctl_arg arg)
{
    return msrs_for_each(v, arg.value, msr_get_step, true);
}

int vcpu_set_msrs(struct vcpu *v, union ioctl_arg arg)
{
    pthread_rwlock_rdlock(&v->vm->slots_lock); /* the clock MSRs write to guest memory */
    int r = msrs_for_each(v, arg.value, msr_set_step, false);
    pthread_rwlock_unlock(&v->vm->slots_lock);
    return r;
}

/* api.rst 4.104: machine-check banks, with everything enabled in them. */
int vcpu_setup_mce(struct vcpu *v, union ioctl_arg arg)
{
    u64 cap = *(const u64 *)arg.data;
    unsigned banks = cap & 0xff;

    if (!banks || banks > MAX_MCE_BANKS || (cap & ~(MCG_CAP_SUPPORTED | 0xff | 0xff0000)))
        return -EINVAL;
    v->mcg_cap = cap;
    if (cap & MCG_CTL_P)
        v->mcg_ctl = ~0ull;
    for (unsigned i = 0; i < banks; i++)
        v->mce_banks[4 * i] = ~0ull; /* IA32_MCi_CTL */
    memset(v->mci_ctl2, 0, sizeof(v->mci_ctl2));
    lapic_mcg_cap_changed(v);
    return 0;
}

enum { MCI_CTL, MCI_STATUS, MCI_ADDR, MCI_MISC };
#define MCI_STATUS_VAL  BIT(63)
#define MCI_STATUS_OVER BIT(62)
#define MCI_STATUS_UC   BIT(61)
#define MCI_STATUS_PCC  BIT(57)
#define MCI_STATUS_S    BIT(56)
#define MCI_STATUS_AR   BIT(55)
#define MCG_STATUS_MCIP BIT(2)

static void mce_record(u64 *bank, const struct kvm_x86_mce *e)
{
    u64 over = bank[MCI_STATUS] & MCI_STATUS_VAL ? MCI_STATUS_OVER : 0;

    bank[MCI_STATUS] = e->status | over;
    bank[MCI_ADDR] = e->addr;
    bank[MCI_MISC] = e->misc;
}

/* No action is required (16.6.3): no #MC, but perhaps the interrupt of corrected errors. */
static bool mce_needs_no_action(const struct kvm_x86_mce *e)
{
    return !e->mcg_status && !(e->status & (MCI_STATUS_PCC | MCI_STATUS_S | MCI_STATUS_AR));
}

static void mce_record_quietly(struct vcpu *v, u64 *bank, const struct kvm_x86_mce *e)
{
    bank[MCI_STATUS] = e->status;
    bank[MCI_ADDR] = e->addr;
    bank[MCI_MISC] = e->misc;
    v->mcg_status = 0;
    if ((v->mcg_cap & MCG_CMCI_P) && (v->mci_ctl2[e->bank] & MCI_CTL2_CMCI_EN))
        lapic_cmci(v);
}

/* api.rst 4.105; SDM 3B 15.3.2.2, 15.10.4. An uncorrected error is a #MC, and one on top of another, or that
 * the guest does not expect, ends the machine. */
int vcpu_set_mce(struct vcpu *v, union ioctl_arg arg)
{
    const struct kvm_x86_mce *e = arg.data;
    bool uncorrected = e->status & MCI_STATUS_UC;

    if (e->bank >= (v->mcg_cap & 0xff) || !(e->status & MCI_STATUS_VAL))
        return -EINVAL;
    u64 *bank = &v->mce_banks[4 * e->bank];
    if (mce_needs_no_action(e)) {
        mce_record_quietly(v, bank, e);
        return 0;
    }
    if (uncorrected && (((v->mcg_cap & MCG_CTL_P) && v->mcg_ctl != ~0ull) || bank[MCI_CTL] != ~0ull))
        return 0; /* reporting is off */
    if (!uncorrected) {
        if (!(bank[MCI_STATUS] & MCI_STATUS_VAL) || !(bank[MCI_STATUS] & MCI_STATUS_UC))
            mce_record(bank, e);
        else
            bank[MCI_STATUS] |= MCI_STATUS_OVER;
        return 0;
    }
    if ((v->mcg_status & MCG_STATUS_MCIP) || !(v->cr4 & CR4_MCE)) {
        v->triple_fault = true;
        vcpu_kick(v, REQ_EVENT);
        return 0;
    }
    mce_record(bank, e);
    v->mcg_status = e->mcg_status;
    event_inject_exception(v, EXC_MC);
    vcpu_kick(v, REQ_EVENT);
    return 0;
}

/* ---- time ---- */

int vcpu_get_tsc_khz(struct vcpu *v, union ioctl_arg arg)
{
    (void)arg;
    return (int)v->tsc_khz;
}

/* api.rst 4.55. A frequency within 250 ppm of the host's is the host's, as the kernel has it: that much is
 * noise of the measurement. */
int vcpu_set_tsc_khz(struct vcpu *v, union ioctl_arg arg)
{
    u64 host = host_tsc_khz(), wanted = arg.value ? (u32)arg.value : v->vm->tsc_khz, noise = host / 4000;

    if (wanted > host * TSC_RATIO_MAX)
        return -EINVAL;
    tsc_set_khz(v, wanted >= host - noise && wanted <= host + noise ? (u32)host : (u32)wanted);
    return 0;
}

enum {
    KVMCLOCK_ENABLED = 1,      /* bit 0 of MSR_KVM_SYSTEM_TIME(_NEW) */
    PVCLOCK_FLAGS = 29,        /* offset in struct pvclock_vcpu_time_info (msr.rst) */
    PVCLOCK_GUEST_STOPPED = 2, /* bit 1 of its flags */
};

/* api.rst 4.70: tells the guest's watchdogs that it was paused. */
int vcpu_kvmclock_ctrl(struct vcpu *v, union ioctl_arg arg)
{
    gpa flags_at = (v->kvmclock_msr & ~(u64)KVMCLOCK_ENABLED) + PVCLOCK_FLAGS;
    u8 flags;

    (void)arg;
    if (!(v->kvmclock_msr & KVMCLOCK_ENABLED))
        return -EINVAL;
    pthread_rwlock_rdlock(&v->vm->slots_lock);
    if (phys_read(vm_memory(v->vm), flags_at, &flags, sizeof(flags))) {
        flags |= PVCLOCK_GUEST_STOPPED;
        phys_write(v->vm, flags_at, &flags, sizeof(flags));
    }
    pthread_rwlock_unlock(&v->vm->slots_lock);
    return 0;
}

/* ---- address translation ---- */

/* api.rst 4.15: as a supervisor's read, regardless of CPL and SMAP. Like a processor's walk it sets accessed
 * bits. */
int vcpu_translate(struct vcpu *v, union ioctl_arg arg)
{
    struct kvm_translation *t = arg.data;
    struct translation walked;
    u32 error_code;

    pthread_rwlock_rdlock(&v->vm->slots_lock);
    t->valid = page_walk(v, t->linear_address, ACCESS_READ, false, false, &walked, &error_code);
    pthread_rwlock_unlock(&v->vm->slots_lock);
    t->physical_address = t->valid ? walked.gpa : ~0ull;
    t->writeable = 1;
    t->usermode = 0;
    return 0;
}
