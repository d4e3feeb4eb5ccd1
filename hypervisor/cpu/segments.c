/* segments.c - segment registers: descriptors, loads and their checks, linear addresses (SDM 3A 3.4, ch. 5)
 */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <Zydis/Mnemonic.h>

#include "hypervisor/cpu/handlers.h"
#include "hypervisor/cpu/segments.h"
#include "hypervisor/cpu/stack.h"
#include "hypervisor/cpu/x87.h"

static void update_cpl(struct vcpu *v)
{
    if (!(v->cr0 & CR0_PE))
        v->cpl = 0;
    else if (v->rflags & FLAG_VM)
        v->cpl = 3;
    else
        v->cpl = (u8)seg_dpl(v->seg[SEG_SS].attributes);
}

void vcpu_set_segment(struct vcpu *v, enum seg s, struct segment d)
{
    x87_keep_selector(v, s);
    v->seg[s] = d;
    if (s < ARRAY_SIZE(v->seg_base))
        v->seg_base[s] = d.base;
    if (s == SEG_SS)
        update_cpl(v);
}

/* ---- descriptors ---- */

static gva table_linear(const struct vcpu *v, u64 base, u64 offset)
{
    return in_long_mode(v) ? base + offset : (u32)(base + offset);
}

/* false: bytes first..last of the selector's table are not there. */
static bool table_address(const struct vcpu *v, u16 selector, unsigned last, gva *a)
{
    u64 base = v->gdtr.base;
    u32 limit = v->gdtr.limit;
    if (selector & 4) {
        const struct segment *ldt = &v->seg[SEG_LDTR];
        if (!(ldt->attributes & SEG_P))
            return false;
        base = ldt->base;
        limit = ldt->limit;
    }
    u32 offset = selector & ~7u;
    if (offset + last > limit)
        return false;
    *a = table_linear(v, base, offset);
    return true;
}

static void decode_segment(struct descriptor *d, u16 selector)
{
    u32 limit = (u32)(d->raw & 0xffff) | (u32)(d->raw >> 32 & 0xf0000);
    struct segment *s = &d->segment;
    s->selector = selector;
    s->attributes = (u16)(d->raw >> 40 & 0xf0ff);
    s->limit = s->attributes & SEG_G ? limit << 12 | 0xfff : limit;
    s->base = (d->raw >> 16 & 0xffffff) | (d->raw >> 32 & 0xff000000);
}

bool descriptor_read(struct vcpu *v, u16 selector, struct descriptor *d)
{
    if (!table_address(v, selector, 7, &d->address))
        return false;
    d->raw = guest_load(v, d->address, 8, AS_SYSTEM);
    decode_segment(d, selector);
    return true;
}

bool descriptor_read_upper(struct vcpu *v, const struct descriptor *d, u64 *upper)
{
    gva a;
    if (!table_address(v, d->segment.selector, 15, &a))
        return false;
    *upper = guest_load(v, a + 8, 8, AS_SYSTEM);
    return true;
}

/* The byte that holds the type, or NULL: not RAM. */
static u8 *type_byte(struct vcpu *v, const struct descriptor *d, gva *a)
{
    *a = table_linear(v, d->address, 5);
    return guest_rmw_address(v, *a, 1, AS_SYSTEM);
}

void descriptor_set_type_bit(struct vcpu *v, struct descriptor *d, u8 bit)
{
    gva a;
    if (d->segment.attributes & bit)
        return;
    u8 *host = type_byte(v, d, &a);
    d->segment.attributes |= bit;
    if (host) {
        __atomic_fetch_or(host, bit, __ATOMIC_SEQ_CST);
        guest_rmw_done(v);
    } else {
        guest_store(v, a, 1, (u8)d->segment.attributes, AS_SYSTEM);
    }
}

void descriptor_clear_type_bit(struct vcpu *v, struct descriptor *d, u8 bit)
{
    gva a;
    u8 *host = type_byte(v, d, &a);
    d->segment.attributes &= (u16)~bit;
    if (host) {
        __atomic_fetch_and(host, (u8)~bit, __ATOMIC_SEQ_CST);
        guest_rmw_done(v);
    } else {
        guest_store(v, a, 1, (u8)d->segment.attributes, AS_SYSTEM);
    }
}

/* ---- limits and linear addresses ---- */

bool segment_in_limit(const struct segment *d, u64 offset, u64 size)
{
    u64 last = offset + size - 1;
    bool expand_down = (d->attributes & 0x1c) == 0x14;
    if (expand_down)
        return offset > d->limit && last <= (d->attributes & SEG_DB ? 0xffffffff : 0xffff);
    return last <= d->limit || d->limit == 0xffffffff; /* a flat segment may wrap: 5.3 leaves it open */
}

u64 segment_check_rip(struct vcpu *v, const struct segment *cs, u64 rip, u32 ext)
{
    bool good;
    if (seg_is_64bit(v, cs)) {
        good = is_canonical(rip);
    } else {
        rip = (u32)rip;
        good = segment_in_limit(cs, rip, 1);
    }
    if (!good)
        raise_exception_code(v, EXC_GP, ext);
    return rip;
}

static bool segment_allows(const struct vcpu *v, const struct segment *d, bool write)
{
    if (!(v->cr0 & CR0_PE)) /* real mode writes to CS too */
        return true;
    if (!(d->attributes & SEG_P))
        return false;
    return write ? seg_is_writable_data(d->attributes) : seg_is_readable(d->attributes);
}

gva segment_linear(struct vcpu *v, enum seg s, u64 offset, unsigned size, bool write)
{
    unsigned span = size ? size : 1;
    const struct segment *d = &v->seg[s];
    gva a;
    bool good;
    if (in_64bit(v)) {
        a = offset + (s == SEG_FS || s == SEG_GS ? v->seg_base[s] : 0);
        good = is_canonical(a) && is_canonical(a + span - 1);
    } else {
        a = (u32)(d->base + offset);
        good = segment_allows(v, d, write) && segment_in_limit(d, offset, span);
    }
    if (unlikely(!good))
        raise_exception_code(v, s == SEG_SS ? EXC_SS : EXC_GP, 0);
    return a;
}

/* ---- loads ---- */

/* Real mode keeps the limit and attributes that the register has (SDM 3A 9.9.2 relies on it); virtual-8086
 * mode sets them (20.2.1; AMD APM vol. 2 table 4-6). */
struct segment segment_real(const struct vcpu *v, enum seg s, u16 selector)
{
    struct segment d = v->seg[s];
    d.selector = selector;
    d.base = (u64)selector << 4;
    if (v->rflags & FLAG_VM) {
        d.limit = 0xffff;
        d.attributes = SEG_P | SEG_DPL | SEG_S | 3;
    }
    return d;
}

/* The base is cleared, also on behalf of processors that keep it: no guest relies on a stale base. */
struct segment segment_null(u16 selector)
{
    return (struct segment){.selector = selector};
}

struct segment segment_check_stack(struct vcpu *v, u16 selector, unsigned cpl, bool tss, u32 ext)
{
    struct descriptor d;
    u8 vector = tss ? EXC_TS : EXC_GP;
    u32 code = selector_error(selector) | ext;
    if (!descriptor_read(v, selector, &d))
        raise_exception_code(v, vector, code);
    u16 attributes = d.segment.attributes;
    if ((selector & 3) != cpl || seg_dpl(attributes) != cpl || !seg_is_writable_data(attributes))
        raise_exception_code(v, vector, code);
    if (!(attributes & SEG_P))
        raise_exception_code(v, EXC_SS, code);
    descriptor_set_type_bit(v, &d, SEG_ACCESSED);
    return d.segment;
}

static struct segment load_stack(struct vcpu *v, u16 selector)
{
    if (!selector_is_null(selector))
        return segment_check_stack(v, selector, v->cpl, false, 0);
    if (!in_64bit(v) || v->cpl == 3 || selector != v->cpl)
        raise_exception_code(v, EXC_GP, 0);
    return (struct segment){.selector = selector, .attributes = (u16)(v->cpl << SEG_DPL_SHIFT)};
}

struct segment segment_check_data(struct vcpu *v, u16 selector, bool tss, u32 ext)
{
    if (selector_is_null(selector))
        return segment_null(selector);
    struct descriptor d;
    u8 vector = tss ? EXC_TS : EXC_GP;
    u32 code = selector_error(selector) | ext;
    if (!descriptor_read(v, selector, &d))
        raise_exception_code(v, vector, code);
    u16 attributes = d.segment.attributes;
    if (!seg_is_readable(attributes))
        raise_exception_code(v, vector, code);
    if (!seg_is_conforming(attributes) && max(selector & 3u, (unsigned)v->cpl) > seg_dpl(attributes))
        raise_exception_code(v, vector, code);
    if (!(attributes & SEG_P))
        raise_exception_code(v, EXC_NP, code);
    descriptor_set_type_bit(v, &d, SEG_ACCESSED);
    return d.segment;
}

void segment_load(struct vcpu *v, enum seg s, u16 selector)
{
    struct segment d;
    if (!in_protected(v))
        d = segment_real(v, s, selector);
    else
        d = s == SEG_SS ? load_stack(v, selector) : segment_check_data(v, selector, false, 0);
    vcpu_set_segment(v, s, d);
}

/* Loads from the program's own instructions; SS also holds off interrupts until after the next one (6.8.3).
 */
static void load_by_insn(struct vcpu *v, enum seg s, u16 selector)
{
    segment_load(v, s, selector);
    if (s == SEG_SS)
        v->interrupt_shadow = KVM_X86_SHADOW_INT_MOV_SS;
}

/* ---- instructions ---- */

void insn_mov_from_sreg(struct vcpu *v, const struct insn *in)
{
    if (in->reg > SEG_GS)
        raise_exception(v, EXC_UD);
    operand_write_rm(v, in, in->rm_is_mem ? 2 : in->opsize, v->seg[in->reg].selector);
}

void insn_mov_to_sreg(struct vcpu *v, const struct insn *in)
{
    if (in->reg > SEG_GS || in->reg == SEG_CS)
        raise_exception(v, EXC_UD);
    load_by_insn(v, (enum seg)in->reg, (u16)operand_read_rm(v, in, 2));
}

static unsigned stack_item_size(const struct insn *in)
{
    return in->bits == 64 && in->opsize != 2 ? 8 : in->opsize;
}

void insn_push_sreg(struct vcpu *v, const struct insn *in)
{
    struct stack s;
    unsigned size = stack_item_size(in);
    stack_current(v, &s);
    stack_probe(v, &s, 1, size);
    stack_push(v, &s, size, v->seg[in->reg].selector);
    stack_commit(v, &s);
}

void insn_pop_sreg(struct vcpu *v, const struct insn *in)
{
    struct stack s;
    stack_current(v, &s);
    u16 selector = (u16)stack_pop(v, &s, stack_item_size(in));
    load_by_insn(v, (enum seg)in->reg, selector);
    stack_commit(v, &s);
}

static const struct {
    u16 mnemonic;
    u8 seg;
} far_pointer_seg[] = {
    {ZYDIS_MNEMONIC_LDS, SEG_DS}, {ZYDIS_MNEMONIC_LES, SEG_ES}, {ZYDIS_MNEMONIC_LFS, SEG_FS},
    {ZYDIS_MNEMONIC_LGS, SEG_GS}, {ZYDIS_MNEMONIC_LSS, SEG_SS},
};

/* m16:64 is Intel's only; AMD reads m16:32 (APM vol. 3, "CALL (Far)", "LxS"). */
struct far_pointer far_pointer_load(struct vcpu *v, const struct insn *in)
{
    unsigned size = in->opsize == 8 && cpuid_is_amd(v) ? 4 : in->opsize;
    gva a = operand_linear(v, in, size + 2, false);
    u64 offset = guest_load(v, a, size, AS_CPL);
    return (struct far_pointer){(u16)guest_load(v, linear_add(v, a, size), 2, AS_CPL), offset};
}

/* LxS, unlike MOV and POP, leaves no interrupt shadow. */
void insn_load_far_pointer(struct vcpu *v, const struct insn *in)
{
    if (!in->rm_is_mem)
        raise_exception(v, EXC_UD);
    struct far_pointer p = far_pointer_load(v, in);
    for (unsigned i = 0; i < ARRAY_SIZE(far_pointer_seg); i++) {
        if (far_pointer_seg[i].mnemonic == in->mnemonic)
            segment_load(v, (enum seg)far_pointer_seg[i].seg, p.selector);
    }
    reg_write(v, in, in->reg, in->opsize, p.offset);
}
