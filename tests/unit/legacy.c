/* legacy.c - stack frames, BOUND, XLAT, decimal arithmetic */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/access_fake.h"
#include "tests/unit/test.h"

static void pusha_popa(void)
{
    vcpu_new(PROTECTED, 0);
    for (unsigned r = 0; r < 8; r++)
        if (r != GPR_RSP)
            v->gpr[r] = 0x11110000 + r;
    struct insn in = instruction(0, 0, 4);
    CHECK_EQ(run_handler(insn_pusha, &in), COMPLETED);
    CHECK_EQ(v->gpr[GPR_RSP], STACK0 - 32);
    CHECK_EQ(peek(STACK0 - 4, 4), 0x11110000);
    CHECK_EQ(peek(STACK0 - 20, 4), STACK0); /* rSP as it was */
    CHECK_EQ(peek(STACK0 - 32, 4), 0x11110007);
    poke(STACK0 - 32, 4, 0x99);
    poke(STACK0 - 20, 4, 0x12345678);
    CHECK_EQ(run_handler(insn_popa, &in), COMPLETED);
    CHECK_EQ(v->gpr[GPR_RSP], STACK0);
    CHECK_EQ(v->gpr[GPR_RDI], 0x99);
    CHECK_EQ(v->gpr[GPR_RBX], 0x11110003);
    in.opsize = 2;
    CHECK_EQ(run_handler(insn_pusha, &in), COMPLETED);
    CHECK_EQ(v->gpr[GPR_RSP], STACK0 - 16);
}

/* A page fault in the middle changes no register. */
static void pusha_faults(void)
{
    vcpu_new(PROTECTED, 0);
    v->gpr[GPR_RSP] = STACK0 + 16;
    absent[(STACK0 - 1) >> 12] = true;
    struct insn in = instruction(0, 0, 4);
    CHECK_EQ(run_handler(insn_pusha, &in), RAISED);
    CHECK_EQ(v->event.vector, EXC_PF);
    CHECK_EQ(v->gpr[GPR_RSP], STACK0 + 16);
}

static void enter(void)
{
    vcpu_new(LONG, 0);
    struct insn in = instruction(0, 0, 8);
    in.imm = 0x100;
    v->gpr[GPR_RBP] = 0x7777;
    CHECK_EQ(run_handler(insn_enter, &in), COMPLETED);
    CHECK_EQ(peek(STACK0 - 8, 8), 0x7777);
    CHECK_EQ(v->gpr[GPR_RBP], STACK0 - 8);
    CHECK_EQ(v->gpr[GPR_RSP], STACK0 - 8 - 0x100);
}

static void enter_nested(void)
{
    vcpu_new(PROTECTED, 0);
    struct insn in = instruction(0, 0, 4);
    in.imm = 16;
    in.imm2 = 32 + 3; /* levels are taken modulo 32 */
    v->gpr[GPR_RBP] = STACK0 + 0x100;
    poke(STACK0 + 0x100 - 4, 4, 0xaaa1);
    poke(STACK0 + 0x100 - 8, 4, 0xaaa2);
    CHECK_EQ(run_handler(insn_enter, &in), COMPLETED);
    CHECK_EQ(peek(STACK0 - 4, 4), STACK0 + 0x100);
    CHECK_EQ(peek(STACK0 - 8, 4), 0xaaa1);
    CHECK_EQ(peek(STACK0 - 12, 4), 0xaaa2);
    CHECK_EQ(peek(STACK0 - 16, 4), STACK0 - 4);
    CHECK_EQ(v->gpr[GPR_RBP], STACK0 - 4);
    CHECK_EQ(v->gpr[GPR_RSP], STACK0 - 32);
}

/* The new top of the stack must be writable, though ENTER writes nothing there. */
static void enter_probes(void)
{
    vcpu_new(LONG, 0);
    struct insn in = instruction(0, 0, 8);
    in.imm = 0x1000;
    absent[(STACK0 - 0x1008) >> 12] = true;
    CHECK_EQ(run_handler(insn_enter, &in), RAISED);
    CHECK_EQ(v->gpr[GPR_RSP], STACK0);
}

static void bound(void)
{
    vcpu_new(PROTECTED, 0);
    struct insn in = memory_instruction(GPR_RCX, 4, 0x6000);
    poke(0x6000, 4, (u32)-5);
    poke(0x6004, 4, 10);
    static const struct {
        s32 index;
        bool good;
    } cases[] = {{-6, false}, {-5, true}, {0, true}, {10, true}, {11, false}};
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        v->gpr[GPR_RCX] = (u32)cases[i].index;
        enum outcome o = run_handler(insn_bound, &in);
        CHECK_EQ(o == COMPLETED, cases[i].good);
        CHECK(o == COMPLETED || v->event.vector == EXC_BR);
    }
}

static void xlat(void)
{
    vcpu_new(LONG, 0);
    struct insn in = instruction(0, 0, 1);
    in.mem.seg = SEG_DS;
    v->gpr[GPR_RBX] = 0x6000;
    v->gpr[GPR_RAX] = 0xffffff80;
    ram[0x6080] = 0x42;
    CHECK_EQ(run_handler(insn_xlat, &in), COMPLETED);
    CHECK_EQ(v->gpr[GPR_RAX], 0xffffff42);
}

/* ---- decimal arithmetic, with results out of the manual's tables and of real processors ---- */

enum { CF = FLAG_CF, AF = FLAG_AF, ZF = FLAG_ZF, SF = FLAG_SF, PF = FLAG_PF };

static void decimal(sensitive_fn *handler, u16 ax, u64 flags, u16 want_ax, u64 want_flags)
{
    vcpu_new(PROTECTED, 0);
    struct insn in = instruction(0, 0, 1);
    in.imm = 10;
    v->gpr[GPR_RAX] = 0xabcd0000 | ax;
    rflags_set(v, flags);
    CHECK_EQ(run_handler(handler, &in), COMPLETED);
    CHECK_EQ(v->gpr[GPR_RAX], 0xabcd0000 | want_ax);
    CHECK_EQ(rflags_get(v) & FLAGS_ARITH, want_flags);
}

static void decimals(void)
{
    decimal(insn_daa, 0x79 + 0x35, 0, 0x14, CF | AF | PF); /* SDM 2A "DAA", the example */
    decimal(insn_daa, 0x2e, AF, 0x34, AF);
    decimal(insn_daa, 0x00, CF, 0x60, CF | PF);
    decimal(insn_daa, 0x9a, 0, 0x00, CF | AF | ZF | PF);
    decimal(insn_das, 0x35 - 0x47 + 0x100, CF | AF, 0x88, CF | AF | SF | PF); /* SDM 2A "DAS" */
    decimal(insn_das, 0x05, AF, 0xff, CF | AF | SF | PF);
    decimal(insn_das, 0x99, 0, 0x99, SF | PF);
    decimal(insn_aaa, 0x000b, 0, 0x0101, CF | AF);
    decimal(insn_aaa, 0x01fa, 0, 0x0300, CF | AF | ZF | PF);
    decimal(insn_aaa, 0x0039, 0, 0x0009, PF);
    decimal(insn_aas, 0x0103, AF, 0xff0d, CF | AF);
    decimal(insn_aam, 0x0063, 0, 0x0909, PF);
    decimal(insn_aad, 0x0907, 0, 0x0061, 0);
    decimal(insn_salc, 0x1234, CF, 0x12ff, CF);
    decimal(insn_salc, 0x1234, 0, 0x1200, 0);
}

static void divide_by_zero(void)
{
    vcpu_new(PROTECTED, 0);
    struct insn in = instruction(0, 0, 1);
    in.imm = 0;
    CHECK_FAULT(insn_aam, &in, EXC_DE, 0);
}

int main(void)
{
    pusha_popa();
    pusha_faults();
    enter();
    enter_nested();
    enter_probes();
    bound();
    xlat();
    decimals();
    divide_by_zero();
    return TEST_DONE();
}
