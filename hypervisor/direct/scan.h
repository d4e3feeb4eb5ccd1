/* scan.h - whether a page of code may run directly */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DIRECT_SCAN_H
#define DIRECT_SCAN_H

#include "base/base.h"

enum { SCAN_SITES = 4 };

struct scan_rules {
    u64 more_xcr0;    /* conditions_more_xcr0: what XGETBV and XSAVE would tell besides */
    bool cpuid_traps; /* in the process */
};

/* What pages were found to have, by their contents: programs are started again, and their pages evicted. */
struct scan_result {
    u64 key;
    s16 count;
    u16 site[SCAN_SITES];
};
enum { SCAN_RESULTS = 4096 };

/* Finds the instructions in a page that would answer for the host in place of the guest's processor: how
 * many, and where in the page the first SCAN_SITES begin; -1 where that cannot be told. before, behind: the
 * pages around it, or NULL. */
int scan_page(const struct scan_rules *r, const u8 *before, const u8 *page, const u8 *behind,
              u16 site[SCAN_SITES]);
/* The same, if it is not in known, of SCAN_RESULTS. */
const struct scan_result *scan_known(struct scan_result *known, const struct scan_rules *r, const u8 *before,
                                     const u8 *page, const u8 *behind);
/* A number that changes when the bytes do. */
u32 scan_sum(const u8 *page);

#endif
