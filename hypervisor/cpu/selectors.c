/* selectors.c - instructions on selectors: LAR, LSL, VERR, VERW, ARPL; LLDT, LTR, SLDT, STR (SDM 2A, 2B;
 * 3A 5.10) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/cpu/handlers.h"
#include "hypervisor/cpu/segments.h"

static void require_protected(struct vcpu *v)
{
    if (!in_protected(v))
        raise_exception(v, EXC_UD);
}

static void set_zf(struct vcpu *v, bool zf)
{
    const u32 bit = FLAG_ZF << 8; /* cc holds AH of LAHF in 15:8 */
    v->cc = zf ? v->cc | bit : v->cc & ~bit;
}

/* ---- questions about a selector: the answer is ZF, never a fault ---- */

/* A descriptor that code at CPL with the selector's RPL may know about; conforming code is open to all. */
static bool selector_visible(struct vcpu *v, u16 selector, struct descriptor *d)
{
    if (selector_is_null(selector) || !descriptor_read(v, selector, d))
        return false;
    u16 attributes = d->segment.attributes;
    return seg_is_conforming(attributes) || max(selector & 3u, (unsigned)v->cpl) <= seg_dpl(attributes);
}

/* Masks of the system descriptor types that LAR and LSL accept: SDM 2A, tables of LAR and LSL. */
struct type_masks {
    u16 legacy, long_mode;
};
static const struct type_masks lar_types = {
    .legacy = BIT(DESC_TSS16) | BIT(DESC_LDT) | BIT(DESC_TSS16_BUSY) | BIT(DESC_CALL_GATE16) |
              BIT(DESC_TASK_GATE) | BIT(DESC_TSS) | BIT(DESC_TSS_BUSY) | BIT(DESC_CALL_GATE),
    .long_mode = BIT(DESC_LDT) | BIT(DESC_TSS) | BIT(DESC_TSS_BUSY) | BIT(DESC_CALL_GATE),
};
static const struct type_masks lsl_types = {
    .legacy = BIT(DESC_TSS16) | BIT(DESC_LDT) | BIT(DESC_TSS16_BUSY) | BIT(DESC_TSS) | BIT(DESC_TSS_BUSY),
    .long_mode = BIT(DESC_LDT) | BIT(DESC_TSS) | BIT(DESC_TSS_BUSY),
};

/* Of the instruction's selector operand; sets ZF. */
static bool query_selector(struct vcpu *v, const struct insn *in, const struct type_masks *types,
                           struct descriptor *d)
{
    require_protected(v);
    bool good = selector_visible(v, (u16)operand_read_rm(v, in, 2), d);
    if (good && !(d->segment.attributes & SEG_S))
        good = (in_long_mode(v) ? types->long_mode : types->legacy) >> system_type(d->segment.attributes) & 1;
    set_zf(v, good);
    return good;
}

void insn_lar(struct vcpu *v, const struct insn *in)
{
    struct descriptor d;
    if (query_selector(v, in, &lar_types, &d))
        reg_write(v, in, in->reg, in->opsize, d.raw >> 32 & (in->opsize == 2 ? 0xff00 : 0xf0ff00));
}

void insn_lsl(struct vcpu *v, const struct insn *in)
{
    struct descriptor d;
    if (query_selector(v, in, &lsl_types, &d))
        reg_write(v, in, in->reg, in->opsize, d.segment.limit);
}

static void verify(struct vcpu *v, const struct insn *in, bool write)
{
    struct descriptor d;
    require_protected(v);
    bool good = selector_visible(v, (u16)operand_read_rm(v, in, 2), &d);
    if (good)
        good = write ? seg_is_writable_data(d.segment.attributes) : seg_is_readable(d.segment.attributes);
    set_zf(v, good);
}

void insn_verr(struct vcpu *v, const struct insn *in)
{
    verify(v, in, false);
}

void insn_verw(struct vcpu *v, const struct insn *in)
{
    verify(v, in, true);
}

void insn_arpl(struct vcpu *v, const struct insn *in)
{
    require_protected(v);
    u16 selector = (u16)operand_read_rm(v, in, 2);
    u16 rpl = v->gpr[in->reg] & 3;
    bool lower = (selector & 3) < rpl;
    if (lower)
        operand_write_rm(v, in, 2, (selector & ~3u) | rpl);
    set_zf(v, lower);
}

/* ---- LDTR and TR ---- */

/* The descriptor that LLDT or LTR is about to load, whose type must be one of types (a mask). In IA-32e mode
 * it has 16 bytes, the base has 64 bits and the upper type field is 0 (SDM 3A figures 3-8 to 7-4). */
static void read_system(struct vcpu *v, u16 selector, unsigned types, struct descriptor *d)
{
    u32 code = selector_error(selector);
    if ((selector & 4) || !descriptor_read(v, selector, d))
        raise_exception_code(v, EXC_GP, code);
    u64 upper = 0;
    if (in_long_mode(v) && !descriptor_read_upper(v, d, &upper))
        raise_exception_code(v, EXC_GP, code);
    if (!(types >> system_type(d->segment.attributes) & 1) || (upper >> 32 & 0x1f00))
        raise_exception_code(v, EXC_GP, code);
    if (!(d->segment.attributes & SEG_P))
        raise_exception_code(v, EXC_NP, code);
    d->segment.base |= upper << 32;
    if (in_long_mode(v) && !is_canonical(d->segment.base))
        raise_exception_code(v, EXC_GP, code);
}

static u16 read_selector_operand(struct vcpu *v, const struct insn *in)
{
    require_protected(v);
    if (v->cpl != 0)
        raise_exception_code(v, EXC_GP, 0);
    return (u16)operand_read_rm(v, in, 2);
}

void insn_lldt(struct vcpu *v, const struct insn *in)
{
    u16 selector = read_selector_operand(v, in);
    struct descriptor d = {.segment = segment_null(selector)};
    if (!selector_is_null(selector))
        read_system(v, selector, BIT(DESC_LDT), &d);
    vcpu_set_segment(v, SEG_LDTR, d.segment);
}

void insn_ltr(struct vcpu *v, const struct insn *in)
{
    struct descriptor d;
    u16 selector = read_selector_operand(v, in);
    if (selector_is_null(selector))
        raise_exception_code(v, EXC_GP, 0);
    read_system(v, selector, in_long_mode(v) ? BIT(DESC_TSS) : BIT(DESC_TSS) | BIT(DESC_TSS16), &d);
    descriptor_set_type_bit(v, &d, SEG_TSS_BUSY);
    vcpu_set_segment(v, SEG_TR, d.segment);
}

static void store_selector(struct vcpu *v, const struct insn *in, enum seg s)
{
    require_protected(v);
    if ((v->cr4 & CR4_UMIP) && v->cpl != 0)
        raise_exception_code(v, EXC_GP, 0);
    operand_write_rm(v, in, in->rm_is_mem ? 2 : in->opsize, v->seg[s].selector);
}

void insn_sldt(struct vcpu *v, const struct insn *in)
{
    store_selector(v, in, SEG_LDTR);
}

void insn_str(struct vcpu *v, const struct insn *in)
{
    store_selector(v, in, SEG_TR);
}
