/* exceptions.c - exceptions and interrupts on their way into the guest (SDM 3A ch. 6) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An instruction ends with an exception by raise_*: the exception becomes v->event and the run loop delivers
 * it. What faults while event_deliver is at work combines with the event being delivered by table 6-5; the
 * result is the new v->event, and the run loop delivers again. Delivery changes registers only when nothing
 * can fault any more, so at each such fault v->rip still is that of the interrupted instruction.
 */
#include "hypervisor/cpu/debug.h"
#include "hypervisor/cpu/segments.h"
#include "hypervisor/cpu/stack.h"
#include "hypervisor/cpu/tasks.h"

/* Table 6-1: which vectors push an error code, and which are faults. #DB is not among the faults, since the
 * ones that are (instruction breakpoints) push RF as it is (17.3.1.1). */
static const u32 vectors_with_code =
    BIT(EXC_DF) | BIT(EXC_TS) | BIT(EXC_NP) | BIT(EXC_SS) | BIT(EXC_GP) | BIT(EXC_PF) | BIT(EXC_AC);
static const u32 vectors_fault = BIT(EXC_DE) | BIT(EXC_BR) | BIT(EXC_UD) | BIT(EXC_NM) | BIT(EXC_TS) |
                                 BIT(EXC_NP) | BIT(EXC_SS) | BIT(EXC_GP) | BIT(EXC_PF) | BIT(EXC_MF) |
                                 BIT(EXC_AC) | BIT(EXC_XM);

/* ---- raising ---- */

enum event_class { BENIGN, CONTRIBUTORY, PAGE_FAULT, DOUBLE_FAULT, CLASSES };

static enum event_class event_class(const struct event *e)
{
    if (e->soft || e->external)
        return BENIGN;
    switch (e->vector) {
    case EXC_DE:
    case EXC_TS:
    case EXC_NP:
    case EXC_SS:
    case EXC_GP: return CONTRIBUTORY;
    case EXC_PF: return PAGE_FAULT;
    case EXC_DF: return DOUBLE_FAULT;
    default: return BENIGN;
    }
}

static struct event exception_event(const struct vcpu *v, u8 vector, u32 error_code, u64 payload)
{
    return (struct event){
        .pending = true,
        .vector = vector,
        .has_error_code = vector < 32 && (vectors_with_code >> vector & 1) && (v->cr0 & CR0_PE),
        .fault = vector < 32 && (vectors_fault >> vector & 1),
        .error_code = error_code,
        .has_payload = true,
        .payload = payload,
    };
}

enum combination { SERIAL, TO_DOUBLE_FAULT, TO_SHUTDOWN };

/* Table 6-5: what becomes of the second event (column) when it comes while the first (row) is delivered. */
static const u8 combinations[CLASSES][CLASSES] = {
    [CONTRIBUTORY] = {[CONTRIBUTORY] = TO_DOUBLE_FAULT},
    [PAGE_FAULT] = {[CONTRIBUTORY] = TO_DOUBLE_FAULT, [PAGE_FAULT] = TO_DOUBLE_FAULT},
    [DOUBLE_FAULT] = {[CONTRIBUTORY] = TO_SHUTDOWN, [PAGE_FAULT] = TO_SHUTDOWN},
};

_Noreturn static void raise_event(struct vcpu *v, struct event e)
{
    u8 combination = SERIAL;
    if (!e.soft && e.vector != EXC_DB)
        v->debug.trap = 0; /* of an instruction, or a delivery, that does not complete */
    if (v->delivering && v->event.pending)
        combination = combinations[event_class(&v->event)][event_class(&e)];
    v->delivering = false;
    if (combination == TO_SHUTDOWN) {
        v->event.pending = false;
        vcpu_exit(v, KVM_EXIT_SHUTDOWN);
    }
    if (combination == TO_DOUBLE_FAULT) {
        if (e.vector == EXC_PF) /* the handler of #DF finds the address, by which it knows a stack overflow */
            v->cr2 = e.payload;
        e = exception_event(v, EXC_DF, 0, 0);
    }
    v->event = e;
    vcpu_unwind(v);
}

_Noreturn void raise_exception_code(struct vcpu *v, u8 vector, u32 error_code)
{
    raise_event(v, exception_event(v, vector, error_code, 0));
}

_Noreturn void raise_exception(struct vcpu *v, u8 vector)
{
    raise_exception_code(v, vector, 0);
}

_Noreturn void raise_page_fault(struct vcpu *v, gva gva, u32 error_code)
{
    raise_event(v, exception_event(v, EXC_PF, error_code, gva));
}

/* General detect is a fault like others; the fault of an instruction breakpoint pushes RF as it is
 * (17.3.1.1). */
static struct event debug_event(struct vcpu *v, u64 dr6)
{
    if (debug_is_hosts(v))
        debug_exit(v, EXC_DB, dr6);
    struct event e = exception_event(v, EXC_DB, 0, dr6);
    e.fault = dr6 & DR6_BD;
    return e;
}

_Noreturn void raise_debug(struct vcpu *v, u64 dr6)
{
    raise_event(v, debug_event(v, dr6));
}

_Noreturn void raise_soft(struct vcpu *v, u8 vector)
{
    raise_event(v, (struct event){.pending = true, .soft = true, .vector = vector, .payload = v->next_rip});
}

void event_queue_interrupt(struct vcpu *v, u8 vector)
{
    v->event = (struct event){.pending = true, .external = true, .vector = vector};
}

void event_queue_nmi(struct vcpu *v)
{
    v->event = (struct event){.pending = true, .external = true, .vector = EXC_NMI};
    if (v->nmi_pending)
        atomic_fetch_sub(&v->nmi_pending, 1);
    v->nmi_blocked = true;
}

void nmi_raise(struct vcpu *v)
{
    u8 n = atomic_load(&v->nmi_pending);
    while (n < 2 && !atomic_compare_exchange_weak(&v->nmi_pending, &n, n + 1))
        ;
}

/* A second one that came meanwhile is not remembered. */
void nmi_unblock(struct vcpu *v)
{
    u8 two = 2;
    if (v->nmi_blocked)
        atomic_compare_exchange_strong(&v->nmi_pending, &two, 1);
    v->nmi_blocked = false;
}

void event_queue_debug(struct vcpu *v)
{
    u64 dr6 = v->debug.trap;
    v->debug.trap = 0;
    v->event = debug_event(v, dr6);
}

/* INT3 is the one whose rip is behind the instruction: one byte, of which user space is told. */
void event_inject_exception(struct vcpu *v, u8 vector)
{
    v->event = exception_event(v, vector, 0, 0);
    v->event.has_payload = false;
    v->event.soft = vector == EXC_BP;
    if (v->event.soft)
        v->event.payload = v->rip + 1;
}

/* ---- delivery ---- */

struct gate {
    u16 selector;
    u8 type;
    u8 ist;
    u64 offset;
};

/* EXT of error codes: the event does not come from the program itself (6.13). */
static u32 error_ext(const struct vcpu *v)
{
    return v->event.soft ? 0 : 1;
}

static u64 return_rip(const struct vcpu *v)
{
    return v->event.soft ? v->event.payload : v->rip;
}

/* Faults push RF set, all else as it is (17.3.1.1). */
static u64 pushed_flags(const struct vcpu *v)
{
    u64 flags = rflags_get(v);
    return v->event.fault ? flags | FLAG_RF : flags;
}

/* The gate of the event's vector, which may be of the types in the mask. */
static struct gate read_gate(struct vcpu *v, unsigned types)
{
    bool wide = in_long_mode(v);
    unsigned size = wide ? 16 : 8;
    unsigned offset = v->event.vector * size;
    u32 code = v->event.vector * 8u | 2 | error_ext(v);
    if (offset + size - 1 > v->idtr.limit)
        raise_exception_code(v, EXC_GP, code);
    gva a = wide ? v->idtr.base + offset : (u32)(v->idtr.base + offset);
    u64 raw = guest_load(v, a, 8, AS_SYSTEM);
    u64 upper = wide ? guest_load(v, a + 8, 8, AS_SYSTEM) : 0;
    u16 attributes = (u16)(raw >> 40 & 0xff);
    u8 type = (u8)system_type(attributes);
    if (!(types >> type & 1))
        raise_exception_code(v, EXC_GP, code);
    if (v->event.soft && seg_dpl(attributes) < v->cpl)
        raise_exception_code(v, EXC_GP, code);
    if (!(attributes & SEG_P))
        raise_exception_code(v, EXC_NP, code);
    return (struct gate){
        .selector = (u16)(raw >> 16),
        .type = type,
        .ist = raw >> 32 & 7,
        .offset = (raw & 0xffff) | (raw >> 32 & 0xffff0000) | upper << 32,
    };
}

/* The gate's code segment with its selector's RPL as the new CPL. */
static struct segment read_handler_segment(struct vcpu *v, u16 selector)
{
    struct descriptor d;
    u32 code = selector_error(selector) | error_ext(v);
    if (selector_is_null(selector))
        raise_exception_code(v, EXC_GP, error_ext(v));
    if (!descriptor_read(v, selector, &d))
        raise_exception_code(v, EXC_GP, code);
    u16 attributes = d.segment.attributes;
    if (!seg_is_code(attributes) || seg_dpl(attributes) > v->cpl)
        raise_exception_code(v, EXC_GP, code);
    if (in_long_mode(v) && (attributes & (SEG_L | SEG_DB)) != SEG_L)
        raise_exception_code(v, EXC_GP, code);
    if (!(attributes & SEG_P))
        raise_exception_code(v, EXC_NP, code);
    unsigned cpl = seg_is_conforming(attributes) ? v->cpl : seg_dpl(attributes);
    if ((v->rflags & FLAG_VM) && cpl != 0)
        raise_exception_code(v, EXC_GP, code);
    descriptor_set_type_bit(v, &d, SEG_ACCESSED);
    d.segment.selector = (u16)(selector_error(selector) | cpl);
    return d.segment;
}

/* Nothing faults from here on. */
static void enter_handler(struct vcpu *v, const struct gate *g, const struct segment *cs)
{
    u64 clear = FLAG_TF | FLAG_NT | FLAG_RF | FLAG_VM;
    if (!(g->type & 1)) /* an interrupt gate, not a trap gate */
        clear |= FLAG_IF;
    v->rflags &= ~clear;
    vcpu_set_segment(v, SEG_CS, *cs);
    v->rip = g->offset;
}

/* IA-32e mode, 6.14. */
static void deliver_long(struct vcpu *v)
{
    struct gate g = read_gate(v, BIT(DESC_INT_GATE) | BIT(DESC_TRAP_GATE));
    struct segment cs = read_handler_segment(v, g.selector);
    unsigned cpl = cs.selector & 3;
    struct stack s;
    if (cpl != v->cpl || g.ist) {
        stack_from_tss(v, cpl, g.ist, error_ext(v), &s);
    } else {
        stack_set(&s, &v->seg[SEG_SS], v->gpr[GPR_RSP], true);
        s.fault_code = error_ext(v);
    }
    s.sp = ALIGN_DOWN(s.sp, 16);
    stack_probe(v, &s, v->event.has_error_code ? 6 : 5, 8);
    g.offset = segment_check_rip(v, &cs, g.offset, error_ext(v));
    stack_push(v, &s, 8, v->seg[SEG_SS].selector);
    stack_push(v, &s, 8, v->gpr[GPR_RSP]);
    stack_push(v, &s, 8, pushed_flags(v));
    stack_push(v, &s, 8, v->seg[SEG_CS].selector);
    stack_push(v, &s, 8, return_rip(v));
    if (v->event.has_error_code)
        stack_push(v, &s, 8, v->event.error_code);
    enter_handler(v, &g, &cs);
    vcpu_set_segment(v, SEG_SS, s.ss);
    stack_commit(v, &s);
}

/* Through a task gate: 6.12.2. The new task finds the error code on its stack. */
static void deliver_task(struct vcpu *v, u16 selector)
{
    struct task_switch t = {.source = TASK_EVENT,
                            .selector = selector,
                            .ext = error_ext(v),
                            .eip = (u32)return_rip(v),
                            .eflags = (u32)pushed_flags(v)};
    task_switch(v, &t);
    if (v->event.has_error_code) {
        struct stack s;
        unsigned size = v->seg[SEG_TR].attributes & 8 ? 4 : 2; /* of the TSS's type */
        stack_current(v, &s);
        s.fault_code = t.ext;
        stack_probe(v, &s, 1, size);
        stack_push(v, &s, size, v->event.error_code);
        stack_commit(v, &s);
    }
    segment_check_rip(v, &v->seg[SEG_CS], v->rip, t.ext);
}

static const u8 vm86_pushed[] = {SEG_GS, SEG_FS, SEG_DS, SEG_ES};

/* What lies below the return address when the handler runs at another privilege: 6.12.1, 20.3.1. */
static void push_outer_stack(struct vcpu *v, struct stack *s, unsigned size)
{
    if (v->rflags & FLAG_VM) {
        for (unsigned i = 0; i < ARRAY_SIZE(vm86_pushed); i++)
            stack_push(v, s, size, v->seg[vm86_pushed[i]].selector);
    }
    stack_push(v, s, size, v->seg[SEG_SS].selector);
    stack_push(v, s, size, v->gpr[GPR_RSP]);
}

/* Protected mode, and virtual-8086 mode, through 16- and 32-bit gates: 6.12.1. */
static void deliver_protected(struct vcpu *v)
{
    struct gate g = read_gate(v, BIT(DESC_TASK_GATE) | BIT(DESC_INT_GATE16) | BIT(DESC_TRAP_GATE16) |
                                     BIT(DESC_INT_GATE) | BIT(DESC_TRAP_GATE));
    if (g.type == DESC_TASK_GATE) {
        deliver_task(v, g.selector);
        return;
    }
    unsigned size = g.type & 8 ? 4 : 2;
    if (size == 2)
        g.offset &= 0xffff;
    bool vm86 = v->rflags & FLAG_VM;
    struct segment cs = read_handler_segment(v, g.selector);
    bool inner = (cs.selector & 3) != v->cpl;
    struct stack s;
    if (inner) {
        stack_from_tss(v, cs.selector & 3, 0, error_ext(v), &s);
    } else {
        stack_current(v, &s);
        s.fault_code = error_ext(v);
    }
    stack_probe(v, &s, 3 + v->event.has_error_code + (inner ? 2 : 0) + (vm86 ? 4 : 0), size);
    g.offset = segment_check_rip(v, &cs, g.offset, error_ext(v));
    if (inner)
        push_outer_stack(v, &s, size);
    stack_push(v, &s, size, pushed_flags(v));
    stack_push(v, &s, size, v->seg[SEG_CS].selector);
    stack_push(v, &s, size, return_rip(v));
    if (v->event.has_error_code)
        stack_push(v, &s, size, v->event.error_code);
    enter_handler(v, &g, &cs);
    vcpu_set_segment(v, SEG_SS, s.ss);
    stack_commit(v, &s);
    for (unsigned i = 0; vm86 && i < ARRAY_SIZE(vm86_pushed); i++)
        vcpu_set_segment(v, (enum seg)vm86_pushed[i], segment_null(0));
}

/* Real-address mode: the IVT at idtr.base, 20.1.4. */
static void deliver_real(struct vcpu *v)
{
    unsigned offset = v->event.vector * 4u;
    if (offset + 3 > v->idtr.limit)
        raise_exception(v, EXC_GP);
    u32 vector = (u32)guest_load(v, (u32)(v->idtr.base + offset), 4, AS_SYSTEM);
    struct segment cs = segment_real(v, SEG_CS, (u16)(vector >> 16));
    struct stack s;
    stack_current(v, &s);
    stack_probe(v, &s, 3, 2);
    u64 rip = segment_check_rip(v, &cs, vector & 0xffff, 0);
    stack_push(v, &s, 2, pushed_flags(v));
    stack_push(v, &s, 2, v->seg[SEG_CS].selector);
    stack_push(v, &s, 2, return_rip(v));
    stack_commit(v, &s);
    v->rflags &= ~(u64)(FLAG_IF | FLAG_TF | FLAG_AC | FLAG_RF);
    vcpu_set_segment(v, SEG_CS, cs);
    v->rip = rip;
}

/* Registers that tell the handler about the exception: 17.2.3, 4.7. They are written before anything of the
 * delivery can fault: the handler of a resulting #DF finds them. */
void event_deliver_payload(struct vcpu *v)
{
    struct event *e = &v->event;
    if (e->soft || e->external)
        return;
    if (e->vector == EXC_PF && e->has_payload)
        v->cr2 = e->payload;
    if (e->vector == EXC_DB && e->has_payload)
        v->dr[6] = (v->dr[6] & ~DR6_B) | DR6_FIXED | e->payload;
    e->has_payload = false;
}

/* The handler of #DB may use the debug registers (17.2.4). */
static void end_general_detect(struct vcpu *v)
{
    if (!v->event.soft && !v->event.external && v->event.vector == EXC_DB)
        debug_set_dr7(v, v->dr[7] & ~DR7_GD);
}

void event_deliver(struct vcpu *v)
{
    v->delivering = true;
    event_deliver_payload(v);
    end_general_detect(v);
    if (!(v->cr0 & CR0_PE))
        deliver_real(v);
    else if (in_long_mode(v))
        deliver_long(v);
    else
        deliver_protected(v);
    guest_commit(v);
    v->event.pending = false;
    v->delivering = false;
    v->interrupt_shadow = 0;
}
