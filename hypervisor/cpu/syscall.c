/* syscall.c - SYSCALL, SYSRET, SYSENTER, SYSEXIT, SWAPGS, FSGSBASE (SDM 2B; 3A 5.8.7, 5.8.8; APM vol. 3) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/cpu/debug.h"
#include "hypervisor/cpu/handlers.h"
#include "hypervisor/cpu/vcpu.h"

/* The flat segments that these instructions load without looking at a descriptor. */
enum {
    CODE64 = SEG_P | SEG_S | 11 | SEG_L | SEG_G,
    CODE32 = SEG_P | SEG_S | 11 | SEG_DB | SEG_G,
    STACK = SEG_P | SEG_S | 3 | SEG_DB | SEG_G
};

static void load_flat(struct vcpu *v, enum seg s, u64 selector, unsigned cpl, u16 attributes)
{
    struct segment d = {
        .selector = (u16)((selector & 0xfffc) | cpl),
        .attributes = (u16)(attributes | cpl << SEG_DPL_SHIFT),
        .limit = 0xffffffff,
    };
    vcpu_set_segment(v, s, d);
}

static void load_flat_pair(struct vcpu *v, u64 cs, u64 ss, unsigned cpl, bool wide)
{
    load_flat(v, SEG_CS, cs, cpl, wide ? CODE64 : CODE32);
    load_flat(v, SEG_SS, ss, cpl, STACK);
}

/* Intel has SYSCALL and SYSRET in 64-bit mode only, AMD in all of protected mode. */
static void require_syscall(struct vcpu *v)
{
    bool good = v->efer & EFER_SCE;
    if (good && !in_64bit(v))
        good = in_protected(v) && cpuid_is_amd(v);
    if (!good)
        raise_exception(v, EXC_UD);
}

static void syscall_legacy(struct vcpu *v)
{
    v->gpr[GPR_RCX] = (u32)v->next_rip;
    v->rflags &= ~(u64)(FLAG_VM | FLAG_IF | FLAG_RF);
    load_flat_pair(v, v->star >> 32, (v->star >> 32) + 8, 0, false);
    v->next_rip = (u32)v->star;
}

void insn_syscall(struct vcpu *v, const struct insn *in)
{
    (void)in;
    require_syscall(v);
    if (!in_long_mode(v)) {
        syscall_legacy(v);
        return;
    }
    u64 entry = in_64bit(v) ? v->lstar : v->cstar;
    u64 flags = rflags_get(v) & ~(u64)FLAG_RF;
    v->gpr[GPR_RCX] = v->next_rip;
    v->gpr[GPR_R11] = flags;
    rflags_set(v, flags & ~v->sfmask);
    load_flat_pair(v, v->star >> 32, (v->star >> 32) + 8, 0, true);
    v->next_rip = entry;
    debug_step_by_new_flags(v);
}

static void require_cpl0(struct vcpu *v)
{
    if (v->cpl != 0)
        raise_exception_code(v, EXC_GP, 0);
}

static const u64 sysret_flags = 0x3c7fd7; /* SDM 2B "SYSRET": neither RF nor VM */

void insn_sysret(struct vcpu *v, const struct insn *in)
{
    if ((v->efer & EFER_SCE) && !in_protected(v) && cpuid_is_amd(v)) /* APM vol. 3; Intel: #UD */
        raise_exception_code(v, EXC_GP, 0);
    require_syscall(v);
    require_cpl0(v);
    bool wide = in_64bit(v) && in->opsize == 8;
    u64 rip = v->gpr[GPR_RCX];
    if (!wide)
        rip = (u32)rip;
    else if (!is_canonical(rip) && !cpuid_is_amd(v)) /* AMD faults at the target, in CPL 3 */
        raise_exception_code(v, EXC_GP, 0);
    if (in_long_mode(v))
        rflags_set(v, v->gpr[GPR_R11] & sysret_flags);
    else
        v->rflags |= FLAG_IF;
    u64 base = v->star >> 48;
    load_flat_pair(v, wide ? base + 16 : base, base + 8, 3, wide);
    v->next_rip = rip;
    if (in_long_mode(v))
        debug_step_by_new_flags(v);
}

static void require_sysenter(struct vcpu *v)
{
    if (in_long_mode(v) && cpuid_is_amd(v))
        raise_exception(v, EXC_UD);
    if (!(v->cr0 & CR0_PE) || !(v->sysenter_cs & 0xfffc))
        raise_exception_code(v, EXC_GP, 0);
}

void insn_sysenter(struct vcpu *v, const struct insn *in)
{
    (void)in;
    require_sysenter(v);
    bool wide = in_long_mode(v);
    u64 cs = v->sysenter_cs & 0xfffc;
    v->rflags &= ~(u64)(FLAG_VM | FLAG_IF | FLAG_RF);
    load_flat_pair(v, cs, cs + 8, 0, wide);
    v->gpr[GPR_RSP] = wide ? v->sysenter_esp : (u32)v->sysenter_esp;
    v->next_rip = wide ? v->sysenter_eip : (u32)v->sysenter_eip;
}

void insn_sysexit(struct vcpu *v, const struct insn *in)
{
    require_cpl0(v); /* before AMD's #UD in long mode, as its processors do */
    require_sysenter(v);
    bool wide = in_64bit(v) && in->opsize == 8;
    u64 rip = v->gpr[GPR_RDX], rsp = v->gpr[GPR_RCX];
    if (wide && (!is_canonical(rip) || !is_canonical(rsp)))
        raise_exception_code(v, EXC_GP, 0);
    u64 cs = (v->sysenter_cs & 0xfffc) + (wide ? 32 : 16);
    load_flat_pair(v, cs, cs + 8, 3, wide);
    v->gpr[GPR_RSP] = wide ? rsp : (u32)rsp;
    v->next_rip = wide ? rip : (u32)rip;
}

/* ---- the bases of FS and GS ---- */

static void require_64bit(struct vcpu *v, bool also)
{
    if (!in_64bit(v) || !also)
        raise_exception(v, EXC_UD);
}

static void set_base(struct vcpu *v, enum seg s, u64 base)
{
    v->seg[s].base = base;
    v->seg_base[s] = base;
}

void insn_swapgs(struct vcpu *v, const struct insn *in)
{
    (void)in;
    require_64bit(v, true);
    require_cpl0(v);
    u64 base = v->seg[SEG_GS].base;
    set_base(v, SEG_GS, v->kernel_gs_base);
    v->kernel_gs_base = base;
}

/* An operand-size prefix does not count. */
static unsigned base_size(const struct insn *in)
{
    return in->opsize == 8 ? 8 : 4;
}

static void read_base(struct vcpu *v, const struct insn *in, enum seg s)
{
    require_64bit(v, v->cr4 & CR4_FSGSBASE);
    reg_write(v, in, in->rm, base_size(in), v->seg[s].base);
}

static void write_base(struct vcpu *v, const struct insn *in, enum seg s)
{
    require_64bit(v, v->cr4 & CR4_FSGSBASE);
    u64 base = reg_read(v, in, in->rm, base_size(in));
    if (!is_canonical(base))
        raise_exception_code(v, EXC_GP, 0);
    set_base(v, s, base);
}

void insn_rdfsbase(struct vcpu *v, const struct insn *in)
{
    read_base(v, in, SEG_FS);
}

void insn_rdgsbase(struct vcpu *v, const struct insn *in)
{
    read_base(v, in, SEG_GS);
}

void insn_wrfsbase(struct vcpu *v, const struct insn *in)
{
    write_base(v, in, SEG_FS);
}

void insn_wrgsbase(struct vcpu *v, const struct insn *in)
{
    write_base(v, in, SEG_GS);
}
