/* pages.h - what of the guest's pages a shadow has mapped, as a TLB has it */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DIRECT_PAGES_H
#define DIRECT_PAGES_H

#include "hypervisor/cpu/vcpu.h"
#include "hypervisor/direct/scan.h"
#include "hypervisor/direct/shadow.h"

/* 4096 regions of 2 MiB are 8 GiB of a program; more than that, and all is forgotten and begins anew. */
enum { REGIONS = 4096, REGION_SHIFT = 21, REGION_PAGES = 512, MARKS = 4096, STALE_PAGES = 32 };

enum page_state { PAGE_ABSENT, PAGE_READ, PAGE_WRITE, PAGE_EXEC };

/* An entry of a paging structure, and what it was when the mapping was made. */
struct path_entry {
    const u64 *at;
    u64 value;
};

/* The pages that one page table, or one large page, maps. */
struct region {
    u64 number;                /* address >> REGION_SHIFT; valid if used */
    bool used, large;          /* large: mapped whole, state[0] tells how */
    bool writable, executable; /* by the upper levels */
    u8 depth;                  /* of path: down to the entry of the page directory */
    u16 mapped, execs;
    struct path_entry path[3];
    const u64 *table;
    u64 entry[REGION_PAGES]; /* of the table, as mapped */
    u8 state[REGION_PAGES];
    u16 mark[REGION_PAGES]; /* its place in pages.mark: that of the host page */
    u32 sum[REGION_PAGES];  /* PAGE_EXEC: of its bytes when they were looked at */
};

struct pages {
    struct vcpu *v;
    struct shadow_process *process;
    struct scan_result *known;
    struct region *region; /* REGIONS of them, a hash table */
    u16 used[REGIONS];     /* the places of those in use: to look at all of the table takes a while */
    unsigned regions, mappings;
    u64 stat_mapped;
    gva site[SCAN_SITES]; /* instructions in executable pages that have a breakpoint; 0: free */
    u64 generation;       /* in which the executable pages were compared last */
    /* What is to be looked at before guest code runs again. By the vcpu's thread: */
    bool stale;
    unsigned stale_pages;
    gva stale_page[STALE_PAGES];
    /* By any thread: */
    _Atomic bool forget, marked;
    _Atomic u64 mark[MARKS / 64]; /* hashed set of host pages that have become code, or are no longer */
};

static inline unsigned page_mark(const u8 *host)
{
    return (uintptr_t)host >> 12 & (MARKS - 1);
}

bool pages_create(struct pages *p, struct vcpu *v, struct shadow_process *process, struct scan_result *known);
void pages_destroy(struct pages *p);
/* Brings the mappings up to date with what has happened. false: the process is of no use any more. */
bool pages_update(struct pages *p);
/* Guest code at rip has faulted at a. true: the page is mapped now, as the access needs it; false: the
 * translator is to find out. */
bool pages_fault(struct pages *p, gva a, u64 rip);
/* Maps the page of a, if the program has used it before: it was the last to be faulted in. */
void pages_expect(struct pages *p, gva a);

#endif
