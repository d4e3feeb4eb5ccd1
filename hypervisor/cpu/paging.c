/* paging.c - the guest's page tables: walk, rights, accessed and dirty bits (SDM 3A ch. 4) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A walk collects the entries it goes through, then decides on the rights of the whole path, then sets A (and
 * D) in those entries by compare-exchange. If another processor changed one meanwhile, the walk starts again:
 * so A and D are never set in an entry that did not translate this access (4.8).
 *
 * An entry that lies outside of RAM reads as not present, as in the kernel's KVM: the fault has P = 0. An
 * entry in read-only memory keeps its A and D bits as they are.
 */
#include "hypervisor/vm.h"

/* Bits of an entry, tables 4-15 to 4-20 (32-bit: 4-5, 4-6). */
enum {
    PTE_P = BIT(0),
    PTE_W = BIT(1),
    PTE_U = BIT(2),
    PTE_A = BIT(5),
    PTE_D = BIT(6),
    PTE_PS = BIT(7),
    PTE_G = BIT(8)
};
#define PTE_NX BIT(63)

enum { LEVELS = 4 };

struct walk_entry {
    gpa gpa;
    void *host;
    u64 value;
    bool writable; /* the memory slot is */
};

struct walk {
    struct walk_entry entry[LEVELS];
    unsigned depth; /* entries in use: the last is the leaf */
    bool wide;      /* entries of 8 bytes, not 4 */
    u64 rights;     /* W and U that every level grants */
    bool no_execute;
    u8 shift;
    gpa gpa;
};

enum walk_result { WALK_FOUND, WALK_NOT_PRESENT, WALK_RESERVED };

/* Bits 51:MAXPHYADDR. */
static u64 reserved_address(const struct vcpu *v)
{
    return v->maxphyaddr_mask & MASK(51, 0);
}

static bool walk_read(struct vcpu *v, struct walk *w, gpa a, u64 *value)
{
    struct walk_entry *e = &w->entry[w->depth];
    u8 *page = phys_page(vcpu_memory(v), ALIGN_DOWN(a, 4096), &e->writable);
    if (!page)
        return false;
    e->gpa = a;
    e->host = page + (a & 4095);
    e->value = w->wide ? *(volatile u64 *)e->host : *(volatile u32 *)e->host;
    w->depth++;
    w->rights &= e->value;
    *value = e->value;
    return e->value & PTE_P;
}

/* Reserved bits of a 4-level or PAE entry at this level; leaf: it maps a page (SDM 3A 4.4.2, 4.5.4). */
static bool entry_is_reserved(struct vcpu *v, u64 e, unsigned shift, bool leaf)
{
    u64 reserved = reserved_address(v);
    if (!(v->efer & EFER_NXE))
        reserved |= PTE_NX;
    if (!in_long_mode(v))
        reserved |= MASK(62, 52);
    if (shift == 39)
        reserved |= PTE_PS;
    else if (leaf && shift > 12)
        reserved |= MASK(shift - 1, 13);
    if (e & reserved)
        return true;
    return leaf && shift == 30 && !cpuid_has(v, 0x80000001, 0, 3, 26); /* Page1GB */
}

/* From the table at `table`, whose entries each map 1 << shift bytes. */
static enum walk_result walk_wide(struct vcpu *v, struct walk *w, gva a, gpa table, unsigned shift)
{
    for (;; shift -= 9) {
        u64 e;
        if (!walk_read(v, w, table + (a >> shift & 511) * 8, &e))
            return WALK_NOT_PRESENT;
        bool leaf = shift == 12 || ((e & PTE_PS) && shift != 39);
        if (unlikely(entry_is_reserved(v, e, shift, leaf)))
            return WALK_RESERVED;
        w->no_execute |= e >> 63;
        if (leaf) {
            w->shift = (u8)shift;
            w->gpa = (e & MASK(51, shift)) | (a & MASK(shift - 1, 0));
            return WALK_FOUND;
        }
        table = e & MASK(51, 12);
    }
}

static enum walk_result walk_pae(struct vcpu *v, struct walk *w, gva a)
{
    u64 pdpte = v->pdpte[a >> 30 & 3];
    if (!(pdpte & PTE_P))
        return WALK_NOT_PRESENT;
    return walk_wide(v, w, a, pdpte & MASK(51, 12), 21);
}

/* 4.3, with PSE-36 (table 4-4): bits 20:13 of a large entry are 39:32 of the address, 21 is reserved. */
static enum walk_result walk_legacy(struct vcpu *v, struct walk *w, gva a)
{
    u64 e;
    if (!walk_read(v, w, (v->cr3 & MASK(31, 12)) + (a >> 22 & 1023) * 4, &e))
        return WALK_NOT_PRESENT;
    if ((e & PTE_PS) && (v->cr4 & CR4_PSE)) {
        u64 high = (e >> 13 & 0xff) << 32;
        if ((e & BIT(21)) || (high & reserved_address(v)))
            return WALK_RESERVED;
        w->shift = 22;
        w->gpa = high | (e & MASK(31, 22)) | (a & MASK(21, 0));
        return WALK_FOUND;
    }
    if (!walk_read(v, w, (e & MASK(31, 12)) + (a >> 12 & 1023) * 4, &e))
        return WALK_NOT_PRESENT;
    w->shift = 12;
    w->gpa = (e & MASK(31, 12)) | (a & 4095);
    return WALK_FOUND;
}

static enum walk_result walk_tables(struct vcpu *v, struct walk *w, gva a)
{
    *w = (struct walk){.wide = v->cr4 & CR4_PAE, .rights = PTE_W | PTE_U};
    if (in_long_mode(v))
        return walk_wide(v, w, a, v->cr3 & MASK(51, 12), 39);
    return v->cr4 & CR4_PAE ? walk_pae(v, w, (u32)a) : walk_legacy(v, w, (u32)a);
}

/* Rights of the whole path, 4.6.1. */
static bool may_write(const struct vcpu *v, const struct walk *w, bool user)
{
    return (w->rights & PTE_W) || (!user && !(v->cr0 & CR0_WP));
}

static bool may_execute(const struct vcpu *v, const struct walk *w, bool user)
{
    return !w->no_execute && (user || !(w->rights & PTE_U) || !(v->cr4 & CR4_SMEP));
}

static bool is_permitted(const struct vcpu *v, const struct walk *w, enum access_kind kind, bool user,
                         bool smap)
{
    if (user && !(w->rights & PTE_U))
        return false;
    if (kind == ACCESS_FETCH)
        return may_execute(v, w, user);
    if (smap && !user && (w->rights & PTE_U))
        return false;
    return kind == ACCESS_READ || may_write(v, w, user);
}

static bool entry_replace(const struct walk_entry *e, bool wide, u64 value)
{
    if (wide) {
        u64 old = e->value;
        return __atomic_compare_exchange_n((u64 *)e->host, &old, value, false, __ATOMIC_SEQ_CST,
                                           __ATOMIC_SEQ_CST);
    }
    u32 old = (u32)e->value;
    return __atomic_compare_exchange_n((u32 *)e->host, &old, (u32)value, false, __ATOMIC_SEQ_CST,
                                       __ATOMIC_SEQ_CST);
}

/* Sets A along the path and D in the leaf. false: an entry has changed, walk again. */
static bool set_accessed_dirty(struct vcpu *v, struct walk *w, bool write)
{
    for (unsigned i = 0; i < w->depth; i++) {
        struct walk_entry *e = &w->entry[i];
        u64 value = e->value | PTE_A;
        if (write && i == w->depth - 1)
            value |= PTE_D;
        if (likely(value == e->value) || !e->writable)
            continue;
        if (!entry_replace(e, w->wide, value))
            return false;
        e->value = value;
        /* The walker's own writes count, too. */
        memory_mark_dirty(v, memory_find(vcpu_memory(v), e->gpa), e->gpa);
    }
    return true;
}

static u32 fault_code(const struct vcpu *v, u32 cause, enum access_kind kind, bool user)
{
    u32 code = cause | (user ? PF_U : 0);
    if (kind != ACCESS_FETCH)
        return code | kind;
    bool has_nx = (v->efer & EFER_NXE) && (v->cr4 & CR4_PAE);
    return has_nx || (v->cr4 & CR4_SMEP) ? code | PF_I : code; /* 4.7: bit 4 */
}

static void fill_translation(const struct vcpu *v, const struct walk *w, bool user, struct translation *t)
{
    u64 leaf = w->entry[w->depth - 1].value;
    t->gpa = w->gpa;
    t->page_shift = w->shift;
    t->writable = (leaf & PTE_D) && may_write(v, w, user);
    t->executable = may_execute(v, w, user);
    t->global = (leaf & PTE_G) && (v->cr4 & CR4_PGE);
    t->user = w->rights & PTE_U;
}

static const u32 walk_cause[] = {
    [WALK_FOUND] = PF_P, [WALK_NOT_PRESENT] = 0, [WALK_RESERVED] = PF_P | PF_RSVD};

bool page_walk(struct vcpu *v, gva a, enum access_kind kind, bool user, bool smap, struct translation *t,
               u32 *error_code)
{
    if (!(v->cr0 & CR0_PG)) {
        *t = (struct translation){(u32)a, 12, .writable = true, .executable = true, .user = true};
        return true;
    }
    struct walk w;
    do {
        enum walk_result r = walk_tables(v, &w, a);
        if (unlikely(r != WALK_FOUND || !is_permitted(v, &w, kind, user, smap))) {
            *error_code = fault_code(v, walk_cause[r], kind, user);
            return false;
        }
    } while (!set_accessed_dirty(v, &w, kind == ACCESS_WRITE));
    fill_translation(v, &w, user, t);
    return true;
}

bool paging_load_pdptes(struct vcpu *v, u64 cr3)
{
    u64 pdpte[4];
    u64 reserved = v->maxphyaddr_mask | MASK(63, 52) | MASK(8, 5) | MASK(2, 1); /* table 4-8 */
    if (!phys_read(vcpu_memory(v), cr3 & MASK(31, 5), pdpte, sizeof(pdpte)))
        return false;
    for (unsigned i = 0; i < 4; i++) {
        if ((pdpte[i] & PTE_P) && (pdpte[i] & reserved))
            return false;
    }
    for (unsigned i = 0; i < 4; i++)
        v->pdpte[i] = pdpte[i];
    return true;
}
