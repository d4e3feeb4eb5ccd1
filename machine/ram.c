/* ram.c - guest memory: one host mapping, in the guest below PC_LOW_RAM_END and from 4 GiB on */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "machine/ram.h"

enum { HUGE_PAGE = 2 << 20 };

int ram_create(struct ram *r, u64 size, struct error *e)
{
    u64 span = size + HUGE_PAGE;
    u8 *p = mmap(NULL, span, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return error_set(e, errno, "cannot reserve %llu MiB of guest memory: %s: use a smaller -m",
                         (unsigned long long)(size >> 20), strerror(errno));
    u8 *host = (u8 *)ALIGN_UP((uintptr_t)p, HUGE_PAGE);
    if (host > p)
        munmap(p, (size_t)(host - p));
    munmap(host + size, (size_t)(p + span - (host + size)));
    madvise(host, size, MADV_HUGEPAGE); /* only faster: where the host cannot, small pages do */
    madvise(host, size, MADV_DONTFORK);
    *r = (struct ram){.host = host, .size = size, .low = min(size, PC_LOW_RAM_END)};
    r->high = size - r->low;
    return 0;
}

void ram_destroy(struct ram *r)
{
    munmap(r->host, r->size);
}

void ram_mark_dirty(const struct ram *r, const void *host, u64 len)
{
    u64 from = (u64)((const u8 *)host - r->host), end = from + len;
    for (u64 page = from / 4096; r->dirty && page * 4096 < end; page++)
        __atomic_fetch_or(&r->dirty[page / 64], BIT(page % 64), __ATOMIC_RELAXED);
}

static void give_back(void *host, u64 len)
{
    if (madvise(host, len, MADV_REMOVE)) /* where the hypervisor has made it a file's (direct/backing.h) */
        madvise(host, len, MADV_DONTNEED);
}

void ram_clear(struct ram *r)
{
    give_back(r->host, r->size);
    ram_mark_dirty(r, r->host, r->size);
}

void ram_discard(const struct ram *r, void *host, u64 len)
{
    give_back(host, len);
    ram_mark(r, host, len);
}

void *ram_at(const struct ram *r, u64 gpa, u64 len)
{
    if (gpa < r->low && len <= r->low - gpa)
        return r->host + gpa;
    if (gpa >= PC_HIGH_RAM && gpa - PC_HIGH_RAM < r->high && len <= r->high - (gpa - PC_HIGH_RAM))
        return r->host + r->low + (gpa - PC_HIGH_RAM);
    return NULL;
}
