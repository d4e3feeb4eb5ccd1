/* vector_memory.c - gathers and masked moves: elements, masks, faults in the middle */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <Zydis/Mnemonic.h>

#include "hypervisor/cpu/vendor.h"
#include "hypervisor/cpu/xsave.h"
#include "tests/unit/access_fake.h"
#include "tests/unit/test.h"

enum { TABLE = 0x10000, TO = 1, INDEX = 2, MASK_REGISTER = 3, FROM = 4 };
static bool no_avx2;

bool cpuid_has(struct vcpu *vcpu, u32 leaf, u32 subleaf, unsigned reg, unsigned bit)
{
    (void)vcpu, (void)leaf, (void)subleaf, (void)reg, (void)bit;
    return !no_avx2;
}

static void start(void)
{
    vcpu_new(LONG, 0);
    v->cr4 = CR4_OSFXSR | CR4_OSXSAVE;
    v->xcr0 = 7;
    no_avx2 = false;
    fpu_reset(v);
    fpu_area(v)->xstate_bv = 7;
    for (unsigned i = 0; i < 0x400; i++)
        poke(TABLE + 4 * i, 4, 0x1000 + i);
}

static u32 *lane(u8 reg, unsigned i)
{
    struct xsave_area *a = fpu_area(v);
    return (u32 *)(i < 4 ? a->xmm[reg] : a->ymm_high[reg]) + (i & 3);
}

static void fill(u8 reg, u32 value)
{
    for (unsigned i = 0; i < 8; i++)
        *lane(reg, i) = value;
}

static enum outcome run_live(sensitive_fn *handler, const struct insn *in)
{
    fpu_get(v);
    enum outcome o = run_handler(handler, in);
    fpu_put(v);
    return o;
}

static struct insn gather(u16 mnemonic, u8 length, u8 scale)
{
    struct insn in = memory_instruction(TO, length, TABLE);
    in.mnemonic = mnemonic;
    in.mem.index = INDEX;
    in.mem.scale = scale;
    in.imm2 = MASK_REGISTER;
    return in;
}

static void gather_dwords(void)
{
    start();
    struct insn in = gather(ZYDIS_MNEMONIC_VPGATHERDD, 32, 4);
    fill(TO, 0x55555555);
    fill(MASK_REGISTER, 0x80000000);
    *lane(MASK_REGISTER, 5) = 0x7fffffff;
    for (unsigned i = 0; i < 8; i++)
        *lane(INDEX, i) = 10 * i;
    CHECK_EQ(run_live(insn_vgather, &in), COMPLETED);
    for (unsigned i = 0; i < 8; i++) {
        CHECK_EQ(*lane(TO, i), i == 5 ? 0x55555555 : 0x1000 + 10 * i);
        CHECK_EQ(*lane(MASK_REGISTER, i), 0);
    }
}

/* Indices are signed; of a 128-bit form the upper half becomes 0. */
static void gather_quadwords(void)
{
    start();
    struct insn in = gather(ZYDIS_MNEMONIC_VPGATHERDQ, 16, 8);
    in.mem.disp = TABLE + 0x100;
    fill(TO, 0x55555555);
    fill(MASK_REGISTER, 0x80000000);
    *lane(INDEX, 0) = (u32)-1;
    *lane(INDEX, 1) = 2;
    CHECK_EQ(run_live(insn_vgather, &in), COMPLETED);
    CHECK_EQ(*lane(TO, 0), 0x1000 + 0x3e);
    CHECK_EQ(*lane(TO, 1), 0x1000 + 0x3f);
    CHECK_EQ(*lane(TO, 2), 0x1000 + 0x44);
    CHECK_EQ(*lane(TO, 4) | *lane(TO, 7), 0);
}

/* Four quadword indices give four dwords: the result is half as long. */
static void gather_narrowing(void)
{
    start();
    struct insn in = gather(ZYDIS_MNEMONIC_VGATHERQPS, 32, 4);
    fill(TO, 0x55555555);
    fill(MASK_REGISTER, 0x80000000);
    for (unsigned i = 0; i < 4; i++) {
        *lane(INDEX, 2 * i) = i + 1;
        *lane(INDEX, 2 * i + 1) = 0;
    }
    CHECK_EQ(run_live(insn_vgather, &in), COMPLETED);
    for (unsigned i = 0; i < 4; i++)
        CHECK_EQ(*lane(TO, i), 0x1001 + i);
    CHECK_EQ(*lane(TO, 4) | *lane(TO, 7), 0);
}

/* The elements before the fault are done and out of the mask; started again, it goes on behind them. */
static void gather_faults(void)
{
    start();
    struct insn in = gather(ZYDIS_MNEMONIC_VPGATHERDD, 16, 4);
    fill(TO, 0);
    fill(MASK_REGISTER, 0x80000000);
    for (unsigned i = 0; i < 4; i++)
        *lane(INDEX, i) = i == 2 ? 0x400 : i;
    absent[(TABLE >> 12) + 1] = true;
    CHECK_EQ(run_live(insn_vgather, &in), RAISED);
    CHECK_EQ(v->event.vector, EXC_PF);
    CHECK_EQ(*lane(TO, 1), 0x1001);
    CHECK_EQ(*lane(MASK_REGISTER, 1), 0);
    CHECK_EQ(*lane(MASK_REGISTER, 2), gathers_fill_mask_first() ? 0xffffffff : 0x80000000);
    absent[(TABLE >> 12) + 1] = false;
    poke(TABLE + 0x1000, 4, 0x77);
    poke(TABLE + 4, 4, 0); /* not read a second time */
    CHECK_EQ(run_live(insn_vgather, &in), COMPLETED);
    CHECK_EQ(*lane(TO, 1), 0x1001);
    CHECK_EQ(*lane(TO, 2), 0x77);
    CHECK_EQ(*lane(TO, 3), 0x1003);
}

static void gather_checks(void)
{
    start();
    struct insn in = gather(ZYDIS_MNEMONIC_VPGATHERDD, 16, 4);
    in.imm2 = TO;
    CHECK_FAULT(insn_vgather, &in, EXC_UD, 0);
    in.imm2 = INDEX;
    CHECK_FAULT(insn_vgather, &in, EXC_UD, 0);
    in = gather(ZYDIS_MNEMONIC_VPGATHERDD, 16, 4);
    v->cr0 |= CR0_TS;
    CHECK_FAULT(insn_vgather, &in, EXC_NM, 0);
    v->xcr0 = 3;
    CHECK_FAULT(insn_vgather, &in, EXC_UD, 0);
    v->xcr0 = 7;
    no_avx2 = true;
    CHECK_FAULT(insn_vgather, &in, EXC_UD, 0);
}

/* ---- EVEX: an opmask, 64-byte registers, thirty-two of them ---- */

enum { WIDE_TO = 17, WIDE_INDEX = 30, K2 = 2 };

static u32 *wide_lane(u8 reg, unsigned i)
{
    return (u32 *)(fpu_component(v, COMPONENT_HI16_ZMM) + (reg - 16) * 64) + i;
}

static u64 *mask_register(void)
{
    return (u64 *)fpu_component(v, COMPONENT_OPMASK) + K2;
}

static bool wide_start(void)
{
    start();
    if (!v->xsave_offset[COMPONENT_HI16_ZMM])
        return false;
    v->xcr0 = 7 | XSTATE_AVX512;
    fpu_area(v)->xstate_bv = v->xcr0;
    for (unsigned i = 0; i < 16; i++) {
        *wide_lane(WIDE_TO, i) = 0x5500 + i;
        *wide_lane(WIDE_INDEX, i) = 3 * i;
    }
    return true;
}

static struct insn wide(u16 mnemonic, u8 length)
{
    struct insn in = memory_instruction(WIDE_TO, length, TABLE);
    in.mnemonic = mnemonic;
    in.mem.index = WIDE_INDEX;
    in.mem.scale = 4;
    in.imm2 = K2;
    return in;
}

static void gather_opmask(void)
{
    if (!wide_start())
        return;
    struct insn in = wide(ZYDIS_MNEMONIC_VPGATHERDD, 64);
    *mask_register() = 0xffffffff00008005;
    CHECK_EQ(run_live(insn_vgather_opmask, &in), COMPLETED);
    for (unsigned i = 0; i < 16; i++)
        CHECK_EQ(*wide_lane(WIDE_TO, i), 0x8005 >> i & 1 ? 0x1000 + 3 * i : 0x5500 + i);
    CHECK_EQ(*mask_register(), 0);
    in = wide(ZYDIS_MNEMONIC_VPGATHERDD, 32);
    CHECK_EQ(run_live(insn_vgather_opmask, &in), COMPLETED);
    CHECK_EQ(*wide_lane(WIDE_TO, 7), 0x5507);
    CHECK_EQ(*wide_lane(WIDE_TO, 8) | *wide_lane(WIDE_TO, 15), 0);
}

static void gather_opmask_faults(void)
{
    if (!wide_start())
        return;
    struct insn in = wide(ZYDIS_MNEMONIC_VPGATHERDD, 64);
    *mask_register() = 0xf0;
    *wide_lane(WIDE_INDEX, 6) = 0x400;
    absent[(TABLE >> 12) + 1] = true;
    CHECK_EQ(run_live(insn_vgather_opmask, &in), RAISED);
    CHECK_EQ(v->event.payload, TABLE + 0x1000);
    CHECK_EQ(*mask_register(), 0xc0);
    CHECK_EQ(*wide_lane(WIDE_TO, 5), 0x100f);
    CHECK_EQ(*wide_lane(WIDE_TO, 6), 0x5506);
    /* Once there is an element, the register beyond the vector is zero. */
    in = wide(ZYDIS_MNEMONIC_VPGATHERDD, 32);
    *wide_lane(WIDE_INDEX, 5) = 0x400;
    *mask_register() = 0x20;
    CHECK_EQ(run_live(insn_vgather_opmask, &in), RAISED);
    CHECK_EQ(*wide_lane(WIDE_TO, 8), 0x5508);
    *mask_register() = 0x30;
    CHECK_EQ(run_live(insn_vgather_opmask, &in), RAISED);
    CHECK_EQ(*wide_lane(WIDE_TO, 8), 0);
}

/* Of elements with the same address the highest is left; a fault lets those before it stand. */
static void scatter(void)
{
    if (!wide_start())
        return;
    struct insn in = wide(ZYDIS_MNEMONIC_VPSCATTERDD, 64);
    *mask_register() = 0xf;
    *wide_lane(WIDE_INDEX, 1) = *wide_lane(WIDE_INDEX, 2) = 100;
    *wide_lane(WIDE_INDEX, 3) = 0x400;
    absent[(TABLE >> 12) + 1] = true;
    CHECK_EQ(run_live(insn_vscatter, &in), RAISED);
    CHECK_EQ(v->event.error_code & PF_W, PF_W);
    CHECK_EQ(*mask_register(), 8);
    CHECK_EQ(peek(TABLE, 4), 0x5500);
    CHECK_EQ(peek(TABLE + 400, 4), 0x5502);
    absent[(TABLE >> 12) + 1] = false;
    CHECK_EQ(run_live(insn_vscatter, &in), COMPLETED);
    CHECK_EQ(peek(TABLE + 0x1000, 4), 0x5503);
    CHECK_EQ(*mask_register(), 0);
}

static void opmask_checks(void)
{
    if (!wide_start())
        return;
    struct insn in = wide(ZYDIS_MNEMONIC_VPGATHERDD, 64);
    in.mem.index = WIDE_TO;
    CHECK_FAULT(insn_vgather_opmask, &in, EXC_UD, 0);
    in = wide(ZYDIS_MNEMONIC_VPSCATTERDD, 64);
    in.imm2 = 0;
    CHECK_FAULT(insn_vscatter, &in, EXC_UD, 0);
    in.imm2 = K2;
    v->cr0 |= CR0_TS;
    CHECK_FAULT(insn_vscatter, &in, EXC_NM, 0);
    v->xcr0 = 7;
    CHECK_FAULT(insn_vscatter, &in, EXC_UD, 0);
}

/* ---- masked moves ---- */

static struct insn masked(u16 mnemonic, u8 opcode, u8 length, gva at)
{
    struct insn in = memory_instruction(opcode == 0x2c || opcode == 0x8c ? TO : FROM, length, at);
    in.mnemonic = mnemonic;
    in.opcode = opcode;
    in.imm2 = MASK_REGISTER;
    return in;
}

static void masked_moves(void)
{
    start();
    /* The last element would be on a page that is absent, but it is masked out. */
    gva at = TABLE + 0x1000 - 28;
    absent[(TABLE >> 12) + 1] = true;
    fill(MASK_REGISTER, 0x80000000);
    *lane(MASK_REGISTER, 7) = *lane(MASK_REGISTER, 0) = 0;
    fill(TO, 0x99);
    struct insn in = masked(ZYDIS_MNEMONIC_VMASKMOVPS, 0x2c, 32, at);
    CHECK_EQ(run_live(insn_vmaskmov, &in), COMPLETED);
    CHECK_EQ(*lane(TO, 0) | *lane(TO, 7), 0);
    CHECK_EQ(*lane(TO, 1), peek(at + 4, 4));
    CHECK_EQ(*lane(TO, 6), peek(at + 24, 4));
    fill(FROM, 0xabcd);
    u64 first = peek(at, 4);
    in = masked(ZYDIS_MNEMONIC_VMASKMOVPS, 0x2e, 32, at);
    CHECK_EQ(run_live(insn_vmaskmov, &in), COMPLETED);
    CHECK_EQ(peek(at, 4), first);
    CHECK_EQ(peek(at + 4, 4), 0xabcd);
    CHECK_EQ(peek(at + 24, 4), 0xabcd);
    /* With it, the store faults before any element is written. */
    *lane(MASK_REGISTER, 7) = 0x80000000;
    fill(FROM, 0x1111);
    CHECK_EQ(run_live(insn_vmaskmov, &in), RAISED);
    CHECK_EQ(v->event.payload, TABLE + 0x1000);
    CHECK_EQ(peek(at + 4, 4), 0xabcd);
}

static void masked_quadwords(void)
{
    start();
    fill(MASK_REGISTER, 0);
    *lane(MASK_REGISTER, 3) = 0x80000000; /* the top of the second quadword */
    fill(TO, 0x99);
    struct insn in = masked(ZYDIS_MNEMONIC_VPMASKMOVQ, 0x8c, 16, TABLE);
    CHECK_EQ(run_live(insn_vmaskmov, &in), COMPLETED);
    CHECK_EQ(*lane(TO, 0) | *lane(TO, 1) | *lane(TO, 4), 0);
    CHECK_EQ(*lane(TO, 2), 0x1002);
    CHECK_EQ(*lane(TO, 3), 0x1003);
}

static void bytes(void)
{
    start();
    memset(fpu_area(v)->xmm[FROM], 0x61, 16);
    memset(fpu_area(v)->xmm[MASK_REGISTER], 0x7f, 16);
    fpu_area(v)->xmm[MASK_REGISTER][0] = fpu_area(v)->xmm[MASK_REGISTER][9] = 0x80;
    v->gpr[GPR_RDI] = 0x6000;
    struct insn in = instruction(FROM, MASK_REGISTER, 16);
    in.mnemonic = ZYDIS_MNEMONIC_MASKMOVDQU;
    in.mem.seg = SEG_DS;
    CHECK_EQ(run_live(insn_maskmov, &in), COMPLETED);
    for (unsigned i = 0; i < 16; i++)
        CHECK_EQ(ram[0x6000 + i], i == 0 || i == 9 ? 0x61 : 0);
}

/* MMX registers are the physical x87 registers, wherever the top of the stack is; using them sets it to 0. */
static void mmx_bytes(void)
{
    start();
    fpu_area(v)->fsw = 3 << 11;
    fpu_area(v)->ftw = 0xff;
    memset(fpu_area(v)->st[(FROM - 3) & 7], 0x62, 10);          /* mm4 is ST(1) */
    memset(fpu_area(v)->st[(MASK_REGISTER - 3) & 7], 0xff, 10); /* mm3 is ST(0) */
    v->gpr[GPR_RDI] = 0x6000;
    struct insn in = instruction(FROM, MASK_REGISTER, 8);
    in.mnemonic = ZYDIS_MNEMONIC_MASKMOVQ;
    in.mem.seg = SEG_DS;
    CHECK_EQ(run_live(insn_maskmov, &in), COMPLETED);
    CHECK_EQ(peek(0x6000, 8), 0x6262626262626262);
    CHECK_EQ(ram[0x6008], 0);
    CHECK_EQ(fpu_area(v)->fsw >> 11 & 7, 0);
    v->cr0 |= CR0_EM;
    CHECK_FAULT(insn_maskmov, &in, EXC_UD, 0);
}

int main(void)
{
    if (__builtin_cpu_supports("avx2")) {
        gather_dwords();
        gather_quadwords();
        gather_narrowing();
        gather_faults();
        gather_checks();
        gather_opmask();
        gather_opmask_faults();
        scatter();
        opmask_checks();
        masked_moves();
        masked_quadwords();
    }
    bytes();
    mmx_bytes();
    return TEST_DONE();
}
