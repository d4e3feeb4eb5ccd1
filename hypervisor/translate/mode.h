/* mode.h - what a translation depends on besides the code bytes, packed into one word */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TRANSLATE_MODE_H
#define TRANSLATE_MODE_H

#include "hypervisor/cpu/xsave.h"

enum mode {
    MODE_BITS = 3, /* code size: 0 = 16, 1 = 32, 2 = 64 */
    MODE_16 = 0,
    MODE_32 = 1,
    MODE_64 = 2,
    MODE_STACK32 = BIT(2),  /* SS.B, outside 64-bit mode */
    MODE_CONTEXT_SHIFT = 3, /* enum tlb_context: 2 bits */
    MODE_CONTEXT = 3 << 3,
    MODE_X87 = BIT(5),     /* x87 and MMX may execute: CR0.EM and TS clear */
    MODE_SSE = BIT(6),     /* and SSE: CR4.OSFXSR */
    MODE_AVX = BIT(7),     /* and AVX: CR4.OSXSAVE, XCR0.AVX */
    MODE_AVX512 = BIT(12), /* and AVX-512: its three bits of XCR0 */
    MODE_FLAT = BIT(8),    /* CS, SS, DS, ES: all 4 GiB, all but CS readable and writable, or 64-bit mode */
    MODE_CODE_OPEN = BIT(10), /* no offset of the code's size is above CS's limit */
    MODE_REAL = BIT(11),      /* real-address or virtual-8086 mode: some instructions are undefined */
    MODE_PLAIN = BIT(13),     /* of a block only, never of a vcpu: without groups of accesses (group.c) */
    MODE_MOVABLE = BIT(14),   /* the translation holds at any address: see cache.h */
    MODE_CPL0 = BIT(15),
    MODE_SMAP = BIT(16), /* with CPL 0: CR4.SMAP is set */
    MODE_TSC = BIT(17),  /* RDTSC may execute, and the guest's TSC runs as fast as the host's */
    MODE_STEP = BIT(9),  /* one instruction, then back to the run loop */
};

/* The indirect-branch target caches are one for each of these; see ibtc.c. */
enum mode_class { CLASS_KERNEL, CLASS_KERNEL_AC, CLASS_USER, CLASS_OTHER };

u32 mode_of(const struct vcpu *v);

/* CR4 and XCR0 let AVX-512 execute (SDM 2A 2.8). */
static inline bool avx512_enabled(const struct vcpu *v)
{
    const u64 needed = XSTATE_SSE | XSTATE_AVX | XSTATE_AVX512;
    return (v->cr4 & CR4_OSXSAVE) && (v->xcr0 & needed) == needed;
}

/* Linear address of rip. */
static inline gva code_address(const struct vcpu *v, u64 rip)
{
    return in_64bit(v) ? rip : (u32)(rip + v->seg[SEG_CS].base);
}

static inline enum tlb_context mode_context(u32 mode)
{
    return (enum tlb_context)((mode & MODE_CONTEXT) >> MODE_CONTEXT_SHIFT);
}

static inline unsigned mode_bits(u32 mode)
{
    return 16u << (mode & MODE_BITS);
}

/* Step mode never enters a cache of branch targets. */
static inline enum mode_class mode_class(u32 mode)
{
    if ((mode & MODE_BITS) != MODE_64)
        return CLASS_OTHER;
    return (enum mode_class)mode_context(mode); /* with alignment checks: CLASS_OTHER */
}

#endif
