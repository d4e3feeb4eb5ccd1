/* large_page.h - 2 MiB of memory behind one entry of the host's TLB */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HYPERVISOR_LARGE_PAGE_H
#define HYPERVISOR_LARGE_PAGE_H

#include <sys/mman.h>

enum { LARGE_PAGE = 2 << 20 };

/* Makes one of what is there, whatever the host's settings say of shared memory (Linux 6.1). */
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

#endif
