/* flags.c - EFLAGS: PUSHF, POPF, and the instructions for single flags that are no arithmetic ones (SDM
 * 1 3.4.3) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/cpu/handlers.h"
#include "hypervisor/cpu/stack.h"
#include "hypervisor/cpu/vcpu.h"

static unsigned iopl(const struct vcpu *v)
{
    return v->rflags >> 12 & 3;
}

/* Virtual-8086 mode with IOPL below 3: #GP, or, by its extensions, VIF takes the place of IF in 16-bit images
 * (SDM 3A 20.3.3.4). */
bool vm86_has_virtual_if(struct vcpu *v, const struct insn *in)
{
    if (!(v->rflags & FLAG_VM) || iopl(v) == 3)
        return false;
    if (!(v->cr4 & CR4_VME) || in->opsize != 2)
        raise_exception_code(v, EXC_GP, 0);
    return true;
}

u64 vm86_virtual_flags(const struct vcpu *v)
{
    u64 flags = rflags_get(v) & ~(u64)FLAG_IF;
    return flags | FLAG_IOPL | (v->rflags & FLAG_VIF ? FLAG_IF : 0);
}

/* IF and IOPL stay as they are. */
void vm86_set_virtual_flags(struct vcpu *v, u64 image)
{
    const u64 mask = 0xffff & ~(u64)(FLAG_IF | FLAG_IOPL | FLAG_TF);
    if ((image & FLAG_TF) || ((image & FLAG_IF) && (v->rflags & FLAG_VIP)))
        raise_exception_code(v, EXC_GP, 0);
    rflags_set(v, (rflags_get(v) & ~(mask | FLAG_VIF | FLAG_TF)) | (image & mask) |
                      (image & FLAG_IF ? FLAG_VIF : 0));
}

void insn_pushf(struct vcpu *v, const struct insn *in)
{
    struct stack s;
    u64 flags = vm86_has_virtual_if(v, in) ? vm86_virtual_flags(v) : rflags_get(v);
    stack_current(v, &s);
    stack_probe(v, &s, 1, in->opsize);
    stack_push(v, &s, in->opsize, flags & ~(u64)(FLAG_VM | FLAG_RF));
    stack_commit(v, &s);
}

/* SDM 2B "POPF", table 4-16: IOPL changes at CPL 0 only, IF up to IOPL. */
static u64 popf_mask(const struct vcpu *v, unsigned size)
{
    u64 mask = FLAGS_ARITH | FLAG_TF | FLAG_DF | FLAG_NT | FLAG_AC | FLAG_ID | FLAG_RF;
    if (v->cpl == 0)
        mask |= FLAG_IOPL;
    if (!(v->cr0 & CR0_PE) || v->cpl <= iopl(v))
        mask |= FLAG_IF;
    return size == 2 ? mask & 0xffff : mask;
}

void insn_popf(struct vcpu *v, const struct insn *in)
{
    struct stack s;
    bool virtual = vm86_has_virtual_if(v, in);
    stack_current(v, &s);
    u64 value = stack_pop(v, &s, in->opsize) & ~(u64)FLAG_RF;
    u64 mask = popf_mask(v, in->opsize);
    if (virtual) {
        vm86_set_virtual_flags(v, value);
        stack_commit(v, &s);
        return;
    }
    stack_commit(v, &s);
    rflags_set(v, (rflags_get(v) & ~mask) | (value & mask));
}

/* Which flag CLI and STI are about: VIF for a program below IOPL, where CR4.VME or CR4.PVI allows (SDM 2A
 * "CLI", 3A 20.4). */
static u64 interrupt_flag(struct vcpu *v)
{
    if (!(v->cr0 & CR0_PE) || v->cpl <= iopl(v))
        return FLAG_IF;
    if (v->cpl != 3 || !(v->cr4 & (v->rflags & FLAG_VM ? CR4_VME : CR4_PVI)))
        raise_exception_code(v, EXC_GP, 0);
    return FLAG_VIF;
}

void insn_cli(struct vcpu *v, const struct insn *in)
{
    (void)in;
    v->rflags &= ~interrupt_flag(v);
}

static void set_virtual_if(struct vcpu *v)
{
    if (v->rflags & FLAG_VIP)
        raise_exception_code(v, EXC_GP, 0);
    v->rflags |= FLAG_VIF;
}

/* Interrupts stay held back for one more instruction where STI enables them. */
void insn_sti(struct vcpu *v, const struct insn *in)
{
    (void)in;
    if (interrupt_flag(v) == FLAG_VIF) {
        set_virtual_if(v);
        return;
    }
    if (!(v->rflags & FLAG_IF))
        v->interrupt_shadow = KVM_X86_SHADOW_INT_STI;
    v->rflags |= FLAG_IF;
}

void insn_cld(struct vcpu *v, const struct insn *in)
{
    (void)in;
    v->rflags &= ~(u64)FLAG_DF;
}

void insn_std(struct vcpu *v, const struct insn *in)
{
    (void)in;
    v->rflags |= FLAG_DF;
}

static void require_smap(struct vcpu *v)
{
    if (!cpuid_has(v, 7, 0, 1, 20) || v->cpl != 0)
        raise_exception(v, EXC_UD);
}

void insn_stac(struct vcpu *v, const struct insn *in)
{
    (void)in;
    require_smap(v);
    v->rflags |= FLAG_AC;
}

void insn_clac(struct vcpu *v, const struct insn *in)
{
    (void)in;
    require_smap(v);
    v->rflags &= ~(u64)FLAG_AC;
}
