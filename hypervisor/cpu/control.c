/* control.c - control registers, XCR0 and debug registers (SDM 3A 2.5, 2.6, 3B 17.2) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/cpu/control.h"
#include "hypervisor/cpu/handlers.h"
#include "hypervisor/cpu/segments.h"
#include "hypervisor/cpu/xsave.h"
#include "hypervisor/irq/irq.h"

#define CR0_DEFINED \
    (CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | CR0_PG)
#define CR3_NOFLUSH BIT(63)

_Noreturn static void raise_gp(struct vcpu *v)
{
    raise_exception_code(v, EXC_GP, 0);
}

void require_cpl0(struct vcpu *v)
{
    if (v->cpl != 0)
        raise_gp(v);
}

static bool is_pae_paging(u64 cr0, u64 cr4, u64 efer)
{
    return (cr0 & CR0_PG) && (cr4 & CR4_PAE) && !(efer & EFER_LMA);
}

/* SDM 3A 4.4.1: the PDPTEs are registers, loaded when PAE paging comes into use or its controls change. */
static void load_pdptes_if(struct vcpu *v, bool needed, u64 cr3)
{
    if (needed && !paging_load_pdptes(v, cr3))
        raise_gp(v);
}

/* SDM 3A 9.8.5: what activating IA-32e mode demands of the rest of the state. */
static bool may_activate_long_mode(const struct vcpu *v)
{
    u16 tr = v->seg[SEG_TR].attributes & SEG_TYPE;
    return (v->cr4 & CR4_PAE) && !(v->seg[SEG_CS].attributes & SEG_L) && tr != DESC_TSS16 &&
           tr != DESC_TSS16_BUSY;
}

static void cr0_write(struct vcpu *v, u64 value)
{
    if (value >> 32)
        raise_gp(v);
    value = (value & CR0_DEFINED) | CR0_ET;
    if (((value & CR0_PG) && !(value & CR0_PE)) || ((value & CR0_NW) && !(value & CR0_CD)))
        raise_gp(v);
    u64 changed = value ^ v->cr0, efer = v->efer;
    if ((changed & CR0_PG) && (value & CR0_PG) && (efer & EFER_LME)) {
        if (!may_activate_long_mode(v))
            raise_gp(v);
        efer |= EFER_LMA;
    } else if (changed & v->cr0 & CR0_PG) {
        if (in_64bit(v) || (v->cr4 & CR4_PCIDE))
            raise_gp(v);
        efer &= ~(u64)EFER_LMA;
    }
    load_pdptes_if(v, is_pae_paging(value, v->cr4, efer) && (changed & (CR0_PG | CR0_CD | CR0_NW)), v->cr3);
    v->cr0 = value;
    v->efer = efer;
    if (changed & (CR0_PG | CR0_WP | CR0_PE))
        tlb_flush_all(v);
}

/* With CR4.PCIDE, bit 63 allows to keep the translations of the new PCID. */
static void cr3_write(struct vcpu *v, u64 value)
{
    u64 from = v->cr3;
    bool has_pcids = v->cr4 & CR4_PCIDE, keeps = has_pcids && (value & CR3_NOFLUSH);
    if (has_pcids)
        value &= ~CR3_NOFLUSH;
    if (in_long_mode(v) && (value & v->maxphyaddr_mask))
        raise_gp(v);
    load_pdptes_if(v, is_pae_paging(v->cr0, v->cr4, v->efer), value);
    v->cr3 = value;
    if (has_pcids)
        tlb_switch(v, from, keeps);
    else
        tlb_flush_nonglobal(v);
}

static bool cr4_is_valid(const struct vcpu *v, u64 value)
{
    if (value & v->cr4_reserved)
        return false;
    if (in_long_mode(v) && !(value & CR4_PAE))
        return false;
    bool enables_pcid = (value & CR4_PCIDE) && !(v->cr4 & CR4_PCIDE);
    return !enables_pcid || (in_long_mode(v) && !(v->cr3 & 0xfff));
}

static void cr4_write(struct vcpu *v, u64 value)
{
    if (!cr4_is_valid(v, value))
        raise_gp(v);
    u64 changed = value ^ v->cr4;
    load_pdptes_if(
        v, is_pae_paging(v->cr0, value, v->efer) && (changed & (CR4_PAE | CR4_PGE | CR4_PSE | CR4_SMEP)),
        v->cr3);
    v->cr4 = value;
    if (changed & (CR4_PSE | CR4_PAE | CR4_PGE | CR4_PCIDE | CR4_SMEP | CR4_SMAP))
        tlb_flush_all(v);
}

/* The combinations that a processor can be in: 2.5, 4.1.2, 9.8.5, 4.10.1. */
static bool controls_are_valid(const struct vcpu *v, u64 cr0, u64 cr3, u64 cr4, bool long_mode)
{
    if (cr0 >> 32 || ((cr0 & CR0_PG) && !(cr0 & CR0_PE)) || ((cr0 & CR0_NW) && !(cr0 & CR0_CD)))
        return false;
    if ((cr4 & v->cr4_reserved) || (!long_mode && (cr4 & CR4_PCIDE)))
        return false;
    return !long_mode || ((cr4 & CR4_PAE) && !(cr3 & v->maxphyaddr_mask));
}

bool controls_restore(struct vcpu *v, u64 cr0, u64 cr3, u64 cr4, u64 efer)
{
    enum { MSR_EFER = (int)0xc0000080 };
    bool long_mode = (efer & EFER_LME) && (cr0 & CR0_PG);
    v->cr0 &= ~(u64)CR0_PG;
    v->efer &= ~(u64)EFER_LMA;
    if (!msr_write(v, (u32)MSR_EFER, efer & ~(u64)EFER_LMA, false) ||
        !controls_are_valid(v, cr0, cr3, cr4, long_mode))
        return false;
    if ((cr0 & CR0_PG) && (cr4 & CR4_PAE) && !long_mode && !paging_load_pdptes(v, cr3))
        return false;
    v->cr0 = (cr0 & CR0_DEFINED) | CR0_ET;
    v->cr3 = cr3;
    v->cr4 = cr4;
    v->efer |= long_mode ? EFER_LMA : 0;
    tlb_flush_all(v);
    return true;
}

/* Without a local APIC in the library, user space has the TPR and hears of it when the task priority falls.
 */
static void cr8_write(struct vcpu *v, u64 value)
{
    if (value >> 4)
        raise_gp(v);
    if (v->lapic) {
        lapic_set_tpr(v, value);
        return;
    }
    bool falls = value < v->run->cr8;
    v->run->cr8 = value;
    if (falls) {
        instruction_retire(v);
        vcpu_exit(v, KVM_EXIT_SET_TPR);
    }
}

static u64 cr8_read(struct vcpu *v)
{
    return v->lapic ? lapic_get_tpr(v) : v->run->cr8;
}

void cr_write(struct vcpu *v, unsigned n, u64 value)
{
    switch (n) {
    case 0: cr0_write(v, value); break;
    case 2: v->cr2 = value; break;
    case 3: cr3_write(v, value); break;
    case 4: cr4_write(v, value); break;
    case 8: cr8_write(v, value); break;
    default: raise_exception(v, EXC_UD);
    }
}

static bool cr_exists(const struct vcpu *v, unsigned n)
{
    return n == 0 || n == 2 || n == 3 || n == 4 || (n == 8 && in_64bit(v));
}

/* MOV to and from control and debug registers ignores the operand-size prefix. */
static unsigned register_size(const struct vcpu *v)
{
    return in_64bit(v) ? 8 : 4;
}

void insn_mov_to_cr(struct vcpu *v, const struct insn *in)
{
    if (!cr_exists(v, in->reg))
        raise_exception(v, EXC_UD);
    require_cpl0(v);
    cr_write(v, in->reg, reg_read(v, in, in->rm, register_size(v)));
}

void insn_mov_from_cr(struct vcpu *v, const struct insn *in)
{
    if (!cr_exists(v, in->reg))
        raise_exception(v, EXC_UD);
    require_cpl0(v);
    const u64 value[] = {[0] = v->cr0, [2] = v->cr2, [3] = v->cr3, [4] = v->cr4, [8] = 0};
    reg_write(v, in, in->rm, register_size(v), in->reg == 8 ? cr8_read(v) : value[in->reg]);
}

void insn_clts(struct vcpu *v, const struct insn *in)
{
    (void)in;
    require_cpl0(v);
    v->cr0 &= ~(u64)CR0_TS;
}

/* LMSW may set PE, and never clears it. */
void insn_lmsw(struct vcpu *v, const struct insn *in)
{
    require_cpl0(v);
    u64 msw = operand_read_rm(v, in, 2) & (CR0_PE | CR0_MP | CR0_EM | CR0_TS);
    cr_write(v, 0, (v->cr0 & ~(u64)(CR0_MP | CR0_EM | CR0_TS)) | msw);
}

void insn_smsw(struct vcpu *v, const struct insn *in)
{
    require_no_umip(v);
    operand_write_rm(v, in, in->rm_is_mem ? 2 : in->opsize, v->cr0);
}

void require_no_umip(struct vcpu *v)
{
    if ((v->cr4 & CR4_UMIP) && v->cpl != 0)
        raise_gp(v);
}

/* AVX needs SSE, AVX-512 all of its parts and AVX, and x87 cannot be turned off. */
bool xcr0_is_valid(const struct vcpu *v, u64 value)
{
    if (!(value & XSTATE_X87) || (value & ~(v->xcr0_supported | XSTATE_X87)))
        return false;
    if ((value & XSTATE_AVX) && !(value & XSTATE_SSE))
        return false;
    u64 avx512 = value & XSTATE_AVX512;
    return !avx512 || (avx512 == XSTATE_AVX512 && (value & XSTATE_AVX));
}

static void require_osxsave(struct vcpu *v)
{
    if (!(v->cr4 & CR4_OSXSAVE))
        raise_exception(v, EXC_UD);
}

/* XGETBV with ecx 1: the components of XCR0 that are not in their initial state. */
static u64 xinuse(void)
{
    u32 lo, hi;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(1));
    return (u64)hi << 32 | lo;
}

void insn_xgetbv(struct vcpu *v, const struct insn *in)
{
    (void)in;
    require_osxsave(v);
    u32 index = (u32)v->gpr[GPR_RCX];
    if (index > 1 || (index == 1 && !(v->xsave_features & XSAVE_FEATURE_XGETBV1)))
        raise_gp(v);
    u64 value = index == 0 ? v->xcr0 : v->xcr0 & xinuse();
    v->gpr[GPR_RAX] = (u32)value;
    v->gpr[GPR_RDX] = value >> 32;
}

void insn_xsetbv(struct vcpu *v, const struct insn *in)
{
    (void)in;
    require_osxsave(v);
    require_cpl0(v);
    u64 value = v->gpr[GPR_RDX] << 32 | (u32)v->gpr[GPR_RAX];
    if ((u32)v->gpr[GPR_RCX] != 0 || !xcr0_is_valid(v, value))
        raise_gp(v);
    v->xcr0 = value;
}

/* Debug registers. DR4 and DR5 are DR6 and DR7 unless CR4.DE makes them undefined. */
static unsigned debug_register(struct vcpu *v, const struct insn *in)
{
    unsigned n = in->reg;
    if (n > 7)
        raise_exception(v, EXC_UD);
    require_cpl0(v);
    if ((n == 4 || n == 5) && (v->cr4 & CR4_DE))
        raise_exception(v, EXC_UD);
    if (debug_dr7(v) & DR7_GD)
        raise_debug(v, DR6_BD);
    return n == 4 || n == 5 ? n + 2 : n;
}

void insn_mov_from_dr(struct vcpu *v, const struct insn *in)
{
    unsigned n = debug_register(v, in);
    reg_write(v, in, in->rm, register_size(v), v->dr[n]);
}

void insn_mov_to_dr(struct vcpu *v, const struct insn *in)
{
    unsigned n = debug_register(v, in);
    u64 value = reg_read(v, in, in->rm, register_size(v));
    if (n >= 6 && value >> 32)
        raise_gp(v);
    if (n == 6)
        value = (value & DR6_WRITABLE) | DR6_FIXED;
    else if (n == 7)
        value = (value & DR7_WRITABLE) | DR7_FIXED;
    v->dr[n] = value;
    debug_update(v);
}
