/* paging32.c - 32-bit and PAE paging in 32-bit mode (SDM 3A 4.3, 4.4) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/guests/lib/guest.h"

#define VA 0x40000000u /* a directory entry of its own in both forms */

static u8 *page;

static struct trap load(u32 a)
{
    return TRY("movb (%0), %%al", ::"r"(a) : "eax", "memory");
}

static struct trap store(u32 a)
{
    return TRY("movb $0x5a, (%0)", ::"r"(a) : "memory");
}

static struct trap fetch(u32 a)
{
    struct trap t = TRY("call *%0", ::"r"(a) : "eax", "memory");
    t.offset = 0;
    return t;
}

static void check_access(const char *name, struct trap t, s32 vector, u32 error, u32 cr2)
{
    check_trap(name, t, vector, error, 0);
    if (vector == PF)
        check_eq("cr2 of the access", t.cr2, cr2);
}

static void enable(u32 cr3)
{
    write_cr3(cr3);
    write_cr0(read_cr0() | CR0_PG | CR0_WP);
}

static void disable(void)
{
    write_cr0(read_cr0() & ~(word)CR0_PG);
}

/* What both forms have in common; the entry is 4 or 8 bytes, of which the low four are what changes. */
static void rights(volatile u32 *pte)
{
    u32 gpa = (u32)page;
    *pte = 0;
    invlpg(VA);
    check_access("load, not present", load(VA + 1), PF, 0, VA + 1);
    check_access("store, not present", store(VA + 2), PF, PF_W, VA + 2);
    *pte = gpa | PTE_P;
    check_access("load, read-only", load(VA), NONE, 0, 0);
    check_eq("A", *pte & (PTE_A | PTE_D), PTE_A);
    check_access("store, read-only", store(VA), PF, PF_P | PF_W, VA);
    write_cr0(read_cr0() & ~(word)CR0_WP);
    check_access("store, read-only, WP clear", store(VA), NONE, 0, 0);
    write_cr0(read_cr0() | CR0_WP);
    *pte = gpa | PTE_P | PTE_W;
    invlpg(VA);
    check_access("store", store(VA), NONE, 0, 0);
    check_eq("A and D", *pte & (PTE_A | PTE_D), PTE_A | PTE_D);
    check_eq("what it stored", page[0], 0x5a);
    page[64] = 0xc3;
    check_access("fetch", fetch(VA + 64), NONE, 0, 0);

    /* From ring 3: user code and stack in user pages. */
    *pte = gpa | PTE_P | PTE_W | PTE_U;
    invlpg(VA);
    static const u8 text[] = {0xb8, 0x2b, 0, 0, 0,    0x8e, 0xd8, /* mov $0x2b, %eax; mov %eax, %ds */
                              0xa1, 0,    0, 0, 0x40, 0x0f, 0x0b /* mov VA, %eax; ud2 */};
    memcpy(page + 128, text, sizeof(text));
    *(u32 *)page = 0x1234;
    struct trap t = TRY("pushl $0x2b\n\tpushl %0\n\tpushl $0x202\n\tpushl $0x23\n\tpushl %1\n\tiret",
                        ::"r"(VA + 4096), "r"(VA + 128)
                        : "eax", "memory");
    check_eq("ring 3 in a user page: vector of the ud2", (u64)(s64)t.vector, UD);
    check_eq("  what it loaded", t.rax, 0x1234);
    check_eq("  cs", t.cs & 0xffff, USER_CODE32);
    check_eq("  esp", t.rsp, VA + 4096);
    u32 supervisor = (u32)page & ~0xfffu;
    memcpy(page + 128 + 8, &supervisor, 4);
    t = TRY("pushl $0x2b\n\tpushl %0\n\tpushl $0x202\n\tpushl $0x23\n\tpushl %1\n\tiret", ::"r"(VA + 4096),
            "r"(VA + 128)
            : "eax", "memory");
    check_eq("ring 3, supervisor page: vector", (u64)(s64)t.vector, PF);
    check_eq("  error", t.error, PF_P | PF_U);
    check_eq("  cr2", t.cr2, supervisor);
    *pte = gpa | PTE_P | PTE_W;
    invlpg(VA);
    t = TRY("pushl $0x2b\n\tpushl %0\n\tpushl $0x202\n\tpushl $0x23\n\tpushl %1\n\tiret", ::"r"(VA + 4096),
            "r"(VA + 128)
            : "eax", "memory");
    check_eq("ring 3, fetch from a supervisor page: cr2", t.cr2, VA + 128);
}

static void two_levels(void)
{
    u32 *directory = page_alloc(), *table = page_alloc();
    write_cr4(read_cr4() | CR4_PSE);
    for (unsigned i = 0; i < 1024; i++)
        directory[i] = i << 22 | PTE_P | PTE_W | PTE_PS;
    directory[VA >> 22] = (u32)table | PTE_P | PTE_W | PTE_U;
    enable((u32)directory);
    rights(&table[0]);
    check_eq("A in the directory", directory[VA >> 22] & PTE_A, PTE_A);
    directory[VA >> 22] &= ~(u32)PTE_W;
    table[0] |= PTE_W;
    write_cr3(read_cr3());
    check_access("store, read-only in the directory", store(VA), PF, PF_P | PF_W, VA);

    volatile u32 *large = &directory[(VA >> 22) + 1];
    u32 at = VA + (1u << 22) + (u32)page;
    page[0] = 0x77;
    *large = 0 | PTE_P | PTE_PS;
    check_access("4 MiB page, load", load(at), NONE, 0, 0);
    check_eq("  A", *large & (PTE_A | PTE_D), PTE_A);
    check_access("  store, read-only", store(at), PF, PF_P | PF_W, at);
    *large |= PTE_W;
    check_access("  store", store(at), NONE, 0, 0);
    check_eq("  D", *large & PTE_D, PTE_D);
    check_eq("  what it stored", page[0], 0x5a);
    *large |= BIT(21);
    invlpg(at);
    tcg_differs("reports reserved bits with P clear");
    check_access("  reserved bit 21", load(at), PF, PF_P | PF_RSVD, at);
    *large = 0;
    invlpg(at);
    disable();
    check_access("without paging all is there", load((u32)page), NONE, 0, 0);
    write_cr4(read_cr4() & ~(word)CR4_PSE);
}

static void three_levels(void)
{
    static u64 pointers[4] __attribute__((aligned(32)));
    u64 *directory[4], *table = page_alloc();
    for (unsigned i = 0; i < 4; i++) {
        directory[i] = page_alloc();
        pointers[i] = (u32)directory[i] | PTE_P;
        for (unsigned k = 0; k < 512; k++)
            directory[i][k] = (u64)i << 30 | k << 21 | PTE_P | PTE_W | PTE_PS;
    }
    u64 *pde = &directory[VA >> 30][VA >> 21 & 511];
    *pde = (u32)table | PTE_P | PTE_W | PTE_U;
    write_cr4(read_cr4() | CR4_PAE);
    wrmsr(EFER, rdmsr(EFER) | EFER_NXE);
    enable((u32)pointers);
    rights((u32 *)&table[0]);

    volatile u64 *pte = &table[0];
    *pte = (u32)page | PTE_P | PTE_W | PTE_NX;
    invlpg(VA);
    check_access("PAE: load, NX", load(VA), NONE, 0, 0);
    check_access("PAE: fetch, NX", fetch(VA + 64), PF, PF_P | PF_I, VA + 64);
    *pte = (u32)page | PTE_P | PTE_W | BIT(62);
    invlpg(VA);
    tcg_differs("reports reserved bits with P clear");
    check_access("PAE: bit 62 is reserved", load(VA), PF, PF_P | PF_RSVD, VA);
    *pte = (u32)page | PTE_P | PTE_W;
    invlpg(VA);

    /* The four pointers are read when CR3 is loaded, and only then. */
    u64 kept = pointers[3];
    pointers[3] = 0;
    tcg_differs("reads it again");
    check_access("PAE: a pointer changed in memory does not count yet", load(0xc0000000), NONE, 0, 0);
    write_cr3(read_cr3());
    check_access("PAE: after CR3 is loaded it does", load(0xc0000000), PF, 0, 0xc0000000);
    pointers[3] = kept | PTE_W;
    tcg_differs("does not check");
    check_trap("PAE: a reserved bit in a pointer",
               TRY("mov %0, %%cr3", ::"r"(pointers)
                   : "memory"),
               GP, 0, 0);
    pointers[3] = kept;
    write_cr3((u32)pointers);
    check_access("PAE: and back", load(0xc0000000), NONE, 0, 0);

    u64 *large = &directory[VA >> 30][(VA >> 21 & 511) + 1];
    u32 at = VA + (1u << 21) + ((u32)page & 0x1fffff);
    *large = ((u32)page & ~0x1fffffu) | PTE_P | PTE_PS | PTE_NX;
    invlpg(at);
    check_access("PAE: 2 MiB page, load", load(at), NONE, 0, 0);
    check_access("PAE: 2 MiB page, store, read-only", store(at), PF, PF_P | PF_W, at);
    check_access("PAE: 2 MiB page, fetch, NX", fetch(at + 64), PF, PF_P | PF_I, at + 64);
    disable();
    write_cr4(read_cr4() & ~(word)CR4_PAE);
}

int main(void)
{
    page = page_alloc();
    two_levels();
    three_levels();
    return 0;
}
