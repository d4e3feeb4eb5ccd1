/* vcpu_engine.h - what the engine keeps for a vcpu beside the tables that translated code reads */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TRANSLATE_VCPU_ENGINE_H
#define TRANSLATE_VCPU_ENGINE_H

#include "hypervisor/cpu/vcpu.h"
#include "hypervisor/translate/mode.h"

enum { FETCH_ENTRIES = 1024, PLACES = 4096, PLACE_WAYS = 4, PAGE_SET_BITS = 1 << 16, LOG_SIZE = TLB_ENTRIES };

/* Guest pages of all sizes, hashed: one that was not put in may seldom look as if it were. */
struct page_set {
    u64 bits[PAGE_SET_BITS / 64];
};

/* Code pages that the vcpu has fetched from. */
struct fetch_entry {
    u64 tag; /* guest page | user bit, or ~0 */
    u8 *host;
    bool writable, global;
    u32 era; /* of a user page */
};

enum { SPACES = 8, KEPT = 256 };

/* An address space with translations of its own (tlb.c): the current one, or one that may come back. */
struct space {
    u64 cr3; /* with its PCID */
    u32 era; /* begins when the branch caches of programs are emptied for a change of mappings; not 0 */
    bool two_places;         /* in this era a page of code was found at two addresses: no MODE_MOVABLE */
    bool kept;               /* not the current one, and the rest is what it left */
    struct page_set fetched; /* where programs' code was fetched from in this era */
    u64 generation, forgets; /* of the vcpu and of the engine, when it was left: branches hold for these */
    u32 mode;                /* of the branches */
    u32 entries, targets, crossings;
    struct {
        u64 page, host;
        u8 context, attributes;
        bool writable;
    } entry[KEPT];
    struct {
        u64 pc, code;
    } target[KEPT];
    struct {
        const void *code;
        u32 number;
    } crossing[KEPT];
};

/* Where a program's code page was fetched from, in one era. */
struct place {
    const u8 *host;
    gva page;
    u32 era;
};

struct tlb_log { /* which entries of a TLB are in use, so that a flush touches only those */
    struct {
        u32 count;
        u16 index[LOG_SIZE];
    } list[2];                  /* [1]: of those that were global when they were put in */
    u8 attributes[TLB_ENTRIES]; /* tlb.c: ATTR_* */
};

struct vcpu_engine {
    pthread_mutex_t tlb_lock; /* tlb.c */
    struct fetch_entry fetch[FETCH_ENTRIES];
    struct page_set fetched; /* the kernel's, as long as fetch[] holds */
    struct page_set large;   /* large pages with TLB entries */
    u64 cs_base;             /* what the branch cache of CLASS_OTHER was made with */
    u32 cs_limit;
    bool nonglobal_code; /* fetch[] may have non-global pages of the kernel, and so may its branch caches */
    unsigned next_space; /* to be given up, of space[] */
    u32 last_era;        /* the newest */
    struct space *here;  /* the current one of space[] */
    struct space space[SPACES];
    struct place place[PLACES];
    struct {
        u32 mode;
        u32 count;
        u16 index[TLB_ENTRIES];
        u32 crossing_count;
        u32 crossing[CROSSINGS]; /* those in use */
    } ibtc[4];
    struct {
        int number, trap; /* signal and exception vector (gregs[REG_TRAPNO]) */
        u64 address;
        u32 cc_before; /* vcpu.cc when the signal came */
        bool poll;
    } fault;
    struct { /* trim.c: when it looked last, and what the process had run by then; in nanoseconds */
        u64 since, cpu;
    } quiet;
    struct { /* an access that goes through vcpu.bounce */
        u64 gva;
        u32 descriptor;
        u8 *data;
        bool tried;           /* an x87 store of which it is not known whether it stores */
        struct x87_last last; /* as it was before it */
    } slow;
    struct { /* a store under way to a page with translations, with the engine's lock; host NULL: none */
        u8 *host;
        size_t size;
    } store;
    struct tlb_log log[TLB_CONTEXTS];
};

#endif
