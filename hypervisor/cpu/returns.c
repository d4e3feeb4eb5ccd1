/* returns.c - far RET and IRET, in all modes (SDM 2A "IRET", 2B "RET"; 3A 5.8.6, 6.12, 6.14.3, 20.2.3) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/cpu/handlers.h"
#include "hypervisor/cpu/segments.h"
#include "hypervisor/cpu/stack.h"
#include "hypervisor/cpu/tasks.h"
#include "hypervisor/cpu/vendor.h"

/* The code segment of a return in protected mode. Its selector's RPL is the new CPL. */
static struct segment return_code(struct vcpu *v, u16 selector)
{
    struct descriptor d;
    u32 code = selector_error(selector);
    unsigned rpl = selector & 3;
    if (selector_is_null(selector))
        raise_exception_code(v, EXC_GP, 0);
    if (!descriptor_read(v, selector, &d))
        raise_exception_code(v, EXC_GP, code);
    u16 attributes = d.segment.attributes;
    unsigned dpl = seg_dpl(attributes);
    if (!seg_is_code(attributes) || rpl < v->cpl || (seg_is_conforming(attributes) ? dpl > rpl : dpl != rpl))
        raise_exception_code(v, EXC_GP, code);
    if (in_long_mode(v) && (attributes & SEG_L) && (attributes & SEG_DB))
        raise_exception_code(v, EXC_GP, code);
    if (!(attributes & SEG_P))
        raise_exception_code(v, EXC_NP, code);
    descriptor_set_type_bit(v, &d, SEG_ACCESSED);
    return d.segment;
}

/* The stack segment of a return that loads SS. 64-bit code below CPL 3 may have the null selector. */
static struct segment return_stack(struct vcpu *v, u16 selector, const struct segment *cs)
{
    unsigned cpl = cs->selector & 3;
    if (!selector_is_null(selector))
        return segment_check_stack(v, selector, cpl, false, 0);
    if (!seg_is_64bit(v, cs) || cpl == 3)
        raise_exception_code(v, EXC_GP, 0);
    return (struct segment){.selector = selector, .attributes = (u16)(cpl << SEG_DPL_SHIFT)};
}

/* Data segments that the outer privilege must not see are made null: they lose selector and validity, but not
 * their base, which 64-bit code goes on using in FS and GS. */
static void drop_inner_segments(struct vcpu *v)
{
    static const u8 data[] = {SEG_ES, SEG_DS, SEG_FS, SEG_GS};
    for (unsigned i = 0; i < ARRAY_SIZE(data); i++) {
        struct segment d = v->seg[data[i]];
        if (selector_is_null(d.selector) || seg_is_conforming(d.attributes) ||
            seg_dpl(d.attributes) >= v->cpl)
            continue;
        d.selector = 0;
        d.attributes &= (u16)~SEG_P;
        vcpu_set_segment(v, (enum seg)data[i], d);
    }
}

/* Nothing faults from here on. */
static void enter_return(struct vcpu *v, const struct segment *cs, u64 rip, const struct stack *s)
{
    bool outer = in_protected(v) && (cs->selector & 3) != v->cpl;
    vcpu_set_segment(v, SEG_CS, *cs);
    vcpu_set_segment(v, SEG_SS, s->ss);
    stack_commit(v, s);
    v->next_rip = rip;
    if (outer)
        drop_inner_segments(v);
}

static void ret_far_real(struct vcpu *v, const struct insn *in)
{
    struct stack s;
    stack_current(v, &s);
    u64 rip = stack_pop(v, &s, in->opsize);
    struct segment cs = segment_real(v, SEG_CS, (u16)stack_pop(v, &s, in->opsize));
    rip = segment_check_rip(v, &cs, rip, 0);
    stack_skip(&s, (u16)in->imm);
    enter_return(v, &cs, rip, &s);
}

/* The stack of a return that pops count words. */
static void returning_stack(struct vcpu *v, const struct insn *in, unsigned count, struct stack *s)
{
    stack_current(v, s);
    if (in_64bit(v) && far_returns_read_highest_first())
        stack_touch(v, s, count, in->opsize);
}

static void ret_far_protected(struct vcpu *v, const struct insn *in)
{
    struct stack s;
    returning_stack(v, in, 2, &s);
    u64 rip = stack_pop(v, &s, in->opsize);
    struct segment cs = return_code(v, (u16)stack_pop(v, &s, in->opsize));
    stack_skip(&s, (u16)in->imm);
    if ((cs.selector & 3) != v->cpl) { /* parameters are released from both stacks */
        u64 rsp = stack_pop(v, &s, in->opsize);
        struct segment ss = return_stack(v, (u16)stack_pop(v, &s, in->opsize), &cs);
        stack_set(&s, &ss, rsp, seg_is_64bit(v, &cs));
        stack_skip(&s, (u16)in->imm);
    }
    rip = segment_check_rip(v, &cs, rip, 0);
    enter_return(v, &cs, rip, &s);
}

void insn_ret_far(struct vcpu *v, const struct insn *in)
{
    if (in_protected(v))
        ret_far_protected(v, in);
    else
        ret_far_real(v, in);
}

/* ---- IRET ---- */

/* The flags that IRET may change: 2.3, and the table of POPF in SDM 2B. */
static u64 iret_flags(const struct vcpu *v, u64 popped, unsigned size)
{
    u64 mask = FLAGS_ARITH | FLAG_TF | FLAG_DF | FLAG_NT;
    if (size != 2)
        mask |= FLAG_RF | FLAG_AC | FLAG_ID;
    if (v->cpl <= (v->rflags & FLAG_IOPL) >> 12)
        mask |= FLAG_IF;
    if (v->cpl == 0)
        mask |= FLAG_IOPL;
    if (v->cpl == 0 && size != 2 && in_protected(v))
        mask |= FLAG_VIF | FLAG_VIP;
    return (rflags_get(v) & ~mask) | (popped & mask);
}

/* Also from one place in a virtual-8086 task to another. */
static void iret_real(struct vcpu *v, const struct insn *in)
{
    bool virtual = vm86_has_virtual_if(v, in);
    struct stack s;
    stack_current(v, &s);
    u64 rip = stack_pop(v, &s, in->opsize);
    struct segment cs = segment_real(v, SEG_CS, (u16)stack_pop(v, &s, in->opsize));
    u64 flags = stack_pop(v, &s, in->opsize);
    rip = segment_check_rip(v, &cs, rip, 0);
    if (virtual)
        vm86_set_virtual_flags(v, flags);
    else
        rflags_set(v, iret_flags(v, flags, in->opsize));
    enter_return(v, &cs, rip, &s);
}

/* From protected to virtual-8086 mode: the rest of the frame is ESP, SS, ES, DS, FS, GS. */
static void iret_to_vm86(struct vcpu *v, u64 rip, u16 cs, u64 flags, struct stack *s)
{
    static const u8 popped[] = {SEG_ES, SEG_DS, SEG_FS, SEG_GS};
    u16 selector[ARRAY_SIZE(popped)];
    u64 esp = stack_pop(v, s, 4);
    u16 ss = (u16)stack_pop(v, s, 4);
    for (unsigned i = 0; i < ARRAY_SIZE(popped); i++)
        selector[i] = (u16)stack_pop(v, s, 4);
    if (rip > 0xffff)
        raise_exception_code(v, EXC_GP, 0);
    rflags_set(v, iret_flags(v, flags, 4) | FLAG_VM);
    vcpu_set_segment(v, SEG_CS, segment_real(v, SEG_CS, cs));
    vcpu_set_segment(v, SEG_SS, segment_real(v, SEG_SS, ss));
    for (unsigned i = 0; i < ARRAY_SIZE(popped); i++)
        vcpu_set_segment(v, (enum seg)popped[i], segment_real(v, (enum seg)popped[i], selector[i]));
    v->gpr[GPR_RSP] = esp;
    v->next_rip = rip;
}

static void iret_protected(struct vcpu *v, const struct insn *in)
{
    struct stack s;
    returning_stack(v, in, 3, &s);
    u64 rip = stack_pop(v, &s, in->opsize);
    u16 selector = (u16)stack_pop(v, &s, in->opsize);
    u64 flags = stack_pop(v, &s, in->opsize);
    if ((flags & FLAG_VM) && in->opsize == 4 && v->cpl == 0 && !in_long_mode(v)) {
        iret_to_vm86(v, rip, selector, flags, &s);
        return;
    }
    struct segment cs = return_code(v, selector);
    if (in_64bit(v) || (cs.selector & 3) != v->cpl) { /* 64-bit code always pops the stack too */
        u64 rsp = stack_pop(v, &s, in->opsize);
        struct segment ss = return_stack(v, (u16)stack_pop(v, &s, in->opsize), &cs);
        stack_set(&s, &ss, rsp, seg_is_64bit(v, &cs));
    }
    rip = segment_check_rip(v, &cs, rip, 0);
    rflags_set(v, iret_flags(v, flags, in->opsize));
    enter_return(v, &cs, rip, &s);
}

/* EFLAGS.NT: back to the task that the TSS's link names. */
static void iret_task(struct vcpu *v)
{
    if (in_long_mode(v))
        raise_exception_code(v, EXC_GP, 0);
    struct task_switch s = {.source = TASK_IRET,
                            .selector = (u16)guest_load(v, (u32)v->seg[SEG_TR].base, 2, AS_SYSTEM),
                            .eip = (u32)v->next_rip,
                            .eflags = (u32)rflags_get(v) & ~(u32)FLAG_RF};
    task_switch(v, &s);
    segment_check_rip(v, &v->seg[SEG_CS], v->next_rip, 0);
}

void insn_iret(struct vcpu *v, const struct insn *in)
{
    nmi_unblock(v); /* even where the IRET itself faults: 6.7.1, 25.3 */
    if (!in_protected(v)) {
        iret_real(v, in);
    } else if (v->rflags & FLAG_NT) {
        iret_task(v);
    } else {
        iret_protected(v, in);
    }
}
