/* paging.c - 4-level paging: rights, error codes, accessed and dirty bits, large pages (SDM 3A ch. 4) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/guests/lib/guest.h"

#define VA    TEST_VA
#define LARGE (TEST_VA + (1ull << 30)) /* a gigabyte further: a page directory of its own */

static u64 *pte;
static u8 *page;

/* Sets the test page's entry and forgets the old one. */
static void entry(u64 flags)
{
    *pte = (u64)page | flags;
    invlpg(VA);
}

static struct trap load(u64 a)
{
    return TRY("mov (%0), %%al", ::"r"(a) : "rax", "memory");
}

static struct trap store(u64 a)
{
    return TRY("movb $0x5a, (%0)", ::"r"(a) : "memory");
}

static struct trap add_to(u64 a)
{
    return TRY("addb $1, (%0)", ::"r"(a) : "memory");
}

/* A fault in the fetch of the called code has its rip there; it is compared with a, and not with TRY's code.
 */
static void check_fetch(const char *name, u64 a, s32 vector, u64 error)
{
    struct trap t = TRY("call *%0", ::"r"(a) : "memory");
    check_trap(name, t, vector, error, (s64)(a - trap_start));
    if (vector == PF)
        check_eq("cr2 of the fetch", t.cr2, a);
}

static void check_access(const char *name, struct trap t, s32 vector, u64 error, u64 cr2)
{
    check_trap(name, t, vector, error, 0);
    if (vector == PF)
        check_eq("cr2 of the access", t.cr2, cr2);
}

static void not_present(void)
{
    entry(0);
    check_access("load, not present", load(VA + 5), PF, 0, VA + 5);
    check_access("store, not present", store(VA + 6), PF, PF_W, VA + 6);
    tcg_differs("reads first");
    check_access("add, not present", add_to(VA + 7), PF, PF_W, VA + 7);
    check_fetch("fetch, not present", VA + 8, PF, PF_I);
    check_access("load, no table", load(TEST_VA + (5ull << 39)), PF, 0, TEST_VA + (5ull << 39));
}

static void write_protection(void)
{
    entry(PTE_P);
    page[0] = 7;
    check_access("load, read-only", load(VA), NONE, 0, 0);
    check_access("store, read-only", store(VA), PF, PF_P | PF_W, VA);
    check_access("add, read-only", add_to(VA), PF, PF_P | PF_W, VA);
    check_eq("the refused writes changed nothing", page[0], 7);
    write_cr0(read_cr0() & ~(word)CR0_WP);
    check_access("store, read-only, WP clear", store(VA), NONE, 0, 0);
    check_eq("it was done", page[0], 0x5a);
    write_cr0(read_cr0() | CR0_WP);
    check_access("store, read-only, WP set again", store(VA), PF, PF_P | PF_W, VA);

    /* The rights of all levels count. */
    entry(PTE_P | PTE_W);
    u64 *pde = page_entry(VA, 2);
    *pde &= ~(u64)PTE_W;
    invlpg(VA);
    check_access("store, read-only in the directory", store(VA), PF, PF_P | PF_W, VA);
    *pde |= PTE_W;
    invlpg(VA);
    check_access("store, writable again", store(VA), NONE, 0, 0);
}

static void accessed_and_dirty(void)
{
    enum { AD = PTE_A | PTE_D };
    u64 *pde = page_entry(VA, 2);
    *pde &= ~(u64)PTE_A;
    entry(PTE_P | PTE_W);
    check_eq("clear before", *pte & AD, 0);
    load(VA);
    check_eq("a load sets A", *pte & AD, PTE_A);
    check_eq("and A above", *pde & AD, PTE_A);
    store(VA);
    check_eq("a store sets D", *pte & AD, AD);
    entry(PTE_P | PTE_W);
    add_to(VA);
    check_eq("a read-modify-write sets both", *pte & AD, AD);
    entry(PTE_P);
    store(VA);
    check_eq("a refused store sets no D", *pte & PTE_D, 0);
    entry(PTE_P | PTE_W);
    page[64] = 0xc3; /* ret */
    check_fetch("fetch", VA + 64, NONE, 0);
    check_eq("a fetch sets A", *pte & AD, PTE_A);
    entry(PTE_P | PTE_W);
    __asm__ volatile("cmpxchgb %b1, (%0)" ::"r"(VA + 65), "c"(1), "a"(0xff) : "memory", "cc");
    check_eq("a cmpxchg that does not match sets D", *pte & AD, AD);
}

static void no_execute(void)
{
    page[64] = 0xc3;
    entry(PTE_P | PTE_W | PTE_NX);
    check_access("load, NX", load(VA), NONE, 0, 0);
    check_fetch("fetch, NX", VA + 64, PF, PF_P | PF_I);
    entry(PTE_P | PTE_W);
    check_fetch("fetch, NX gone", VA + 64, NONE, 0);
    wrmsr(EFER, rdmsr(EFER) & ~(u64)EFER_NXE);
    entry(PTE_P | PTE_W | PTE_NX);
    tcg_differs("reports reserved bits with P clear");
    check_access("load, NX is reserved without NXE", load(VA), PF, PF_P | PF_RSVD, VA);
    tcg_differs("reports reserved bits with P clear");
    check_fetch("fetch, NX is reserved without NXE", VA + 64, PF, PF_P | PF_RSVD);
    entry(0);
    check_fetch("fetch, not present, without NXE: no I bit", VA + 64, PF, 0);
    wrmsr(EFER, rdmsr(EFER) | EFER_NXE);
}

static void reserved_bits(void)
{
    unsigned width = cpuid(0x80000008, 0).a & 0xff;
    check("the physical address has 36 to 52 bits", width >= 36 && width <= 52);
    if (width < 52) {
        entry(PTE_P | PTE_W | BIT(51));
        tcg_differs("reports reserved bits with P clear");
        check_access("load, address bit 51 is reserved", load(VA), PF, PF_P | PF_RSVD, VA);
        tcg_differs("reports reserved bits with P clear");
        check_access("store, address bit 51 is reserved", store(VA), PF, PF_P | PF_RSVD | PF_W, VA);
        entry(BIT(51));
        check_access("not present, nothing is reserved", load(VA), PF, 0, VA);
    } else {
        skip("reserved address bits", "all 52 bits are offered");
    }
    u64 *pde = page_map(LARGE, 0, PTE_P | PTE_W, 2);
    *pde |= BIT(13);
    invlpg(LARGE);
    tcg_differs("reports reserved bits with P clear");
    check_access("a 2 MiB page's low address bits are reserved", load(LARGE), PF, PF_P | PF_RSVD, LARGE);
    *pde = 0;
    u64 *pml4e = page_entry(VA, 4), old = *pml4e;
    u64 other = TEST_VA + (1ull << 39);
    *page_entry(other, 4) = old | PTE_PS;
    tcg_differs("reports reserved bits with P clear");
    check_access("PS in the top level is reserved", load(other), PF, PF_P | PF_RSVD, other);
    *page_entry(other, 4) = 0;
}

static void large_pages(void)
{
    u64 *data = page_alloc();
    u64 base = (u64)data & ~0x1fffffull, offset = (u64)data & 0x1fffff;
    data[0] = 0x1234;
    u64 *pde = page_map(LARGE, base, PTE_P | PTE_W, 2);
    invlpg(LARGE);
    check_eq("2 MiB page", *(volatile u64 *)(LARGE + offset), 0x1234);
    check_eq("its A", *pde & (PTE_A | PTE_D), PTE_A);
    *(volatile u64 *)(LARGE + offset) = 0x5678;
    check_eq("its D", *pde & (PTE_A | PTE_D), PTE_A | PTE_D);
    check_eq("what it wrote", data[0], 0x5678);
    *pde &= ~(u64)PTE_W;
    invlpg(LARGE + offset);
    check_access("2 MiB page, read-only", store(LARGE + offset), PF, PF_P | PF_W, LARGE + offset);
    *pde = (base & PTE_ADDR) | PTE_P | PTE_W | PTE_PS | PTE_NX;
    invlpg(LARGE);
    check_fetch("2 MiB page, NX", LARGE + offset, PF, PF_P | PF_I);

    if (!(cpuid(0x80000001, 0).d & BIT(26))) {
        skip("1 GiB pages", "not offered");
        return;
    }
    u64 huge = TEST_VA + (2ull << 30);
    u64 *pdpte = page_map(huge, 0, PTE_P | PTE_W, 3);
    invlpg(huge);
    check_eq("1 GiB page", *(volatile u64 *)(huge + (u64)data), 0x5678);
    *(volatile u64 *)(huge + (u64)data) = 0x9abc;
    check_eq("what it wrote", data[0], 0x9abc);
    check_eq("its A and D", *pdpte & (PTE_A | PTE_D), PTE_A | PTE_D);
    *pdpte |= BIT(14);
    invlpg(huge);
    tcg_differs("reports reserved bits with P clear");
    check_access("1 GiB page, reserved address bits", load(huge), PF, PF_P | PF_RSVD, huge);
    *pdpte = 0;
    invlpg(huge);
}

/* The same page at two addresses, and two pages at one address in turn. */
static void aliases(void)
{
    u8 *second = page_alloc();
    u64 alias = VA + 4096;
    page_map(alias, (u64)page, PTE_P | PTE_W, 1);
    invlpg(alias);
    entry(PTE_P | PTE_W);
    *(volatile u32 *)VA = 0x11111111;
    check_eq("seen through the alias", *(volatile u32 *)alias, 0x11111111);
    page[0] = 1;
    second[0] = 2;
    check_eq("first page", *(volatile u8 *)VA, 1);
    *pte = (u64)second | PTE_P | PTE_W;
    invlpg(VA);
    check_eq("second page", *(volatile u8 *)VA, 2);
    check_eq("the alias is still of the first", *(volatile u8 *)alias, 1);
}

/* SMEP and SMAP need a user page and ring 0. */
static void supervisor_mode_prevention(void)
{
    u32 offered = cpuid(7, 0).b;
    page[64] = 0xc3;
    entry(PTE_P | PTE_W | PTE_U);
    check_fetch("user page, fetch without SMEP", VA + 64, NONE, 0);
    check_access("user page, load without SMAP", load(VA), NONE, 0, 0);
    if (offered & BIT(7)) {
        /* The rest of the guest is mapped for the user too: all that runs from here on must not be. */
        for (unsigned i = 0; i < 2048; i++)
            page_entry((u64)i << 21, 2)[0] &= ~(u64)PTE_U;
        write_cr3(read_cr3());
        write_cr4(read_cr4() | CR4_SMEP);
        check_fetch("user page, fetch with SMEP", VA + 64, PF, PF_P | PF_I);
        check_access("user page, load with SMEP", load(VA), NONE, 0, 0);
        write_cr4(read_cr4() & ~(word)CR4_SMEP);
        check_fetch("user page, fetch with SMEP off again", VA + 64, NONE, 0);
    } else {
        skip("SMEP", "not offered");
    }
    if (!(offered & BIT(20))) {
        skip("SMAP", "not offered");
        return;
    }
    write_cr4(read_cr4() | CR4_SMAP);
    check_access("user page, load with SMAP", load(VA), PF, PF_P, VA);
    check_access("user page, store with SMAP", store(VA), PF, PF_P | PF_W, VA);
    __asm__ volatile("stac");
    check_eq("AC set by stac", read_flags() & AC_FLAG, AC_FLAG);
    check_access("user page, load with AC", load(VA), NONE, 0, 0);
    check_access("user page, store with AC", store(VA), NONE, 0, 0);
    check_access("supervisor page, load with AC", load((u64)page), NONE, 0, 0);
    __asm__ volatile("clac");
    check_access("user page, load after clac", load(VA), PF, PF_P, VA);
    check_fetch("user page, fetch with SMAP", VA + 64, NONE, 0);
    write_cr4(read_cr4() & ~(word)CR4_SMAP);
    check_access("user page, load with SMAP off again", load(VA), NONE, 0, 0);
}

int main(void)
{
    page = page_alloc();
    pte = page_map(VA, (u64)page, PTE_P | PTE_W, 1);
    not_present();
    write_protection();
    accessed_and_dirty();
    no_execute();
    reserved_bits();
    large_pages();
    aliases();
    supervisor_mode_prevention();
    return 0;
}
