/* stack.c - pushes and pops of several items, and stacks out of the TSS (SDM 3A 5.8.5, 7.7) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/cpu/stack.h"
#include "hypervisor/cpu/segments.h"

void stack_set(struct stack *s, const struct segment *ss, u64 sp, bool flat)
{
    s->ss = *ss;
    s->flat = flat;
    s->mask = flat ? ~0ull : ss->attributes & SEG_DB ? 0xffffffff : 0xffff;
    s->sp = sp;
    s->as = AS_CPL;
    s->fault_code = 0;
}

void stack_current(struct vcpu *v, struct stack *s)
{
    stack_set(s, &v->seg[SEG_SS], v->gpr[GPR_RSP], in_64bit(v));
}

static gva stack_linear(const struct stack *s, u64 offset)
{
    return s->flat ? offset : (u32)(s->ss.base + offset);
}

static void stack_check(struct vcpu *v, const struct stack *s, u64 offset, u64 size)
{
    bool good = s->flat ? is_canonical(offset) && is_canonical(offset + size - 1)
                        : segment_in_limit(&s->ss, offset, size);
    if (unlikely(!good))
        raise_exception_code(v, EXC_SS, s->fault_code);
}

static void probe_item(struct vcpu *v, const struct stack *s, u64 offset, u64 size)
{
    stack_check(v, s, offset, size);
    if (s->as == AS_CPL)
        require_alignment(v, stack_linear(s, offset), (unsigned)size);
    guest_probe_write(v, stack_linear(s, offset), size, s->as);
}

void stack_probe(struct vcpu *v, const struct stack *s, unsigned count, unsigned size)
{
    for (unsigned i = 1; i <= count; i++) /* in their order, as the address of a fault shows it */
        probe_item(v, s, (s->sp - (u64)i * size) & s->mask, size);
}

void stack_push(struct vcpu *v, struct stack *s, unsigned size, u64 value)
{
    s->sp = (s->sp & ~s->mask) | ((s->sp - size) & s->mask);
    guest_store(v, stack_linear(s, s->sp & s->mask), size, value, s->as);
}

static u64 load_item(struct vcpu *v, const struct stack *s, u64 offset, unsigned size)
{
    stack_check(v, s, offset, size);
    return guest_load(v, stack_linear(s, offset), size, s->as);
}

void stack_touch(struct vcpu *v, const struct stack *s, unsigned count, unsigned size)
{
    load_item(v, s, (s->sp + (u64)(count - 1) * size) & s->mask, size);
}

u64 stack_pop(struct vcpu *v, struct stack *s, unsigned size)
{
    u64 value = load_item(v, s, s->sp & s->mask, size);
    stack_skip(s, size);
    return value;
}

void stack_skip(struct stack *s, u64 bytes)
{
    s->sp = (s->sp & ~s->mask) | ((s->sp + bytes) & s->mask);
}

void stack_commit(struct vcpu *v, const struct stack *s)
{
    if (s->mask == 0xffff)
        v->gpr[GPR_RSP] = (v->gpr[GPR_RSP] & ~0xffffull) | (s->sp & 0xffff);
    else
        v->gpr[GPR_RSP] = s->sp & s->mask;
}

/* An item of the TSS, whose layouts are SDM 3A figures 7-2, 7-10 and 7-11. */
static u64 tss_load(struct vcpu *v, unsigned offset, unsigned size)
{
    gva a = v->seg[SEG_TR].base + offset;
    return guest_load(v, in_long_mode(v) ? a : (u32)a, size, AS_SYSTEM);
}

static void tss_check(struct vcpu *v, unsigned last, u32 ext)
{
    if (last > v->seg[SEG_TR].limit)
        raise_exception_code(v, EXC_TS, selector_error(v->seg[SEG_TR].selector) | ext);
}

static void stack_from_tss64(struct vcpu *v, unsigned dpl, unsigned ist, struct stack *s, u32 ext)
{
    unsigned offset = ist ? 28 + ist * 8 : 4 + dpl * 8;
    tss_check(v, offset + 7, ext);
    u64 rsp = tss_load(v, offset, 8);
    struct segment ss = v->seg[SEG_SS];
    if (dpl != v->cpl) /* 6.14.4: the null selector, whose DPL still is the CPL */
        ss = (struct segment){.selector = (u16)dpl, .attributes = (u16)(dpl << SEG_DPL_SHIFT)};
    stack_set(s, &ss, rsp, true);
    s->fault_code = ext;
}

static void stack_from_tss_legacy(struct vcpu *v, unsigned dpl, struct stack *s, u32 ext)
{
    bool tss32 = v->seg[SEG_TR].attributes & 8; /* of the type: 9 and 11, not 1 and 3 */
    unsigned width = tss32 ? 4 : 2;
    unsigned offset = width + dpl * width * 2;
    tss_check(v, offset + width + 1, ext);
    u64 sp = tss_load(v, offset, width);
    u16 selector = (u16)tss_load(v, offset + width, 2);
    if (selector_is_null(selector))
        raise_exception_code(v, EXC_TS, ext);
    struct segment ss = segment_check_stack(v, selector, dpl, true, ext);
    stack_set(s, &ss, sp, false);
    s->fault_code = selector_error(selector) | ext;
}

void stack_from_tss(struct vcpu *v, unsigned dpl, unsigned ist, u32 ext, struct stack *s)
{
    if (in_long_mode(v))
        stack_from_tss64(v, dpl, ist, s, ext);
    else
        stack_from_tss_legacy(v, dpl, s, ext);
    s->as = dpl == 3 ? AS_CPL : AS_SYSTEM;
}
