/* system.c - system instructions: tables, TLB, caches, time, MSRs, CPUID, HLT (SDM 3A 2.8; 2A, 2B) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <linux/kvm_para.h>

#include "hypervisor/cpu/control.h"
#include "hypervisor/cpu/handlers.h"
#include "hypervisor/cpu/msr.h"
#include "hypervisor/cpu/vcpu.h"
#include "hypervisor/vm.h"

_Noreturn static void raise_gp(struct vcpu *v)
{
    raise_exception_code(v, EXC_GP, 0);
}

void insn_ud(struct vcpu *v, const struct insn *in)
{
    (void)in;
    raise_exception(v, EXC_UD);
}

static void require_feature(struct vcpu *v, u32 leaf, u32 subleaf, unsigned reg, unsigned bit)
{
    if (!cpuid_has(v, leaf, subleaf, reg, bit))
        raise_exception(v, EXC_UD);
}

/* GDTR and IDTR in memory: the limit, then the base. */
struct pseudo_descriptor {
    u16 limit;
    u64 base;
} __attribute__((packed));

static unsigned pseudo_descriptor_size(const struct vcpu *v)
{
    return in_64bit(v) ? 10 : 6;
}

/* With a 16-bit operand size the base has 24 bits. */
static struct table_register load_table_register(struct vcpu *v, const struct insn *in)
{
    struct pseudo_descriptor d = {0};
    unsigned size = pseudo_descriptor_size(v);
    require_cpl0(v);
    guest_read(v, operand_linear(v, in, size, false), &d, size, AS_CPL);
    if (in_64bit(v) && !is_canonical(d.base))
        raise_gp(v);
    if (!in_64bit(v) && in->opsize == 2)
        d.base &= 0xffffff;
    return (struct table_register){.base = d.base, .limit = d.limit};
}

/* The full base is stored, whatever the operand size. */
static void store_table_register(struct vcpu *v, const struct insn *in, const struct table_register *t)
{
    struct pseudo_descriptor d = {.limit = t->limit, .base = t->base};
    unsigned size = pseudo_descriptor_size(v);
    require_no_umip(v);
    guest_write(v, operand_linear(v, in, size, true), &d, size, AS_CPL);
}

void insn_lgdt(struct vcpu *v, const struct insn *in)
{
    v->gdtr = load_table_register(v, in);
}

void insn_lidt(struct vcpu *v, const struct insn *in)
{
    v->idtr = load_table_register(v, in);
}

void insn_sgdt(struct vcpu *v, const struct insn *in)
{
    store_table_register(v, in, &v->gdtr);
}

void insn_sidt(struct vcpu *v, const struct insn *in)
{
    store_table_register(v, in, &v->idtr);
}

/* The operand of INVLPG is an address, which is not accessed and so not checked. */
void insn_invlpg(struct vcpu *v, const struct insn *in)
{
    require_cpl0(v);
    u64 offset = operand_offset(v, in);
    bool has_base = !in_64bit(v) || in->mem.seg == SEG_FS || in->mem.seg == SEG_GS;
    gva a = offset + (has_base ? v->seg[in->mem.seg].base : 0);
    tlb_flush_page(v, in_64bit(v) ? a : (u32)a);
}

enum { INVPCID_ADDRESS, INVPCID_CONTEXT, INVPCID_ALL_GLOBAL, INVPCID_ALL };
struct invpcid_descriptor {
    u64 pcid, address;
};

static bool invpcid_is_valid(const struct vcpu *v, u64 type, const struct invpcid_descriptor *d)
{
    if (type > INVPCID_ALL || d->pcid >> 12)
        return false;
    if (type <= INVPCID_CONTEXT && d->pcid && !(v->cr4 & CR4_PCIDE))
        return false;
    return type != INVPCID_ADDRESS || is_canonical(d->address);
}

/* Of one page of another PCID more is given up than asked for. */
void insn_invpcid(struct vcpu *v, const struct insn *in)
{
    struct invpcid_descriptor d;
    require_feature(v, 7, 0, 1, 10);
    require_cpl0(v);
    u64 type = reg_read(v, in, in->reg, in_64bit(v) ? 8 : 4);
    guest_read(v, operand_linear(v, in, sizeof(d), false), &d, sizeof(d), AS_CPL);
    if (!invpcid_is_valid(v, type, &d))
        raise_gp(v);
    if (type == INVPCID_ALL_GLOBAL || type == INVPCID_ALL)
        tlb_flush_all(v);
    else if (d.pcid != (v->cr4 & CR4_PCIDE ? v->cr3 & 0xfff : 0))
        tlb_forget_space(v, d.pcid);
    else if (type == INVPCID_CONTEXT)
        tlb_flush_nonglobal(v);
    else
        tlb_flush_page(v, d.address);
}

/* The host keeps caches coherent; only the privilege check of INVD and WBINVD is left. */
void insn_invd(struct vcpu *v, const struct insn *in)
{
    (void)in;
    require_cpl0(v);
}

/* CLFLUSH, CLFLUSHOPT and CLWB fault as a load of a byte does. */
void insn_clflush(struct vcpu *v, const struct insn *in)
{
    guest_probe_read(v, operand_linear(v, in, 1, false), 1, AS_CPL);
}

void insn_hlt(struct vcpu *v, const struct insn *in)
{
    (void)in;
    require_cpl0(v);
    instruction_retire(v);
    if (!v->lapic && !v->vm->no_hlt_exits)
        vcpu_exit(v, KVM_EXIT_HLT);
    v->mp_state = KVM_MP_STATE_HALTED;
    vcpu_unwind(v);
}

void insn_cpuid(struct vcpu *v, const struct insn *in)
{
    u32 out[4];
    (void)in;
    if ((v->misc_features & MISC_CPUID_FAULTS) && v->cpl == 3)
        raise_gp(v);
    cpuid_query(v, (u32)v->gpr[GPR_RAX], (u32)v->gpr[GPR_RCX], out);
    v->gpr[GPR_RAX] = out[0];
    v->gpr[GPR_RBX] = out[1];
    v->gpr[GPR_RCX] = out[2];
    v->gpr[GPR_RDX] = out[3];
}

static void write_edx_eax(struct vcpu *v, u64 value)
{
    v->gpr[GPR_RAX] = (u32)value;
    v->gpr[GPR_RDX] = value >> 32;
}

static void require_tsc(struct vcpu *v)
{
    if ((v->cr4 & CR4_TSD) && v->cpl != 0)
        raise_gp(v);
}

void insn_rdtsc(struct vcpu *v, const struct insn *in)
{
    (void)in;
    require_tsc(v);
    write_edx_eax(v, guest_tsc(v));
}

void insn_rdtscp(struct vcpu *v, const struct insn *in)
{
    (void)in;
    require_feature(v, 0x80000001, 0, 3, 27);
    require_tsc(v);
    write_edx_eax(v, guest_tsc(v));
    v->gpr[GPR_RCX] = (u32)v->tsc_aux;
}

void insn_rdpid(struct vcpu *v, const struct insn *in)
{
    require_feature(v, 7, 0, 2, 22);
    reg_write(v, in, in->rm, in_64bit(v) ? 8 : 4, (u32)v->tsc_aux);
}

/* What other processors have written of the code is seen from the next block on. */
void insn_serialize(struct vcpu *v, const struct insn *in)
{
    (void)in;
    require_feature(v, 7, 0, 3, 14);
}

/* CPUID offers no performance counter, so that every index is invalid. */
void insn_rdpmc(struct vcpu *v, const struct insn *in)
{
    (void)in;
    raise_gp(v);
}
