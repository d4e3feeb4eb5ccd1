/* msr_exit.c - RDMSR and WRMSR that are user space's to answer: the filter, the exits
 * (api.rst, KVM_X86_SET_MSR_FILTER, KVM_CAP_X86_USER_SPACE_MSR) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/cpu/control.h"
#include "hypervisor/cpu/msr_exit.h"
#include "hypervisor/vm.h"

/* The local APIC's registers in x2APIC mode are never filtered: user space could not tell them from those of
 * a chip that it does not have. */
static bool is_x2apic(u32 index)
{
    return index >= 0x800 && index <= 0x8ff;
}

static bool range_holds(const struct msr_range *r, u32 index, u32 access)
{
    return (r->flags & access) && index - r->base < r->count;
}

static bool filter_allows(const struct msr_filter *f, u32 index, bool write)
{
    u32 access = write ? KVM_MSR_FILTER_WRITE : KVM_MSR_FILTER_READ;
    if (!f || is_x2apic(index))
        return true;
    for (unsigned i = 0; i < ARRAY_SIZE(f->range); i++) {
        const struct msr_range *r = &f->range[i];
        u32 nth = index - r->base;
        if (range_holds(r, index, access))
            return r->bitmap[nth / 8] >> (nth % 8) & 1;
    }
    return f->allow;
}

/* To user space, if it wants to hear of this reason, else #GP. The next KVM_RUN completes the instruction. */
_Noreturn static void refuse(struct vcpu *v, bool write, u32 reason, u64 value)
{
    if (!(v->vm->user_space_msr & reason))
        raise_exception_code(v, EXC_GP, 0);
    v->msr_pending =
        (struct msr_pending){.active = true, .write = write, .rip = v->rip, .next_rip = v->next_rip};
    v->run->msr = (typeof(v->run->msr)){.reason = reason, .index = (u32)v->gpr[GPR_RCX], .data = value};
    vcpu_exit(v, write ? KVM_EXIT_X86_WRMSR : KVM_EXIT_X86_RDMSR);
}

static u32 reason_of(u32 index)
{
    return msr_exists(index) ? KVM_MSR_EXIT_REASON_INVAL : KVM_MSR_EXIT_REASON_UNKNOWN;
}

static void write_edx_eax(struct vcpu *v, u64 value)
{
    v->gpr[GPR_RAX] = (u32)value;
    v->gpr[GPR_RDX] = value >> 32;
}

void insn_rdmsr(struct vcpu *v, const struct insn *in)
{
    u32 index = (u32)v->gpr[GPR_RCX];
    u64 value;
    (void)in;
    require_cpl0(v);
    if (!filter_allows(v->vm->msr_filter, index, false))
        refuse(v, false, KVM_MSR_EXIT_REASON_FILTER, 0);
    if (!msr_read(v, index, &value, false))
        refuse(v, false, reason_of(index), 0);
    write_edx_eax(v, value);
}

void insn_wrmsr(struct vcpu *v, const struct insn *in)
{
    u32 index = (u32)v->gpr[GPR_RCX];
    u64 value = v->gpr[GPR_RDX] << 32 | (u32)v->gpr[GPR_RAX];
    (void)in;
    require_cpl0(v);
    if (!filter_allows(v->vm->msr_filter, index, true))
        refuse(v, true, KVM_MSR_EXIT_REASON_FILTER, value);
    if (!msr_write(v, index, value, false))
        refuse(v, true, reason_of(index), value);
}

void msr_complete(struct vcpu *v)
{
    const struct msr_pending p = v->msr_pending;
    v->msr_pending.active = false;
    if (!p.active || v->rip != p.rip)
        return;
    if (v->run->msr.error)
        raise_exception_code(v, EXC_GP, 0);
    if (!p.write)
        write_edx_eax(v, v->run->msr.data);
    v->next_rip = p.next_rip;
    instruction_retire(v);
}
