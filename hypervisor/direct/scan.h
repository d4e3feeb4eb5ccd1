/* scan.h - whether a page of code may run directly */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DIRECT_SCAN_H
#define DIRECT_SCAN_H

#include "base/base.h"

enum { SCAN_SITES = 4 };

/* Finds the instructions in a page that would answer for the host in place of the guest's processor: how
 * many, and where in the page they begin; -1 where that cannot be told, or there are more than SCAN_SITES.
 * before, behind: the pages around it, or NULL. */
int scan_page(const u8 *before, const u8 *page, const u8 *behind, u16 site[SCAN_SITES]);
/* A number that changes when the bytes do. */
u32 scan_sum(const u8 *page);

#endif
