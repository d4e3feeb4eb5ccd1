/* segments.c - segment loads, limits, and the instructions on selectors (SDM 3A 3.4, ch. 5) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <Zydis/Mnemonic.h>

#include "tests/unit/cpu.h"
#include "tests/unit/test.h"

/* ---- linear addresses ---- */

struct linear_case {
    enum machine mode;
    struct segment segment;
    u64 offset;
    unsigned size;
    bool write;
    bool good;
    gva want;
};

static const struct linear_case linears[] = {
    {PROTECTED, {0x10, 0x4093, 0xfff, 0x10000}, 0xffc, 4, true, true, 0x10ffc},
    {PROTECTED, {0x10, 0x4093, 0xfff, 0x10000}, 0xffd, 4, true, false, 0},
    {PROTECTED, {0x10, 0x4093, 0xfff, 0x10000}, 0x1000, 1, false, false, 0},
    {PROTECTED, {0x10, 0x4093, 0xfff, 0x10000}, 0xffffffff, 2, false, false, 0},
    {PROTECTED, {0x10, 0xc093, 0xffffffff, 0x10000}, 0xffffffff, 1, false, true, 0xffff}, /* wraps at 4 GiB */
    {PROTECTED, {0x10, 0x4091, 0xfff, 0}, 0, 4, true, false, 0},                          /* read-only data */
    {PROTECTED, {0x10, 0x4091, 0xfff, 0}, 0, 4, false, true, 0},
    {PROTECTED, {0x08, 0x409b, 0xfff, 0}, 0, 4, false, true, 0}, /* readable code */
    {PROTECTED, {0x08, 0x409b, 0xfff, 0}, 0, 4, true, false, 0},
    {PROTECTED, {0x08, 0x4099, 0xfff, 0}, 0, 4, false, false, 0},    /* execute-only code */
    {PROTECTED, {0, 0, 0, 0}, 0, 1, false, false, 0},                /* null */
    {PROTECTED, {0x10, 0x4097, 0xfff, 0}, 0xfff, 1, true, false, 0}, /* expand-down */
    {PROTECTED, {0x10, 0x4097, 0xfff, 0}, 0x1000, 4, true, true, 0x1000},
    {PROTECTED, {0x10, 0x4097, 0xfff, 0}, 0xfffffffc, 4, true, true, 0xfffffffc},
    {PROTECTED, {0x10, 0x4097, 0xfff, 0}, 0xfffffffd, 4, true, false, 0},
    {PROTECTED, {0x10, 0x0097, 0xfff, 0}, 0xfffe, 2, true, true, 0xfffe}, /* and 16-bit */
    {PROTECTED, {0x10, 0x0097, 0xfff, 0}, 0xffff, 2, true, false, 0},
    {REAL, {0xf000, 0x9b, 0xffff, 0xf0000}, 0xfff0, 4, true, true, 0xffff0}, /* real mode writes to code */
    {REAL, {0xf000, 0x9b, 0xffff, 0xf0000}, 0xffff, 2, false, false, 0},
    {LONG, {0, 0, 0, 0x1000}, 0x7fffffffefff, 1, true, true, 0x7fffffffefff}, /* no base, limit or type */
    {LONG, {0, 0, 0, 0}, 0x7fffffffffff, 2, true, false, 0},
    {LONG, {0, 0, 0, 0}, 0x800000000000, 1, false, false, 0},
    {LONG, {0, 0, 0, 0}, 0xffff800000000000, 8, false, true, 0xffff800000000000},
};

static u64 linear_result;
static enum seg linear_seg;
static const struct linear_case *linear_now;

static void call_segment_linear(struct vcpu *vcpu, const struct insn *in)
{
    (void)in;
    linear_result = segment_linear(vcpu, linear_seg, linear_now->offset, linear_now->size, linear_now->write);
}

static void check_linear(void)
{
    static const struct insn in;
    for (unsigned i = 0; i < ARRAY_SIZE(linears); i++) {
        linear_now = &linears[i];
        for (linear_seg = SEG_SS; linear_seg <= SEG_DS; linear_seg++) {
            vcpu_new(linear_now->mode, 0);
            v->seg[linear_seg] = linear_now->segment;
            enum outcome o = run_handler(call_segment_linear, &in);
            if ((o == COMPLETED) != linear_now->good)
                printf("row %u:\n", i);
            CHECK_EQ(o, linear_now->good ? COMPLETED : RAISED);
            if (linear_now->good)
                CHECK_EQ(linear_result, linear_now->want);
            else
                CHECK_EQ(v->event.vector, linear_seg == SEG_SS ? EXC_SS : EXC_GP);
        }
    }
    vcpu_new(LONG, 0);
    vcpu_set_segment(v, SEG_GS, (struct segment){.base = 0xffff888000000000});
    CHECK_EQ(segment_linear(v, SEG_GS, 0x28, 8, true), 0xffff888000000028);
    CHECK_EQ(segment_linear(v, SEG_GS, 0xfffffffffffffff8, 8, true), 0xffff887ffffffff8);
}

/* ---- loads ---- */

struct load_case {
    enum machine mode;
    unsigned cpl;
    enum seg seg;
    u16 selector;
    u16 attributes;  /* of the descriptor FREE */
    unsigned vector; /* 0: no fault */
    u32 code;
};

static const struct load_case loads[] = {
    {PROTECTED, 0, SEG_DS, FREE, 0x4092, 0, 0},
    {PROTECTED, 0, SEG_DS, FREE, 0x4090, 0, 0},
    {PROTECTED, 0, SEG_DS, FREE, 0x409a, 0, 0},
    {PROTECTED, 0, SEG_DS, FREE, 0x4098, EXC_GP, FREE},     /* execute-only */
    {PROTECTED, 0, SEG_DS, FREE, 0x0089, EXC_GP, FREE},     /* system */
    {PROTECTED, 0, SEG_DS, FREE, 0x4012, EXC_NP, FREE},     /* not present */
    {PROTECTED, 0, SEG_DS, FREE | 3, 0x4092, EXC_GP, FREE}, /* RPL > DPL */
    {PROTECTED, 3, SEG_DS, FREE, 0x4092, EXC_GP, FREE},     /* CPL > DPL */
    {PROTECTED, 3, SEG_DS, FREE, 0x40f2, 0, 0},
    {PROTECTED, 3, SEG_DS, FREE | 3, 0x409e, 0, 0},  /* conforming code: no check */
    {PROTECTED, 0, SEG_GS, 0x100, 0, EXC_GP, 0x100}, /* beyond the GDT */
    {PROTECTED, 0, SEG_GS, 0x14, 0, EXC_GP, 0x14},   /* no LDT */
    {PROTECTED, 0, SEG_ES, 3, 0, 0, 0},              /* null */
    {PROTECTED, 0, SEG_SS, FREE, 0x4092, 0, 0},
    {PROTECTED, 3, SEG_SS, FREE | 3, 0x40f2, 0, 0},
    {PROTECTED, 0, SEG_SS, FREE, 0x4090, EXC_GP, FREE},
    {PROTECTED, 0, SEG_SS, FREE, 0x409a, EXC_GP, FREE},
    {PROTECTED, 0, SEG_SS, FREE, 0x40f2, EXC_GP, FREE},     /* DPL > CPL */
    {PROTECTED, 0, SEG_SS, FREE | 3, 0x4092, EXC_GP, FREE}, /* RPL > CPL */
    {PROTECTED, 0, SEG_SS, FREE, 0x4012, EXC_SS, FREE},
    {PROTECTED, 0, SEG_SS, 0, 0, EXC_GP, 0},
    {LONG, 0, SEG_SS, 0, 0, 0, 0},
    {LONG, 0, SEG_SS, 3, 0, EXC_GP, 0},
    {LONG, 3, SEG_SS, 3, 0, EXC_GP, 0},
    {LONG, 3, SEG_FS, 0, 0, 0, 0},
};

static void check_loads(void)
{
    for (unsigned i = 0; i < ARRAY_SIZE(loads); i++) {
        const struct load_case *c = &loads[i];
        vcpu_new(c->mode, c->cpl);
        set_gdt(FREE, 0x12345678, 0xfffff, c->attributes);
        struct insn in = instruction((u8)c->seg, GPR_RAX, 2);
        v->gpr[GPR_RAX] = 0xffff0000 | c->selector;
        enum outcome o = run_handler(insn_mov_to_sreg, &in);
        if ((o == RAISED) != (c->vector != 0) || (c->vector && v->event.vector != c->vector))
            printf("row %u:\n", i);
        CHECK_EQ(o, c->vector ? RAISED : COMPLETED);
        CHECK_EQ(c->vector ? v->event.vector : 0, c->vector);
        CHECK_EQ(v->event.error_code, c->code);
        CHECK_EQ(v->cpl, c->cpl);
        CHECK_EQ(v->interrupt_shadow, o == COMPLETED && c->seg == SEG_SS ? KVM_X86_SHADOW_INT_MOV_SS : 0);
        if (o != COMPLETED)
            continue;
        bool null = selector_is_null(c->selector);
        CHECK_EQ(v->seg[c->seg].selector, c->selector);
        CHECK_EQ(v->seg_base[c->seg], null ? 0 : 0x12345678);
        CHECK_EQ(v->seg[c->seg].limit, null ? 0 : 0xfffff);
        CHECK_EQ(peek(GDT + FREE + 5, 1) & 1, !null); /* accessed */
    }
}

static void check_load_by_ldt(void)
{
    vcpu_new(PROTECTED, 0);
    set_gdt(FREE, LDT, 15, 0x82);
    struct insn in = instruction(2, GPR_RAX, 2);
    v->gpr[GPR_RAX] = FREE;
    CHECK_EQ(run_handler(insn_lldt, &in), COMPLETED);
    CHECK_EQ(v->seg[SEG_LDTR].base, LDT);
    CHECK_EQ(v->seg[SEG_LDTR].limit, 15);
    poke(LDT + 8, 8, descriptor(0x777000, 0xff, 0x4093));
    in = instruction(SEG_FS, GPR_RAX, 2);
    v->gpr[GPR_RAX] = 0xc;
    CHECK_EQ(run_handler(insn_mov_to_sreg, &in), COMPLETED);
    CHECK_EQ(v->seg_base[SEG_FS], 0x777000);
    v->gpr[GPR_RAX] = 0x14;
    CHECK_FAULT(insn_mov_to_sreg, &in, EXC_GP, 0x14);
    v->gpr[GPR_RAX] = 0;
    in.reg = 2;
    CHECK_EQ(run_handler(insn_lldt, &in), COMPLETED);
    CHECK_EQ(v->seg[SEG_LDTR].attributes & SEG_P, 0);
}

static void check_real_loads(void)
{
    struct insn in;
    vcpu_new(REAL, 0);
    v->seg[SEG_DS].limit = 0xffffffff; /* "unreal" mode stays */
    in = instruction(SEG_DS, GPR_RAX, 2);
    v->gpr[GPR_RAX] = 0xb800;
    CHECK_EQ(run_handler(insn_mov_to_sreg, &in), COMPLETED);
    CHECK_EQ(v->seg_base[SEG_DS], 0xb8000);
    CHECK_EQ(v->seg[SEG_DS].limit, 0xffffffff);
    vcpu_new(VM86, 3);
    v->seg[SEG_DS].limit = 0xffffffff;
    CHECK_EQ(run_handler(insn_mov_to_sreg, &in), COMPLETED);
    CHECK_EQ(v->seg[SEG_DS].limit, 0xffff);
    CHECK_EQ(v->seg[SEG_DS].attributes, 0xf3);
    CHECK_EQ(v->cpl, 3);
}

static void check_moves(void)
{
    vcpu_new(LONG, 0);
    struct insn in = instruction(SEG_CS, GPR_RBX, 8);
    CHECK_FAULT(insn_mov_to_sreg, &in, EXC_UD, 0);
    v->gpr[GPR_RBX] = ~0ull;
    CHECK_EQ(run_handler(insn_mov_from_sreg, &in), COMPLETED);
    CHECK_EQ(v->gpr[GPR_RBX], CS64);
    in.opsize = 2;
    v->gpr[GPR_RBX] = ~0ull;
    CHECK_EQ(run_handler(insn_mov_from_sreg, &in), COMPLETED);
    CHECK_EQ(v->gpr[GPR_RBX], 0xffffffffffff0000 | CS64);
    in.reg = 6;
    CHECK_FAULT(insn_mov_from_sreg, &in, EXC_UD, 0);
    in = memory_instruction(SEG_SS, 8, 0x6000);
    poke(0x6000, 8, ~0ull);
    CHECK_EQ(run_handler(insn_mov_from_sreg, &in), COMPLETED);
    CHECK_EQ(peek(0x6000, 8), 0xffffffffffff0000 | SS0); /* memory: always 16 bits */
}

static void check_stack_moves(void)
{
    vcpu_new(LONG, 0);
    v->seg[SEG_FS].selector = SS3;
    struct insn in = instruction(SEG_FS, 0, 8);
    CHECK_EQ(run_handler(insn_push_sreg, &in), COMPLETED);
    CHECK_EQ(v->gpr[GPR_RSP], STACK0 - 8);
    CHECK_EQ(peek(STACK0 - 8, 8), SS3);
    in.reg = SEG_GS;
    CHECK_EQ(run_handler(insn_pop_sreg, &in), COMPLETED);
    CHECK_EQ(v->seg[SEG_GS].selector, SS3);
    CHECK_EQ(v->gpr[GPR_RSP], STACK0);
    poke(STACK0, 8, 0xffff);
    CHECK_FAULT(insn_pop_sreg, &in, EXC_GP, 0xfffc);
    CHECK_EQ(v->gpr[GPR_RSP], STACK0);
    absent[(STACK0 >> 12) - 1] = true;
    CHECK_FAULT(insn_push_sreg, &in, EXC_PF, PF_W);
    CHECK_EQ(v->event.payload, STACK0 - 8);
    CHECK_EQ(v->gpr[GPR_RSP], STACK0);

    vcpu_new(REAL, 0);
    v->gpr[GPR_RSP] = 0xabcd0000; /* SP wraps, the rest of ESP stays */
    in = instruction(SEG_DS, 0, 2);
    CHECK_EQ(run_handler(insn_push_sreg, &in), COMPLETED);
    CHECK_EQ(v->gpr[GPR_RSP], 0xabcdfffe);
    CHECK_EQ(peek(v->seg_base[SEG_SS] + 0xfffe, 2), v->seg[SEG_DS].selector);
    v->gpr[GPR_RSP] = 1;
    CHECK_FAULT(insn_push_sreg, &in, EXC_SS, 0);
    CHECK(!v->event.has_error_code); /* real mode */
}

static void check_far_pointers(void)
{
    vcpu_new(PROTECTED, 0);
    struct insn in = memory_instruction(GPR_RDI, 4, 0x6000);
    in.mnemonic = ZYDIS_MNEMONIC_LES;
    poke(0x6000, 4, 0x89abcdef);
    poke(0x6004, 2, SS3);
    CHECK_EQ(run_handler(insn_load_far_pointer, &in), COMPLETED);
    CHECK_EQ(v->gpr[GPR_RDI], 0x89abcdef);
    CHECK_EQ(v->seg[SEG_ES].selector, SS3);
    in.mnemonic = ZYDIS_MNEMONIC_LSS;
    v->gpr[GPR_RDI] = 1;
    CHECK_FAULT(insn_load_far_pointer, &in, EXC_GP, SS3 & ~3);
    CHECK_EQ(v->gpr[GPR_RDI], 1);
    in.rm_is_mem = false;
    CHECK_FAULT(insn_load_far_pointer, &in, EXC_UD, 0);
}

/* ---- selectors ---- */

static bool zf(void)
{
    return rflags_get(v) & FLAG_ZF;
}

struct query_case {
    enum machine mode;
    unsigned cpl;
    u16 rpl, attributes;
    bool lar, lsl, verr, verw;
};

static const struct query_case queries[] = {
    {PROTECTED, 0, 0, 0x4092, true, true, true, true},
    {PROTECTED, 0, 0, 0x4090, true, true, true, false},
    {PROTECTED, 0, 0, 0x4098, true, true, false, false},
    {PROTECTED, 0, 0, 0x409a, true, true, true, false},
    {PROTECTED, 3, 3, 0x4092, false, false, false, false},
    {PROTECTED, 0, 3, 0x4092, false, false, false, false},
    {PROTECTED, 3, 3, 0x409e, true, true, true, false}, /* conforming */
    {PROTECTED, 0, 0, 0x0012, true, true, true, true},  /* not present does not matter */
    {PROTECTED, 0, 0, 0x0081, true, true, false, false},
    {PROTECTED, 0, 0, 0x0082, true, true, false, false},
    {PROTECTED, 0, 0, 0x0085, true, false, false, false},
    {PROTECTED, 0, 0, 0x0086, false, false, false, false},
    {PROTECTED, 0, 0, 0x008b, true, true, false, false},
    {PROTECTED, 0, 0, 0x008c, true, false, false, false},
    {PROTECTED, 0, 0, 0x008e, false, false, false, false},
    {PROTECTED, 0, 0, 0x0080, false, false, false, false},
    {LONG, 0, 0, 0x0081, false, false, false, false},
    {LONG, 0, 0, 0x0085, false, false, false, false},
    {LONG, 0, 0, 0x0089, true, true, false, false},
    {LONG, 0, 0, 0x0082, true, true, false, false},
    {LONG, 0, 0, 0x008c, true, false, false, false},
};

static void check_query(unsigned row, sensitive_fn *handler, bool want, u64 want_result)
{
    struct insn in = instruction(GPR_RDX, GPR_RAX, 4);
    v->gpr[GPR_RDX] = 0x5555;
    CHECK_EQ(run_handler(handler, &in), COMPLETED);
    if (zf() != want)
        printf("row %u:\n", row);
    CHECK_EQ(zf(), want);
    CHECK_EQ(v->gpr[GPR_RDX], want ? want_result : 0x5555);
}

static void check_queries(void)
{
    for (unsigned i = 0; i < ARRAY_SIZE(queries); i++) {
        const struct query_case *c = &queries[i];
        vcpu_new(c->mode, c->cpl);
        set_gdt(FREE, 0x12345678, 0xabcde, 0x8000 | c->attributes);
        v->gpr[GPR_RAX] = FREE | c->rpl;
        check_query(i, insn_lar, c->lar, (0x800000 | c->attributes << 8) & 0xf0ff00);
        check_query(i, insn_lsl, c->lsl, 0xabcdefff);
        check_query(i, insn_verr, c->verr, 0x5555);
        check_query(i, insn_verw, c->verw, 0x5555);
        v->gpr[GPR_RAX] = 0;
        check_query(i, insn_lar, false, 0);
        v->gpr[GPR_RAX] = 0xff8;
        check_query(i, insn_lsl, false, 0);
    }
    vcpu_new(REAL, 0);
    struct insn in = instruction(GPR_RDX, GPR_RAX, 2);
    CHECK_FAULT(insn_lar, &in, EXC_UD, 0);
    CHECK_FAULT(insn_verw, &in, EXC_UD, 0);
}

static void check_arpl(void)
{
    vcpu_new(PROTECTED, 3);
    struct insn in = instruction(GPR_RDX, GPR_RAX, 2);
    v->gpr[GPR_RAX] = 0x10;
    v->gpr[GPR_RDX] = 0x1b;
    CHECK_EQ(run_handler(insn_arpl, &in), COMPLETED);
    CHECK(zf());
    CHECK_EQ(v->gpr[GPR_RAX], 0x13);
    CHECK_EQ(run_handler(insn_arpl, &in), COMPLETED);
    CHECK(!zf());
    CHECK_EQ(v->gpr[GPR_RAX], 0x13);
}

static void check_ltr(void)
{
    vcpu_new(LONG, 0);
    struct insn in = instruction(3, GPR_RAX, 2);
    set_gdt(FREE, 0x9abcdef0, 0x67, 0x89);
    poke(GDT + FREE + 8, 8, 0xffff8000);
    v->gpr[GPR_RAX] = FREE;
    CHECK_EQ(run_handler(insn_ltr, &in), COMPLETED);
    CHECK_EQ(v->seg[SEG_TR].base, 0xffff80009abcdef0);
    CHECK_EQ(v->seg[SEG_TR].limit, 0x67);
    CHECK_EQ(v->seg[SEG_TR].attributes, 0x8b);
    CHECK_EQ(peek(GDT + FREE + 5, 1), 0x8b);
    CHECK_FAULT(insn_ltr, &in, EXC_GP, FREE); /* busy now */
    poke(GDT + FREE + 5, 1, 0x89);
    poke(GDT + FREE + 8, 8, 0x8000); /* base not canonical */
    CHECK_FAULT(insn_ltr, &in, EXC_GP, FREE);
    poke(GDT + FREE + 8, 8, BIT(40)); /* upper type not 0 */
    CHECK_FAULT(insn_ltr, &in, EXC_GP, FREE);
    poke(GDT + FREE + 8, 8, 0);
    poke(GDT + FREE + 5, 1, 0x09);
    CHECK_FAULT(insn_ltr, &in, EXC_NP, FREE);
    v->gdtr.limit = FREE + 14; /* half of it is beyond the limit */
    CHECK_FAULT(insn_ltr, &in, EXC_GP, FREE);
    v->gpr[GPR_RAX] = 0;
    CHECK_FAULT(insn_ltr, &in, EXC_GP, 0);
    CHECK_EQ(v->seg[SEG_TR].base, 0xffff80009abcdef0);
    vcpu_new(LONG, 3);
    CHECK_FAULT(insn_ltr, &in, EXC_GP, 0);
}

static void check_str(void)
{
    vcpu_new(LONG, 3);
    struct insn in = instruction(1, GPR_RAX, 4);
    v->gpr[GPR_RAX] = ~0ull;
    CHECK_EQ(run_handler(insn_str, &in), COMPLETED);
    CHECK_EQ(v->gpr[GPR_RAX], TSS_SEL);
    v->cr4 |= CR4_UMIP;
    CHECK_FAULT(insn_str, &in, EXC_GP, 0);
    vcpu_new(VM86, 3);
    CHECK_FAULT(insn_str, &in, EXC_UD, 0);
    CHECK_FAULT(insn_sldt, &in, EXC_UD, 0);
}

int main(void)
{
    check_linear();
    check_loads();
    check_load_by_ldt();
    check_real_loads();
    check_moves();
    check_stack_moves();
    check_far_pointers();
    check_queries();
    check_arpl();
    check_ltr();
    check_str();
    return TEST_DONE();
}
