/* tasks.c - hardware task switches (SDM 3A ch. 7) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/cpu/debug.h"
#include "tests/unit/cpu.h"
#include "tests/unit/test.h"

/* The new task, its gate and its parts. vcpu_new's TSS is the old task's; both stand in the GDT here. */
enum {
    NEW = 0x60,
    GATE = 0x68,
    LDT_SEL = 0x70,
    TSS2 = 0x6000,
    EIP2 = 0x7654,
    STACK2 = 0xb000,
    FLAGS2 = FLAG_FIXED | FLAG_ZF
};
enum { AVAILABLE = 0x89, BUSY = 0x8b, AVAILABLE16 = 0x81 };

static void poke_segments(gva a, unsigned width, unsigned count, const u16 *selector)
{
    for (unsigned i = 0; i < count; i++)
        poke(a + i * width, 2, selector[i]);
}

static void make_tss32(u16 cs, u16 ss)
{
    const u16 selector[] = {SS0, cs, ss, SS0, 0, SS0};
    poke(TSS2 + 32, 4, EIP2);
    poke(TSS2 + 36, 4, FLAGS2);
    for (unsigned i = 0; i < 8; i++)
        poke(TSS2 + 40 + i * 4, 4, 0x1000 + i);
    poke(TSS2 + 56, 4, STACK2);
    poke_segments(TSS2 + 72, 4, ARRAY_SIZE(selector), selector);
    set_gdt(NEW, TSS2, 103, AVAILABLE);
}

static void task_gate(u64 table, unsigned n, u16 selector, u16 attributes)
{
    poke(table + n * 8, 8, (u64)selector << 16 | (u64)attributes << 40);
}

static void start(unsigned cpl)
{
    vcpu_new(PROTECTED, cpl);
    set_gdt(TSS_SEL, TSS, 103, BUSY);
    make_tss32(CS0, SS0);
    task_gate(GDT, GATE / 8, NEW, 0x85 | A_DPL3);
    for (unsigned i = 0; i < 8; i++)
        if (i != GPR_RSP)
            v->gpr[i] = 0xa0 + i;
}

static struct insn far_direct(u16 selector)
{
    struct insn in = instruction(0, 0, 4);
    in.imm2 = selector;
    return in;
}

static enum outcome jump(u16 selector)
{
    struct insn in = far_direct(selector);
    return run_handler(insn_jmp_far, &in);
}

static enum outcome call(u16 selector)
{
    struct insn in = far_direct(selector);
    return run_handler(insn_call_far, &in);
}

static enum outcome deliver(void)
{
    enum outcome o = (enum outcome)setjmp(run_loop);
    if (o)
        return o;
    event_deliver(v);
    return COMPLETED;
}

static u8 busy_bit(u16 selector)
{
    return peek(GDT + selector + 5, 1) & 2;
}

static void check_in_new_task(u64 flags)
{
    CHECK_EQ(v->rip, EIP2);
    CHECK_EQ(rflags_get(v), flags);
    CHECK_EQ(v->gpr[GPR_RSP], STACK2);
    CHECK_EQ(v->gpr[GPR_RAX], 0x1000);
    CHECK_EQ(v->gpr[GPR_RDI], 0x1007);
    CHECK_EQ(v->seg[SEG_CS].selector, CS0);
    CHECK_EQ(v->seg[SEG_FS].selector, 0);
    CHECK_EQ(v->seg[SEG_GS].limit, 0xffffffff);
    CHECK_EQ(v->cpl, 0);
    CHECK_EQ(v->seg[SEG_TR].selector, NEW);
    CHECK_EQ(v->seg[SEG_TR].base, TSS2);
    CHECK(v->cr0 & CR0_TS);
    CHECK_EQ(busy_bit(NEW), 2);
}

static void check_saved(u32 eip, u32 flags, u16 cs)
{
    CHECK_EQ(peek(TSS + 32, 4), eip);
    CHECK_EQ(peek(TSS + 36, 4), flags);
    CHECK_EQ(peek(TSS + 40, 4), 0xa0);
    CHECK_EQ(peek(TSS + 68, 4), 0xa7);
    CHECK_EQ(peek(TSS + 76, 2), cs);
}

static void check_jump(void)
{
    start(0);
    v->dr[7] = 0x755;
    CHECK_EQ(jump(NEW), COMPLETED);
    check_in_new_task(FLAGS2);
    check_saved(0x5002, FLAG_FIXED | FLAG_IF, CS0);
    CHECK_EQ(busy_bit(TSS_SEL), 0);
    CHECK_EQ(peek(TSS2, 2), 0); /* no link */
    CHECK_EQ(v->dr[7], 0x600);
    CHECK_EQ(v->debug.trap, 0);

    start(3); /* through the gate, whose DPL is what counts */
    CHECK_EQ(jump(GATE | 3), COMPLETED);
    check_in_new_task(FLAGS2);
    check_saved(0x5002, FLAG_FIXED | FLAG_IF, CS3);

    start(0);
    poke(TSS2 + 100, 2, 1);
    CHECK_EQ(jump(NEW), COMPLETED);
    CHECK_EQ(v->debug.trap, DR6_BT);
}

static void check_nesting(void)
{
    start(0);
    CHECK_EQ(call(NEW), COMPLETED);
    check_in_new_task(FLAGS2 | FLAG_NT);
    CHECK_EQ(busy_bit(TSS_SEL), 2);
    CHECK_EQ(peek(TSS2, 2), TSS_SEL);
    struct insn iret = instruction(0, 0, 4);
    v->gpr[GPR_RAX] = 0x77;
    CHECK_EQ(run_handler(insn_iret, &iret), COMPLETED);
    CHECK_EQ(v->rip, 0x5002);
    CHECK_EQ(v->gpr[GPR_RDI], 0xa7);
    CHECK_EQ(v->seg[SEG_TR].selector, TSS_SEL);
    CHECK_EQ(busy_bit(TSS_SEL), 2);
    CHECK_EQ(busy_bit(NEW), 0);
    CHECK_EQ(peek(TSS2 + 32, 4), EIP2 + 2); /* where a next call goes on */
    CHECK_EQ(peek(TSS2 + 36, 4), FLAGS2);   /* without NT */
    CHECK_EQ(peek(TSS2 + 40, 4), 0x77);
    CHECK(!(v->rflags & FLAG_NT));
}

static void check_16_bit(void)
{
    static const u16 selector[] = {SS0, CS0, SS0, SS3};
    start(0);
    set_gdt(NEW, TSS2, 43, AVAILABLE16);
    poke(TSS2 + 14, 2, EIP2);
    poke(TSS2 + 16, 2, FLAGS2);
    poke(TSS2 + 18, 2, 0x1234);
    poke(TSS2 + 26, 2, STACK2);
    poke_segments(TSS2 + 34, 2, ARRAY_SIZE(selector), selector);
    poke(TSS2 + 42, 2, 0);
    CHECK_EQ(call(NEW), COMPLETED);
    CHECK_EQ(v->rip, EIP2);
    CHECK_EQ(v->gpr[GPR_RAX], 0x1234);
    CHECK_EQ(v->gpr[GPR_RSP], STACK2);
    CHECK_EQ(v->seg[SEG_DS].selector, SS3);
    CHECK_EQ(v->seg[SEG_FS].selector, 0);
    CHECK_EQ(v->seg[SEG_TR].attributes & SEG_TYPE, DESC_TSS16_BUSY);
    check_saved(0x5002, FLAG_FIXED | FLAG_IF, CS0);
    v->gpr[GPR_RDI] = 0x4321;
    struct insn iret = instruction(0, 0, 4);
    CHECK_EQ(run_handler(insn_iret, &iret), COMPLETED);
    CHECK_EQ(v->rip, 0x5002);
    CHECK_EQ(peek(TSS2 + 32, 2), 0x4321);
    CHECK_EQ(peek(TSS2 + 34, 2), SS0); /* ES follows DI */
}

/* What fails before the commit point leaves the old task as it was. */
static void check_refusals(void)
{
    static const struct {
        const char *what;
        unsigned cpl;
        u16 selector, attributes, limit, gate;
        u8 vector;
        u32 code;
    } rows[] = {
        {"TSS's DPL", 3, NEW | 3, AVAILABLE, 103, 0xe5, EXC_GP, NEW},
        {"RPL", 0, NEW | 3, AVAILABLE, 103, 0xe5, EXC_GP, NEW},
        {"busy", 0, NEW, BUSY, 103, 0xe5, EXC_GP, NEW},
        {"not present", 0, NEW, 0x09, 103, 0xe5, EXC_NP, NEW},
        {"limit", 0, NEW, AVAILABLE, 102, 0xe5, EXC_TS, NEW},
        {"limit, 16-bit", 0, NEW, AVAILABLE16, 42, 0xe5, EXC_TS, NEW},
        {"gate's DPL", 3, GATE | 3, AVAILABLE, 103, 0x85, EXC_GP, GATE},
        {"gate not present", 3, GATE | 3, AVAILABLE, 103, 0x65, EXC_NP, GATE},
        {"gate to a busy TSS", 3, GATE | 3, BUSY, 103, 0xe5, EXC_GP, NEW},
        {"gate to an absent TSS", 3, GATE | 3, 0x09, 103, 0xe5, EXC_NP, NEW},
    };
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        start(rows[i].cpl);
        u16 cs = v->seg[SEG_CS].selector;
        set_gdt(NEW, TSS2, rows[i].limit, rows[i].attributes);
        task_gate(GDT, GATE / 8, NEW, rows[i].gate);
        struct insn in = far_direct(rows[i].selector);
        CHECK_FAULT(insn_jmp_far, &in, rows[i].vector, rows[i].code);
        CHECK_EQ(v->rip, 0x5000);
        CHECK_EQ(v->seg[SEG_CS].selector, cs);
        CHECK_EQ(v->seg[SEG_TR].selector, TSS_SEL);
        CHECK_EQ(busy_bit(TSS_SEL), 2);
        CHECK_EQ(peek(TSS + 32, 4), 0);
    }
    start(0);
    task_gate(GDT, GATE / 8, NEW | 4, 0x85); /* in the LDT */
    struct insn in = far_direct(GATE);
    CHECK_FAULT(insn_jmp_far, &in, EXC_GP, NEW | 4);

    start(0);
    absent[TSS2 >> 12] = true;
    in = far_direct(NEW);
    CHECK_FAULT(insn_jmp_far, &in, EXC_PF, 0);
    start(0); /* the old TSS cannot be written */
    absent[TSS >> 12] = true;
    CHECK_FAULT(insn_jmp_far, &in, EXC_PF, PF_W);
    CHECK_EQ(v->seg[SEG_TR].selector, TSS_SEL);
}

static void check_bad_links(void)
{
    static const struct {
        u16 link, attributes;
        u8 vector;
        u32 code;
    } rows[] = {
        {0, BUSY, EXC_TS, 0},          {NEW | 4, BUSY, EXC_TS, NEW | 4}, {0x1f8, BUSY, EXC_TS, 0x1f8},
        {NEW, AVAILABLE, EXC_TS, NEW}, {NEW, 0x0b, EXC_NP, NEW},         {CS0, BUSY, EXC_TS, CS0},
    };
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        start(0);
        set_gdt(NEW, TSS2, 103, rows[i].attributes);
        poke(TSS, 2, rows[i].link);
        v->rflags |= FLAG_NT;
        struct insn iret = instruction(0, 0, 4);
        CHECK_FAULT(insn_iret, &iret, rows[i].vector, rows[i].code);
        CHECK_EQ(v->rip, 0x5000);
        CHECK(v->rflags & FLAG_NT);
    }
}

/* Behind the commit point the fault is the new task's. */
static void check_bad_segments(void)
{
    static const struct {
        u16 offset, selector; /* in the TSS */
        u16 attributes;       /* of FREE */
        u8 vector;
        u32 code;
    } rows[] = {
        {76, 0, 0, EXC_TS, 0},
        {76, SS0, 0, EXC_TS, SS0},
        {76, CS3, 0, EXC_TS, SS0}, /* SS's DPL is not the new CPL */
        {76, FREE, 0x409a & ~0x80, EXC_NP, FREE},
        {76, FREE, 0x40fa, EXC_TS, FREE}, /* DPL 3, RPL 0 */
        {76, FREE, 0x40fe, EXC_TS, FREE},
        {80, 0, 0, EXC_TS, 0},
        {80, CS0, 0, EXC_TS, CS0},
        {80, FREE, 0x4012, EXC_SS, FREE},
        {84, FREE, 0x4012, EXC_NP, FREE},
        {84, FREE, 0x4098, EXC_TS, FREE}, /* execute-only */
        {92, SS0 | 3, 0, EXC_TS, SS0},
        {92, 0x3f8, 0, EXC_TS, 0x3f8},
        {96, SS0, 0, EXC_TS, SS0},
        {96, FREE, 0x0002, EXC_TS, FREE}, /* an LDT that is not present */
        {96, FREE | 4, 0x0082, EXC_TS, FREE | 4},
        {88, 0xc, 0, EXC_TS, 0xc}, /* in the LDT that is not there */
    };
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        start(0);
        set_gdt(FREE, 0, 0xffff, rows[i].attributes);
        poke(TSS2 + rows[i].offset, 2, rows[i].selector);
        struct insn in = far_direct(NEW);
        CHECK_FAULT(insn_call_far, &in, rows[i].vector, rows[i].code);
        CHECK_EQ(v->rip, EIP2);
        CHECK_EQ(v->seg[SEG_TR].selector, NEW);
        CHECK_EQ(busy_bit(NEW), 2);
        CHECK_EQ(peek(TSS2, 2), TSS_SEL);
    }
    start(0);
    set_gdt(CS0, 0, EIP2 - 1, 0x409a);
    CHECK_EQ(jump(NEW), RAISED);
    CHECK_EQ(v->event.vector, EXC_GP);
    CHECK_EQ(v->rip, EIP2);
    CHECK_EQ(v->seg[SEG_CS].selector, CS0);
}

static void check_ldt(void)
{
    start(0);
    set_gdt(LDT_SEL, LDT, 0xff, 0x82);
    poke(LDT + 8, 8, descriptor(0x1000, 0xfffff, A_DATA));
    poke(TSS2 + 96, 2, LDT_SEL);
    poke(TSS2 + 88, 2, 0xc);
    CHECK_EQ(jump(NEW), COMPLETED);
    CHECK_EQ(v->seg[SEG_LDTR].base, LDT);
    CHECK_EQ(v->seg[SEG_FS].base, 0x1000);
    CHECK_EQ(peek(LDT + 8 + 5, 1) & 1, 1);
}

static void check_vm86_task(void)
{
    start(0);
    poke(TSS2 + 32, 4, 0x100);
    poke(TSS2 + 36, 4, FLAGS2 | FLAG_VM);
    CHECK_EQ(jump(NEW), COMPLETED);
    CHECK_EQ(v->cpl, 3);
    CHECK_EQ(v->seg[SEG_CS].base, CS0 << 4);
    CHECK_EQ(v->seg[SEG_CS].limit, 0xffff);
    CHECK(v->rflags & FLAG_VM);
}

static void check_event(void)
{
    start(3);
    task_gate(IDT, EXC_GP, NEW, 0x85);
    if (!setjmp(run_loop))
        raise_exception_code(v, EXC_GP, 0x1230);
    CHECK_EQ(deliver(), COMPLETED);
    CHECK_EQ(v->gpr[GPR_RSP], STACK2 - 4);
    CHECK_EQ(peek(STACK2 - 4, 4), 0x1230);
    v->gpr[GPR_RSP] += 4;
    check_in_new_task(FLAGS2 | FLAG_NT);
    check_saved(0x5000, FLAG_FIXED | FLAG_IF | FLAG_RF, CS3);
    CHECK_EQ(peek(TSS2, 2), TSS_SEL);

    start(3); /* a software interrupt: behind it, no code, and the gate's DPL counts */
    task_gate(IDT, 0x30, NEW, 0xe5);
    struct insn in = instruction(0, 0, 4);
    in.imm = 0x30;
    CHECK_EQ(run_handler(insn_int, &in), RAISED);
    CHECK_EQ(deliver(), COMPLETED);
    check_in_new_task(FLAGS2 | FLAG_NT);
    check_saved(0x5002, FLAG_FIXED | FLAG_IF, CS3);
    start(3);
    task_gate(IDT, 0x30, NEW, 0x85);
    CHECK_EQ(run_handler(insn_int, &in), RAISED);
    CHECK_EQ(deliver(), RAISED);
    CHECK_EQ(v->event.error_code, 0x30 * 8 + 2);

    start(0); /* errors on the way of an external one have EXT */
    set_gdt(NEW, TSS2, 103, BUSY);
    task_gate(IDT, 0x30, NEW, 0x85);
    event_queue_interrupt(v, 0x30);
    CHECK_EQ(deliver(), RAISED);
    CHECK_EQ(v->event.vector, EXC_GP);
    CHECK_EQ(v->event.error_code, NEW | 1);

    start(0); /* no room for the error code */
    poke(TSS2 + 56, 4, 2);
    set_gdt(FREE, 0, 0xffff, 0x4092);
    poke(TSS2 + 80, 2, FREE);
    task_gate(IDT, EXC_NP, NEW, 0x85);
    if (!setjmp(run_loop))
        raise_exception_code(v, EXC_NP, 0);
    CHECK_EQ(deliver(), RAISED);
    CHECK_EQ(v->event.vector, EXC_DF);
}

int main(void)
{
    check_jump();
    check_nesting();
    check_16_bit();
    check_refusals();
    check_bad_links();
    check_bad_segments();
    check_ldt();
    check_vm86_task();
    check_event();
    return TEST_DONE();
}
