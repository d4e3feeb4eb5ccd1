/* exceptions.c - event delivery through IDT and IVT, and what faults on the way (SDM 3A ch. 6) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/cpu.h"
#include "tests/unit/test.h"

enum { HANDLER = 0x7000 };

static void set_gate32(u8 vector, u16 selector, u16 attributes)
{
    poke(IDT + vector * 8, 8, HANDLER | (u64)selector << 16 | (u64)attributes << 40);
}

static void set_gate64(u8 vector, u16 selector, u16 attributes, u8 ist)
{
    poke(IDT + vector * 16, 8, HANDLER | (u64)selector << 16 | (u64)ist << 32 | (u64)attributes << 40);
    poke(IDT + vector * 16 + 8, 8, 0xffff8000);
}

static enum outcome deliver(void)
{
    enum outcome o = (enum outcome)setjmp(run_loop);
    if (o)
        return o;
    event_deliver(v);
    return COMPLETED;
}

/* As an instruction or the run loop raises it. */
static void raise_at_rip(u8 vector, u32 code)
{
    if (!setjmp(run_loop))
        raise_exception_code(v, vector, code);
}

static void raise_pf(gva a, u32 code)
{
    if (!setjmp(run_loop))
        raise_page_fault(v, a, code);
}

static void raise_int(u8 vector)
{
    v->next_rip = v->rip + 2;
    if (!setjmp(run_loop))
        raise_soft(v, vector);
}

static void check_frame64(gva top, u64 rip, u64 cs, u64 flags, u64 rsp, u64 ss)
{
    CHECK_EQ(peek(top - 8, 8), ss);
    CHECK_EQ(peek(top - 16, 8), rsp);
    CHECK_EQ(peek(top - 24, 8), flags);
    CHECK_EQ(peek(top - 32, 8), cs);
    CHECK_EQ(peek(top - 40, 8), rip);
}

static void check_long(void)
{
    vcpu_new(LONG, 3);
    set_gate64(EXC_PF, CS64, 0x8e, 0);
    rflags_set(v, v->rflags | FLAG_TF | FLAG_NT | FLAG_ZF | FLAG_CF | FLAG_OF);
    u64 flags = rflags_get(v);
    v->interrupt_shadow = 1;
    raise_pf(0xdeadbeef, PF_P | PF_U);
    CHECK_EQ(v->cr2, 0); /* not before delivery */
    CHECK(v->event.pending && v->event.has_error_code);
    CHECK_EQ(deliver(), COMPLETED);
    CHECK_EQ(v->cr2, 0xdeadbeef);
    CHECK_EQ(v->rip, 0xffff800000007000);
    CHECK_EQ(v->seg[SEG_CS].selector, CS64);
    CHECK_EQ(v->seg[SEG_SS].selector, 0);
    CHECK_EQ(v->cpl, 0);
    CHECK_EQ(rflags_get(v), flags & ~(u64)(FLAG_TF | FLAG_NT | FLAG_IF));
    check_frame64(STACK0, 0x5000, CS64U, flags | FLAG_RF, STACK3, SS3);
    CHECK_EQ(peek(STACK0 - 48, 8), PF_P | PF_U);
    CHECK_EQ(v->gpr[GPR_RSP], STACK0 - 48);
    CHECK(!v->event.pending && !v->delivering && !v->interrupt_shadow);
}

/* At the same privilege: the stack is aligned, SS stays, an interrupt pushes no code, and RF as it is. */
static void check_long_interrupt(void)
{
    vcpu_new(LONG, 0);
    set_gate64(0x30, CS64, 0x8f, 0); /* a trap gate: IF stays */
    v->gpr[GPR_RSP] = STACK0 - 3;
    v->rflags |= FLAG_RF; /* of an IRET just before, or of a repeated instruction */
    event_queue_interrupt(v, 0x30);
    CHECK_EQ(deliver(), COMPLETED);
    check_frame64(STACK0 - 16, 0x5000, CS64, FLAG_FIXED | FLAG_IF | FLAG_RF, STACK0 - 3, SS0);
    CHECK(!(v->rflags & FLAG_RF));
    CHECK_EQ(v->gpr[GPR_RSP], STACK0 - 16 - 40);
    CHECK_EQ(v->seg[SEG_SS].selector, SS0);
    CHECK(v->rflags & FLAG_IF);
}

static void check_nmis_wait(void)
{
    vcpu_new(LONG, 0);
    for (int i = 0; i < 3; i++)
        nmi_raise(v);
    CHECK_EQ(v->nmi_pending, 2);
    event_queue_nmi(v);
    CHECK_EQ(v->nmi_pending, 1);
    nmi_raise(v);
    nmi_unblock(v);
    CHECK_EQ(v->nmi_pending, 1); /* one is remembered while another is handled */
    nmi_raise(v);
    nmi_unblock(v); /* an IRET that ends no NMI's handler */
    CHECK_EQ(v->nmi_pending, 2);
}

static void check_ist_and_nmi(void)
{
    vcpu_new(LONG, 0);
    set_gate64(EXC_NMI, CS64, 0x8e, 1);
    v->nmi_pending = true;
    event_queue_nmi(v);
    CHECK(!v->nmi_pending && v->nmi_blocked);
    CHECK_EQ(deliver(), COMPLETED);
    check_frame64(IST1, 0x5000, CS64, FLAG_FIXED | FLAG_IF, STACK0, SS0);
    CHECK(v->nmi_blocked);
}

static void check_debug(void)
{
    vcpu_new(LONG, 0);
    set_gate64(EXC_DB, CS64, 0x8e, 0);
    v->dr[6] = 0xffff0ff0 | 3;
    v->dr[7] = 0x2400;
    static const struct insn icebp = {.length = 1};
    CHECK_EQ(run_handler(insn_int1, &icebp), RAISED);
    CHECK_EQ(deliver(), COMPLETED);
    CHECK_EQ(peek(STACK0 - 40, 8), 0x5001); /* a trap */
    CHECK_EQ(peek(STACK0 - 24, 8), FLAG_FIXED | FLAG_IF);
    CHECK_EQ(v->dr[6], 0xffff0ff0);
    CHECK_EQ(v->dr[7], 0x400);
    if (!setjmp(run_loop))
        raise_debug(v, BIT(14));
    CHECK_EQ(deliver(), COMPLETED);
    CHECK_EQ(v->dr[6], 0xffff4ff0);
}

/* Software interrupts: the gate's DPL counts, EXT is 0, and the fault is at the instruction itself. */
static void check_soft(void)
{
    vcpu_new(LONG, 3);
    set_gate64(0x80, CS64, 0xee, 0);
    set_gate64(0x81, CS64, 0x8e, 0);
    raise_int(0x80);
    CHECK_EQ(deliver(), COMPLETED);
    CHECK_EQ(peek(STACK0 - 40, 8), 0x5002);
    vcpu_new(LONG, 3);
    set_gate64(0x81, CS64, 0x8e, 0);
    set_gate64(EXC_GP, CS64, 0x8e, 0);
    raise_int(0x81);
    CHECK_EQ(deliver(), RAISED);
    CHECK_EQ(v->event.vector, EXC_GP);
    CHECK_EQ(v->event.error_code, 0x81 * 8 + 2);
    CHECK(!v->event.soft && v->event.fault);
    CHECK_EQ(deliver(), COMPLETED);
    CHECK_EQ(peek(STACK0 - 40, 8), 0x5000);
    vcpu_new(LONG, 3);
    set_gate64(EXC_UD, CS64, 0x8e, 0); /* DPL 0 does not keep out exceptions */
    raise_at_rip(EXC_UD, 0);
    CHECK_EQ(deliver(), COMPLETED);
}

/* A delivery of vector 0x30 as an interrupt that goes wrong. */
struct fault_case {
    const char *what;
    u16 selector, attributes;
    u16 idt_limit;
    u8 vector;
    u32 code;
};

static const struct fault_case faults[] = {
    {"beyond the IDT", CS64, 0x8e, 0x30e, EXC_GP, 0x183},
    {"no gate", CS64, 0x80, 0xfff, EXC_GP, 0x183},
    {"16-bit gate in IA-32e mode", CS64, 0x86, 0xfff, EXC_GP, 0x183},
    {"call gate", CS64, 0x8c, 0xfff, EXC_GP, 0x183},
    {"a code segment is no gate", CS64, 0x9e, 0xfff, EXC_GP, 0x183},
    {"not present", CS64, 0x0e, 0xfff, EXC_NP, 0x183},
    {"null CS", 3, 0x8e, 0xfff, EXC_GP, 1},
    {"CS beyond the GDT", 0x1000, 0x8e, 0xfff, EXC_GP, 0x1001},
    {"CS is data", SS0, 0x8e, 0xfff, EXC_GP, SS0 | 1},
    {"CS has 32 bits", CS0, 0x8e, 0xfff, EXC_GP, CS0 | 1},
    {"CS is outer", CS64U, 0x8e, 0xfff, EXC_GP, (CS64U & ~3) | 1},
    {"CS is not present", FREE, 0x8e, 0xfff, EXC_NP, FREE | 1},
};

static void check_delivery_faults(void)
{
    for (unsigned i = 0; i < ARRAY_SIZE(faults); i++) {
        const struct fault_case *c = &faults[i];
        vcpu_new(LONG, 0);
        set_gdt(FREE, 0, 0xfffff, A_CODE64 & ~(u16)SEG_P);
        set_gate64(0x30, c->selector, c->attributes, 0);
        v->idtr.limit = c->idt_limit;
        event_queue_interrupt(v, 0x30);
        CHECK_EQ(deliver(), RAISED);
        if (v->event.vector != c->vector || v->event.error_code != c->code)
            printf("row %s:\n", c->what);
        CHECK_EQ(v->event.vector, c->vector);
        CHECK_EQ(v->event.error_code, c->code);
        CHECK_EQ(v->rip, 0x5000);
        CHECK_EQ(v->gpr[GPR_RSP], STACK0);
        CHECK_EQ(peek(STACK0 - 8, 8), 0);
        CHECK_EQ(v->seg[SEG_CS].selector, CS64);
    }
}

static void check_stack_faults(void)
{
    vcpu_new(LONG, 3); /* the TSS is too short for its RSP0 */
    set_gate64(EXC_UD, CS64, 0x8e, 0);
    v->seg[SEG_TR].limit = 10;
    raise_at_rip(EXC_UD, 0);
    CHECK_EQ(deliver(), RAISED);
    CHECK_EQ(v->event.vector, EXC_TS);
    CHECK_EQ(v->event.error_code, TSS_SEL | 1);

    vcpu_new(LONG, 3);
    set_gate64(EXC_UD, CS64, 0x8e, 0);
    poke(TSS + 4, 8, 0x800000000020); /* not canonical */
    raise_at_rip(EXC_UD, 0);
    CHECK_EQ(deliver(), RAISED);
    CHECK_EQ(v->event.vector, EXC_SS);
    CHECK_EQ(v->event.error_code, 1);

    vcpu_new(LONG, 3); /* only the frame's lower half has no page: nothing is written */
    set_gate64(EXC_UD, CS64, 0x8e, 0);
    poke(TSS + 4, 8, STACK0 + 0x10);
    absent[(STACK0 >> 12) - 1] = true;
    raise_at_rip(EXC_UD, 0);
    CHECK_EQ(deliver(), RAISED);
    CHECK_EQ(v->event.vector, EXC_PF);
    CHECK_EQ(v->event.error_code, PF_W); /* a supervisor access */
    CHECK_EQ(peek(STACK0 + 8, 8), 0);
    CHECK_EQ(v->cpl, 3);
}

/* Table 6-5. Both handlers' gates are missing, so each delivery raises #NP; the first is a #PF where asked.
 */
static void check_double_fault(void)
{
    static const struct {
        u8 first;
        u8 want;
    } rows[] = {{EXC_UD, EXC_NP}, {EXC_DB, EXC_NP}, {EXC_DE, EXC_DF}, {EXC_GP, EXC_DF},
                {EXC_SS, EXC_DF}, {EXC_PF, EXC_DF}, {EXC_AC, EXC_NP}, {EXC_MF, EXC_NP}};
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        vcpu_new(LONG, 0);
        set_gate64(rows[i].first, CS64, 0x0e, 0);
        raise_at_rip(rows[i].first, 0);
        CHECK_EQ(deliver(), RAISED);
        CHECK_EQ(v->event.vector, rows[i].want);
        CHECK_EQ(v->event.error_code, rows[i].want == EXC_DF ? 0u : rows[i].first * 8u + 3);
    }
    vcpu_new(LONG, 0); /* INT 13 is no #GP */
    set_gate64(EXC_GP, CS64, 0x0e, 0);
    raise_int(EXC_GP);
    CHECK_EQ(deliver(), RAISED);
    CHECK_EQ(v->event.vector, EXC_NP);
    CHECK_EQ(v->event.error_code, EXC_GP * 8 + 2);
}

/* A page fault whose handler's stack is gone: #DF on its IST, with cr2 of the second fault, which is that of
 * the first push. */
static void check_stack_overflow(void)
{
    vcpu_new(LONG, 0);
    set_gate64(EXC_PF, CS64, 0x8e, 0);
    set_gate64(EXC_DF, CS64, 0x8e, 1);
    absent[(STACK0 >> 12) - 1] = true;
    raise_pf(0x1234, PF_W);
    CHECK_EQ(deliver(), RAISED);
    CHECK_EQ(v->event.vector, EXC_DF);
    CHECK_EQ(v->cr2, STACK0 - 8);
    CHECK_EQ(deliver(), COMPLETED);
    check_frame64(IST1, 0x5000, CS64, FLAG_FIXED | FLAG_IF, STACK0, SS0); /* an abort: no RF */
    CHECK_EQ(peek(IST1 - 48, 8), 0);
}

static void check_contributory_then_page_fault(void)
{
    vcpu_new(LONG, 0);
    set_gate64(EXC_GP, CS64, 0x8e, 0);
    absent[(STACK0 >> 12) - 1] = true;
    raise_at_rip(EXC_GP, 0);
    CHECK_EQ(deliver(), RAISED);
    CHECK_EQ(v->event.vector, EXC_PF); /* serially */
}

static void check_triple_fault(void)
{
    vcpu_new(LONG, 0);
    v->idtr.limit = 0;
    raise_at_rip(EXC_GP, 0);
    CHECK_EQ(deliver(), RAISED);
    CHECK_EQ(v->event.vector, EXC_DF);
    CHECK_EQ(deliver(), EXITED);
    CHECK_EQ(exit_reason, KVM_EXIT_SHUTDOWN);
    CHECK(!v->event.pending && !v->delivering);
}

static void check_protected(void)
{
    vcpu_new(PROTECTED, 3);
    set_gate32(EXC_GP, CS0, 0x8e);
    raise_at_rip(EXC_GP, 0x50);
    CHECK_EQ(deliver(), COMPLETED);
    CHECK_EQ(peek(STACK0 - 4, 4), SS3);
    CHECK_EQ(peek(STACK0 - 8, 4), STACK3);
    CHECK_EQ(peek(STACK0 - 12, 4), FLAG_FIXED | FLAG_IF | FLAG_RF);
    CHECK_EQ(peek(STACK0 - 16, 4), CS3);
    CHECK_EQ(peek(STACK0 - 20, 4), 0x5000);
    CHECK_EQ(peek(STACK0 - 24, 4), 0x50);
    CHECK_EQ(v->gpr[GPR_RSP], STACK0 - 24);
    CHECK_EQ(v->seg[SEG_SS].selector, SS0);
    CHECK_EQ(v->rip, HANDLER);
    CHECK_EQ(v->cpl, 0);

    vcpu_new(PROTECTED, 0); /* a 16-bit gate, same privilege */
    set_gate32(0x30, CS0, 0x86);
    poke(IDT + 0x30 * 8 + 6, 2, 0xffff); /* not part of it */
    event_queue_interrupt(v, 0x30);
    CHECK_EQ(deliver(), COMPLETED);
    CHECK_EQ(peek(STACK0 - 2, 2), FLAG_FIXED | FLAG_IF);
    CHECK_EQ(peek(STACK0 - 4, 2), CS0);
    CHECK_EQ(peek(STACK0 - 6, 2), 0x5000);
    CHECK_EQ(v->gpr[GPR_RSP], STACK0 - 6);
    CHECK_EQ(v->rip, HANDLER);

    vcpu_new(PROTECTED, 3); /* conforming code runs at the interrupted privilege */
    set_gate32(0x30, CS0C, 0x8e);
    event_queue_interrupt(v, 0x30);
    CHECK_EQ(deliver(), COMPLETED);
    CHECK_EQ(v->cpl, 3);
    CHECK_EQ(v->seg[SEG_CS].selector, CS0C | 3);
    CHECK_EQ(v->gpr[GPR_RSP], STACK3 - 12);
}

static void check_protected_stack_faults(void)
{
    static const struct {
        u16 ss, attributes;
        u8 vector;
        u32 code;
    } rows[] = {
        {0, 0, EXC_TS, 1},
        {0x100, 0, EXC_TS, 0x101},
        {FREE | 3, A_DATA, EXC_TS, FREE | 1},
        {FREE, A_DATA | A_DPL3, EXC_TS, FREE | 1},
        {FREE, A_CODE32, EXC_TS, FREE | 1},
        {FREE, 0x4012, EXC_SS, FREE | 1},
        {FREE, 0x4092, EXC_SS, FREE | 1}, /* its limit is below ESP0 */
    };
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        vcpu_new(PROTECTED, 3);
        set_gate32(EXC_UD, CS0, 0x8e);
        set_gdt(FREE, 0, 0xfff, rows[i].attributes);
        poke(TSS + 8, 2, rows[i].ss);
        raise_at_rip(EXC_UD, 0);
        CHECK_EQ(deliver(), RAISED);
        CHECK_EQ(v->event.vector, rows[i].vector);
        CHECK_EQ(v->event.error_code, rows[i].code);
    }
}

static void check_tss16(void)
{
    vcpu_new(PROTECTED, 3);
    set_gate32(EXC_UD, CS0, 0x8e);
    v->seg[SEG_TR].attributes = 0x83;
    memset(ram + TSS, 0, 16);
    poke(TSS + 2, 2, STACK0);
    poke(TSS + 4, 2, SS0);
    raise_at_rip(EXC_UD, 0);
    CHECK_EQ(deliver(), COMPLETED);
    CHECK_EQ(v->gpr[GPR_RSP], STACK0 - 20);
}

static void check_vm86(void)
{
    vcpu_new(VM86, 3);
    set_gate32(EXC_GP, CS0, 0x8e);
    raise_at_rip(EXC_GP, 0);
    CHECK_EQ(deliver(), COMPLETED);
    static const u8 order[] = {SEG_GS, SEG_FS, SEG_DS, SEG_ES, SEG_SS};
    for (unsigned i = 0; i < ARRAY_SIZE(order); i++)
        CHECK_EQ(peek(STACK0 - 4 - i * 4, 4), 0x100 + order[i]);
    CHECK_EQ(peek(STACK0 - 24, 4), 0x800);
    CHECK_EQ(peek(STACK0 - 28, 4), FLAG_FIXED | FLAG_IF | FLAG_VM | FLAG_IOPL | FLAG_RF);
    CHECK_EQ(peek(STACK0 - 32, 4), 0x100 + SEG_CS);
    CHECK_EQ(peek(STACK0 - 36, 4), 0x5000);
    CHECK_EQ(peek(STACK0 - 40, 4), 0);
    CHECK_EQ(v->gpr[GPR_RSP], STACK0 - 40);
    CHECK_EQ(v->cpl, 0);
    CHECK_EQ(v->rflags & FLAG_VM, 0);
    CHECK_EQ(v->seg[SEG_DS].selector, 0);
    CHECK_EQ(v->seg[SEG_DS].attributes & SEG_P, 0);

    vcpu_new(VM86, 3); /* the handler must be at privilege 0 */
    set_gate32(EXC_UD, CS0C, 0x8e);
    raise_at_rip(EXC_UD, 0);
    CHECK_EQ(deliver(), RAISED);
    CHECK_EQ(v->event.vector, EXC_GP);
    CHECK_EQ(v->event.error_code, CS0C | 1);
}

static void check_real(void)
{
    vcpu_new(REAL, 0);
    v->idtr.limit = 0x3ff;
    poke(0x21 * 4, 4, 0x12345678);
    v->rflags |= FLAG_AC | FLAG_TF;
    u64 flags = rflags_get(v);
    raise_int(0x21);
    CHECK_EQ(deliver(), COMPLETED);
    CHECK_EQ(v->rip, 0x5678);
    CHECK_EQ(v->seg[SEG_CS].selector, 0x1234);
    CHECK_EQ(v->seg_base[SEG_CS], 0x12340);
    gva stack = v->seg_base[SEG_SS] + 0x800;
    CHECK_EQ(peek(stack - 2, 2), flags & 0xffff);
    CHECK_EQ(peek(stack - 4, 2), 0x100 + SEG_CS);
    CHECK_EQ(peek(stack - 6, 2), 0x5002);
    CHECK_EQ(rflags_get(v), FLAG_FIXED);
    v->idtr.limit = 0x21 * 4 + 2;
    raise_int(0x21);
    CHECK_EQ(deliver(), RAISED);
    CHECK_EQ(v->event.vector, EXC_GP);
    CHECK(!v->event.has_error_code);
}

int main(void)
{
    check_long();
    check_long_interrupt();
    check_nmis_wait();
    check_ist_and_nmi();
    check_debug();
    check_soft();
    check_delivery_faults();
    check_stack_faults();
    check_double_fault();
    check_stack_overflow();
    check_contributory_then_page_fault();
    check_triple_fault();
    check_protected();
    check_protected_stack_faults();
    check_tss16();
    check_vm86();
    check_real();
    return TEST_DONE();
}
