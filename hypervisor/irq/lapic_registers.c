/* lapic_registers.c - registers of the local APIC, its base MSR, its state (SDM 3A 10.4, 10.12) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One table describes the registers; the xAPIC page and the x2APIC MSRs are two ways to it.
 */
#include "hypervisor/cpu/msr.h"
#include "hypervisor/irq/chips.h"

#include <errno.h>

enum { REGISTERS = 0x40, LVT_READ_ONLY = BIT(12) | BIT(14), SVR_SPURIOUS_VECTOR = 0xff };
enum { BASE_ADDRESS = 0xfee00000 };

/* The seventh entry of the LVT is there with IA32_MCG_CAP.CMCI_P only (SDM 3B 16.5.1.2). */
static bool has_cmci(const struct lapic *l)
{
    return l->v->mcg_cap & MCG_CMCI_P;
}

/* Six or seven LVT entries, no suppression of EOI broadcasts. */
static u32 version(const struct lapic *l)
{
    return 0x14 | (has_cmci(l) ? 6 : 5) << 16;
}

static void mask_lvt(struct lapic *l)
{
    for (unsigned lvt = APIC_LVT_TIMER; lvt <= APIC_LVT_ERROR; lvt += 16)
        *lapic_reg(l, lvt) |= LVT_MASKED;
    if (has_cmci(l))
        *lapic_reg(l, APIC_LVT_CMCI) |= LVT_MASKED;
}

static void write_plain(struct lapic *l, unsigned offset, u32 value)
{
    *lapic_reg(l, offset) = value;
}

static void write_tpr(struct lapic *l, unsigned offset, u32 value)
{
    *lapic_reg(l, offset) = value;
    lapic_kick_if_deliverable(l);
}

static void write_eoi(struct lapic *l, unsigned offset, u32 value)
{
    (void)offset;
    (void)value;
    lapic_eoi(l);
}

static void write_dfr(struct lapic *l, unsigned offset, u32 value)
{
    *lapic_reg(l, offset) = value | 0x0fffffff;
}

/* SDM 3A 10.4.7.2: disabling by software masks the whole LVT. */
static void write_svr(struct lapic *l, unsigned offset, u32 value)
{
    *lapic_reg(l, offset) = value;
    if (!lapic_software_enabled(l))
        mask_lvt(l);
}

static void write_esr(struct lapic *l, unsigned offset, u32 value)
{
    (void)value;
    *lapic_reg(l, offset) = l->errors;
    l->errors = 0;
}

static void write_icr(struct lapic *l, unsigned offset, u32 value)
{
    u32 high = *lapic_reg(l, APIC_ICR2);

    *lapic_reg(l, offset) = value;
    apic_send_ipi(l, value, lapic_x2apic(l) ? high : high >> 24);
}

static void write_self_ipi(struct lapic *l, unsigned offset, u32 value)
{
    (void)offset;
    apic_send_ipi(l, TO_SELF << 18 | DM_FIXED << 8 | value, 0);
}

/* While the APIC is disabled by software the mask bit cannot be cleared. */
static void write_lvt(struct lapic *l, unsigned offset, u32 value)
{
    if (!lapic_software_enabled(l))
        value |= LVT_MASKED;
    if (offset == APIC_LVT_TIMER) {
        lapic_timer_set_lvt(l, value);
        return;
    }
    *lapic_reg(l, offset) = value;
    if (offset == APIC_LVT_LINT0 && l->chips->pic.output && lapic_takes_pic(l))
        vcpu_kick(l->v, REQ_EVENT);
}

/* In TSC-deadline mode the initial count is not used (SDM 3A 10.5.4.1). */
static void write_initial_count(struct lapic *l, unsigned offset, u32 value)
{
    if (*lapic_reg(l, APIC_LVT_TIMER) & LVT_TSC_DEADLINE)
        return;
    *lapic_reg(l, offset) = value;
    lapic_timer_start(l);
}

static void write_divide(struct lapic *l, unsigned offset, u32 value)
{
    (void)offset;
    lapic_timer_set_divide(l, value);
}

/* SDM 3A tables 10-1 and 10-6. X: of the xAPIC page, M: of the x2APIC MSRs. */
enum { XR = BIT(0), XW = BIT(1), MR = BIT(2), MW = BIT(3), RW = XR | XW | MR | MW };
static const struct lapic_register {
    u8 access;
    u32 writable; /* other bits are reserved, or read-only */
    u32 read_only;
    void (*write)(struct lapic *l, unsigned offset, u32 value);
    u32 kept; /* of the page: reserved bits that read back as they were written, as KVM has it */
} registers[REGISTERS] = {
    [0x02] = {XR | XW | MR, 0xff000000, 0, write_plain},       /* ID */
    [0x03] = {XR | MR, 0, 0, NULL},                            /* version */
    [0x08] = {RW, 0xff, 0, write_tpr},                         /* TPR */
    [0x09] = {XR, 0, 0, NULL},                                 /* APR */
    [0x0a] = {XR | MR, 0, 0, NULL},                            /* PPR */
    [0x0b] = {XW | MW, 0, 0, write_eoi},                       /* EOI */
    [0x0c] = {XR, 0, 0, NULL},                                 /* RRD */
    [0x0d] = {XR | XW | MR, 0xff000000, 0, write_plain},       /* LDR */
    [0x0e] = {XR | XW, 0xf0000000, 0, write_dfr},              /* DFR */
    [0x0f] = {RW, 0x3ff, 0, write_svr},                        /* SVR */
    [0x10 ... 0x27] = {XR | MR, 0, 0, NULL},                   /* ISR, TMR, IRR */
    [0x28] = {RW, 0, 0, write_esr},                            /* ESR */
    [0x2f] = {RW, 0x107ff, LVT_READ_ONLY, write_lvt},          /* corrected machine checks */
    [0x30] = {RW, 0xccfff, BIT(12), write_icr, ~0u},           /* ICR 31:0 */
    [0x31] = {XR | XW, 0xff000000, 0, write_plain},            /* ICR 63:32 */
    [0x32] = {RW, 0x700ff, LVT_READ_ONLY, write_lvt},          /* timer */
    [0x33 ... 0x34] = {RW, 0x107ff, LVT_READ_ONLY, write_lvt}, /* thermal, performance counters */
    [0x35 ... 0x36] = {RW, 0x1a7ff, LVT_READ_ONLY, write_lvt}, /* LINT0, LINT1 */
    [0x37] = {RW, 0x100ff, LVT_READ_ONLY, write_lvt},          /* error */
    [0x38] = {RW, ~0u, 0, write_initial_count},                /* initial count */
    [0x39] = {XR | MR, 0, 0, NULL},                            /* current count */
    [0x3e] = {RW, 0xb, 0, write_divide},                       /* divide configuration */
    [0x3f] = {MW, 0xff, 0, write_self_ipi},                    /* self IPI */
};

static u32 lapic_read(struct lapic *l, unsigned offset)
{
    if (offset == APIC_PPR)
        return lapic_ppr(l);
    if (offset == APIC_CURRENT_COUNT)
        return lapic_timer_count(l);
    return *lapic_reg(l, offset);
}

static bool lapic_can(const struct lapic *l, u32 offset, u8 access)
{
    if (offset == APIC_LVT_CMCI && !has_cmci(l))
        return false;
    return offset < REGISTERS * 16 && (registers[offset >> 4].access & access);
}

u32 lapic_mmio_read(struct lapic *l, u32 offset)
{
    lapic_catch_up(l);
    if (lapic_can(l, offset, XR))
        return lapic_read(l, offset);
    if (!lapic_can(l, offset, XW))
        lapic_error(l, ESR_REGISTER);
    return 0;
}

void lapic_mmio_write(struct lapic *l, u32 offset, u32 value)
{
    lapic_catch_up(l);
    if (offset == APIC_TPR)
        vapic_tpr_written(l);
    if (lapic_can(l, offset, XW)) {
        const struct lapic_register *r = &registers[offset >> 4];

        r->write(l, offset, value & (r->writable | r->kept) & ~r->read_only);
        vapic_store(l);
    } else if (!lapic_can(l, offset, XR)) {
        lapic_error(l, ESR_REGISTER);
    }
}

/* ---- x2APIC (SDM 3A 10.12) ---- */

enum { MSR_X2APIC = 0x800 };

static u32 x2apic_ldr(u32 id)
{
    return id >> 4 << 16 | 1u << (id & 15);
}

bool lapic_msr_read(struct vcpu *v, u32 index, u64 *value)
{
    struct lapic *l = v->lapic;
    u32 offset = (index - MSR_X2APIC) * 16;

    if (!l || !lapic_x2apic(l) || !lapic_can(l, offset, MR))
        return false;
    pthread_mutex_lock(&l->chips->lock);
    lapic_catch_up(l);
    *value = lapic_read(l, offset);
    if (offset == APIC_ICR)
        *value |= (u64)*lapic_reg(l, APIC_ICR2) << 32;
    pthread_mutex_unlock(&l->chips->lock);
    return true;
}

/* Reserved bits are #GP here; only the ICR has 64 bits. */
bool lapic_msr_write(struct vcpu *v, u32 index, u64 value)
{
    struct lapic *l = v->lapic;
    u32 offset = (index - MSR_X2APIC) * 16;
    const struct lapic_register *r;

    if (!l || !lapic_x2apic(l) || !lapic_can(l, offset, MW))
        return false;
    r = &registers[offset >> 4];
    if ((value >> 32 && offset != APIC_ICR) || ((u32)value & ~(r->writable | r->read_only)))
        return false;
    pthread_mutex_lock(&l->chips->lock);
    lapic_catch_up(l);
    if (offset == APIC_ICR)
        *lapic_reg(l, APIC_ICR2) = (u32)(value >> 32);
    r->write(l, offset, (u32)value & ~r->read_only);
    vapic_store(l);
    pthread_mutex_unlock(&l->chips->lock);
    return true;
}

/* ---- CR8 (SDM 3A 10.8.6) ---- */

u64 lapic_get_tpr(struct vcpu *v)
{
    return v->lapic ? *lapic_reg(v->lapic, APIC_TPR) >> 4 & 0xf : v->run->cr8;
}

void lapic_set_tpr(struct vcpu *v, u64 cr8)
{
    struct lapic *l = v->lapic;

    if (!l) {
        v->run->cr8 = cr8 & 0xf;
        return;
    }
    pthread_mutex_lock(&l->chips->lock);
    lapic_catch_up(l);
    write_tpr(l, APIC_TPR, (cr8 & 0xf) << 4);
    vapic_store(l);
    pthread_mutex_unlock(&l->chips->lock);
}

/* ---- reset, and IA32_APIC_BASE (SDM 3A 10.4.3, 10.4.7, 10.12.5) ---- */

/* ID and LDR as the mode has them. */
static void lapic_identify(struct lapic *l)
{
    bool x2 = lapic_x2apic(l);

    *lapic_reg(l, APIC_ID) = x2 ? l->v->id : l->v->id << 24;
    *lapic_reg(l, APIC_LDR) = x2 ? x2apic_ldr(l->v->id) : 0;
}

/* SDM 3A 10.4.7.1, but LINT0 of the boot processor is open for the PIC, as firmware leaves it and KVM starts.
 */
static void lapic_reset_registers(struct lapic *l)
{
    u32 id = *lapic_reg(l, APIC_ID);

    lapic_timer_stop(l);
    l->v->tsc_deadline = 0;
    for (unsigned i = 0; i < ARRAY_SIZE(l->reg); i++)
        l->reg[i] = 0;
    l->errors = 0;
    l->extint = l->pv_eoi = false;
    l->v->pv_eoi_msr = 0;
    lapic_identify(l);
    if (!lapic_x2apic(l))
        *lapic_reg(l, APIC_ID) = id;
    *lapic_reg(l, APIC_VERSION) = version(l);
    *lapic_reg(l, APIC_DFR) = 0xffffffff;
    *lapic_reg(l, APIC_SVR) = SVR_SPURIOUS_VECTOR;
    mask_lvt(l);
    if ((l->v->apic_base & BASE_BSP) && vm_has_quirk(l->v->vm, KVM_X86_QUIRK_LINT0_REENABLED))
        *lapic_reg(l, APIC_LVT_LINT0) = DM_EXTINT << 8;
}

void lapic_reset(struct vcpu *v, bool init)
{
    struct lapic *l = v->lapic;

    if (l)
        pthread_mutex_lock(&l->chips->lock);
    if (!init)
        v->apic_base = BASE_ADDRESS | BASE_EN | (v->id == v->vm->boot_cpu_id ? BASE_BSP : 0);
    if (l) {
        if (!init) {
            *lapic_reg(l, APIC_ID) = v->id << 24;
            l->wait_for_sipi = l->startup = false;
        }
        lapic_reset_registers(l);
        pthread_mutex_unlock(&l->chips->lock);
    }
}

/* SDM 3A figure 10-27: x2APIC mode is entered from xAPIC mode and left by disabling only. */
static bool base_transition_valid(u64 from, u64 to)
{
    u64 mode = BASE_EN | BASE_EXTD;

    from &= mode;
    to &= mode;
    return from == to || (from == mode ? to == 0 : !(from == 0 && to == mode));
}

static bool base_valid(struct vcpu *v, u64 value, bool host)
{
    u64 reserved = MASK(7, 0) | BIT(9) | v->maxphyaddr_mask;

    if (!cpuid_has(v, 1, 0, 2, 21)) /* x2APIC */
        reserved |= BASE_EXTD;
    if ((value & reserved) || (value & (BASE_EN | BASE_EXTD)) == BASE_EXTD)
        return false;
    return host || base_transition_valid(v->apic_base, value);
}

bool lapic_set_base(struct vcpu *v, u64 value, bool host)
{
    struct lapic *l = v->lapic;
    u64 changed = v->apic_base ^ value;

    if (!base_valid(v, value, host))
        return false;
    if (!l) {
        v->apic_base = value;
        return true;
    }
    pthread_mutex_lock(&l->chips->lock);
    v->apic_base = value;
    if ((changed & BASE_EN) && (value & BASE_EN)) {
        *lapic_reg(l, APIC_ID) = v->id << 24;
        lapic_reset_registers(l);
    } else if (changed & BASE_EXTD) {
        lapic_identify(l);
    }
    if (changed & BASE_EN)
        vcpu_kick(v, REQ_EVENT);
    pthread_mutex_unlock(&l->chips->lock);
    return true;
}

void lapic_mcg_cap_changed(struct vcpu *v)
{
    struct lapic *l = v->lapic;

    if (!l)
        return;
    pthread_mutex_lock(&l->chips->lock);
    *lapic_reg(l, APIC_LVT_CMCI) = has_cmci(l) ? LVT_MASKED : 0;
    *lapic_reg(l, APIC_VERSION) = version(l);
    pthread_mutex_unlock(&l->chips->lock);
}

/* ---- KVM_GET_LAPIC, KVM_SET_LAPIC ---- */

/* The ID is in bits 31:24 in both modes, unless KVM_CAP_X2APIC_API says otherwise (api.rst). */
void lapic_get_state(struct vcpu *v, struct kvm_lapic_state *s)
{
    struct lapic *l = v->lapic;
    u32 *page = (u32 *)s->regs;

    pthread_mutex_lock(&l->chips->lock);
    *lapic_reg(l, APIC_PPR) = lapic_ppr(l);
    *lapic_reg(l, APIC_CURRENT_COUNT) = lapic_timer_count(l);
    __builtin_memcpy(page, l->reg, sizeof(s->regs));
    if (lapic_x2apic(l) && !v->vm->x2apic_ids_32bit)
        page[APIC_ID >> 2] <<= 24;
    pthread_mutex_unlock(&l->chips->lock);
}

int lapic_set_state(struct vcpu *v, const struct kvm_lapic_state *s)
{
    struct lapic *l = v->lapic;
    u32 count, id;

    __builtin_memcpy(&id, s->regs + APIC_ID, sizeof(id));
    if (lapic_x2apic(l) && v->vm->x2apic_ids_32bit && id != v->id)
        return -EINVAL;
    pthread_mutex_lock(&l->chips->lock);
    lapic_timer_stop(l);
    __builtin_memcpy(l->reg, s->regs, sizeof(s->regs));
    *lapic_reg(l, APIC_VERSION) = version(l);
    if (lapic_x2apic(l))
        lapic_identify(l);
    count = *lapic_reg(l, APIC_CURRENT_COUNT);
    lapic_timer_restore(l, count);
    vcpu_kick(v, REQ_EVENT);
    pthread_mutex_unlock(&l->chips->lock);
    return 0;
}
