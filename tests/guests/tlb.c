/* tlb.c - what invalidates a translation, and what does not (SDM 3A 4.10.4) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A processor may forget a translation at any time, so only what must be forgotten is checked: after the
 * invalidation the new entry counts. Where an entry gains rights or comes to be, no invalidation is needed at
 * all.
 */
#include "tests/guests/lib/guest.h"

#define VA TEST_VA

static u64 *one, *two; /* two pages with different first words */
static u64 *pte;
static volatile u64 *const at = (u64 *)VA;

static void map(u64 *page, u64 flags)
{
    *pte = (u64)page | PTE_P | PTE_W | flags;
}

static void single_address(void)
{
    map(one, 0);
    invlpg(VA);
    check_eq("one", *at, 1);
    map(two, 0);
    invlpg(VA + 123);
    check_eq("two, after invlpg of any address in the page", *at, 2);
    u64 alias = VA + 4096;
    u64 *other = page_map(alias, (u64)one, PTE_P | PTE_W, 1);
    check_eq("a new entry needs no invalidation", *(volatile u64 *)alias, 1);
    *other = 0;
    invlpg(alias);
    struct trap t = TRY("mov (%0), %%rax", ::"r"(alias) : "rax", "memory");
    check_eq("an entry that is gone: vector", (u64)t.vector, PF);
    *other = (u64)two | PTE_P;
    check_eq("and back, without invalidation", *(volatile u64 *)alias, 2);
    t = TRY("movq $2, (%0)", ::"r"(alias) : "memory");
    check_eq("read-only: vector", (u64)t.vector, PF);
    *other |= PTE_W;
    t = TRY("movq $2, (%0)", ::"r"(alias) : "memory");
    check_eq("a fault invalidates: the same store again may pass", (u64)t.vector, (u64)NONE);
}

static void by_cr3(void)
{
    map(one, 0);
    invlpg(VA);
    check_eq("one", *at, 1);
    map(two, 0);
    write_cr3(read_cr3());
    check_eq("two, after CR3 is written", *at, 2);

    /* Two address spaces that differ in one entry. */
    u64 *pml4 = page_alloc(), *pdpt = page_alloc(), *pd = page_alloc(), *pt = page_alloc();
    u64 first = read_cr3();
    memcpy(pml4, (void *)first, 4096);
    memcpy(pdpt, (void *)(pml4[VA >> 39 & 511] & PTE_ADDR), 4096);
    memcpy(pd, (void *)(pdpt[VA >> 30 & 511] & PTE_ADDR), 4096);
    memcpy(pt, (void *)(pd[VA >> 21 & 511] & PTE_ADDR), 4096);
    pml4[VA >> 39 & 511] = (u64)pdpt | 7;
    pdpt[VA >> 30 & 511] = (u64)pd | 7;
    pd[VA >> 21 & 511] = (u64)pt | 7;
    pt[VA >> 12 & 511] = (u64)one | 3;
    unsigned wrong = 0;
    for (unsigned i = 0; i < 100; i++) {
        write_cr3((u64)pml4);
        wrong += *at != 1;
        write_cr3(first);
        wrong += *at != 2;
    }
    check_eq("two address spaces in turn, wrong reads", wrong, 0);

    /* Code at one address, different in the two spaces. */
    u8 *code[2] = {page_alloc(), page_alloc()};
    for (unsigned i = 0; i < 2; i++) {
        static const u8 text[] = {0xb8, 0, 0, 0, 0, 0xc3};
        memcpy(code[i], text, sizeof(text));
        code[i][1] = (u8)(10 + i);
    }
    map((u64 *)code[0], 0);
    invlpg(VA);
    pt[VA >> 12 & 511] = (u64)code[1] | 3;
    wrong = 0;
    for (unsigned i = 0; i < 100; i++) {
        u64 r;
        __asm__ volatile("call *%1" : "=a"(r) : "r"(VA) : "memory");
        wrong += r != 10;
        write_cr3((u64)pml4);
        __asm__ volatile("call *%1" : "=a"(r) : "r"(VA) : "memory");
        wrong += r != 11;
        write_cr3(first);
    }
    check_eq("two codes at one address in turn, wrong calls", wrong, 0);
}

static void global_pages(void)
{
    write_cr4(read_cr4() | CR4_PGE);
    map(one, PTE_G);
    invlpg(VA);
    check_eq("one, global", *at, 1);
    map(two, PTE_G);
    invlpg(VA);
    check_eq("two: invlpg invalidates global pages", *at, 2);
    map(one, PTE_G);
    write_cr4(read_cr4() & ~(word)CR4_PGE);
    check_eq("one: so does a change of CR4.PGE", *at, 1);
    write_cr4(read_cr4() | CR4_PGE);
    map(two, 0);
    invlpg(VA);
    check_eq("two, not global again", *at, 2);
    map(one, 0);
    write_cr3(read_cr3());
    check_eq("one: CR3 invalidates what is not global", *at, 1);
    write_cr4(read_cr4() & ~(word)CR4_PGE);
}

static void by_cr0_and_cr4(void)
{
    map(one, 0);
    invlpg(VA);
    check_eq("one", *at, 1);
    map(two, 0);
    write_cr4(read_cr4() ^ CR4_PGE);
    check_eq("two, after CR4.PGE changes", *at, 2);
    write_cr4(read_cr4() ^ CR4_PGE);
    *pte &= ~(u64)PTE_W;
    invlpg(VA);
    write_cr0(read_cr0() & ~(word)CR0_WP);
    *at = 2;
    write_cr0(read_cr0() | CR0_WP);
    struct trap t = TRY("movq $2, (%0)", ::"r"(VA) : "memory");
    check_eq("WP counts as soon as it is set: vector", (u64)t.vector, PF);
}

static void large_page_split(void)
{
    u64 base = VA + (1ull << 30);
    u64 *pde = page_map(base, 0x200000, PTE_P | PTE_W, 2);
    volatile u64 *word0 = (u64 *)(base + 5 * 4096);
    u64 saved = *word0;
    u64 *pt = page_alloc();
    for (unsigned i = 0; i < 512; i++)
        pt[i] = (0x200000 + i * 4096) | 3;
    pt[5] = (u64)one | 3;
    *pde = (u64)pt | 3;
    invlpg(base + 5 * 4096);
    check_eq("a large page split in small ones", *word0, 1);
    *pde = 0x200000 | PTE_P | PTE_W | PTE_PS;
    invlpg(base);
    write_cr3(read_cr3());
    check_eq("and joined again", *word0, saved);
}

static void process_contexts(void)
{
    if (!(cpuid(1, 0).c & BIT(17))) {
        skip("PCID", "not offered");
        return;
    }
    u64 plain = read_cr3();
    write_cr3(plain | 0x18);
    RAISES("PCIDE while CR3 has low bits", GP, 0, "mov %0, %%cr4", ::"r"(read_cr4() | CR4_PCIDE) : "memory");
    write_cr3(plain);
    write_cr4(read_cr4() | CR4_PCIDE);
    map(one, 0);
    write_cr3(plain | 1);
    check_eq("context 1", *at, 1);
    write_cr3(plain | 2);
    map(two, 0);
    invlpg(VA);
    check_eq("context 2, after invlpg", *at, 2);
    write_cr3(plain | 1);
    check_eq("context 1 is invalidated when it is entered without bit 63", *at, 2);
    write_cr3(plain | 2);
    check_eq("context 2", *at, 2);
    map(one, 0);
    write_cr3(plain | 1);
    check_eq("context 1 again", *at, 1);
    write_cr3(plain | 2 | BIT(63));
    invlpg(VA);
    check_eq("context 2 kept, then invlpg", *at, 1);
    if (cpuid(7, 0).b & BIT(10)) {
        struct {
            u64 pcid, gva;
        } d = {2, VA};
        map(two, 0);
        __asm__ volatile("invpcid %0, %1" ::"m"(d), "r"(0ull) : "memory");
        check_eq("invpcid of an address", *at, 2);
        map(one, 0);
        __asm__ volatile("invpcid %0, %1" ::"m"(d), "r"(1ull) : "memory");
        check_eq("invpcid of a context", *at, 1);
        map(two, 0);
        __asm__ volatile("invpcid %0, %1" ::"m"(d), "r"(2ull) : "memory");
        check_eq("invpcid of all", *at, 2);
        d.pcid = 0x1000;
        RAISES("invpcid of a context that cannot be", GP, 0, "invpcid %0, %1", ::"m"(d), "r"(0ull)
               : "memory");
        RAISES("invpcid of an unknown type", GP, 0, "invpcid %0, %1", ::"m"(d), "r"(4ull) : "memory");
    } else {
        skip("invpcid", "not offered");
    }
    write_cr3(plain);
    write_cr4(read_cr4() & ~(word)CR4_PCIDE);
    check_eq("PCIDE off", read_cr3(), plain);
}

int main(void)
{
    one = page_alloc();
    two = page_alloc();
    *one = 1;
    *two = 2;
    pte = page_map(VA, (u64)one, PTE_P | PTE_W, 1);
    single_address();
    by_cr3();
    global_pages();
    by_cr0_and_cr4();
    large_page_split();
    process_contexts();
    return 0;
}
