/* transfers.c - far jumps, calls and returns, IRET, SYSCALL and its kin (SDM 3A 5.8; 2A, 2B) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/cpu.h"
#include "tests/unit/test.h"

static struct insn far_direct(u16 selector, u32 offset)
{
    struct insn in = instruction(0, 0, 4);
    in.imm = offset;
    in.imm2 = selector;
    return in;
}

/* ---- jumps ---- */

struct jump_case {
    const char *what;
    enum machine mode;
    unsigned cpl;
    u16 selector;
    u16 attributes; /* of FREE, with limit 0xffff bytes */
    u32 offset;
    unsigned vector; /* 0: no fault */
    u32 code;
};

static const struct jump_case jumps[] = {
    {"same level", PROTECTED, 0, FREE, 0x409a, 0x1234, 0, 0},
    {"RPL below CPL", PROTECTED, 3, FREE, 0x40fa, 0x1234, 0, 0},
    {"null", PROTECTED, 0, 2, 0, 0, EXC_GP, 0},
    {"beyond the GDT", PROTECTED, 0, 0x203, 0, 0, EXC_GP, 0x200},
    {"data", PROTECTED, 0, FREE, 0x4092, 0, EXC_GP, FREE},
    {"LDT descriptor", PROTECTED, 0, FREE, 0x0082, 0, EXC_GP, FREE},
    {"inner", PROTECTED, 3, FREE | 3, 0x409a, 0, EXC_GP, FREE},
    {"outer", PROTECTED, 0, FREE, 0x40fa, 0, EXC_GP, FREE},
    {"RPL above CPL", PROTECTED, 0, FREE | 3, 0x409a, 0, EXC_GP, FREE},
    {"conforming from outside", PROTECTED, 3, FREE, 0x409e, 0x1234, 0, 0},
    {"conforming, outer", PROTECTED, 0, FREE, 0x40fe, 0, EXC_GP, FREE},
    {"not present", PROTECTED, 0, FREE, 0x401a, 0, EXC_NP, FREE},
    {"beyond the limit", PROTECTED, 0, FREE, 0x409a, 0x10000, EXC_GP, 0},
    {"available TSS in IA-32e mode", LONG, 0, FREE, 0x0089, 0, EXC_GP, FREE},
    {"task gate in IA-32e mode", LONG, 0, FREE, 0x0085, 0, EXC_GP, FREE},
    {"L and D", LONG, 0, FREE, 0x609a, 0, EXC_GP, FREE},
    {"to compatibility mode", LONG, 0, FREE, 0x409a, 0x1234, 0, 0},
    {"compatibility mode's limit", LONG, 0, FREE, 0x409a, 0x10000, EXC_GP, 0},
    {"64-bit code has no limit", LONG, 0, FREE, 0x209a, 0xffff1234, 0, 0},
};

static void check_jumps(void)
{
    for (unsigned i = 0; i < ARRAY_SIZE(jumps); i++) {
        const struct jump_case *c = &jumps[i];
        vcpu_new(c->mode, c->cpl);
        set_gdt(FREE, 0, 0xffff, c->attributes);
        struct insn in = far_direct(c->selector, c->offset);
        u16 cs = v->seg[SEG_CS].selector;
        enum outcome o = run_handler(insn_jmp_far, &in);
        if ((o == RAISED) != (c->vector != 0))
            printf("row %s:\n", c->what);
        CHECK_EQ(o, c->vector ? RAISED : COMPLETED);
        CHECK_EQ(v->cpl, c->cpl);
        if (o == COMPLETED) {
            CHECK_EQ(v->seg[SEG_CS].selector, (c->selector & ~3u) | c->cpl);
            CHECK_EQ(v->rip, c->offset);
            CHECK_EQ(peek(GDT + FREE + 5, 1) & 1, 1);
        } else {
            CHECK_EQ(v->event.vector, c->vector);
            CHECK_EQ(v->event.error_code, c->code);
            CHECK_EQ(v->seg[SEG_CS].selector, cs);
            CHECK_EQ(v->rip, 0x5000);
        }
    }
}

static void check_indirect(void)
{
    vcpu_new(LONG, 0);
    struct insn in = memory_instruction(5, 8, 0x6000); /* REX.W jmp m16:64 */
    poke(0x6000, 8, 0xffffffff81000000);
    poke(0x6008, 2, CS64);
    CHECK_EQ(run_handler(insn_jmp_far, &in), COMPLETED);
    CHECK_EQ(v->rip, 0xffffffff81000000);
    poke(0x6000, 8, 0x8000ffff81000000);
    CHECK_FAULT(insn_jmp_far, &in, EXC_GP, 0);
    in.opsize = 4;
    poke(0x6004, 2, CS64);
    CHECK_EQ(run_handler(insn_jmp_far, &in), COMPLETED);
    CHECK_EQ(v->rip, 0x81000000);

    vcpu_new(REAL, 0);
    in = far_direct(0xf000, 0xfff0);
    in.opsize = 2;
    CHECK_EQ(run_handler(insn_jmp_far, &in), COMPLETED);
    CHECK_EQ(v->seg_base[SEG_CS], 0xf0000);
    CHECK_EQ(v->rip, 0xfff0);
    in = far_direct(0xf000, 0x10000);
    CHECK_FAULT(insn_jmp_far, &in, EXC_GP, 0);
}

/* ---- calls and their returns ---- */

static struct insn far_return(u8 opsize, u16 bytes)
{
    struct insn in = instruction(0, 0, opsize);
    in.imm = bytes;
    return in;
}

static void check_call_same_level(void)
{
    vcpu_new(PROTECTED, 0);
    struct insn in = far_direct(CS0, 0x1234);
    CHECK_EQ(run_handler(insn_call_far, &in), COMPLETED);
    CHECK_EQ(peek(STACK0 - 4, 4), CS0);
    CHECK_EQ(peek(STACK0 - 8, 4), 0x5002);
    CHECK_EQ(v->gpr[GPR_RSP], STACK0 - 8);
    CHECK_EQ(v->rip, 0x1234);
    in = far_return(4, 12);
    CHECK_EQ(run_handler(insn_ret_far, &in), COMPLETED);
    CHECK_EQ(v->rip, 0x5002);
    CHECK_EQ(v->gpr[GPR_RSP], STACK0 + 12);

    vcpu_new(PROTECTED, 0); /* no room: SS ends below ESP */
    v->seg[SEG_SS].limit = STACK0 - 5;
    in = far_direct(CS0, 0x1234);
    CHECK_FAULT(insn_call_far, &in, EXC_SS, 0);
    CHECK_EQ(peek(STACK0 - 8, 8), 0);

    vcpu_new(LONG, 0);
    in = far_direct(CS64, 0x1234);
    in.opsize = 8;
    CHECK_EQ(run_handler(insn_call_far, &in), COMPLETED);
    CHECK_EQ(peek(STACK0 - 8, 8), CS64);
    CHECK_EQ(peek(STACK0 - 16, 8), 0x5002);
    in = far_return(8, 0);
    CHECK_EQ(run_handler(insn_ret_far, &in), COMPLETED);
    CHECK_EQ(v->rip, 0x5002);
    CHECK_EQ(v->gpr[GPR_RSP], STACK0);
}

/* A 32-bit call gate with two parameters, from 3 to 0 and back. */
static void check_call_gate(void)
{
    vcpu_new(PROTECTED, 3);
    poke(GDT + FREE, 8, 0x4321 | (u64)CS0 << 16 | 2ull << 32 | 0xecull << 40 | 0x8765ull << 48);
    poke(STACK3, 4, 0x11111111);
    poke(STACK3 + 4, 4, 0x22222222);
    struct insn in = far_direct(FREE | 3, 0xdead);
    CHECK_EQ(run_handler(insn_call_far, &in), COMPLETED);
    CHECK_EQ(v->rip, 0x87654321);
    CHECK_EQ(v->cpl, 0);
    CHECK_EQ(v->seg[SEG_CS].selector, CS0);
    CHECK_EQ(v->seg[SEG_SS].selector, SS0);
    CHECK_EQ(v->gpr[GPR_RSP], STACK0 - 24);
    static const u32 frame[] = {0x5002, CS3, 0x11111111, 0x22222222, STACK3, SS3};
    for (unsigned i = 0; i < ARRAY_SIZE(frame); i++)
        CHECK_EQ(peek(STACK0 - 24 + i * 4, 4), frame[i]);
    v->seg[SEG_ES] = flat(SS0, A_DATA); /* must not be seen outside */
    v->rip = 0x5000;
    in = far_return(4, 8);
    CHECK_EQ(run_handler(insn_ret_far, &in), COMPLETED);
    CHECK_EQ(v->cpl, 3);
    CHECK_EQ(v->rip, 0x5002);
    CHECK_EQ(v->gpr[GPR_RSP], STACK3 + 8);
    CHECK_EQ(v->seg[SEG_ES].selector, 0);
    CHECK_EQ(v->seg[SEG_DS].selector, SS3);

    v->rip = 0x5000;
    in = far_direct(FREE | 3, 0);
    CHECK_FAULT(insn_jmp_far, &in, EXC_GP, CS0); /* a jump stays at its level */
    poke(GDT + FREE + 5, 1, 0x8c);               /* gate's DPL 0 */
    CHECK_FAULT(insn_call_far, &in, EXC_GP, FREE);
    poke(GDT + FREE + 5, 1, 0x6c);
    CHECK_FAULT(insn_call_far, &in, EXC_NP, FREE);
    poke(GDT + FREE + 5, 1, 0xec);
    poke(GDT + FREE + 2, 2, 3);
    CHECK_FAULT(insn_call_far, &in, EXC_GP, 0);
    poke(GDT + FREE + 2, 2, SS0);
    CHECK_FAULT(insn_call_far, &in, EXC_GP, SS0);
}

static void check_call_gate64(void)
{
    vcpu_new(LONG, 3);
    poke(GDT + FREE, 8, 0x4321 | (u64)CS64 << 16 | 0xecull << 40 | 0x8765ull << 48);
    poke(GDT + FREE + 8, 8, 0xffffffff);
    struct insn in = memory_instruction(3, 4, 0x6000);
    poke(0x6004, 2, FREE | 3);
    CHECK_EQ(run_handler(insn_call_far, &in), COMPLETED);
    CHECK_EQ(v->rip, 0xffffffff87654321);
    CHECK_EQ(v->seg[SEG_SS].selector, 0);
    static const u64 frame[] = {0x5002, CS64U, STACK3, SS3};
    for (unsigned i = 0; i < ARRAY_SIZE(frame); i++)
        CHECK_EQ(peek(STACK0 - 32 + i * 8, 8), frame[i]);
    in = far_return(8, 0);
    CHECK_EQ(run_handler(insn_ret_far, &in), COMPLETED);
    CHECK_EQ(v->gpr[GPR_RSP], STACK3);
    CHECK_EQ(v->cpl, 3);
    poke(GDT + FREE + 8, 8, 0xffffffff | BIT(40));
    in = memory_instruction(3, 4, 0x6000);
    CHECK_FAULT(insn_call_far, &in, EXC_GP, FREE); /* upper type */
    poke(GDT + FREE + 8, 8, 0);
    poke(GDT + FREE + 2, 2, CS0);
    CHECK_FAULT(insn_call_far, &in, EXC_GP, CS0); /* not 64-bit code */
}

struct return_case {
    const char *what;
    u16 cs, ss;
    u16 attributes; /* of FREE */
    u64 rip;
    u8 vector;
    u32 code;
};

/* From 64-bit CPL 0 by IRETQ. */
static const struct return_case returns[] = {
    {"null CS", 3, SS3, 0, 0x1000, EXC_GP, 0},
    {"CS beyond the GDT", 0x1003, SS3, 0, 0x1000, EXC_GP, 0x1000},
    {"CS is data", SS3, SS3, 0, 0x1000, EXC_GP, SS3 & ~3},
    {"RPL and DPL differ", CS64U & ~3, SS0, 0, 0x1000, EXC_GP, CS64U & ~3},
    {"conforming, DPL above RPL", FREE, SS0, 0xa0fe, 0x1000, EXC_GP, FREE},
    {"L and D", FREE, SS0, 0xe09a, 0x1000, EXC_GP, FREE},
    {"CS not present", FREE, SS0, 0xa01a, 0x1000, EXC_NP, FREE},
    {"null SS at 3", CS64U, 3, 0, 0x1000, EXC_GP, 0},
    {"null SS for 32-bit code", CS0, 0, 0, 0x1000, EXC_GP, 0},
    {"SS at another level", CS64U, SS0, 0, 0x1000, EXC_GP, SS0},
    {"SS is read-only", CS64, FREE, 0x4090, 0x1000, EXC_GP, FREE},
    {"SS not present", CS64, FREE, 0x4012, 0x1000, EXC_SS, FREE},
    {"not canonical", CS64U, SS3, 0, 0x800000000000, EXC_GP, 0},
};

static void push_frame64(u64 rip, u16 cs, u64 flags, u64 rsp, u16 ss)
{
    u64 frame[] = {rip, cs, flags, rsp, ss};
    memcpy(ram + STACK0, frame, sizeof(frame));
}

static void check_iretq_faults(void)
{
    for (unsigned i = 0; i < ARRAY_SIZE(returns); i++) {
        const struct return_case *c = &returns[i];
        vcpu_new(LONG, 0);
        set_gdt(FREE, 0, 0xfffff, c->attributes);
        push_frame64(c->rip, c->cs, FLAG_FIXED, STACK3, c->ss);
        struct insn in = instruction(0, 0, 8);
        enum outcome o = run_handler(insn_iret, &in);
        if (o != RAISED || v->event.vector != c->vector || v->event.error_code != c->code)
            printf("row %s:\n", c->what);
        CHECK_EQ(o, RAISED);
        CHECK_EQ(v->event.vector, c->vector);
        CHECK_EQ(v->event.error_code, c->code);
        CHECK_EQ(v->gpr[GPR_RSP], STACK0);
        CHECK_EQ(v->seg[SEG_CS].selector, CS64);
        CHECK_EQ(v->rflags, FLAG_FIXED | FLAG_IF);
    }
}

static void check_iretq(void)
{
    vcpu_new(LONG, 0);
    vcpu_set_segment(v, SEG_FS, (struct segment){.base = 0x7f1234567000});
    v->nmi_blocked = true;
    u64 flags = FLAG_FIXED | FLAG_IF | FLAG_TF | FLAG_ZF | FLAG_OF | FLAG_ID | FLAG_RF | FLAG_AC | FLAG_IOPL;
    push_frame64(0x7fffffffe000, CS64U, flags | FLAG_VM, 0x7ffffffff000, SS3);
    struct insn in = instruction(0, 0, 8);
    CHECK_EQ(run_handler(insn_iret, &in), COMPLETED);
    CHECK_EQ(v->rip, 0x7fffffffe000);
    CHECK_EQ(v->gpr[GPR_RSP], 0x7ffffffff000);
    CHECK_EQ(v->seg[SEG_CS].selector, CS64U);
    CHECK_EQ(v->seg[SEG_SS].selector, SS3);
    CHECK_EQ(v->cpl, 3);
    CHECK_EQ(rflags_get(v), flags); /* without VM */
    CHECK_EQ(v->seg[SEG_DS].selector, 0);
    CHECK_EQ(v->seg_base[SEG_FS], 0x7f1234567000); /* a null FS keeps its base */
    CHECK(!v->nmi_blocked);

    vcpu_new(LONG, 0); /* to the same level: the stack is popped all the same, null SS is good */
    push_frame64(0x1000, CS64, FLAG_FIXED, 0x6008, 0);
    CHECK_EQ(run_handler(insn_iret, &in), COMPLETED);
    CHECK_EQ(v->gpr[GPR_RSP], 0x6008);
    CHECK_EQ(v->cpl, 0);

    vcpu_new(LONG, 0); /* to compatibility mode with a 16-bit stack: only SP is written */
    set_gdt(FREE, 0, 0xffff, 0x00f2);
    push_frame64(0xabcd00001000, CS3, FLAG_FIXED, 0x12345678, FREE | 3);
    v->gpr[GPR_RSP] = STACK0;
    CHECK_EQ(run_handler(insn_iret, &in), COMPLETED);
    CHECK_EQ(v->rip, 0x1000); /* 32 bits of it */
    CHECK_EQ(v->gpr[GPR_RSP], (STACK0 & ~0xffff) | 0x5678);

    vcpu_new(LONG, 0);
    v->rflags |= FLAG_NT;
    CHECK_FAULT(insn_iret, &in, EXC_GP, 0);
}

/* Which flags change depends on CPL and IOPL, and on the operand size. */
static void check_iret_flags(void)
{
    static const struct {
        unsigned cpl, iopl;
        u8 size;
        u64 want;
    } rows[] = {
        {0, 0, 4, 0x3d7fd7}, {0, 0, 2, 0x7fd7}, {3, 0, 4, 0x254dd7}, {3, 3, 4, 0x257fd7}, /* IF; IOPL was 3 */
        {3, 0, 2, 0x4dd7},
    };
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        vcpu_new(PROTECTED, rows[i].cpl);
        gva stack = rows[i].cpl ? STACK3 : STACK0;
        struct insn in = instruction(0, 0, rows[i].size);
        rflags_set(v, FLAG_FIXED | rows[i].iopl << 12);
        poke(stack, rows[i].size, 0x1000);
        poke(stack + rows[i].size, rows[i].size, rows[i].cpl ? CS3 : CS0);
        poke(stack + 2 * rows[i].size, rows[i].size, rows[i].cpl ? 0xffffffffu : ~(u32)FLAG_VM);
        CHECK_EQ(run_handler(insn_iret, &in), COMPLETED);
        if (rflags_get(v) != rows[i].want)
            printf("row %u:\n", i);
        CHECK_EQ(rflags_get(v), rows[i].want);
        CHECK_EQ(v->gpr[GPR_RSP], stack + 3 * rows[i].size);
    }
}

/* INT n in virtual-8086 mode with CR4.VME: SDM 3A table 20-2. */
static void check_redirection(unsigned iopl)
{
    enum { MAP = 0x80, VECTOR = 0x21 };
    struct insn in = instruction(0, 0, 2);
    vcpu_new(VM86, 3);
    v->cr4 |= CR4_VME;
    v->seg[SEG_TR].limit = 0xff;
    v->rflags = (v->rflags & ~(u64)FLAG_IOPL) | FLAG_VM | FLAG_TF | FLAG_IF | FLAG_VIF | iopl << 12;
    gva tss = v->seg[SEG_TR].base, sp = v->seg_base[SEG_SS] + (u16)v->gpr[GPR_RSP];
    poke(tss + 102, 2, MAP + 32);
    poke(tss + MAP + VECTOR / 8, 1, 1 << VECTOR % 8);
    poke(VECTOR * 4, 4, 0x20001234);
    in.imm = VECTOR;
    if (iopl < 3)
        CHECK_FAULT(insn_int, &in, EXC_GP, 0);
    poke(tss + MAP + VECTOR / 8, 1, (u8) ~(1 << VECTOR % 8));
    u64 cs = v->seg[SEG_CS].selector, flags = v->rflags;
    CHECK_EQ(run_handler(insn_int, &in), COMPLETED);
    CHECK_EQ(v->rip, 0x1234);
    CHECK_EQ(v->seg_base[SEG_CS], 0x20000);
    CHECK_EQ(v->rflags, flags & ~(u64)(FLAG_TF | (iopl == 3 ? FLAG_IF : FLAG_VIF)));
    CHECK_EQ(peek(sp - 2, 2) & (FLAG_IF | FLAG_IOPL | FLAG_TF), FLAG_IF | FLAG_IOPL | FLAG_TF);
    CHECK_EQ(peek(sp - 4, 2), cs);
    v->gpr[GPR_RSP] = (u16)(sp - v->seg_base[SEG_SS]) - 6u; /* and back */
    poke(sp - 2, 2, FLAG_IF | FLAG_IOPL);
    CHECK_EQ(run_handler(insn_iret, &in), COMPLETED);
    CHECK_EQ(v->seg[SEG_CS].selector, cs);
    CHECK_EQ(v->rflags, flags & ~(u64)FLAG_TF);
}

static void check_vm86(void)
{
    vcpu_new(PROTECTED, 0);
    struct insn in = instruction(0, 0, 4);
    static const u32 frame[] = {
        0x100, 0x2000, FLAG_VM | FLAG_IF | FLAG_FIXED | FLAG_IOPL, 0x800, 0x3000, 1, 2, 3, 4};
    memcpy(ram + STACK0, frame, sizeof(frame));
    CHECK_EQ(run_handler(insn_iret, &in), COMPLETED);
    CHECK_EQ(v->rip, 0x100);
    CHECK_EQ(v->seg_base[SEG_CS], 0x20000);
    CHECK_EQ(v->seg_base[SEG_SS], 0x30000);
    CHECK_EQ(v->seg[SEG_ES].selector, 1);
    CHECK_EQ(v->seg[SEG_DS].selector, 2);
    CHECK_EQ(v->seg[SEG_FS].selector, 3);
    CHECK_EQ(v->seg[SEG_GS].selector, 4);
    CHECK_EQ(v->seg[SEG_GS].attributes, 0xf3);
    CHECK_EQ(v->seg[SEG_CS].limit, 0xffff);
    CHECK_EQ(v->gpr[GPR_RSP], 0x800);
    CHECK_EQ(v->cpl, 3);
    CHECK_EQ(rflags_get(v), frame[2]);

    in = instruction(0, 0, 2); /* and IRET within it: VM and IOPL stay */
    poke(0x30800, 2, 0x1111);
    poke(0x30802, 2, 0x2222);
    poke(0x30804, 2, FLAG_CF);
    CHECK_EQ(run_handler(insn_iret, &in), COMPLETED);
    CHECK_EQ(v->rip, 0x1111);
    CHECK_EQ(v->seg_base[SEG_CS], 0x22220);
    CHECK_EQ(rflags_get(v), FLAG_VM | FLAG_IOPL | FLAG_FIXED | FLAG_CF);
    v->rflags &= ~(u64)FLAG_IOPL;
    CHECK_FAULT(insn_iret, &in, EXC_GP, 0);
    in.imm = 0x21;
    CHECK_FAULT(insn_int, &in, EXC_GP, 0);
    CHECK_EQ(run_handler(insn_int3, &in), RAISED);
    CHECK(v->event.soft && v->event.vector == EXC_BP);
}

static void check_real(void)
{
    vcpu_new(REAL, 0);
    gva stack = v->seg_base[SEG_SS] + 0x800;
    struct insn in = instruction(0, 0, 4);
    poke(stack, 4, 0x1234);
    poke(stack + 4, 4, 0x2000);
    poke(stack + 8, 4, 0xffffffff);
    CHECK_EQ(run_handler(insn_iret, &in), COMPLETED);
    CHECK_EQ(v->seg_base[SEG_CS], 0x20000);
    CHECK_EQ(rflags_get(v), 0x257fd7); /* 257fd5h, SDM 2A "IRET" */
    CHECK_EQ(v->gpr[GPR_RSP], 0x80c);
    v->gpr[GPR_RSP] = 0x800;
    in = far_return(2, 4);
    poke(stack, 4, 0x30001234);
    CHECK_EQ(run_handler(insn_ret_far, &in), COMPLETED);
    CHECK_EQ(v->rip, 0x1234);
    CHECK_EQ(v->seg_base[SEG_CS], 0x30000);
    CHECK_EQ(v->gpr[GPR_RSP], 0x808);
}

static void check_into(void)
{
    vcpu_new(PROTECTED, 3);
    struct insn in = instruction(0, 0, 4);
    CHECK_EQ(run_handler(insn_into, &in), COMPLETED);
    rflags_set(v, FLAG_OF);
    CHECK_EQ(run_handler(insn_into, &in), RAISED);
    CHECK_EQ(v->event.vector, EXC_OF);
    CHECK_EQ(v->event.payload, 0x5004);
}

/* ---- SYSCALL and its kin ---- */

static void check_syscall(void)
{
    vcpu_new(LONG, 3);
    v->star = (u64)0x23 << 48 | (u64)0x10 << 32;
    v->lstar = 0xffffffff81800000;
    v->cstar = 0xffffffff81900000;
    v->sfmask = FLAG_IF | FLAG_TF | FLAG_DF | FLAG_AC;
    rflags_set(v, FLAG_IF | FLAG_CF | FLAG_DF | FLAG_RF);
    struct insn in = instruction(0, 0, 4);
    CHECK_EQ(run_handler(insn_syscall, &in), COMPLETED);
    CHECK_EQ(v->rip, v->lstar);
    CHECK_EQ(v->gpr[GPR_RCX], 0x5002);
    CHECK_EQ(v->gpr[GPR_R11], FLAG_FIXED | FLAG_IF | FLAG_CF | FLAG_DF);
    CHECK_EQ(rflags_get(v), FLAG_FIXED | FLAG_CF);
    CHECK_EQ(v->cpl, 0);
    CHECK_EQ(v->seg[SEG_CS].selector, 0x10);
    CHECK_EQ(v->seg[SEG_CS].attributes, 0xa09b);
    CHECK_EQ(v->seg[SEG_SS].selector, 0x18);
    CHECK_EQ(v->seg[SEG_SS].attributes, 0xc093);
    CHECK_EQ(v->gpr[GPR_RSP], STACK3);
    in.opsize = 8;
    v->gpr[GPR_R11] |= FLAG_VM | FLAG_RF;
    CHECK_EQ(run_handler(insn_sysret, &in), COMPLETED);
    CHECK_EQ(v->rip, 0x5002);
    CHECK_EQ(v->seg[SEG_CS].selector, 0x33);
    CHECK_EQ(v->seg[SEG_CS].attributes, 0xa0fb);
    CHECK_EQ(v->seg[SEG_SS].selector, 0x2b);
    CHECK_EQ(v->seg[SEG_SS].attributes, 0xc0f3);
    CHECK_EQ(rflags_get(v), FLAG_FIXED | FLAG_IF | FLAG_CF | FLAG_DF);
    CHECK_EQ(v->cpl, 3);
    CHECK_FAULT(insn_sysret, &in, EXC_GP, 0);
    v->efer &= ~(u64)EFER_SCE;
    CHECK_FAULT(insn_syscall, &in, EXC_UD, 0);
    CHECK_FAULT(insn_sysret, &in, EXC_UD, 0);
}

static void check_syscall_compatibility(void)
{
    vcpu_new(LONG, 3);
    v->cstar = 0xffffffff81900000;
    v->star = (u64)0x23 << 48 | (u64)0x10 << 32;
    vcpu_set_segment(v, SEG_CS, flat(CS3, A_CODE32 | A_DPL3));
    struct insn in = instruction(0, 0, 4);
    CHECK_FAULT(insn_syscall, &in, EXC_UD, 0); /* Intel */
    cpu_vendor = "AuthenticAMD";
    CHECK_EQ(run_handler(insn_syscall, &in), COMPLETED);
    CHECK_EQ(v->rip, v->cstar);
    CHECK(in_64bit(v));
    v->gpr[GPR_RCX] = 0x800000005000;
    in = instruction(0, 0, 4); /* SYSRET without REX.W */
    CHECK_EQ(run_handler(insn_sysret, &in), COMPLETED);
    CHECK_EQ(v->rip, 0x5000);
    CHECK_EQ(v->seg[SEG_CS].selector, 0x23);
    CHECK_EQ(v->seg[SEG_CS].attributes, 0xc0fb);

    vcpu_new(LONG, 0); /* a return address that is not canonical */
    v->gpr[GPR_RCX] = 0x800000000000;
    in = instruction(0, 0, 8);
    CHECK_FAULT(insn_sysret, &in, EXC_GP, 0);
    cpu_vendor = "AuthenticAMD";
    CHECK_EQ(run_handler(insn_sysret, &in), COMPLETED);
    CHECK_EQ(v->cpl, 3);
}

static void check_sysenter(void)
{
    vcpu_new(PROTECTED, 3);
    struct insn in = instruction(0, 0, 4);
    CHECK_FAULT(insn_sysenter, &in, EXC_GP, 0); /* SYSENTER_CS is 0 */
    v->sysenter_cs = 0x10;
    v->sysenter_esp = STACK0;
    v->sysenter_eip = 0xc0001000;
    CHECK_EQ(run_handler(insn_sysenter, &in), COMPLETED);
    CHECK_EQ(v->rip, 0xc0001000);
    CHECK_EQ(v->gpr[GPR_RSP], STACK0);
    CHECK_EQ(v->seg[SEG_CS].selector, 0x10);
    CHECK_EQ(v->seg[SEG_CS].attributes, 0xc09b);
    CHECK_EQ(v->seg[SEG_SS].selector, 0x18);
    CHECK_EQ(v->cpl, 0);
    CHECK_EQ(rflags_get(v), FLAG_FIXED);
    v->gpr[GPR_RDX] = 0x5002;
    v->gpr[GPR_RCX] = STACK3;
    CHECK_EQ(run_handler(insn_sysexit, &in), COMPLETED);
    CHECK_EQ(v->rip, 0x5002);
    CHECK_EQ(v->gpr[GPR_RSP], STACK3);
    CHECK_EQ(v->seg[SEG_CS].selector, 0x23);
    CHECK_EQ(v->seg[SEG_SS].selector, 0x2b);
    CHECK_EQ(v->cpl, 3);
    CHECK_FAULT(insn_sysexit, &in, EXC_GP, 0);

    vcpu_new(LONG, 0);
    v->sysenter_cs = 0x10;
    in = instruction(0, 0, 8);
    v->gpr[GPR_RDX] = 0x7fffffff0000;
    v->gpr[GPR_RCX] = 0x800000000000;
    CHECK_FAULT(insn_sysexit, &in, EXC_GP, 0);
    v->gpr[GPR_RCX] = STACK3;
    CHECK_EQ(run_handler(insn_sysexit, &in), COMPLETED);
    CHECK_EQ(v->seg[SEG_CS].selector, 0x33);
    CHECK_EQ(v->seg[SEG_CS].attributes, 0xa0fb);
    cpu_vendor = "AuthenticAMD";
    CHECK_FAULT(insn_sysenter, &in, EXC_UD, 0);
}

static void check_bases(void)
{
    vcpu_new(LONG, 0);
    vcpu_set_segment(v, SEG_GS, (struct segment){.base = 0x1111});
    v->kernel_gs_base = 0xffff888000000000;
    struct insn in = instruction(0, GPR_RDX, 8);
    CHECK_EQ(run_handler(insn_swapgs, &in), COMPLETED);
    CHECK_EQ(v->seg_base[SEG_GS], 0xffff888000000000);
    CHECK_EQ(v->seg[SEG_GS].base, 0xffff888000000000);
    CHECK_EQ(v->kernel_gs_base, 0x1111);
    CHECK_FAULT(insn_rdgsbase, &in, EXC_UD, 0);
    v->cr4 |= CR4_FSGSBASE;
    CHECK_EQ(run_handler(insn_rdgsbase, &in), COMPLETED);
    CHECK_EQ(v->gpr[GPR_RDX], 0xffff888000000000);
    CHECK_EQ(run_handler(insn_wrfsbase, &in), COMPLETED);
    CHECK_EQ(v->seg_base[SEG_FS], 0xffff888000000000);
    v->gpr[GPR_RDX] = 0x800000000000;
    CHECK_FAULT(insn_wrfsbase, &in, EXC_GP, 0);
    in.opsize = 4;
    v->gpr[GPR_RDX] = 0xffffffff12345678;
    CHECK_EQ(run_handler(insn_wrgsbase, &in), COMPLETED);
    CHECK_EQ(v->seg_base[SEG_GS], 0x12345678);
    vcpu_new(LONG, 3);
    CHECK_FAULT(insn_swapgs, &in, EXC_GP, 0);
    vcpu_new(PROTECTED, 0);
    CHECK_FAULT(insn_swapgs, &in, EXC_UD, 0);
}

int main(void)
{
    check_jumps();
    check_indirect();
    check_call_same_level();
    check_call_gate();
    check_call_gate64();
    check_iretq_faults();
    check_iretq();
    check_iret_flags();
    check_vm86();
    check_redirection(3);
    check_redirection(0);
    check_real();
    check_into();
    check_syscall();
    check_syscall_compatibility();
    check_sysenter();
    check_bases();
    return TEST_DONE();
}
