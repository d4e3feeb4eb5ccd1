/* vcpu_engine.h - what the engine keeps for a vcpu beside the tables that translated code reads */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TRANSLATE_VCPU_ENGINE_H
#define TRANSLATE_VCPU_ENGINE_H

#include "hypervisor/cpu/vcpu.h"
#include "hypervisor/translate/mode.h"

enum { FETCH_ENTRIES = 1024, FETCHED_BITS = 4096, LARGE_BITS = 4096, LOG_SIZE = TLB_ENTRIES };

/* Code pages that the vcpu has fetched from. */
struct fetch_entry {
    u64 tag; /* guest page | user bit, or ~0 */
    u8 *host;
    bool writable, global;
};

struct tlb_log { /* which entries of a TLB are in use, so that a flush touches only those */
    u32 count;
    u16 index[LOG_SIZE];
    u8 attributes[TLB_ENTRIES]; /* TLB_LOGGED, TLB_GLOBAL, and the shift of the guest page in units of 9 bits
                                 */
};

struct vcpu_engine {
    pthread_mutex_t tlb_lock; /* tlb.c */
    struct fetch_entry fetch[FETCH_ENTRIES];
    u64 fetched[FETCHED_BITS /
                64];            /* hashed set of pages fetched from since the branch caches were emptied */
    u64 large[LARGE_BITS / 64]; /* hashed set of 2 MiB regions with TLB entries from large pages */
    u64 cs_base;                /* what the branch cache of CLASS_OTHER was made with */
    u32 cs_limit;
    bool nonglobal_code; /* kernel branch caches hold code of non-global pages */
    struct {
        u32 mode;
        u32 count;
        u16 index[TLB_ENTRIES];
        u32 crossing_count;
        u16 crossing[CROSSINGS]; /* those in use */
    } ibtc[4];
    struct {
        int number, trap; /* signal and exception vector (gregs[REG_TRAPNO]) */
        u64 address;
        u32 cc_before; /* vcpu.cc when the signal came */
        bool poll;
    } fault;
    struct { /* an access that goes through vcpu.bounce */
        u64 gva;
        u32 descriptor;
        u8 *data;
    } slow;
    struct { /* a store under way to a page with translations, with the engine's lock; host NULL: none */
        u8 *host;
        size_t size;
    } store;
    struct tlb_log log[TLB_CONTEXTS];
};

#endif
