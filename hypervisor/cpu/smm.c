/* smm.c - system management mode: the SMI, the state save area, RSM (SDM 3C ch. 31; APM vol. 2 ch. 10) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The handler is firmware that others cannot see: in this mode, the second address space of the VM's slots
 * takes the place of the first. What the processor was at stands in the last 512 bytes of the 64 KiB from
 * SMBASE, where the handler may change it, SMBASE among it. Its layout is AMD's, whoever the vendor is, as in
 * the kernel's KVM and in QEMU, whose firmware knows these two: the one for processors that have long mode
 * (APM table 10-1, attributes as in a descriptor), and the one for those that have not.
 */
#include <string.h>

#include "hypervisor/cpu/control.h"
#include "hypervisor/cpu/handlers.h"
#include "hypervisor/cpu/smm.h"
#include "hypervisor/translate/engine.h"
#include "hypervisor/vm.h"

enum { AREA_OFFSET = 0xfe00, AREA_SIZE = 512, HANDLER_OFFSET = 0x8000, SMBASE_AT_RESET = 0x30000 };
enum { REVISION = 0x20064, REVISION_32 = 0x20000 }; /* with SMBASE relocation */

struct saved_segment {
    u16 selector, attributes;
    u32 limit;
    u64 base;
};

struct save_area {
    struct saved_segment es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr;
    u64 io_restart[5]; /* no instruction is restarted, HLT neither */
    u8 io_instruction_restart, auto_halt_restart, nmi_mask;
    u8 interrupt_shadow; /* KVM's */
    u32 reserved_fecc;
    u64 efer;
    u8 svm[36];
    u32 revision; /* at FEFC in both layouts */
    u32 smbase;
    u8 reserved_ff04[0x44];
    u64 cr4, cr3, cr0, dr7, dr6, rflags, rip;
    u64 gpr[16]; /* the last one first */
};
_Static_assert(offsetof(struct save_area, efer) == 0xfed0 - AREA_OFFSET, "EFER");
_Static_assert(offsetof(struct save_area, smbase) == 0xff00 - AREA_OFFSET, "SMBASE");
_Static_assert(offsetof(struct save_area, cr4) == 0xff48 - AREA_OFFSET, "CR4");
_Static_assert(sizeof(struct save_area) == AREA_SIZE, "all of it");

struct saved_segment_32 {
    u32 attributes, limit, base; /* attributes in bits 23:8 */
};

struct save_area_32 {
    u32 reserved_fe00[62];
    u32 smbase, revision;
    u16 io_instruction_restart, auto_halt_restart;
    u32 io_restart[4];
    u32 cr4;
    u16 reserved_ff18;
    u8 interrupt_shadow; /* KVM's */
    u8 reserved_ff1b[17];
    struct saved_segment_32 ds, fs, gs, idtr, tr;
    u32 reserved_ff68;
    struct saved_segment_32 gdtr, ldtr, es, cs, ss;
    u32 es_selector, cs_selector, ss_selector, ds_selector, fs_selector, gs_selector, ldtr_selector,
        tr_selector;
    u32 dr7, dr6;
    u32 gpr[8];
    u32 eip, eflags, cr3, cr0;
};
_Static_assert(offsetof(struct save_area_32, revision) == offsetof(struct save_area, revision),
               "where both have it");
_Static_assert(offsetof(struct save_area_32, ds) == 0xff2c - AREA_OFFSET, "DS");
_Static_assert(offsetof(struct save_area_32, es_selector) == 0xffa8 - AREA_OFFSET, "selectors");
_Static_assert(sizeof(struct save_area_32) == AREA_SIZE, "all of it");

union area {
    struct save_area wide;
    struct save_area_32 narrow;
};

/* Each segment register in both. */
#define SEGMENTS(DO) \
    DO(SEG_ES, es)   \
    DO(SEG_CS, cs)   \
    DO(SEG_SS, ss) DO(SEG_DS, ds) DO(SEG_FS, fs) DO(SEG_GS, gs) DO(SEG_LDTR, ldtr) DO(SEG_TR, tr)

static bool has_long_mode(struct vcpu *v)
{
    enum { LM = 29 };
    return cpuid_has(v, 0x80000001, 0, 3, LM);
}

/* ---- saving ---- */

static struct saved_segment segment_saved(const struct segment *s)
{
    return (struct saved_segment){s->selector, s->attributes, s->limit, s->base};
}

static struct save_area state_saved(const struct vcpu *v)
{
    struct save_area a = {
        .gdtr = {.limit = v->gdtr.limit, .base = v->gdtr.base},
        .idtr = {.limit = v->idtr.limit, .base = v->idtr.base},
        .interrupt_shadow = v->interrupt_shadow,
        .efer = v->efer,
        .revision = REVISION,
        .smbase = v->smm.base,
        .cr4 = v->cr4,
        .cr3 = v->cr3,
        .cr0 = v->cr0,
        .dr7 = v->dr[7],
        .dr6 = v->dr[6],
        .rflags = rflags_get(v),
        .rip = v->rip,
    };
#define SAVE(seg_n, name) a.name = segment_saved(&v->seg[seg_n]);
    SEGMENTS(SAVE)
#undef SAVE
    for (unsigned i = 0; i < 16; i++)
        a.gpr[15 - i] = v->gpr[i];
    return a;
}

static struct saved_segment_32 segment_narrowed(const struct saved_segment *s)
{
    return (struct saved_segment_32){(u32)s->attributes << 8, s->limit, (u32)s->base};
}

static struct save_area_32 narrowed(const struct save_area *a)
{
    struct save_area_32 n = {
        .smbase = a->smbase,
        .revision = REVISION_32,
        .cr4 = (u32)a->cr4,
        .interrupt_shadow = a->interrupt_shadow,
        .gdtr = segment_narrowed(&a->gdtr),
        .idtr = segment_narrowed(&a->idtr),
        .dr7 = (u32)a->dr7,
        .dr6 = (u32)a->dr6,
        .eip = (u32)a->rip,
        .eflags = (u32)a->rflags,
        .cr3 = (u32)a->cr3,
        .cr0 = (u32)a->cr0,
    };
#define NARROW(seg_n, name) n.name = segment_narrowed(&a->name), n.name##_selector = a->name.selector;
    SEGMENTS(NARROW)
#undef NARROW
    for (unsigned i = 0; i < 8; i++)
        n.gpr[i] = (u32)a->gpr[15 - i];
    return n;
}

/* ---- the SMI ---- */

/* As in real-address mode, but that segments have no limit (SDM 3C table 31-4). */
static void enter_handler(struct vcpu *v)
{
    enum { DATA = SEG_P | SEG_S | 3, ATTRIBUTES = DATA | SEG_G };
    rflags_set(v, 0);
    v->interrupt_shadow = 0;
    v->cr0 &= ~(u64)(CR0_PE | CR0_EM | CR0_TS | CR0_PG);
    v->cr4 = v->efer = 0;
    v->idtr = (struct table_register){0};
    v->dr[7] = DR7_FIXED;
    debug_update(v);
    for (unsigned s = SEG_ES; s <= SEG_GS; s++)
        vcpu_set_segment(v, (enum seg)s,
                         (struct segment){.attributes = (u16)ATTRIBUTES, .limit = UINT32_MAX});
    vcpu_set_segment(v, SEG_CS,
                     (struct segment){.selector = (u16)(v->smm.base >> 4),
                                      .attributes = (u16)ATTRIBUTES,
                                      .limit = UINT32_MAX,
                                      .base = v->smm.base});
    v->rip = HANDLER_OFFSET;
}

/* A processor whose state is nowhere cannot go on: the VM has ended. */
static void vm_dies(struct vm *vm)
{
    vm->dead = true;
    for (unsigned i = 0; i < vm->vcpu_count; i++)
        vcpu_kick(vm->vcpu[i], REQ_LOOK);
}

void smm_enter(struct vcpu *v)
{
    union area a = {.wide = state_saved(v)};
    if (!has_long_mode(v))
        a.narrow = narrowed(&a.wide);
    v->smm.pending = false;
    v->smi_count++;
    smm_switch(v, true);
    if (!vcpu_phys_write(v, (gpa)v->smm.base + AREA_OFFSET, &a, sizeof(a))) {
        vm_dies(v->vm);
        vcpu_unwind(v);
    }
    engine_new_generation(v->vm); /* code may have been there */
    v->smm.inside_nmi = v->nmi_blocked;
    v->nmi_blocked = true;
    enter_handler(v);
}

void smm_switch(struct vcpu *v, bool active)
{
    v->smm.active = active;
    v->smm.inside_nmi &= active;
    tlb_flush_all(v);
}

void smi_raise(struct vcpu *v)
{
    v->smm.pending = true;
    vcpu_kick(v, REQ_EVENT);
}

void smm_reset(struct vcpu *v, bool init)
{
    v->smm.pending = v->smm.active = v->smm.inside_nmi = false;
    v->smi_count = 0;
    if (!init)
        v->smm.base = SMBASE_AT_RESET;
}

/* ---- RSM ---- */

static struct saved_segment segment_widened(const struct saved_segment_32 *s, u32 selector)
{
    return (struct saved_segment){(u16)selector, (u16)(s->attributes >> 8), s->limit, s->base};
}

static struct save_area widened(const struct save_area_32 *n)
{
    struct save_area a = {
        .gdtr = segment_widened(&n->gdtr, 0),
        .idtr = segment_widened(&n->idtr, 0),
        .interrupt_shadow = n->interrupt_shadow,
        .smbase = n->smbase,
        .cr4 = n->cr4,
        .cr3 = n->cr3,
        .cr0 = n->cr0,
        .dr7 = n->dr7,
        .dr6 = n->dr6,
        .rflags = n->eflags,
        .rip = n->eip,
    };
#define WIDEN(seg_n, name) a.name = segment_widened(&n->name, n->name##_selector);
    SEGMENTS(WIDEN)
#undef WIDEN
    for (unsigned i = 0; i < 8; i++)
        a.gpr[15 - i] = n->gpr[i];
    return a;
}

static void segment_restore(struct vcpu *v, enum seg n, const struct saved_segment *s)
{
    enum { ATTRIBUTES = SEG_TYPE | SEG_S | SEG_DPL | SEG_P | SEG_AVL | SEG_L | SEG_DB | SEG_G };
    vcpu_set_segment(v, n,
                     (struct segment){.selector = s->selector,
                                      .attributes = s->attributes & (u16)ATTRIBUTES,
                                      .limit = s->limit,
                                      .base = s->base});
}

/* false: what the handler left is no state to be in. */
static bool state_restore(struct vcpu *v, const struct save_area *a)
{
    const u64 flags = FLAGS_ARITH | FLAG_TF | FLAG_IF | FLAG_DF | FLAG_IOPL | FLAG_NT | FLAG_RF | FLAG_VM |
                      FLAG_AC | FLAG_VIF | FLAG_VIP | FLAG_ID;
    if ((a->dr6 | a->dr7) >> 32 || !controls_restore(v, a->cr0, a->cr3, a->cr4, a->efer))
        return false;
    if (in_long_mode(v) && (a->rflags & FLAG_VM))
        return false;
    rflags_set(v, a->rflags & flags);
#define RESTORE(seg_n, name) segment_restore(v, seg_n, &a->name);
    SEGMENTS(RESTORE)
#undef RESTORE
    v->gdtr = (struct table_register){a->gdtr.base, (u16)a->gdtr.limit};
    v->idtr = (struct table_register){a->idtr.base, (u16)a->idtr.limit};
    v->dr[6] = (a->dr6 & DR6_WRITABLE) | DR6_FIXED;
    v->dr[7] = (a->dr7 & DR7_WRITABLE) | DR7_FIXED;
    debug_update(v);
    for (unsigned i = 0; i < 16; i++)
        v->gpr[i] = a->gpr[15 - i];
    v->smm.base = a->smbase;
    v->interrupt_shadow = a->interrupt_shadow & (KVM_X86_SHADOW_INT_MOV_SS | KVM_X86_SHADOW_INT_STI);
    v->next_rip = a->rip;
    return true;
}

void insn_rsm(struct vcpu *v, const struct insn *in)
{
    union area a;
    if (!v->smm.active)
        insn_ud(v, in);
    bool good = phys_read(vcpu_memory(v), (gpa)v->smm.base + AREA_OFFSET, &a, sizeof(a));
    if (good) {
        if (!v->smm.inside_nmi)
            nmi_unblock(v);
        smm_switch(v, false);
        if (!has_long_mode(v))
            a.wide = widened(&a.narrow);
        good = state_restore(v, &a.wide);
    }
    if (!good)
        vcpu_exit(v, KVM_EXIT_SHUTDOWN);
    vcpu_kick(v, REQ_EVENT); /* an INIT, an SMI or an NMI may have waited */
}
