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

/* Virtual-8086 mode without its extensions (CR4.VME is not offered) demands IOPL 3 for these. */
static void require_vm86_iopl(struct vcpu *v)
{
    if ((v->rflags & FLAG_VM) && iopl(v) < 3)
        raise_exception_code(v, EXC_GP, 0);
}

void insn_pushf(struct vcpu *v, const struct insn *in)
{
    struct stack s;
    require_vm86_iopl(v);
    stack_current(v, &s);
    stack_probe(v, &s, 1, in->opsize);
    stack_push(v, &s, in->opsize, rflags_get(v) & ~(u64)(FLAG_VM | FLAG_RF));
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
    require_vm86_iopl(v);
    stack_current(v, &s);
    u64 value = stack_pop(v, &s, in->opsize) & ~(u64)FLAG_RF;
    u64 mask = popf_mask(v, in->opsize);
    stack_commit(v, &s);
    rflags_set(v, (rflags_get(v) & ~mask) | (value & mask));
}

static void require_iopl(struct vcpu *v)
{
    if ((v->cr0 & CR0_PE) && v->cpl > iopl(v))
        raise_exception_code(v, EXC_GP, 0);
}

void insn_cli(struct vcpu *v, const struct insn *in)
{
    (void)in;
    require_iopl(v);
    v->rflags &= ~(u64)FLAG_IF;
}

/* Interrupts stay held back for one more instruction where STI enables them. */
void insn_sti(struct vcpu *v, const struct insn *in)
{
    (void)in;
    require_iopl(v);
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
