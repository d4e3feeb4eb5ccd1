/* conditions.c - whether the host's CPU, in a process of the host, does what the guest's would */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/cpu/xsave.h"
#include "hypervisor/direct/conditions.h"

#define USER_END 0x7ffffffff000ull

bool conditions_host(void)
{
    return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("avx2");
}

static u16 host_cs(void)
{
    u16 s;
    __asm__("mov %%cs, %0" : "=r"(s));
    return s;
}

static u16 host_ss(void)
{
    u16 s;
    __asm__("mov %%ss, %0" : "=r"(s));
    return s;
}

static u64 host_xcr0(void)
{
    u32 lo, hi;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return (u64)hi << 32 | lo;
}

/* Null, or the flat data segment that SS has on Linux. */
static bool is_flat_data(const struct vcpu *v, enum seg s)
{
    u16 selector = v->seg[s].selector;
    return !selector || selector == host_ss();
}

static bool segments_agree(const struct vcpu *v)
{
    return v->seg[SEG_CS].selector == host_cs() && v->seg[SEG_SS].selector == host_ss() &&
           is_flat_data(v, SEG_DS) && is_flat_data(v, SEG_ES) && is_flat_data(v, SEG_FS) &&
           is_flat_data(v, SEG_GS) && !(v->seg[SEG_LDTR].selector & ~3) && v->seg[SEG_FS].base < USER_END &&
           v->seg[SEG_GS].base < USER_END;
}

/* Those that a process of the host has, and cannot have otherwise. */
static bool flags_agree(const struct vcpu *v)
{
    const u64 free = FLAGS_ARITH | FLAG_DF | FLAG_AC | FLAG_NT | FLAG_RF | FLAG_ID;
    if ((v->rflags & ~free) != (FLAG_IF | FLAG_FIXED))
        return false;
    return !(v->rflags & FLAG_AC) || (v->cr0 & CR0_AM);
}

static bool controls_agree(const struct vcpu *v)
{
    const u64 cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE | CR4_FSGSBASE;
    const u64 cr4_not = CR4_LA57 | CR4_PKE | CR4_PCE | CR4_PVI;
    return (v->cr0 & CR0_PG) && (v->cr0 & CR0_NE) && (v->efer & EFER_SCE) && !(v->cr0 & (CR0_TS | CR0_EM)) &&
           (v->cr4 & cr4) == cr4 && !(v->cr4 & cr4_not) && (host_xcr0() & XSTATE_OFFERED) == v->xcr0;
}

static bool nothing_waits(const struct vcpu *v)
{
    return !v->interrupt_shadow && !v->event.pending && !v->debug.control && !v->debug.trap &&
           !v->debug.code && !v->debug.read && !v->debug.write && !v->debug.io && !v->debug.step_once &&
           !v->mmio_reads && !v->exclusive && !v->alone;
}

bool conditions_hold(const struct vcpu *v)
{
    return v->cpl == 3 && in_64bit(v) && !v->smm.active && v->rip < USER_END && nothing_waits(v) &&
           flags_agree(v) && segments_agree(v) && controls_agree(v);
}

u64 conditions_more_xcr0(const struct vcpu *v)
{
    return host_xcr0() & ~v->xcr0;
}

u64 conditions_paging(const struct vcpu *v)
{
    return (v->efer & EFER_NXE) | (v->cr4 & (CR4_PSE | CR4_PGE));
}
