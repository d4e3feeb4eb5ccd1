/* vcpu_state.c - the whole state of a processor: as it came from KVM, put back at reset, and ready for a
 * kernel */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine/machine.h"
#include "machine/state/state.h"

struct vcpu_state {
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    struct kvm_xcrs xcrs;
    struct kvm_debugregs debugregs;
    struct kvm_lapic_state lapic;
    struct kvm_mp_state mp_state;
    struct kvm_vcpu_events events;
    struct kvm_msrs *msrs;
    struct kvm_xsave xsave; /* last: it ends in a flexible array */
};

/* In the order in which they are put back, after the MSRs: SREGS decide what the others mean. */
static const struct part {
    unsigned long get, set;
    const char *get_name, *set_name, *name;
    size_t offset, size;
} parts[] = {
#define PART(name, field)                                                               \
    {                                                                                   \
        KVM_GET_##name, KVM_SET_##name, "KVM_GET_" #name, "KVM_SET_" #name, #field,     \
            offsetof(struct vcpu_state, field), sizeof(((struct vcpu_state *)0)->field) \
    }
    PART(SREGS, sregs), PART(REGS, regs),           PART(XCRS, xcrs),         PART(XSAVE, xsave),
    PART(LAPIC, lapic), PART(DEBUGREGS, debugregs), PART(MP_STATE, mp_state), PART(VCPU_EVENTS, events),
#undef PART
};

/* What firmware leaves in model-specific registers: memory is cached (write-back), string instructions are
 * fast. */
enum { MSR_MISC_ENABLE = 0x1a0, MSR_MTRR_DEF_TYPE = 0x2ff, MSR_TSC_DEADLINE = 0x6e0 };
static const struct kvm_msr_entry firmware_msrs[] = {
    {.index = MSR_MTRR_DEF_TYPE, .data = 0xc06},
    {.index = MSR_MISC_ENABLE, .data = 1},
};

static bool msr_call(struct vcpu *v, unsigned long request, struct kvm_msr_entry *entry)
{
    union {
        struct kvm_msrs msrs;
        u8 room[sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)];
    } one = {.msrs.nmsrs = 1};
    memcpy(one.msrs.entries, entry, sizeof(*entry));
    bool ok = v->machine->kvm->ioctl(v->fd, request, (unsigned long)&one) == 1;
    memcpy(entry, one.msrs.entries, sizeof(*entry));
    return ok;
}

int vcpu_read_msr(struct vcpu *v, u32 index, u64 *value, struct error *e)
{
    struct kvm_msr_entry entry = {.index = index};
    if (!msr_call(v, KVM_GET_MSRS, &entry))
        return error_set(e, EIO, "KVM_GET_MSRS: MSR %#x of processor %u cannot be read", index, v->id);
    *value = entry.data;
    return 0;
}

/* The indices of all MSRs that KVM keeps, or NULL with e. */
static struct kvm_msr_list *list_msrs(const struct machine *m, struct error *e)
{
    struct kvm_msr_list probe = {0}, *list;
    m->kvm->ioctl(m->sys_fd, KVM_GET_MSR_INDEX_LIST, (unsigned long)&probe); /* E2BIG, and the number */
    list = calloc(1, sizeof(*list) + probe.nmsrs * sizeof(list->indices[0]));
    if (!list) {
        error_set(e, ENOMEM, "no memory for the processor's registers");
        return NULL;
    }
    list->nmsrs = probe.nmsrs;
    if (kvm_call(m->kvm, m->sys_fd, KVM_GET_MSR_INDEX_LIST, list, e) == 0)
        return list;
    free(list);
    return NULL;
}

/* One at a time: a list stops at the first that this host's processor does not have. */
static int save_msrs(struct vcpu *v, struct vcpu_state *s, struct error *e)
{
    struct kvm_msr_list *list = list_msrs(v->machine, e);
    if (!list)
        return -ENOMEM;
    s->msrs = calloc(1, sizeof(*s->msrs) + list->nmsrs * sizeof(s->msrs->entries[0]));
    for (u32 i = 0; s->msrs && i < list->nmsrs; i++) {
        struct kvm_msr_entry *entry = &s->msrs->entries[s->msrs->nmsrs];
        *entry = (struct kvm_msr_entry){.index = list->indices[i]};
        if (msr_call(v, KVM_GET_MSRS, entry))
            s->msrs->nmsrs++;
    }
    free(list);
    return s->msrs ? 0 : error_set(e, ENOMEM, "no memory for the processor's registers");
}

/* The timer's deadline is read before the local APIC: should it pass in between, its interrupt is there
 * twice, and not lost. */
struct vcpu_state *vcpu_state_save(struct vcpu *v, struct error *e)
{
    const struct machine *m = v->machine;
    struct vcpu_state *s = calloc(1, sizeof(*s));
    int r = s ? save_msrs(v, s, e) : error_set(e, ENOMEM, "no memory for the processor's registers");
    for (size_t i = 0; i < ARRAY_SIZE(parts) && r >= 0; i++) {
        unsigned long arg = (unsigned long)((char *)s + parts[i].offset);
        r = kvm_call_named(m->kvm, v->fd, parts[i].get, arg, parts[i].get_name, e);
    }
    if (r >= 0)
        return s;
    vcpu_state_free(s);
    return NULL;
}

static struct kvm_segment flat_segment(u16 selector, u8 type, bool long_mode)
{
    return (struct kvm_segment){
        .limit = 0xffffffff,
        .selector = selector,
        .type = type,
        .present = 1,
        .db = !long_mode,
        .s = 1,
        .l = long_mode,
        .g = 1,
    };
}

static void enter_protected_mode(struct kvm_sregs *s, bool long_mode)
{
    enum { CODE = 0xb, DATA = 3, BUSY_TSS = 0xb };
    enum { CR0_PE = 1, CR0_ET = 0x10, CR0_NE = 0x20, CR4_PAE = 0x20, EFER_LME = 0x100, EFER_LMA = 0x400 };
    s->cs = flat_segment(BOOT_CS, CODE, long_mode);
    s->ds = s->es = s->fs = s->gs = s->ss = flat_segment(BOOT_DS, DATA, false);
    s->tr = (struct kvm_segment){.limit = 0x67, .selector = BOOT_TSS, .type = BUSY_TSS, .present = 1};
    s->ldt = (struct kvm_segment){.unusable = 1};
    s->gdt = (struct kvm_dtable){.base = BOOT_GDT, .limit = BOOT_GDT_SIZE - 1};
    s->idt = (struct kvm_dtable){0};
    s->cr0 = CR0_PE | CR0_ET;
    if (long_mode) {
        s->cr0 |= CR0_NE | BIT(31) /* PG */;
        s->cr3 = BOOT_PAGE_TABLES;
        s->cr4 = CR4_PAE;
        s->efer = EFER_LME | EFER_LMA;
    }
}

/* Virtual wire mode (MP 1.4 section 3.6.2.2): the PIC arrives at LINT0, NMI at LINT1. */
static void connect_lint(struct kvm_lapic_state *l)
{
    enum { LVT_LINT0 = 0x350, LVT_LINT1 = 0x360 };
    const u32 ext_int = 0x700, nmi = 0x400;
    memcpy(l->regs + LVT_LINT0, &ext_int, sizeof(ext_int));
    memcpy(l->regs + LVT_LINT1, &nmi, sizeof(nmi));
}

static void enter_kernel(struct vcpu_state *s, const struct boot_entry *entry)
{
    s->regs = (struct kvm_regs){.rip = entry->rip, .rbx = entry->rbx, .rsi = entry->rsi, .rflags = 2};
    enter_protected_mode(&s->sregs, entry->long_mode);
    connect_lint(&s->lapic);
}

/* Registers that cannot be written have not changed, or are not there: nothing to do. */
static void put_msrs(struct vcpu *v, const struct kvm_msrs *msrs)
{
    for (u32 i = 0; i < msrs->nmsrs; i++) {
        struct kvm_msr_entry entry = msrs->entries[i];
        msr_call(v, KVM_SET_MSRS, &entry);
    }
}

static void load_msrs(struct vcpu *v, const struct kvm_msrs *msrs)
{
    put_msrs(v, msrs);
    for (size_t i = 0; i < ARRAY_SIZE(firmware_msrs); i++) {
        struct kvm_msr_entry entry = firmware_msrs[i];
        if (!msr_call(v, KVM_GET_MSRS, &entry))
            continue;
        entry.data |= firmware_msrs[i].data;
        msr_call(v, KVM_SET_MSRS, &entry);
    }
}

/* The parts, and last what counts on the local APIC: its timer's deadline. */
static int put_state(struct vcpu *v, const struct vcpu_state *s, struct error *e)
{
    const struct machine *m = v->machine;
    int r = 0;
    for (size_t i = 0; i < ARRAY_SIZE(parts) && r >= 0; i++) {
        unsigned long arg = (unsigned long)((const char *)s + parts[i].offset);
        r = kvm_call_named(m->kvm, v->fd, parts[i].set, arg, parts[i].set_name, e);
    }
    for (u32 i = 0; i < s->msrs->nmsrs && r >= 0; i++)
        if (s->msrs->entries[i].index == MSR_TSC_DEADLINE) {
            struct kvm_msr_entry entry = s->msrs->entries[i];
            msr_call(v, KVM_SET_MSRS, &entry);
        }
    return min(r, 0);
}

int vcpu_state_load(struct vcpu *v, const struct boot_entry *entry, struct error *e)
{
    struct vcpu_state s = *v->power_on;
    if (entry)
        enter_kernel(&s, entry);
    load_msrs(v, s.msrs);
    return put_state(v, &s, e);
}

void vcpu_state_free(struct vcpu_state *s)
{
    if (s)
        free(s->msrs);
    free(s);
}

/* ---- saved state ---- */

enum { STATE_VERSION = 1 };

static const char *instance_of(const struct vcpu *v, char text[16])
{
    snprintf(text, 16, "%u", v->id);
    return text;
}

int vcpu_save(struct vcpu *v, struct state_buffer *b, struct error *e)
{
    char instance[16];
    struct vcpu_state *s = vcpu_state_save(v, e);
    if (!s)
        return -EIO;
    size_t begin = state_begin(b, "vcpu", instance_of(v, instance), STATE_VERSION);
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
        state_save_field(b, parts[i].name, (const char *)s + parts[i].offset, parts[i].size);
    state_save_field(b, "msrs", s->msrs->entries, s->msrs->nmsrs * sizeof(s->msrs->entries[0]));
    state_end(b, begin);
    vcpu_state_free(s);
    return 0;
}

/* Any number of them; KVM says which it does not take. */
static int read_msrs(struct vcpu_state *s, const struct state_part *p, struct error *e)
{
    const size_t one = sizeof(s->msrs->entries[0]);
    size_t size;
    const u8 *data = state_field(p, "msrs", 0, &size, e);
    if (!data)
        return -EINVAL;
    if (size % one)
        return error_set(e, EINVAL, "the saved state of '%s %s' is damaged: field 'msrs'", p->name,
                         p->instance);
    s->msrs = calloc(1, sizeof(*s->msrs) + size);
    if (!s->msrs)
        return error_set(e, ENOMEM, "no memory for the processor's registers");
    memcpy(s->msrs->entries, data, size);
    s->msrs->nmsrs = (u32)(size / one);
    return 0;
}

static int read_state(struct vcpu_state *s, const struct state_part *p, struct error *e)
{
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        const u8 *data = state_field(p, parts[i].name, parts[i].size, NULL, e);
        if (!data)
            return -EINVAL;
        memcpy((char *)s + parts[i].offset, data, parts[i].size);
    }
    return read_msrs(s, p, e);
}

int vcpu_restore(struct vcpu *v, struct state_parts *parts_there, struct error *e)
{
    char instance[16];
    struct state_part *p = state_find(parts_there, "vcpu", instance_of(v, instance), STATE_VERSION, e);
    struct vcpu_state *s = p ? calloc(1, sizeof(*s)) : NULL;
    int r = s   ? read_state(s, p, e)
            : p ? error_set(e, ENOMEM, "no memory for the processor's registers")
                : -EINVAL;
    if (r == 0) {
        put_msrs(v, s->msrs);
        r = put_state(v, s, e);
    }
    vcpu_state_free(s);
    return r;
}
