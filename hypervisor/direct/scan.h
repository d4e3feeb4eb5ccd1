/* scan.h - whether a page of code may run directly */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DIRECT_SCAN_H
#define DIRECT_SCAN_H

#include "base/base.h"

/* No instruction in it would answer for the host in place of the guest's processor. before, behind: the pages
 * around it, or NULL. */
bool scan_page(const u8 *before, const u8 *page, const u8 *behind);
/* A number that changes when the bytes do. */
u32 scan_sum(const u8 *page);

#endif
