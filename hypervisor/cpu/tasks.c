/* tasks.c - hardware task switches (SDM 3A ch. 7) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The order is that of 7.3: checks of the TSS; all accesses that may fault, tried; then, in one go, the old
 * task's state to its TSS, busy bits, link and TR (the commit point), and the new task's registers. Its
 * segments are checked last, when its selectors stand in the segment registers but are not yet usable: a
 * fault is the new task's, at its first instruction.
 */
#include "hypervisor/cpu/tasks.h"
#include "hypervisor/cpu/debug.h"
#include "hypervisor/cpu/segments.h"

/* Items of a TSS in the order of figures 7-2 and 7-10, from EIP to the LDT's selector. The general registers
 * and segments stand in the order of enum gpr and enum seg; a 16-bit TSS has no FS and GS. */
enum { ITEM_EIP, ITEM_EFLAGS, ITEM_GPR, ITEM_SEG = ITEM_GPR + 8, ITEM_LDT = ITEM_SEG + 6, ITEMS };

struct tss_layout {
    u8 first; /* offset of EIP */
    u8 width; /* of an item */
    u8 segments;
    u8 limit; /* the least one */
};
static const struct tss_layout tss16 = {.first = 14, .width = 2, .segments = 4, .limit = 43};
static const struct tss_layout tss32 = {.first = 32, .width = 4, .segments = 6, .limit = 103};
enum { TSS_LINK = 0, TSS_CR3 = 28, TSS_TRAP = 100 }; /* CR3 and T: of a 32-bit one */

struct task_state {
    u32 item[ITEMS];
    u32 cr3;
    bool wide, trap;
};

static bool is_wide(const struct segment *tss)
{
    return tss->attributes & 8; /* of the type: 9 and 11, not 1 and 3 */
}

static const struct tss_layout *layout_of(const struct segment *tss)
{
    return is_wide(tss) ? &tss32 : &tss16;
}

static gva item_address(const struct segment *tss, unsigned item)
{
    const struct tss_layout *l = layout_of(tss);
    return (u32)(tss->base + l->first + item * l->width);
}

static unsigned item_size(const struct segment *tss, unsigned item)
{
    return item < ITEM_SEG ? layout_of(tss)->width : 2;
}

/* ---- before the commit point ---- */

/* Table 7-1, down to the limit. */
static void find_tss(struct vcpu *v, const struct task_switch *s, struct descriptor *tss)
{
    bool back = s->source == TASK_IRET;
    u8 vector = back ? EXC_TS : EXC_GP;
    unsigned types = back ? BIT(DESC_TSS_BUSY) | BIT(DESC_TSS16_BUSY) : BIT(DESC_TSS) | BIT(DESC_TSS16);
    u32 code = selector_error(s->selector) | s->ext;
    bool good = !(s->selector & 4) && !selector_is_null(s->selector) && descriptor_read(v, s->selector, tss);
    if (!good || !(types >> system_type(tss->segment.attributes) & 1))
        raise_exception_code(v, vector, code);
    if (!(tss->segment.attributes & SEG_P))
        raise_exception_code(v, EXC_NP, code);
    if (tss->segment.limit < layout_of(&tss->segment)->limit)
        raise_exception_code(v, EXC_TS, code);
}

static void read_state(struct vcpu *v, const struct segment *tss, struct task_state *t)
{
    const struct tss_layout *l = layout_of(tss);
    *t = (struct task_state){.wide = is_wide(tss)};
    for (unsigned i = 0; i < (unsigned)ITEM_SEG + l->segments; i++)
        t->item[i] = (u32)guest_load(v, item_address(tss, i), item_size(tss, i), AS_SYSTEM);
    t->item[ITEM_LDT] = (u32)guest_load(v, item_address(tss, ITEM_SEG + l->segments), 2, AS_SYSTEM);
    if (!t->wide)
        return;
    t->cr3 = (u32)guest_load(v, (u32)(tss->base + TSS_CR3), 4, AS_SYSTEM);
    t->trap = guest_load(v, (u32)(tss->base + TSS_TRAP), 2, AS_SYSTEM) & 1;
}

static bool nests(enum task_source source)
{
    return source == TASK_CALL || source == TASK_EVENT;
}

/* Raises the page faults that the writes below would. */
static void probe_writes(struct vcpu *v, const struct task_switch *s, const struct descriptor *tss,
                         const struct descriptor *old)
{
    const struct segment *tr = &v->seg[SEG_TR];
    const struct tss_layout *l = layout_of(tr);
    guest_probe_write(v, item_address(tr, ITEM_EIP), (ITEM_SEG + l->segments) * l->width, AS_SYSTEM);
    guest_probe_write(v, tss->address, 8, AS_SYSTEM);
    if (old->address)
        guest_probe_write(v, old->address, 8, AS_SYSTEM);
    if (nests(s->source))
        guest_probe_write(v, tss->segment.base + TSS_LINK, 2, AS_SYSTEM);
}

/* ---- the switch: nothing faults ---- */

static void save_item(struct vcpu *v, unsigned item, u64 value)
{
    const struct segment *tr = &v->seg[SEG_TR];
    guest_store(v, item_address(tr, item), item_size(tr, item), value, AS_SYSTEM);
}

static void save_state(struct vcpu *v, const struct task_switch *s)
{
    save_item(v, ITEM_EIP, s->eip);
    save_item(v, ITEM_EFLAGS, s->source == TASK_IRET ? s->eflags & ~(u32)FLAG_NT : s->eflags);
    for (unsigned i = 0; i < 8; i++)
        save_item(v, ITEM_GPR + i, v->gpr[i]);
    for (unsigned i = 0; i < layout_of(&v->seg[SEG_TR])->segments; i++)
        save_item(v, ITEM_SEG + i, v->seg[i].selector);
}

static void change_busy_and_link(struct vcpu *v, const struct task_switch *s, struct descriptor *tss,
                                 struct descriptor *old)
{
    if (!nests(s->source) && old->address)
        descriptor_clear_type_bit(v, old, SEG_TSS_BUSY);
    if (nests(s->source))
        guest_store(v, tss->segment.base + TSS_LINK, 2, v->seg[SEG_TR].selector, AS_SYSTEM);
    descriptor_set_type_bit(v, tss, SEG_TSS_BUSY);
}

static void load_flags(struct vcpu *v, const struct task_switch *s, const struct task_state *t)
{
    static const u64 defined = FLAGS_ARITH | FLAG_TF | FLAG_IF | FLAG_DF | FLAG_IOPL | FLAG_NT | FLAG_RF |
                               FLAG_VM | FLAG_AC | FLAG_VIF | FLAG_VIP | FLAG_ID;
    u64 flags = t->item[ITEM_EFLAGS] & defined;
    rflags_set(v, nests(s->source) ? flags | FLAG_NT : flags);
}

/* The selectors alone, not usable. The CPL is already that of the new CS, and so a fault's. */
static void load_selectors(struct vcpu *v, const struct task_state *t)
{
    for (unsigned i = 0; i < 6; i++)
        vcpu_set_segment(v, (enum seg)i, segment_null((u16)t->item[ITEM_SEG + i]));
    vcpu_set_segment(v, SEG_LDTR, segment_null((u16)t->item[ITEM_LDT]));
    unsigned cpl = t->item[ITEM_SEG + SEG_CS] & 3;
    struct segment ss = {.selector = (u16)t->item[ITEM_SEG + SEG_SS],
                         .attributes = (u16)(cpl << SEG_DPL_SHIFT)};
    vcpu_set_segment(v, SEG_SS, ss);
}

static void load_registers(struct vcpu *v, const struct task_switch *s, const struct task_state *t)
{
    v->rip = v->next_rip = t->item[ITEM_EIP];
    load_flags(v, s, t);
    for (unsigned i = 0; i < 8; i++)
        v->gpr[i] = t->item[ITEM_GPR + i];
    load_selectors(v, t);
    v->cr0 |= CR0_TS;
    debug_set_dr7(v, v->dr[7] & ~DR7_LOCAL);
    if (t->trap)
        v->debug.trap |= DR6_BT;
}

/* ---- behind the commit point: faults are the new task's ---- */

static void load_cr3(struct vcpu *v, const struct task_state *t)
{
    if (!(v->cr0 & CR0_PG) || !t->wide)
        return;
    if ((v->cr4 & CR4_PAE) && !paging_load_pdptes(v, t->cr3))
        raise_exception_code(v, EXC_GP, 0);
    v->cr3 = t->cr3;
    tlb_flush_nonglobal(v);
}

static void load_ldt(struct vcpu *v, u16 selector, u32 ext)
{
    struct descriptor d;
    u32 code = selector_error(selector) | ext;
    if (selector_is_null(selector))
        return;
    bool good = !(selector & 4) && descriptor_read(v, selector, &d);
    if (!good || system_type(d.segment.attributes) != DESC_LDT || !(d.segment.attributes & SEG_P))
        raise_exception_code(v, EXC_TS, code);
    vcpu_set_segment(v, SEG_LDTR, d.segment);
}

static void load_code(struct vcpu *v, u16 selector, u32 ext)
{
    struct descriptor d;
    u32 code = selector_error(selector) | ext;
    unsigned rpl = selector & 3;
    if (selector_is_null(selector) || !descriptor_read(v, selector, &d))
        raise_exception_code(v, EXC_TS, code);
    u16 attributes = d.segment.attributes;
    unsigned dpl = seg_dpl(attributes);
    if (!seg_is_code(attributes) || (seg_is_conforming(attributes) ? dpl > rpl : dpl != rpl))
        raise_exception_code(v, EXC_TS, code);
    if (!(attributes & SEG_P))
        raise_exception_code(v, EXC_NP, code);
    descriptor_set_type_bit(v, &d, SEG_ACCESSED);
    vcpu_set_segment(v, SEG_CS, d.segment);
}

static void load_stack(struct vcpu *v, u16 selector, u32 ext)
{
    if (selector_is_null(selector))
        raise_exception_code(v, EXC_TS, ext);
    vcpu_set_segment(v, SEG_SS, segment_check_stack(v, selector, v->cpl, true, ext));
}

static void load_segments(struct vcpu *v, const struct task_state *t, u32 ext)
{
    static const u8 data[] = {SEG_ES, SEG_DS, SEG_FS, SEG_GS};
    const u32 *selector = &t->item[ITEM_SEG];
    load_ldt(v, (u16)t->item[ITEM_LDT], ext);
    if (v->rflags & FLAG_VM) {
        for (unsigned i = 0; i < 6; i++)
            vcpu_set_segment(v, (enum seg)i, segment_real(v, (enum seg)i, (u16)selector[i]));
        return;
    }
    load_stack(v, (u16)selector[SEG_SS], ext);
    load_code(v, (u16)selector[SEG_CS], ext);
    for (unsigned i = 0; i < ARRAY_SIZE(data); i++) {
        enum seg s = (enum seg)data[i];
        vcpu_set_segment(v, s, segment_check_data(v, (u16)selector[s], true, ext));
    }
}

void task_switch(struct vcpu *v, const struct task_switch *s)
{
    struct descriptor tss, old = {0};
    struct task_state t;
    find_tss(v, s, &tss);
    read_state(v, &tss.segment, &t);
    u16 tr = v->seg[SEG_TR].selector;
    if (selector_is_null(tr) || !descriptor_read(v, tr, &old)) /* TR as after reset: no descriptor */
        old.address = 0;
    probe_writes(v, s, &tss, &old);
    save_state(v, s);
    change_busy_and_link(v, s, &tss, &old);
    vcpu_set_segment(v, SEG_TR, tss.segment);
    load_registers(v, s, &t);
    load_cr3(v, &t);
    load_segments(v, &t, s->ext);
}
