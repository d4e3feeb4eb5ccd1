/* mode.c - the translation mode of a vcpu's state */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/translate/mode.h"
#include "hypervisor/cpu/debug.h"
#include "hypervisor/translate/vcpu_engine.h"

static bool segment_is_flat(const struct segment *s, bool code)
{
    enum { READABLE = 2, WRITABLE = 2, CODE = 8, EXPAND_DOWN = 4 };
    if (s->base != 0 || s->limit != 0xffffffff || !(s->attributes & SEG_P))
        return false;
    if (s->attributes & CODE)
        return code || (s->attributes & READABLE);
    return (s->attributes & WRITABLE) && !(s->attributes & EXPAND_DOWN);
}

static bool segments_are_flat(const struct vcpu *v)
{
    return segment_is_flat(&v->seg[SEG_CS], true) && segment_is_flat(&v->seg[SEG_SS], false) &&
           segment_is_flat(&v->seg[SEG_DS], false) && segment_is_flat(&v->seg[SEG_ES], false) &&
           !(v->seg[SEG_DS].attributes & 8) && !(v->seg[SEG_ES].attributes & 8);
}

static u32 mode_code(const struct vcpu *v)
{
    if (in_64bit(v))
        return MODE_64 | MODE_STACK32 | MODE_FLAT | MODE_CODE_OPEN;
    bool big = v->seg[SEG_CS].attributes & SEG_DB;
    u32 mode = big ? MODE_32 : MODE_16;
    if (v->seg[SEG_CS].limit >= (big ? 0xffffffff : 0xffff))
        mode |= MODE_CODE_OPEN;
    if (!in_protected(v))
        mode |= MODE_REAL;
    if (v->seg[SEG_SS].attributes & SEG_DB)
        mode |= MODE_STACK32;
    if (segments_are_flat(v))
        mode |= MODE_FLAT;
    return mode;
}

static u32 mode_vector(const struct vcpu *v)
{
    if (v->cr0 & (CR0_EM | CR0_TS))
        return 0;
    u32 mode = MODE_X87;
    if (v->cr4 & CR4_OSFXSR)
        mode |= MODE_SSE;
    if ((v->cr4 & CR4_OSXSAVE) && (v->xcr0 & 6) == 6)
        mode |= MODE_AVX;
    if (avx512_enabled(v))
        mode |= MODE_AVX512;
    return mode;
}

static bool must_step(const struct vcpu *v)
{
    if (v->interrupt_shadow || v->mmio_reads || v->debug.step_once || v->exclusive || debug_stepping(v))
        return true;
    return v->debug.code && debug_in_code_page(v, code_address(v, v->rip));
}

u32 mode_of(const struct vcpu *v)
{
    enum tlb_context context = TLB_KERNEL_AC;
    if (v->cpl == 3)
        context = checks_alignment(v) ? TLB_USER_ALIGNED : TLB_USER;
    else if ((v->cr4 & CR4_SMAP) && !(v->rflags & FLAG_AC))
        context = TLB_KERNEL;
    u32 mode = mode_code(v) | mode_vector(v) | (u32)context << MODE_CONTEXT_SHIFT;
    if (v->cpl == 0)
        mode |= MODE_CPL0 | (v->cr4 & CR4_SMAP ? (u32)MODE_SMAP : 0);
    if (!v->tsc_ratio && (v->cpl == 0 || !(v->cr4 & CR4_TSD)))
        mode |= MODE_TSC;
    if (must_step(v))
        mode |= MODE_STEP;
    else if (context == TLB_USER && (mode & MODE_BITS) == MODE_64 && !v->priv->here->two_places)
        mode |= MODE_MOVABLE;
    return mode;
}
