/* fpu.c - vector state: in and out of the CPU, KVM's structs, and the guest's save and restore instructions
 */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>

#include "hypervisor/cpu/xsave.h"
#include "tests/unit/access_fake.h"
#include "tests/unit/test.h"

enum { AREA = 0x10000, X87 = 1, SSE = 2, AVX = 4, ALL = 7, FILL = 0xcc, HAS_COMPACTED = 2 };
#define COMPACTED BIT(63)

static struct xsave_area *const area = (struct xsave_area *)(ram + AREA);
static bool has_avx;

/* A state that differs from the initial one everywhere: register i of a kind has bytes kind + i. */
static void state_set(void)
{
    struct xsave_area *a = fpu_area(v);
    fpu_reset(v);
    a->fcw = 0x27f;
    a->ftw = 0xff;
    a->mxcsr = 0x1f00;
    for (unsigned i = 0; i < 8; i++)
        memset(a->st[i], 0x10 + (int)i, 10);
    for (unsigned i = 0; i < 16; i++)
        memset(a->xmm[i], 0x20 + (int)i, 16);
    for (unsigned i = 0; i < 16 && has_avx; i++)
        memset(a->ymm_high[i], 0x40 + (int)i, 16);
    a->xstate_bv = has_avx ? ALL : X87 | SSE;
}

static void start(enum machine m)
{
    vcpu_new(m, 0);
    v->cr4 = CR4_OSFXSR | CR4_OSXSAVE;
    v->xcr0 = v->xcr0_supported = v->xcr0_host = has_avx ? ALL : X87 | SSE;
    v->xsave_features = ALL;
    state_set();
    memset(area, FILL, sizeof(*area));
}

static struct insn on_area(gva a, bool wide)
{
    struct insn in = memory_instruction(0, wide ? 8 : 4, a);
    in.mem.size = 0;
    return in;
}

/* Runs the handler on the live state; eax is the instruction mask. */
static enum outcome run_live(sensitive_fn *handler, u32 mask)
{
    struct insn in = on_area(AREA, in_64bit(v));
    v->gpr[GPR_RAX] = mask;
    v->gpr[GPR_RDX] = 0;
    fpu_get(v);
    enum outcome o = run_handler(handler, &in);
    fpu_put(v);
    return o;
}

static bool filled(const void *p, int with, size_t n)
{
    const u8 *b = p;
    for (size_t i = 0; i < n; i++)
        if (b[i] != (u8)with)
            return false;
    return true;
}

static void in_and_out(void)
{
    start(LONG);
    fpu_get(v);
    fpu_get(v);
    memset(v->fpu, 0, 16);
    fpu_put(v);
    fpu_put(v);
    CHECK_EQ(fpu_area(v)->fcw, 0x27f);
    CHECK_EQ(fpu_area(v)->mxcsr, 0x1f00);
    CHECK(filled(fpu_area(v)->st[7], 0x17, 10));
    CHECK(filled(fpu_area(v)->xmm[15], 0x2f, 16));
    if (has_avx)
        CHECK(filled(fpu_area(v)->ymm_high[15], 0x4f, 16));
    u32 mxcsr;
    __asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
    CHECK_EQ(mxcsr & 0xffc0, 0x1f80);
}

static void kvm_fpu(void)
{
    struct kvm_fpu f;
    start(LONG);
    fpu_get_kvm(v, &f);
    CHECK_EQ(f.fcw, 0x27f);
    CHECK(filled(f.fpr[3], 0x13, 10));
    CHECK(filled(f.xmm[9], 0x29, 16));
    f.mxcsr = 0x1fa0;
    memset(f.xmm[1], 0x99, 16);
    CHECK_EQ(fpu_set_kvm(v, &f), 0);
    fpu_get(v);
    fpu_put(v);
    CHECK_EQ(fpu_area(v)->mxcsr, 0x1fa0);
    CHECK(filled(fpu_area(v)->xmm[1], 0x99, 16));
    f.mxcsr = 0x10000000;
    CHECK_EQ(fpu_set_kvm(v, &f), -EINVAL);
}

static void kvm_xsave(void)
{
    struct kvm_xsave x;
    struct xsave_area *a = (struct xsave_area *)&x;
    start(LONG);
    fpu_get_xsave(v, &x);
    CHECK_EQ(a->xstate_bv, has_avx ? ALL : X87 | SSE);
    a->xstate_bv = SSE;
    memset(a->xmm[2], 0x77, 16);
    CHECK_EQ(fpu_set_xsave(v, &x), 0);
    CHECK(filled(fpu_area(v)->xmm[2], 0x77, 16));
    CHECK_EQ(fpu_area(v)->fcw, 0x37f);
    CHECK(filled(fpu_area(v)->ymm_high, 0, 256));
    a->xcomp_bv = COMPACTED;
    CHECK_EQ(fpu_set_xsave(v, &x), -EINVAL);
    a->xcomp_bv = 0;
    a->xstate_bv = BIT(9);
    CHECK_EQ(fpu_set_xsave(v, &x), -EINVAL);
    a->xstate_bv = 0;
    a->reserved2[3] = 1;
    CHECK_EQ(fpu_set_xsave(v, &x), -EINVAL);
    a->reserved2[3] = 0;
    a->mxcsr = ~0u;
    CHECK_EQ(fpu_set_xsave(v, &x), -EINVAL);
}

static void fxsave(void)
{
    start(LONG);
    CHECK_EQ(run_live(insn_fxsave, 0), COMPLETED);
    CHECK_EQ(peek(AREA, 2), 0x27f);
    CHECK_EQ(area->fip | area->fdp | area->fop, 0);
    CHECK_EQ(area->mxcsr, 0x1f00);
    CHECK_EQ(area->mxcsr_mask, v->mxcsr_mask);
    CHECK(filled(area->xmm[15], 0x2f, 16));
    CHECK(filled(area->reserved1, FILL, 96));
    fpu_reset(v);
    CHECK_EQ(run_live(insn_fxrstor, 0), COMPLETED);
    CHECK_EQ(fpu_area(v)->fcw, 0x27f);
    CHECK(filled(fpu_area(v)->xmm[15], 0x2f, 16));
    area->mxcsr = BIT(31);
    CHECK_EQ(run_live(insn_fxrstor, 0), RAISED);
    CHECK_EQ(v->event.vector, EXC_GP);
}

/* 32-bit code has eight registers: the others are neither written nor loaded. */
static void fxsave_32(void)
{
    start(PROTECTED);
    CHECK_EQ(run_live(insn_fxsave, 0), COMPLETED);
    CHECK(filled(area->xmm[7], 0x27, 16));
    CHECK(filled(area->xmm[8], FILL, 16));
    memset(area->xmm, 0x55, sizeof(area->xmm));
    CHECK_EQ(run_live(insn_fxrstor, 0), COMPLETED);
    CHECK(filled(fpu_area(v)->xmm[7], 0x55, 16));
    CHECK(filled(fpu_area(v)->xmm[8], 0x28, 16));
}

static void fxsave_faults(void)
{
    start(LONG);
    struct insn in = on_area(AREA + 8, true);
    CHECK_FAULT(insn_fxsave, &in, EXC_GP, 0);
    v->cr0 |= CR0_TS;
    in = on_area(AREA, true);
    CHECK_FAULT(insn_fxsave, &in, EXC_NM, 0);
    CHECK_FAULT(insn_fxrstor, &in, EXC_NM, 0);
}

static void xsave_components(void)
{
    start(LONG);
    area->xstate_bv = BIT(62) | X87;
    CHECK_EQ(run_live(insn_xsave, SSE), COMPLETED);
    CHECK_EQ(area->xstate_bv, BIT(62) | X87 | SSE);
    CHECK(filled(area, FILL, 24));
    CHECK(filled(area->st, FILL, 128));
    CHECK_EQ(area->mxcsr, 0x1f00);
    CHECK(filled(area->xmm[0], 0x20, 16));
    CHECK(filled(&area->xcomp_bv, FILL, 56));
    CHECK(filled(area->ymm_high, FILL, 256));
    CHECK_EQ(run_live(insn_xsave, ~0u), COMPLETED);
    CHECK_EQ(area->fcw, 0x27f);
    if (has_avx)
        CHECK(filled(area->ymm_high[15], 0x4f, 16));
}

/* Components in their initial state: XSAVEOPT and XSAVEC leave their places alone. */
static void xsave_init_optimization(void)
{
    start(LONG);
    fpu_reset(v);
    area->xstate_bv = ALL;
    CHECK_EQ(run_live(insn_xsaveopt, ALL), COMPLETED);
    u64 in_use = area->xstate_bv;
    CHECK_EQ(in_use & AVX, 0);
    CHECK(filled(area->ymm_high, FILL, 256));
    CHECK_EQ(area->mxcsr, 0x1f80);
    CHECK_EQ(filled(area->xmm, FILL, 256), !(in_use & SSE));
}

static void compacted(void)
{
    start(LONG);
    memset(&area->xstate_bv, 0, 64);
    CHECK_EQ(run_live(insn_xsavec, ALL), COMPLETED);
    u64 all = has_avx ? ALL : X87 | SSE;
    CHECK_EQ(area->xcomp_bv, COMPACTED | all);
    CHECK_EQ(area->xstate_bv, all);
    fpu_reset(v);
    CHECK_EQ(run_live(insn_xrstor, ALL), COMPLETED);
    CHECK(filled(fpu_area(v)->xmm[15], 0x2f, 16));
    CHECK_EQ(fpu_area(v)->mxcsr, 0x1f00);
    if (has_avx)
        CHECK(filled(fpu_area(v)->ymm_high[3], 0x43, 16));
    area->xstate_bv = 0; /* everything initial, MXCSR too */
    CHECK_EQ(run_live(insn_xrstor, ALL), COMPLETED);
    CHECK_EQ(fpu_area(v)->mxcsr, 0x1f80);
    CHECK(filled(fpu_area(v)->xmm, 0, 256));
}

static void xrstor_standard(void)
{
    start(LONG);
    memset(&area->xstate_bv, 0, 64);
    CHECK_EQ(run_live(insn_xsave, ALL), COMPLETED);
    area->xstate_bv = X87;
    area->mxcsr = 0x1fbf;
    CHECK_EQ(run_live(insn_xrstor, X87 | SSE), COMPLETED);
    CHECK_EQ(fpu_area(v)->fcw, 0x27f);
    CHECK(filled(fpu_area(v)->xmm, 0, 256));
    CHECK_EQ(fpu_area(v)->mxcsr, 0x1fbf);
    if (has_avx)
        CHECK(filled(fpu_area(v)->ymm_high[1], 0x41, 16));
}

static void xrstor_32(void)
{
    start(PROTECTED);
    memset(&area->xstate_bv, 0, 64);
    memset(area->xmm, 0x66, 256);
    memset(area->ymm_high, 0x67, 256);
    area->mxcsr = 0x1f80;
    area->xstate_bv = SSE;
    CHECK_EQ(run_live(insn_xrstor, ALL), COMPLETED);
    CHECK(filled(fpu_area(v)->xmm[7], 0x66, 16));
    CHECK(filled(fpu_area(v)->xmm[8], 0x28, 16));
    if (has_avx) {
        CHECK(filled(fpu_area(v)->ymm_high[7], 0, 16));
        CHECK(filled(fpu_area(v)->ymm_high[8], 0x48, 16));
    }
}

static void xrstor_refuses(u64 xstate_bv, u64 xcomp_bv, unsigned reserved, u32 mxcsr)
{
    start(LONG);
    memset(area, 0, sizeof(*area));
    area->xstate_bv = xstate_bv;
    area->xcomp_bv = xcomp_bv;
    area->mxcsr = mxcsr;
    if (reserved)
        ((u8 *)&area->xstate_bv)[reserved] = 1;
    CHECK_EQ(run_live(insn_xrstor, ALL), RAISED);
    CHECK_EQ(v->event.vector, EXC_GP);
    CHECK(filled(fpu_area(v)->xmm[15], 0x2f, 16));
}

static void xsave_faults(void)
{
    start(LONG);
    struct insn in = on_area(AREA + 32, true);
    CHECK_FAULT(insn_xsave, &in, EXC_GP, 0);
    CHECK_FAULT(insn_xrstor, &in, EXC_GP, 0);
    in = on_area(AREA, true);
    v->cr0 |= CR0_TS;
    CHECK_FAULT(insn_xsave, &in, EXC_NM, 0);
    v->cr4 &= ~(u64)CR4_OSXSAVE;
    CHECK_FAULT(insn_xrstor, &in, EXC_UD, 0);
    v->xsave_features = 0;
    v->cr4 |= CR4_OSXSAVE;
    CHECK_FAULT(insn_xsavec, &in, EXC_UD, 0);
    CHECK_FAULT(insn_xsaveopt, &in, EXC_UD, 0);
    xrstor_refuses(BIT(9), 0, 0, 0);
    xrstor_refuses(0, X87, 0, 0);
    xrstor_refuses(0, 0, 16, 0);
    xrstor_refuses(SSE, COMPACTED | X87, 0, 0);
    xrstor_refuses(0, COMPACTED | BIT(9), 0, 0);
    xrstor_refuses(0, COMPACTED, 40, 0);
    xrstor_refuses(0, 0, 0, BIT(20));
}

/* A page fault leaves the state as it was. */
static void faulting_restore(void)
{
    start(LONG);
    memset(area, 0, sizeof(*area));
    struct insn in = on_area(AREA + 0x1000 - 512, true);
    ((struct xsave_area *)(ram + AREA + 0x1000 - 512))->xstate_bv = ALL;
    absent[(AREA >> 12) + 1] = true;
    v->gpr[GPR_RAX] = ALL;
    fpu_get(v);
    enum outcome o = run_handler(insn_xrstor, &in);
    fpu_put(v);
    CHECK_EQ(o, RAISED);
    CHECK_EQ(v->event.vector, EXC_PF);
    CHECK(filled(fpu_area(v)->xmm[15], 0x2f, 16));
}

/* ---- AVX-512: components at the host's offsets ---- */

enum {
    WIDE = ALL | XSTATE_AVX512,
    K = COMPONENT_OPMASK,
    HI256 = COMPONENT_ZMM_HI256,
    HI16 = COMPONENT_HI16_ZMM
};

/* Bytes of the component in guest memory, standard format. */
static u8 *component(unsigned n)
{
    return ram + AREA + v->xsave_offset[n];
}

static bool wide_start(enum machine m)
{
    start(m);
    if (!v->xsave_offset[HI16])
        return false;
    v->xcr0 = v->xcr0_supported = v->xcr0_host = WIDE;
    for (int i = 0; i < 8; i++)
        memset(fpu_component(v, K) + 8 * i, 0x50 + i, 8);
    for (int i = 0; i < 16; i++) {
        memset(fpu_component(v, HI256) + 32 * i, 0x60 + i, 32);
        memset(fpu_component(v, HI16) + 64 * i, 0x70 + i, 64);
    }
    fpu_area(v)->xstate_bv = WIDE;
    memset(ram + AREA, FILL, 4096);
    memset(&area->xstate_bv, 0, 64);
    return true;
}

static bool wide_is(int k7, int zmm15, int zmm31)
{
    return filled(fpu_component(v, K) + 56, k7, 8) && filled(fpu_component(v, HI256) + 480, zmm15, 32) &&
           filled(fpu_component(v, HI16) + 960, zmm31, 64);
}

/* In the CPU and back; then nothing of it is left there. */
static void wide_in_and_out(void)
{
    u64 mask, upper[8];
    if (!wide_start(LONG))
        return;
    fpu_get(v);
    memset(fpu_component(v, HI16), 0, 1024);
    memset(fpu_component(v, K), 0, 64);
    fpu_put(v);
    __asm__ volatile("kmovq %%k7, %0\n\tvmovdqu64 %%zmm31, %1" : "=r"(mask), "=m"(upper));
    CHECK(wide_is(0x57, 0x6f, 0x7f));
    CHECK_EQ(mask, 0);
    CHECK(filled(upper, 0, sizeof(upper)));
    fpu_reset(v);
    CHECK(wide_is(0, 0, 0));
}

static void wide_kvm_xsave(void)
{
    struct kvm_xsave x;
    struct xsave_area *a = (struct xsave_area *)&x;
    if (!wide_start(LONG))
        return;
    fpu_get_xsave(v, &x);
    CHECK_EQ(a->xstate_bv, WIDE);
    CHECK(filled((u8 *)&x + v->xsave_offset[HI16] + 960, 0x7f, 64));
    memset((u8 *)&x + v->xsave_offset[K], 0x33, 64);
    a->xstate_bv &= ~(u64)XSTATE_ZMM_HI256;
    CHECK_EQ(fpu_set_xsave(v, &x), 0);
    CHECK(wide_is(0x33, 0, 0x7f));
    v->xcr0_supported = v->xcr0_host = ALL;
    CHECK_EQ(fpu_set_xsave(v, &x), -EINVAL);
}

static void wide_standard(void)
{
    if (!wide_start(LONG))
        return;
    CHECK_EQ(run_live(insn_xsave, WIDE), COMPLETED);
    CHECK_EQ(area->xstate_bv, WIDE);
    CHECK(filled(component(K) + 56, 0x57, 8) && filled(component(HI256) + 480, 0x6f, 32));
    CHECK(filled(component(HI16) + 960, 0x7f, 64));
    fpu_reset(v);
    area->xstate_bv &= ~(u64)XSTATE_OPMASK;
    CHECK_EQ(run_live(insn_xrstor, WIDE), COMPLETED);
    CHECK(wide_is(0, 0x6f, 0x7f));
}

/* Components that are not asked for leave no gap (SDM 1 13.4.3). */
static void wide_compacted(void)
{
    const u32 some = XSTATE_OPMASK | XSTATE_HI16_ZMM;
    if (!wide_start(LONG))
        return;
    CHECK_EQ(run_live(insn_xsavec, some), COMPLETED);
    CHECK_EQ(area->xcomp_bv, COMPACTED | some);
    CHECK(filled(ram + AREA + 576 + 56, 0x57, 8));
    CHECK(filled(ram + AREA + 640 + 960, 0x7f, 64));
    CHECK(filled(ram + AREA + 640 + 1024, FILL, 64));
    fpu_reset(v);
    CHECK_EQ(run_live(insn_xrstor, WIDE), COMPLETED);
    CHECK(wide_is(0x57, 0, 0x7f));
    CHECK(filled(fpu_area(v)->xmm, 0, 256));
    area->xcomp_bv &= ~(u64)XSTATE_OPMASK; /* now in use, but not in the format */
    CHECK_EQ(run_live(insn_xrstor, WIDE), RAISED);
}

/* 32-bit code has neither the upper eight nor the further sixteen registers. */
static void wide_32(void)
{
    if (!wide_start(PROTECTED))
        return;
    CHECK_EQ(run_live(insn_xsave, WIDE), COMPLETED);
    CHECK(filled(component(HI256) + 7 * 32, 0x67, 32));
    CHECK(filled(component(HI256) + 8 * 32, FILL, 256) && filled(component(HI16), FILL, 1024));
    area->xstate_bv = 0;
    CHECK_EQ(run_live(insn_xrstor, WIDE), COMPLETED);
    CHECK(filled(fpu_component(v, HI256), 0, 256));
    CHECK(wide_is(0, 0x6f, 0x7f));
}

int main(void)
{
    TEST_NEEDS_VECTORS();
    has_avx = __builtin_cpu_supports("avx");
    in_and_out();
    kvm_fpu();
    kvm_xsave();
    fxsave();
    fxsave_32();
    fxsave_faults();
    xsave_components();
    xsave_init_optimization();
    compacted();
    xrstor_standard();
    xrstor_32();
    xsave_faults();
    faulting_restore();
    wide_in_and_out();
    wide_kvm_xsave();
    wide_standard();
    wide_compacted();
    wide_32();
    return TEST_DONE();
}
