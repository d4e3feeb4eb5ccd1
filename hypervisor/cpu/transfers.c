/* transfers.c - far jumps and calls, through call gates too, and software interrupts (SDM 3A 5.8, 6.4; 2A,
 * 2B) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/cpu/debug.h"
#include "hypervisor/cpu/handlers.h"
#include "hypervisor/cpu/segments.h"
#include "hypervisor/cpu/stack.h"
#include "hypervisor/cpu/tasks.h"

/* Where a far jump or call goes after all checks. */
struct far_target {
    struct segment cs;
    u64 rip;
    unsigned size;   /* of the items that a call pushes */
    unsigned params; /* that a gate copies to an inner stack */
};

static struct far_pointer read_far_pointer(struct vcpu *v, const struct insn *in)
{
    if (!in->rm_is_mem)
        return (struct far_pointer){(u16)in->imm2, in->opsize == 2 ? (u16)in->imm : (u32)in->imm};
    return far_pointer_load(v, in);
}

static void read_code_descriptor(struct vcpu *v, u16 selector, struct descriptor *d)
{
    if (selector_is_null(selector))
        raise_exception_code(v, EXC_GP, 0);
    if (!descriptor_read(v, selector, d))
        raise_exception_code(v, EXC_GP, selector_error(selector));
}

static void require(struct vcpu *v, bool good, u8 vector, u16 selector)
{
    if (!good)
        raise_exception_code(v, vector, selector_error(selector));
}

/* A code segment named by the far pointer itself: SDM 2A "JMP", (NON)CONFORMING-CODE-SEGMENT. */
static void check_direct(struct vcpu *v, struct descriptor *d)
{
    u16 attributes = d->segment.attributes, selector = d->segment.selector;
    require(v, seg_is_code(attributes), EXC_GP, selector);
    require(v, !in_long_mode(v) || !(attributes & SEG_L) || !(attributes & SEG_DB), EXC_GP, selector);
    if (seg_is_conforming(attributes))
        require(v, seg_dpl(attributes) <= v->cpl, EXC_GP, selector);
    else
        require(v, (selector & 3) <= v->cpl && seg_dpl(attributes) == v->cpl, EXC_GP, selector);
    require(v, attributes & SEG_P, EXC_NP, selector);
}

/* The code segment behind a call gate; only a call may go to an inner privilege. */
static void check_gate_target(struct vcpu *v, struct descriptor *d, bool call)
{
    u16 attributes = d->segment.attributes, selector = d->segment.selector;
    unsigned dpl = seg_dpl(attributes);
    bool conforming = seg_is_conforming(attributes);
    require(v, seg_is_code(attributes) && dpl <= v->cpl, EXC_GP, selector);
    require(v, call || conforming || dpl == v->cpl, EXC_GP, selector);
    require(v, !in_long_mode(v) || (attributes & (SEG_L | SEG_DB)) == SEG_L, EXC_GP, selector);
    require(v, attributes & SEG_P, EXC_NP, selector);
}

/* Follows a call gate: 5.8.3, in IA-32e mode 5.8.3.1. */
static void through_call_gate(struct vcpu *v, const struct descriptor *gate, bool call, struct far_target *t)
{
    u16 attributes = gate->segment.attributes, selector = gate->segment.selector;
    u64 upper = 0;
    require(v, max((unsigned)v->cpl, selector & 3u) <= seg_dpl(attributes), EXC_GP, selector);
    if (in_long_mode(v)) {
        require(v, descriptor_read_upper(v, gate, &upper), EXC_GP, selector);
        require(v, !(upper >> 32 & 0x1f00), EXC_GP, selector);
    }
    require(v, attributes & SEG_P, EXC_NP, selector);

    struct descriptor d;
    read_code_descriptor(v, (u16)(gate->raw >> 16), &d);
    check_gate_target(v, &d, call);
    bool wide = system_type(attributes) == DESC_CALL_GATE;
    t->size = in_long_mode(v) ? 8 : wide ? 4 : 2;
    t->params = in_long_mode(v) ? 0 : gate->raw >> 32 & 31;
    t->rip = gate->raw & 0xffff;
    if (wide)
        t->rip |= (gate->raw >> 32 & 0xffff0000) | upper << 32;
    descriptor_set_type_bit(v, &d, SEG_ACCESSED);
    t->cs = d.segment;
}

enum {
    CALL_GATES = BIT(DESC_CALL_GATE) | BIT(DESC_CALL_GATE16),
    TASKS = BIT(DESC_TASK_GATE) | BIT(DESC_TSS) | BIT(DESC_TSS16)
};

/* To the task that a TSS descriptor or a task gate names: the DPL that counts is that of the descriptor named
 * by the far pointer (7.2.5, 7.3). */
static void to_task(struct vcpu *v, const struct descriptor *d, bool call)
{
    u16 attributes = d->segment.attributes, selector = d->segment.selector;
    bool gate = system_type(attributes) == DESC_TASK_GATE;
    require(v, max((unsigned)v->cpl, selector & 3u) <= seg_dpl(attributes), EXC_GP, selector);
    require(v, !gate || (attributes & SEG_P), EXC_NP, selector);
    struct task_switch s = {.source = call ? TASK_CALL : TASK_JMP,
                            .selector = gate ? (u16)(d->raw >> 16) : selector,
                            .eip = (u32)v->next_rip,
                            .eflags = (u32)rflags_get(v) & ~(u32)FLAG_RF};
    task_switch(v, &s);
    segment_check_rip(v, &v->seg[SEG_CS], v->next_rip, 0);
}

/* The protected-mode part that JMP and CALL share: what the far pointer leads to. false: to another task,
 * which is the current one now. */
static bool find_target(struct vcpu *v, const struct insn *in, bool call, struct far_target *t)
{
    struct far_pointer p = read_far_pointer(v, in);
    struct descriptor d;
    read_code_descriptor(v, p.selector, &d);
    unsigned type = system_type(d.segment.attributes);
    unsigned gates = in_long_mode(v) ? BIT(DESC_CALL_GATE) : CALL_GATES;
    if (gates >> type & 1) {
        through_call_gate(v, &d, call, t);
    } else if (!in_long_mode(v) && (TASKS >> type & 1)) {
        to_task(v, &d, call);
        return false;
    } else {
        check_direct(v, &d);
        descriptor_set_type_bit(v, &d, SEG_ACCESSED);
        *t = (struct far_target){.cs = d.segment, .rip = p.offset, .size = in->opsize};
    }
    return true;
}

/* The new CPL; the selector's RPL becomes it. */
static unsigned target_cpl(const struct vcpu *v, const struct far_target *t)
{
    return seg_is_conforming(t->cs.attributes) ? v->cpl : seg_dpl(t->cs.attributes);
}

static void enter_target(struct vcpu *v, const struct far_target *t, unsigned cpl)
{
    struct segment cs = t->cs;
    if (in_protected(v))
        cs.selector = (u16)(selector_error(cs.selector) | cpl);
    vcpu_set_segment(v, SEG_CS, cs);
    v->next_rip = t->rip;
}

static void find_real_target(struct vcpu *v, const struct insn *in, struct far_target *t)
{
    struct far_pointer p = read_far_pointer(v, in);
    *t = (struct far_target){segment_real(v, SEG_CS, p.selector), p.offset, .size = in->opsize};
}

void insn_jmp_far(struct vcpu *v, const struct insn *in)
{
    struct far_target t;
    if (!in_protected(v))
        find_real_target(v, in, &t);
    else if (!find_target(v, in, false, &t))
        return;
    t.rip = segment_check_rip(v, &t.cs, t.rip, 0);
    enter_target(v, &t, v->cpl);
}

static void call_same_level(struct vcpu *v, struct far_target *t)
{
    struct stack s;
    stack_set(&s, &v->seg[SEG_SS], v->gpr[GPR_RSP], in_64bit(v) || seg_is_64bit(v, &t->cs));
    stack_probe(v, &s, 2, t->size);
    t->rip = segment_check_rip(v, &t->cs, t->rip, 0);
    stack_push(v, &s, t->size, v->seg[SEG_CS].selector);
    stack_push(v, &s, t->size, v->next_rip);
    stack_commit(v, &s);
    enter_target(v, t, v->cpl);
}

/* 5.8.5: to an inner privilege, with a stack out of the TSS and a copy of the parameters. */
static void call_inner(struct vcpu *v, struct far_target *t)
{
    unsigned cpl = target_cpl(v, t);
    struct stack outer, s;
    u64 param[31];
    stack_current(v, &outer);
    stack_from_tss(v, cpl, 0, 0, &s);
    stack_probe(v, &s, 4 + t->params, t->size);
    t->rip = segment_check_rip(v, &t->cs, t->rip, 0);
    for (unsigned i = 0; i < t->params; i++)
        param[i] = stack_pop(v, &outer, t->size);
    stack_push(v, &s, t->size, v->seg[SEG_SS].selector);
    stack_push(v, &s, t->size, v->gpr[GPR_RSP]);
    for (unsigned i = t->params; i-- > 0;)
        stack_push(v, &s, t->size, param[i]);
    stack_push(v, &s, t->size, v->seg[SEG_CS].selector);
    stack_push(v, &s, t->size, v->next_rip);
    enter_target(v, t, cpl);
    vcpu_set_segment(v, SEG_SS, s.ss);
    stack_commit(v, &s);
}

void insn_call_far(struct vcpu *v, const struct insn *in)
{
    struct far_target t;
    if (!in_protected(v))
        find_real_target(v, in, &t);
    else if (!find_target(v, in, true, &t))
        return;
    if (in_protected(v) && target_cpl(v, &t) != v->cpl)
        call_inner(v, &t);
    else
        call_same_level(v, &t);
}

/* ---- software interrupts: the gate does the rest (exceptions.c) ---- */

/* The bitmap of 32 bytes below the I/O permission bitmap: whether the monitor takes the interrupt (20.3.3).
 */
static bool monitor_takes(struct vcpu *v, u8 vector)
{
    enum { IO_MAP_BASE = 102, REDIRECTION_MAP = 32 };
    const struct segment *tr = &v->seg[SEG_TR];
    if (!(v->cr4 & CR4_VME))
        return true;
    if (tr->limit < IO_MAP_BASE + 1)
        raise_exception_code(v, EXC_GP, 0);
    u32 at = (u32)guest_load(v, (u32)(tr->base + IO_MAP_BASE), 2, AS_SYSTEM) - REDIRECTION_MAP + vector / 8;
    if (at > tr->limit)
        raise_exception_code(v, EXC_GP, 0);
    return guest_load(v, (u32)(tr->base + at), 1, AS_SYSTEM) >> (vector & 7) & 1;
}

/* To the handler of the 8086 program itself, through the table at address 0, as in real mode (20.3.3.3). */
static void int_redirected(struct vcpu *v, u8 vector)
{
    bool virtual = (v->rflags & FLAG_IOPL) != FLAG_IOPL;
    u64 image = virtual ? vm86_virtual_flags(v) : rflags_get(v);
    u32 entry = (u32)guest_load(v, vector * 4u, 4, AS_CPL);
    struct far_target t = {segment_real(v, SEG_CS, (u16)(entry >> 16)), entry & 0xffff, .size = 2};
    struct stack s;
    stack_current(v, &s);
    stack_probe(v, &s, 3, 2);
    stack_push(v, &s, 2, image);
    stack_push(v, &s, 2, v->seg[SEG_CS].selector);
    stack_push(v, &s, 2, v->next_rip);
    stack_commit(v, &s);
    v->rflags &= ~(u64)(FLAG_TF | FLAG_RF | (virtual ? FLAG_VIF : FLAG_IF));
    enter_target(v, &t, v->cpl);
}

void insn_int(struct vcpu *v, const struct insn *in)
{
    u8 vector = (u8)in->imm;
    if (v->rflags & FLAG_VM) {
        if (!monitor_takes(v, vector)) {
            int_redirected(v, vector);
            return;
        }
        if ((v->rflags & FLAG_IOPL) != FLAG_IOPL) /* 20.3.2 */
            raise_exception_code(v, EXC_GP, 0);
    }
    raise_soft(v, vector);
}

void insn_int3(struct vcpu *v, const struct insn *in)
{
    (void)in;
    if (v->debug.control & KVM_GUESTDBG_USE_SW_BP)
        debug_exit(v, EXC_BP, 0);
    raise_soft(v, EXC_BP);
}

void insn_into(struct vcpu *v, const struct insn *in)
{
    (void)in;
    if (rflags_get(v) & FLAG_OF)
        raise_soft(v, EXC_OF);
}

/* ICEBP is a trap of the hardware's kind: no check of the gate's DPL (6.12.1.2). What MOV to SS has held off
 * comes with it, as one #DB. */
void insn_int1(struct vcpu *v, const struct insn *in)
{
    u64 held = v->debug.trap;
    (void)in;
    v->debug.trap = 0;
    v->rip = v->next_rip;
    raise_debug(v, held);
}
