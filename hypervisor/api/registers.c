/* registers.c - ioctls that get and set a vcpu's registers (api.rst 4.11 to 4.14, 4.43, 4.73) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>

#include "hypervisor/api/api.h"
#include "hypervisor/cpu/control.h"
#include "hypervisor/cpu/debug.h"
#include "hypervisor/irq/irq.h"

/* ---- general registers ---- */

/* struct kvm_regs begins with the sixteen in this order; rip and rflags follow. */
static const u8 kvm_order[16] = {GPR_RAX, GPR_RBX, GPR_RCX, GPR_RDX, GPR_RSI, GPR_RDI, GPR_RSP, GPR_RBP,
                                 GPR_R8,  GPR_R9,  GPR_R10, GPR_R11, GPR_R12, GPR_R13, GPR_R14, GPR_R15};
_Static_assert(offsetof(struct kvm_regs, rip) == sizeof(kvm_order) * sizeof(u64), "sixteen registers");

int vcpu_get_regs(struct vcpu *v, union ioctl_arg arg)
{
    struct kvm_regs *r = arg.data;
    u64 *gpr = arg.data;

    for (size_t i = 0; i < ARRAY_SIZE(kvm_order); i++)
        gpr[i] = v->gpr[kvm_order[i]];
    r->rip = v->rip;
    r->rflags = rflags_get(v);
    return 0;
}

/* I/O that the next KVM_RUN would complete is of the instruction at rip: elsewhere (after a reset) it is
 * nobody's. */
static void forget_io(struct vcpu *v)
{
    v->mmio_reads = v->mmio_reads_used = 0;
    v->mmio_writes = v->mmio_writes_done = 0;
    v->mmio_read_pending = v->pio.active = v->msr_pending.active = false;
}

/* Also forgets an exception on its way into the guest: it was of the old registers. Interrupts stay. */
int vcpu_set_regs(struct vcpu *v, union ioctl_arg arg)
{
    const struct kvm_regs *r = arg.data;
    const u64 *gpr = arg.data;

    for (size_t i = 0; i < ARRAY_SIZE(kvm_order); i++)
        v->gpr[kvm_order[i]] = gpr[i];
    if (v->rip != r->rip)
        forget_io(v);
    v->rip = r->rip;
    rflags_set(v, r->rflags);
    vcpu_set_segment(v, SEG_SS, v->seg[SEG_SS]); /* the CPL follows EFLAGS.VM too */
    if (!v->event.external)
        v->event.pending = false;
    v->debug.trap = 0;
    vcpu_kick(v, REQ_EVENT);
    return 0;
}

/* ---- segments: struct kvm_segment has a field for each attribute ---- */

static struct kvm_segment segment_to_kvm(const struct segment *s)
{
    return (struct kvm_segment){
        .base = s->base,
        .limit = s->limit,
        .selector = s->selector,
        .type = s->attributes & SEG_TYPE,
        .s = !!(s->attributes & SEG_S),
        .dpl = (s->attributes & SEG_DPL) >> SEG_DPL_SHIFT,
        .present = !!(s->attributes & SEG_P),
        .avl = !!(s->attributes & SEG_AVL),
        .l = !!(s->attributes & SEG_L),
        .db = !!(s->attributes & SEG_DB),
        .g = !!(s->attributes & SEG_G),
        .unusable = !(s->attributes & SEG_P),
    };
}

static struct segment segment_from_kvm(const struct kvm_segment *k)
{
    u16 attributes = (u16)((k->type & SEG_TYPE) | (k->s & 1) << 4 | (k->dpl & 3) << SEG_DPL_SHIFT |
                           (k->present && !k->unusable) << 7 | (k->avl & 1) << 12 | (k->l & 1) << 13 |
                           (k->db & 1) << 14 | (k->g & 1) << 15);

    return (struct segment){
        .selector = k->selector, .attributes = attributes, .limit = k->limit, .base = k->base};
}

/* struct kvm_sregs and kvm_sregs2 begin alike, up to and with apic_base; sregs2 has flags and the PDPTEs
 * where sregs has the interrupt bitmap. */
_Static_assert(offsetof(struct kvm_sregs, apic_base) == offsetof(struct kvm_sregs2, apic_base),
               "common part");
#define SREGS_COMMON offsetof(struct kvm_sregs, interrupt_bitmap)

static const struct {
    enum seg seg;
    size_t offset;
} sregs_segments[] = {
    {SEG_CS, offsetof(struct kvm_sregs, cs)}, {SEG_DS, offsetof(struct kvm_sregs, ds)},
    {SEG_ES, offsetof(struct kvm_sregs, es)}, {SEG_FS, offsetof(struct kvm_sregs, fs)},
    {SEG_GS, offsetof(struct kvm_sregs, gs)}, {SEG_SS, offsetof(struct kvm_sregs, ss)},
    {SEG_TR, offsetof(struct kvm_sregs, tr)}, {SEG_LDTR, offsetof(struct kvm_sregs, ldt)},
};

/* ---- system registers ---- */

/* Without a local APIC in the library, CR8 is the client's: kvm_run.cr8. */
static u64 cr8_get(struct vcpu *v)
{
    return v->lapic ? lapic_get_tpr(v) : v->run->cr8;
}

static void cr8_set(struct vcpu *v, u64 value)
{
    if (value & ~15ull) /* as the kernel: ignored */
        return;
    if (v->lapic)
        lapic_set_tpr(v, value);
    else
        v->run->cr8 = value;
}

static void sregs_get_common(struct vcpu *v, struct kvm_sregs *s)
{
    for (size_t i = 0; i < ARRAY_SIZE(sregs_segments); i++)
        *(struct kvm_segment *)((u8 *)s + sregs_segments[i].offset) =
            segment_to_kvm(&v->seg[sregs_segments[i].seg]);
    s->gdt.base = v->gdtr.base;
    s->gdt.limit = v->gdtr.limit;
    s->idt.base = v->idtr.base;
    s->idt.limit = v->idtr.limit;
    s->cr0 = v->cr0;
    s->cr2 = v->cr2;
    s->cr3 = v->cr3;
    s->cr4 = v->cr4;
    s->cr8 = cr8_get(v);
    s->efer = v->efer;
    s->apic_base = v->apic_base;
}

/* The combinations that a processor can be in (SDM 3A 2.5, 4.1.2, 9.8.5). */
static bool sregs_are_valid(struct vcpu *v, const struct kvm_sregs *s)
{
    bool long_mode = (s->efer & EFER_LME) && (s->cr0 & CR0_PG);

    if (s->cr0 >> 32 || ((s->cr0 & CR0_NW) && !(s->cr0 & CR0_CD)) ||
        ((s->cr0 & CR0_PG) && !(s->cr0 & CR0_PE)))
        return false;
    if (s->cr4 & v->cr4_reserved)
        return false;
    if (long_mode)
        return (s->cr4 & CR4_PAE) && (s->efer & EFER_LMA) && !(s->cr3 & v->maxphyaddr_mask);
    return !(s->efer & EFER_LMA) && !s->cs.l;
}

static bool pae_paging(const struct vcpu *v)
{
    return (v->cr0 & CR0_PG) && (v->cr4 & CR4_PAE) && !(v->efer & EFER_LMA);
}

/* SDM 3A 4.4.1. Memory that is not there leaves the old ones, as in the kernel. */
static void pdptes_load(struct vcpu *v)
{
    u64 pdpte[4];

    pthread_rwlock_rdlock(&v->vm->slots_lock);
    if (phys_read(vcpu_memory(v), v->cr3 & MASK(31, 5), pdpte, sizeof(pdpte)))
        memcpy(v->pdpte, pdpte, sizeof(pdpte));
    pthread_rwlock_unlock(&v->vm->slots_lock);
}

/* A boot processor that is put at the reset vector runs again (the kernel does this for clients that reset
 * without KVM_SET_MP_STATE). */
static bool at_reset_vector(const struct vcpu *v)
{
    return v->id == v->vm->boot_cpu_id && v->rip == 0xfff0 && v->seg[SEG_CS].selector == 0xf000 &&
           v->seg[SEG_CS].base == 0xffff0000 && !(v->cr0 & CR0_PE);
}

static int sregs_set_common(struct vcpu *v, const struct kvm_sregs *s)
{
    enum { MSR_IA32_APIC_BASE = 0x1b };

    if (!sregs_are_valid(v, s) || !msr_write(v, MSR_IA32_APIC_BASE, s->apic_base, true))
        return -EINVAL;
    v->gdtr = (struct table_register){s->gdt.base, s->gdt.limit};
    v->idtr = (struct table_register){s->idt.base, s->idt.limit};
    v->cr0 = s->cr0;
    v->cr2 = s->cr2;
    v->cr3 = s->cr3;
    v->cr4 = s->cr4;
    v->efer = s->efer;
    cr8_set(v, s->cr8);
    for (size_t i = 0; i < ARRAY_SIZE(sregs_segments); i++)
        vcpu_set_segment(
            v, sregs_segments[i].seg,
            segment_from_kvm((const struct kvm_segment *)((const u8 *)s + sregs_segments[i].offset)));
    if (at_reset_vector(v))
        v->mp_state = KVM_MP_STATE_RUNNABLE;
    tlb_flush_all(v);
    vcpu_kick(v, REQ_EVENT);
    return 0;
}

int vcpu_get_sregs(struct vcpu *v, union ioctl_arg arg)
{
    struct kvm_sregs *s = arg.data;

    sregs_get_common(v, s);
    if (v->event.pending && v->event.external && v->event.vector != EXC_NMI)
        s->interrupt_bitmap[v->event.vector / 64] |= BIT(v->event.vector % 64);
    return 0;
}

int vcpu_set_sregs(struct vcpu *v, union ioctl_arg arg)
{
    const struct kvm_sregs *s = arg.data;
    int r = sregs_set_common(v, s);

    if (r)
        return r;
    if (pae_paging(v))
        pdptes_load(v);
    for (unsigned i = 0; i < ARRAY_SIZE(s->interrupt_bitmap); i++)
        if (s->interrupt_bitmap[i]) {
            event_queue_interrupt(v, (u8)(i * 64 + (unsigned)__builtin_ctzll(s->interrupt_bitmap[i])));
            break;
        }
    return 0;
}

int vcpu_get_sregs2(struct vcpu *v, union ioctl_arg arg)
{
    struct kvm_sregs2 *s2 = arg.data;
    struct kvm_sregs s = {0};

    sregs_get_common(v, &s);
    memcpy(s2, &s, SREGS_COMMON);
    if (pae_paging(v)) {
        memcpy(s2->pdptrs, v->pdpte, sizeof(v->pdpte));
        s2->flags = KVM_SREGS2_FLAGS_PDPTRS_VALID;
    }
    return 0;
}

int vcpu_set_sregs2(struct vcpu *v, union ioctl_arg arg)
{
    const struct kvm_sregs2 *s2 = arg.data;
    struct kvm_sregs s = {0};
    bool valid_pdptrs = s2->flags & KVM_SREGS2_FLAGS_PDPTRS_VALID;
    bool pae = (s2->cr0 & CR0_PG) && (s2->cr4 & CR4_PAE) && !(s2->efer & EFER_LMA);

    if (s2->flags & ~(u64)KVM_SREGS2_FLAGS_PDPTRS_VALID || (valid_pdptrs && !pae))
        return -EINVAL;
    memcpy(&s, s2, SREGS_COMMON);
    int r = sregs_set_common(v, &s);
    if (r)
        return r;
    if (valid_pdptrs)
        memcpy(v->pdpte, s2->pdptrs, sizeof(v->pdpte));
    else if (pae)
        pdptes_load(v);
    return 0;
}

/* ---- x87, SSE and extended state: the layouts are fpu.c's ---- */

int vcpu_get_fpu(struct vcpu *v, union ioctl_arg arg)
{
    fpu_get_kvm(v, arg.data);
    return 0;
}

int vcpu_set_fpu(struct vcpu *v, union ioctl_arg arg)
{
    return fpu_set_kvm(v, arg.data);
}

int vcpu_get_xsave(struct vcpu *v, union ioctl_arg arg)
{
    fpu_get_xsave(v, arg.data);
    return 0;
}

int vcpu_set_xsave(struct vcpu *v, union ioctl_arg arg)
{
    return fpu_set_xsave(v, arg.data);
}

int vcpu_get_xcrs(struct vcpu *v, union ioctl_arg arg)
{
    struct kvm_xcrs *x = arg.data;

    x->nr_xcrs = 1;
    x->xcrs[0].value = v->xcr0;
    return 0;
}

int vcpu_set_xcrs(struct vcpu *v, union ioctl_arg arg)
{
    const struct kvm_xcrs *x = arg.data;

    if (x->nr_xcrs > KVM_MAX_XCRS || x->flags)
        return -EINVAL;
    for (u32 i = 0; i < x->nr_xcrs; i++) {
        if (x->xcrs[i].xcr != 0) /* the kernel, too, only looks for XCR0 */
            continue;
        if (!xcr0_is_valid(v, x->xcrs[i].value))
            return -EINVAL;
        v->xcr0 = x->xcrs[i].value;
        break;
    }
    return 0;
}

/* ---- debug registers ---- */

int vcpu_get_debugregs(struct vcpu *v, union ioctl_arg arg)
{
    struct kvm_debugregs *d = arg.data;

    memcpy(d->db, v->dr, sizeof(d->db));
    d->dr6 = v->dr[6];
    d->dr7 = v->dr[7];
    return 0;
}

int vcpu_set_debugregs(struct vcpu *v, union ioctl_arg arg)
{
    const struct kvm_debugregs *d = arg.data;

    if (d->flags || d->dr6 >> 32 || d->dr7 >> 32)
        return -EINVAL;
    memcpy(v->dr, d->db, sizeof(d->db));
    v->dr[6] = d->dr6;
    v->dr[7] = d->dr7;
    debug_update(v);
    return 0;
}
