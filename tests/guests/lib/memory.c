/* memory.c - what the compiler calls, pages, and page tables of 64-bit guests */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/guests/lib/guest.h"

enum { POOL_PAGES = 256 };
static u8 pool[POOL_PAGES][4096] __attribute__((aligned(4096)));
static unsigned pool_used;

void *memcpy(void *d, const void *s, size_t n)
{
    void *start = d;
    __asm__ volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(n)::"memory");
    return start;
}

void *memset(void *d, int c, size_t n)
{
    void *start = d;
    __asm__ volatile("rep stosb" : "+D"(d), "+c"(n) : "a"(c) : "memory");
    return start;
}

int memcmp(const void *a, const void *b, size_t n)
{
    const u8 *p = a, *q = b;
    for (; n; n--, p++, q++)
        if (*p != *q)
            return *p - *q;
    return 0;
}

void *page_alloc(void)
{
    if (pool_used == POOL_PAGES) {
        print("FAIL out of pages\n");
        guest_exit();
    }
    return pool[pool_used++];
}

#ifdef __x86_64__
u64 *page_entry(u64 gva, unsigned level)
{
    u64 *table = (u64 *)(read_cr3() & PTE_ADDR);
    for (unsigned l = 4; l > level; l--)
        table = (u64 *)(table[gva >> (3 + 9 * l) & 511] & PTE_ADDR);
    return &table[gva >> (3 + 9 * level) & 511];
}

u64 *page_map(u64 gva, u64 gpa, u64 flags, unsigned level)
{
    for (unsigned l = 4; l > level; l--) {
        u64 *e = page_entry(gva, l);
        if (!(*e & PTE_P))
            *e = (u64)page_alloc() | PTE_P | PTE_W | PTE_U;
    }
    u64 *e = page_entry(gva, level);
    *e = gpa | flags | (level > 1 ? PTE_PS : 0);
    return e;
}
#endif
