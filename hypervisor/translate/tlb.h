/* tlb.h - the software TLB: what translated code probes, and the one slow path that fills it */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An entry says: bytes of guest page P are at host, for reads if ntag_read == -P, for writes if
 * ntag_write == -P. The negated tag makes the probe one addition: ea + ntag is the offset in the page on a
 * hit and above 4095 otherwise, and comparing it with 4096 - size finds accesses that cross the page for
 * free. No entry exists for MMIO; no write entry for a page that is read-only, not yet dirty (in its
 * page-table entry or in a dirty log), or that holds translated code. An empty entry i has the tag of a page
 * whose index is not i, so that it never matches.
 */
#ifndef TRANSLATE_TLB_H
#define TRANSLATE_TLB_H

#include "hypervisor/cpu/vcpu.h"
#include "hypervisor/translate/mode.h"

enum tlb_status { TLB_RAM, TLB_DEVICE, TLB_FAULT };

struct tlb_target {
    enum tlb_status status;
    u8 *host;       /* TLB_RAM: the byte at gva */
    gpa gpa;        /* not for TLB_FAULT */
    u32 error_code; /* TLB_FAULT: of the #PF */
    bool code;      /* the page holds translations: announce a store (access.c) */
};

static inline unsigned tlb_index(gva a)
{
    return a >> 12 & (TLB_ENTRIES - 1);
}

/* Host address of the n bytes at a, as translated code finds it; NULL on a miss. */
static inline u8 *tlb_probe(struct vcpu *v, gva a, size_t n, bool write, enum tlb_context c)
{
    const struct tlb *tlb = &v->tlb[c];
    unsigned i = tlb_index(a);
    u64 offset = a + (write ? tlb->entry[i].ntag_write : tlb->entry[i].ntag_read);
    return offset <= 4096 - n ? (u8 *)tlb->entry[i].host + offset : NULL;
}

/* Translates one byte's page, filling the TLB where it may. write: with a store's rights. */
void tlb_translate(struct vcpu *v, gva a, bool write, enum tlb_context context, struct tlb_target *t);

/* The TLB that an access made as as uses now. */
enum tlb_context tlb_context_of(const struct vcpu *v, enum access_as as);

/* Host address of the code byte at pc (a linear address), for the current privilege; NULL with *t telling
 * why. */
u8 *tlb_fetch(struct vcpu *v, gva pc, struct tlb_target *t);

/* host is about to hold translated code: no TLB of the VM may write to it unseen. */
void tlb_protect(struct vm *vm, const u8 *host_page);
void tlb_init(struct vcpu *v);
/* No entry for the page of a from here on: it has a data breakpoint (debug.h). */
void tlb_drop_page(struct vcpu *v, gva a);

#endif
