/* xsave.h - the XSAVE area in its standard format: x87, SSE, AVX, AVX-512 (SDM 1 13.4) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CPU_XSAVE_H
#define CPU_XSAVE_H

#include "hypervisor/cpu/vcpu.h"

/* Components: bits of XCR0 and XSTATE_BV. */
enum {
    XSTATE_X87 = BIT(0),
    XSTATE_SSE = BIT(1),
    XSTATE_AVX = BIT(2),
    XSTATE_OPMASK = BIT(5),    /* k0 to k7 */
    XSTATE_ZMM_HI256 = BIT(6), /* upper halves of ZMM0 to ZMM15 */
    XSTATE_HI16_ZMM = BIT(7),  /* ZMM16 to ZMM31 */
    XSTATE_AVX512 = XSTATE_OPMASK | XSTATE_ZMM_HI256 | XSTATE_HI16_ZMM,
    XSTATE_OFFERED = XSTATE_X87 | XSTATE_SSE | XSTATE_AVX | XSTATE_AVX512,
};
/* The same as numbers, of those that have no place of their own in the legacy area. */
enum { COMPONENT_AVX = 2, COMPONENT_OPMASK = 5, COMPONENT_ZMM_HI256 = 6, COMPONENT_HI16_ZMM = 7 };

struct xsave_area {
    u16 fcw, fsw;
    u8 ftw, reserved0;
    u16 fop;
    u64 fip, fdp;
    u32 mxcsr, mxcsr_mask;
    u8 st[8][16];
    u8 xmm[16][16];
    u8 reserved1[96];
    u64 xstate_bv, xcomp_bv, reserved2[6];
    u8 ymm_high[16][16];
};
_Static_assert(offsetof(struct xsave_area, xmm) == 160 && offsetof(struct xsave_area, xstate_bv) == 512 &&
                   offsetof(struct xsave_area, ymm_high) == 576,
               "SDM 1 table 13-1 and 13.4");

/* The guest's state while it is in the CPU: an unmasked x87 exception waits (SDM 1 8.1.3.3); MXCSR. */
static inline bool fpu_error_pending(void)
{
    enum { ERROR_SUMMARY = BIT(7) };
    u16 status;
    __asm__ volatile("fnstsw %0" : "=a"(status));
    return status & ERROR_SUMMARY;
}

/* Stores of x87 raise these before they store: invalid operation, overflow, underflow. */
enum { X87_BEFORE_STORE = BIT(0) | BIT(3) | BIT(4) };

static inline bool fpu_store_may_fail(void)
{
    u16 control;
    __asm__ volatile("fnstcw %0" : "=m"(control));
    return ~control & X87_BEFORE_STORE;
}

/* One has, and none waited before. */
static inline bool fpu_store_failed(void)
{
    u16 control, status;
    __asm__ volatile("fnstcw %0" : "=m"(control));
    __asm__ volatile("fnstsw %0" : "=a"(status));
    return status & ~control & X87_BEFORE_STORE;
}

static inline void fpu_clear_top(void)
{
    struct {
        u16 control, pad0, status, pad1;
        u32 rest[5];
    } environment;
    const u16 top = 7 << 11;
    __asm__ volatile("fnstenv %0" : "=m"(environment));
    environment.status &= (u16)~top;
    __asm__ volatile("fldenv %0" : : "m"(environment));
}

/* 512 bytes, aligned to 16. */
static inline void fpu_fxsave(void *area)
{
    __asm__ volatile("fxsave64 (%0)" : : "r"(area) : "memory");
}

static inline void fpu_fxrstor(const void *area)
{
    __asm__ volatile("fxrstor64 (%0)" : : "r"(area) : "memory");
}

static inline u32 fpu_mxcsr(void)
{
    u32 mxcsr;
    __asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
    return mxcsr;
}

/* The guest's state while it is not in the CPU. */
static inline struct xsave_area *fpu_area(struct vcpu *v)
{
    return (struct xsave_area *)v->fpu;
}

/* Component n of it, from COMPONENT_AVX; NULL where the host does not have it. */
static inline u8 *fpu_component(struct vcpu *v, unsigned n)
{
    return v->xsave_offset[n] ? v->fpu + v->xsave_offset[n] : NULL;
}

/* fpu.c. The host's standard format, which is the guest's too: where each component begins, or 0. */
void xsave_layout(u16 offset[XSAVE_COMPONENTS]);
/* Bytes of an area with these components; in the compacted format (SDM 1 13.4.3). */
unsigned xsave_size(const u16 offset[XSAVE_COMPONENTS], u64 components);
unsigned xsave_compacted_size(u64 components);

#endif
