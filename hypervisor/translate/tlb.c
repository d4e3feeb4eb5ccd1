/* tlb.c - filling and flushing the software TLB (SDM 3A 4.10) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A vcpu's TLB is its own thread's, but for tlb_protect, by which another vcpu takes write entries out. Both
 * sides hold priv->tlb_lock, a leaf: tlb_protect for its search, after the page is known to have code; the
 * vcpu's thread while it asks whether that is so and enters the page, and while it rearranges the log. So a
 * write entry made before the search is found by it, and none is made after.
 */
#include <string.h>

#include "hypervisor/api/dirty_ring.h"
#include "hypervisor/cpu/debug.h"
#include "hypervisor/direct/backing.h"
#include "hypervisor/direct/direct.h"
#include "hypervisor/translate/cache.h"
#include "hypervisor/translate/dump.h"
#include "hypervisor/translate/execute.h"
#include "hypervisor/translate/ibtc.h"
#include "hypervisor/translate/tlb.h"
#include "hypervisor/translate/vcpu_engine.h"

/* LARGE: 2 or 4 MiB, HUGE: 1 GiB. LISTED: the slot is in a list of the log; twice that: in the other one too.
 */
enum { ATTR_GLOBAL = 1, ATTR_LARGE = 2, ATTR_HUGE = 4, ATTR_LISTED = 8, ATTR_LISTS = 3 * ATTR_LISTED };

static u64 empty_tag(unsigned index)
{
    return index ? 0 : (u64)-0x1000;
}

static u64 page_set_hash(gva a, unsigned shift)
{
    return ((a >> shift) + shift) * 0x9e3779b97f4a7c15;
}

/* Two bits for each page. */
static void page_set_add(struct page_set *s, gva a, unsigned shift)
{
    u64 h = page_set_hash(a, shift);
    s->bits[h >> 54] |= BIT(h >> 48 & 63);
    s->bits[h >> 38 & 1023] |= BIT(h >> 32 & 63);
}

static bool page_set_has(const struct page_set *s, gva a, unsigned shift)
{
    u64 h = page_set_hash(a, shift);
    return s->bits[h >> 54] >> (h >> 48 & 63) & s->bits[h >> 38 & 1023] >> (h >> 32 & 63) & 1;
}

/* Whether a page of more than 4 KiB that a lies in is in the set. */
static bool page_set_has_large(const struct page_set *s, gva a)
{
    return page_set_has(s, a, 21) || page_set_has(s, a, 22) || page_set_has(s, a, 30);
}

void tlb_init(struct vcpu *v)
{
    for (unsigned c = 0; c < TLB_CONTEXTS; c++)
        v->tlb[c].entry[0].ntag_read = v->tlb[c].entry[0].ntag_write = empty_tag(0);
    for (unsigned i = 0; i < FETCH_ENTRIES; i++)
        v->priv->fetch[i].tag = ~0ull;
    v->priv->here = v->priv->space;
    v->priv->here->era = v->priv->last_era = 1;
}

enum tlb_context tlb_context_of(const struct vcpu *v, enum access_as as)
{
    bool smap = v->cr4 & CR4_SMAP;
    if (as == AS_USER || (as == AS_CPL && v->cpl == 3))
        return TLB_USER;
    if (as == AS_SYSTEM)
        return smap ? TLB_KERNEL : TLB_KERNEL_AC;
    return smap && !(v->rflags & FLAG_AC) ? TLB_KERNEL : TLB_KERNEL_AC;
}

static void tlb_drop(struct vcpu *v, unsigned c, unsigned i)
{
    v->tlb[c].entry[i].ntag_read = v->tlb[c].entry[i].ntag_write = empty_tag(i);
}

static u8 attributes_of(const struct translation *t)
{
    u8 a = t->global ? ATTR_GLOBAL : 0;
    if (t->page_shift == 30)
        a |= ATTR_HUGE;
    else if (t->page_shift > 12)
        a |= ATTR_LARGE;
    return a;
}

static void log_add(struct tlb_log *log, unsigned i, u8 attributes)
{
    bool global = attributes & ATTR_GLOBAL;
    u8 listed = (u8)(ATTR_LISTED << global);
    if (!(log->attributes[i] & listed))
        log->list[global].index[log->list[global].count++] = (u16)i;
    log->attributes[i] = (log->attributes[i] & ATTR_LISTS) | listed | attributes;
}

static void tlb_insert_locked(struct vcpu *v, gva a, u8 *page, bool writable, enum tlb_context c,
                              u8 attributes)
{
    unsigned i = tlb_index(a);
    gva page_address = ALIGN_DOWN(a, 4096);
    if (unlikely(v->debug.write) && debug_watches(v, a, 1))
        return;
    log_add(&v->priv->log[c], i, attributes);
    v->tlb[c].entry[i].ntag_read = -page_address;
    v->tlb[c].entry[i].ntag_write = writable && !cache_hears_stores(v, page) ? -page_address : empty_tag(i);
    v->tlb[c].entry[i].host = (uintptr_t)page;
}

static void tlb_insert(struct vcpu *v, gva a, u8 *page, bool writable, enum tlb_context c,
                       const struct translation *t)
{
    if (t->page_shift > 12)
        page_set_add(&v->priv->large, a, t->page_shift);
    pthread_mutex_lock(&v->priv->tlb_lock);
    tlb_insert_locked(v, a, page, writable, c, attributes_of(t));
    pthread_mutex_unlock(&v->priv->tlb_lock);
}

static bool slot_allows_writes(struct vcpu *v, gpa a, bool write)
{
    struct memslot *s = memory_find(vcpu_memory(v), a);
    if (s->flags & KVM_MEM_READONLY)
        return false;
    if (!s->dirty)
        return true;
    if (write && dirty_ring_is_at_end(v))
        vcpu_exit(v, KVM_EXIT_DIRTY_RING_FULL);
    if (write)
        memory_mark_dirty(v, s, a);
    return write;
}

void tlb_translate(struct vcpu *v, gva a, bool write, enum tlb_context context, struct tlb_target *out)
{
    struct translation t;
    bool user = context >= TLB_USER, smap = context == TLB_KERNEL;
    v->stat_tlb_misses++;
    if (!page_walk(v, a, write ? ACCESS_WRITE : ACCESS_READ, user, smap, &t, &out->error_code)) {
        out->status = TLB_FAULT;
        return;
    }
    out->gpa = t.gpa;
    u8 *page = phys_page(vcpu_memory(v), t.gpa, NULL);
    bool may_write = page && slot_allows_writes(v, t.gpa, write);
    if (!page || (write && !may_write)) {
        out->status = TLB_DEVICE;
        return;
    }
    out->status = TLB_RAM;
    out->host = page + (t.gpa & 4095);
    out->code = cache_hears_stores(v, page);
    if (v->vm->backing)
        backing_touch(v->vm->backing, page);
    if (context == TLB_USER_ALIGNED)
        return;
    if (!(v->engine->stress.modes & STRESS_SLOW) || stress_now(&v->engine->stress, STRESS_SLOW, 256))
        tlb_insert(v, a, page, may_write && t.writable, context, &t);
    DUMP(v, DUMP_TLB, "tlb %c %016llx -> gpa %09llx%s%s\n", write ? 'w' : 'r', (unsigned long long)a,
         (unsigned long long)t.gpa, t.writable ? " writable" : "", out->code ? " code" : "");
}

/* In v's address space: the branch caches of programs are empty. */
static void begin_era(struct vcpu *v)
{
    struct vcpu_engine *p = v->priv;
    p->here->two_places = false;
    memset(&p->here->fetched, 0, sizeof(p->here->fetched));
    if (++p->last_era == 0) { /* once round: nothing old may look new */
        memset(p->place, 0, sizeof(p->place));
        for (unsigned i = 0; i < FETCH_ENTRIES; i++)
            p->fetch[i].era = 0;
        for (unsigned n = 0; n < SPACES; n++)
            p->space[n].era = 0;
        p->last_era = 1;
    }
    p->here->era = p->last_era;
}

static void branch_caches_flush(struct vcpu *v)
{
    ibtc_flush_all(v);
    begin_era(v);
}

static void user_branch_caches_flush(struct vcpu *v)
{
    ibtc_flush(v, CLASS_USER);
    ibtc_flush(v, CLASS_OTHER);
    begin_era(v);
}

/* Of the current space, or of one whose branches may come back. */
static struct space *space_of_era(struct vcpu *v, u32 era)
{
    for (unsigned n = 0; n < SPACES; n++)
        if (era && v->priv->space[n].era == era)
            return &v->priv->space[n];
    return NULL;
}

/* A way for a note; another space that loses one has to begin anew. NULL: all are this space's. */
static struct place *place_free(struct vcpu *v, struct place *set)
{
    struct place *free = NULL;
    for (struct place *p = set; p < set + PLACE_WAYS; p++) {
        struct space *s = space_of_era(v, p->era);
        if (!s)
            return p;
        if (s != v->priv->here)
            free = p;
    }
    if (free)
        space_of_era(v, free->era)->era = 0;
    return free;
}

/* Notes that a program's code page is at the guest's page; false: it was found at another one too, in this
 * era. */
static bool place_note(struct vcpu *v, const u8 *host, gva page)
{
    uintptr_t n = (uintptr_t)host >> 12;
    struct place *set = &v->priv->place[(n ^ n >> 10) * PLACE_WAYS & (PLACES - 1)];
    for (struct place *p = set; p < set + PLACE_WAYS; p++)
        if (p->era == v->priv->here->era && p->host == host)
            return p->page == page;
    struct place *free = place_free(v, set);
    if (!free) { /* forget all, and what relies on it */
        ibtc_flush(v, CLASS_USER);
        begin_era(v);
        free = set;
    }
    *free = (struct place){host, page, v->priv->here->era};
    return true;
}

static void fetch_fill(struct vcpu *v, struct fetch_entry *f, u64 tag, u8 *page, const struct translation *t)
{
    *f = (struct fetch_entry){.tag = tag, .host = page, .global = t->global, .era = v->priv->here->era};
    if (!t->global && v->cpl != 3)
        v->priv->nonglobal_code = true;
}

u8 *tlb_fetch(struct vcpu *v, gva pc, struct tlb_target *out)
{
    bool user = v->cpl == 3;
    u64 tag = ALIGN_DOWN(pc, 4096) | user;
    struct fetch_entry *f = &v->priv->fetch[(pc >> 12 ^ pc >> 22) & (FETCH_ENTRIES - 1)];
    if (likely(f->tag == tag && (!user || f->era == v->priv->here->era)))
        return f->host + (pc & 4095);
    engine_check_generation(v);
    struct translation t;
    if (!page_walk(v, pc, ACCESS_FETCH, user, false, &t, &out->error_code)) {
        out->status = TLB_FAULT;
        return NULL;
    }
    u8 *page = phys_page(vcpu_memory(v), t.gpa, NULL);
    if (!page) {
        out->status = TLB_DEVICE;
        out->gpa = t.gpa;
        return NULL;
    }
    if (user && !place_note(v, page, ALIGN_DOWN(pc, 4096)) && !v->priv->here->two_places) {
        ibtc_flush(v, CLASS_USER);
        v->priv->here->two_places = true;
        v->mode &= ~(u32)MODE_MOVABLE;
    }
    fetch_fill(v, f, tag, page, &t);
    page_set_add(user ? &v->priv->here->fetched : &v->priv->fetched, pc, t.page_shift);
    return f->host + (pc & 4095);
}

/* Entries of programs end with their era. */
static void fetch_flush(struct vcpu *v, bool global_too)
{
    if (!global_too && !v->priv->nonglobal_code)
        return;
    if (global_too)
        memset(&v->priv->fetched, 0, sizeof(v->priv->fetched));
    v->priv->nonglobal_code = false;
    for (unsigned i = 0; i < FETCH_ENTRIES; i++)
        if (global_too || !v->priv->fetch[i].global || v->priv->fetch[i].tag & 1)
            v->priv->fetch[i].tag = ~0ull;
}

/* A slot of the one list may have an entry of the other kind by now. */
static void list_flush(struct vcpu *v, unsigned c, bool global)
{
    struct tlb_log *log = &v->priv->log[c];
    for (u32 n = 0; n < log->list[global].count; n++) {
        u16 i = log->list[global].index[n];
        log->attributes[i] &= (u8) ~(ATTR_LISTED << global);
        if (!(log->attributes[i] & ATTR_GLOBAL) == !global)
            tlb_drop(v, c, i);
    }
    log->list[global].count = 0;
}

static void log_flush(struct vcpu *v, bool global_too)
{
    pthread_mutex_lock(&v->priv->tlb_lock);
    for (unsigned c = 0; c < TLB_CONTEXTS; c++) {
        list_flush(v, c, false);
        if (global_too)
            list_flush(v, c, true);
    }
    pthread_mutex_unlock(&v->priv->tlb_lock);
}

/* ---- address spaces that are left, and come back ---- */

/* A space that is not kept is nobody's. */
static void space_forget(struct space *s)
{
    s->kept = false;
    s->era = 0;
}

static struct space *space_find(struct vcpu *v, u64 pcid)
{
    for (struct space *s = v->priv->space; s < v->priv->space + SPACES; s++)
        if (s->kept && (s->cr3 & 0xfff) == pcid)
            return s;
    return NULL;
}

static void keep_entry(struct vcpu *v, struct space *s, unsigned c, unsigned i)
{
    const struct tlb *tlb = &v->tlb[c];
    u8 attributes = v->priv->log[c].attributes[i];
    gva page = -tlb->entry[i].ntag_read;
    if (s->entries == KEPT || tlb_index(page) != i || (attributes & ~ATTR_LISTS))
        return; /* only those of small pages: large_flush need not know of them */
    s->entry[s->entries].page = page;
    s->entry[s->entries].host = tlb->entry[i].host;
    s->entry[s->entries].context = (u8)c;
    s->entry[s->entries++].writable = tlb->entry[i].ntag_write == tlb->entry[i].ntag_read;
}

/* The newest first. */
static void space_keep(struct vcpu *v, u64 cr3)
{
    struct space *s = v->priv->here;
    s->cr3 = cr3;
    s->kept = true;
    s->entries = 0;
    for (unsigned c = 0; c < TLB_CONTEXTS; c++) {
        const struct tlb_log *log = &v->priv->log[c];
        for (u32 n = log->list[0].count; n-- > 0;)
            keep_entry(v, s, c, log->list[0].index[n]);
    }
    ibtc_keep(v, s);
}

/* Where a new space begins: one that is nobody's, or in turn. */
static struct space *space_free(struct vcpu *v)
{
    for (struct space *s = v->priv->space; s < v->priv->space + SPACES; s++)
        if (!s->kept)
            return s;
    struct space *s = &v->priv->space[v->priv->next_space++ % SPACES];
    space_forget(s);
    return s;
}

/* Its page tables may be others by now, and yet nobody has flushed what it left: then that goes on to hold.
 */
static void space_return(struct vcpu *v, struct space *s)
{
    v->priv->here = s;
    s->kept = false;
    pthread_mutex_lock(&v->priv->tlb_lock);
    for (u32 n = s->entries; n-- > 0;)
        tlb_insert_locked(v, s->entry[n].page, (u8 *)s->entry[n].host, s->entry[n].writable,
                          (enum tlb_context)s->entry[n].context, 0);
    pthread_mutex_unlock(&v->priv->tlb_lock);
    if (!s->era || !ibtc_return(v, s))
        begin_era(v);
}

static void spaces_forget(struct vcpu *v)
{
    for (struct space *s = v->priv->space; s < v->priv->space + SPACES; s++)
        if (s != v->priv->here)
            space_forget(s);
}

void tlb_forget_space(struct vcpu *v, u64 pcid)
{
    struct space *s = space_find(v, pcid);
    if (s)
        space_forget(s);
}

/* The branch caches of programs are empty; so are those of the kernel, if it has code in pages that are not
 * global. */
static void space_leave(struct vcpu *v)
{
    log_flush(v, false);
    ibtc_flush(v, CLASS_USER);
    ibtc_flush(v, CLASS_OTHER);
    if (v->priv->nonglobal_code)
        ibtc_flush_all(v);
    fetch_flush(v, false);
    direct_flush(v);
}

void tlb_switch(struct vcpu *v, u64 from, bool keeps)
{
    if (keeps && from == v->cr3)
        return;
    if (!(v->cr4 & CR4_PGE) || (from & 0xfff) == (v->cr3 & 0xfff)) {
        tlb_flush_nonglobal(v);
        return;
    }
    space_keep(v, from);
    space_leave(v);
    struct space *s = space_find(v, v->cr3 & 0xfff);
    if (s && keeps && s->cr3 == v->cr3) {
        space_return(v, s);
    } else {
        if (s)
            space_forget(s);
        v->priv->here = space_free(v);
        begin_era(v);
    }
    DUMP(v, DUMP_TLB, "tlb switch, cr3 %09llx\n", (unsigned long long)v->cr3);
}

/* ---- flushing ---- */

void tlb_flush_all(struct vcpu *v)
{
    spaces_forget(v);
    log_flush(v, true);
    memset(&v->priv->large, 0, sizeof(v->priv->large));
    fetch_flush(v, true);
    branch_caches_flush(v);
    direct_flush(v);
    DUMP(v, DUMP_TLB, "tlb flush all\n");
}

void tlb_flush_nonglobal(struct vcpu *v)
{
    if (!(v->cr4 & CR4_PGE)) {
        tlb_flush_all(v);
        return;
    }
    log_flush(v, false);
    if (v->priv->nonglobal_code)
        branch_caches_flush(v);
    else
        user_branch_caches_flush(v);
    fetch_flush(v, false);
    direct_flush(v);
    DUMP(v, DUMP_TLB, "tlb flush non-global, cr3 %09llx\n", (unsigned long long)v->cr3);
}

/* Entries made from one large page go together. */
static void large_flush(struct vcpu *v, gva a)
{
    for (unsigned c = 0; c < TLB_CONTEXTS; c++) {
        struct tlb_log *log = &v->priv->log[c];
        for (unsigned l = 0; l < 2; l++)
            for (u32 n = 0; n < log->list[l].count; n++) {
                u16 i = log->list[l].index[n];
                unsigned shift = log->attributes[i] & ATTR_HUGE ? 30 : 22;
                bool same = (a ^ -v->tlb[c].entry[i].ntag_read) >> shift == 0;
                if ((log->attributes[i] & (ATTR_LARGE | ATTR_HUGE)) && same)
                    tlb_drop(v, c, i);
            }
    }
}

/* The code of the page of a may be elsewhere now. */
static void fetched_flush(struct vcpu *v, gva a)
{
    const struct page_set *kernel = &v->priv->fetched, *user = &v->priv->here->fetched;
    bool large = page_set_has_large(kernel, a);
    if (large)
        fetch_flush(v, true);
    if (large || page_set_has(kernel, a, 12))
        branch_caches_flush(v);
    else if (page_set_has(user, a, 12) || page_set_has_large(user, a))
        user_branch_caches_flush(v);
}

void tlb_drop_page(struct vcpu *v, gva a)
{
    unsigned i = tlb_index(a);
    u64 ntag = -ALIGN_DOWN(a, 4096);
    for (unsigned c = 0; c < TLB_CONTEXTS; c++)
        if (v->tlb[c].entry[i].ntag_read == ntag)
            tlb_drop(v, c, i);
}

void tlb_flush_page(struct vcpu *v, gva a)
{
    tlb_drop_page(v, a);
    for (unsigned u = 0; u < 2; u++) {
        struct fetch_entry *f = &v->priv->fetch[(a >> 12 ^ a >> 22) & (FETCH_ENTRIES - 1)];
        if (f->tag == (ALIGN_DOWN(a, 4096) | u))
            f->tag = ~0ull;
    }
    if (page_set_has_large(&v->priv->large, a))
        large_flush(v, a);
    fetched_flush(v, a);
    direct_flush_page(v, a);
    DUMP(v, DUMP_TLB, "tlb flush page %016llx\n", (unsigned long long)a);
}

static void vcpu_protect(struct vcpu *v, const u8 *host_page)
{
    pthread_mutex_lock(&v->priv->tlb_lock);
    for (unsigned c = 0; c < TLB_CONTEXTS; c++) {
        struct tlb_log *log = &v->priv->log[c];
        for (unsigned l = 0; l < 2; l++)
            for (u32 n = 0; n < log->list[l].count; n++) {
                u16 i = log->list[l].index[n];
                if (v->tlb[c].entry[i].host == (uintptr_t)host_page)
                    v->tlb[c].entry[i].ntag_write = empty_tag(i);
            }
    }
    pthread_mutex_unlock(&v->priv->tlb_lock);
    direct_code_changed(v, host_page);
}

void tlb_protect(struct vm *vm, const u8 *host_page)
{
    for (unsigned i = 0; i < vm->vcpu_count; i++)
        if (vm->vcpu[i])
            vcpu_protect(vm->vcpu[i], host_page);
}
