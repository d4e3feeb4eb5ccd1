/* paging.c - the walker of guest page tables in all its modes (SDM 3A ch. 4) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdlib.h>
#include <string.h>

#include "hypervisor/vm.h"
#include "tests/unit/test.h"

/* ---- what the walker asks of others ---- */

enum { RAM_SIZE = 1 << 20, READ_ONLY_PAGE = 0xf0000 };
static _Alignas(4096) u8 ram[RAM_SIZE];
static u64 dirty_log[RAM_SIZE >> 18];
static struct memslot slot = {.pages = RAM_SIZE >> 12, .host = ram, .dirty = dirty_log};
static bool has_1g_pages;

u8 *phys_page(const struct memory *m, gpa a, bool *writable)
{
    (void)m;
    if (writable)
        *writable = a != READ_ONLY_PAGE;
    return a < RAM_SIZE ? ram + ALIGN_DOWN(a, 4096) : NULL;
}

bool phys_read(const struct memory *m, gpa a, void *buf, size_t n)
{
    (void)m;
    if (a >= RAM_SIZE)
        return false;
    memcpy(buf, ram + a, n);
    return true;
}

struct memslot *memory_find(const struct memory *m, gpa a)
{
    (void)m;
    return a < RAM_SIZE ? &slot : NULL;
}

void memory_mark_dirty(struct vcpu *vcpu, struct memslot *s, gpa a)
{
    (void)vcpu;
    s->dirty[a >> 18] |= BIT(a >> 12 & 63);
}

bool cpuid_has(struct vcpu *vcpu, u32 leaf, u32 subleaf, unsigned reg, unsigned bit)
{
    (void)vcpu, (void)subleaf;
    return has_1g_pages && leaf == 0x80000001 && reg == 3 && bit == 26;
}

/* ---- tables ---- */

enum { P = 1, W = 2, U = 4, A = 32, D = 64, PS = 128, G = 256, PAT_LARGE = BIT(12) };
#define NX BIT(63)
enum { ROOT = 0x1000, L3 = 0x2000, L2 = 0x3000, L1 = 0x4000 };
static struct vm vm;
static struct vcpu *v;

static void poke64(gpa a, u64 value)
{
    memcpy(ram + a, &value, 8);
}

static void poke32(gpa a, u32 value)
{
    memcpy(ram + a, &value, 4);
}

static u64 peek64(gpa a)
{
    u64 value;
    memcpy(&value, ram + a, 8);
    return value;
}

static u32 peek32(gpa a)
{
    u32 value;
    memcpy(&value, ram + a, 4);
    return value;
}

/* 4-level; linear addresses below 512 GiB whose upper indexes are 0. The leaf of linear 0x5000 is the
 * argument. */
static void set_long_mode(u64 leaf)
{
    memset(ram, 0, sizeof(ram));
    memset(dirty_log, 0, sizeof(dirty_log));
    v->cr0 = CR0_PG | CR0_PE | CR0_WP;
    v->cr4 = CR4_PAE | CR4_PGE;
    v->efer = EFER_LMA | EFER_LME | EFER_NXE;
    v->cr3 = ROOT | 0xfff; /* PCID and such: ignored */
    v->maxphyaddr_mask = MASK(63, 40);
    poke64(ROOT, L3 | P | W | U);
    poke64(L3, L2 | P | W | U);
    poke64(L2, L1 | P | W | U);
    poke64(L1 + 5 * 8, leaf);
}

static struct translation t;
static u32 code;

static bool walk(gva a, enum access_kind kind, bool user)
{
    memset(&t, 0, sizeof(t));
    code = 0xdead;
    return page_walk(v, a, kind, user, false, &t, &code);
}

static void check_no_paging(void)
{
    v->cr0 = CR0_PE;
    CHECK(walk(0x123456789, ACCESS_WRITE, true));
    CHECK_EQ(t.gpa, 0x23456789);
    CHECK(t.writable && t.executable && t.user && !t.global);
}

static void check_long_mode(void)
{
    set_long_mode(0x7000 | P | W | U | G);
    CHECK(walk(0x5123, ACCESS_READ, true));
    CHECK_EQ(t.gpa, 0x7123);
    CHECK_EQ(t.page_shift, 12);
    CHECK(!t.writable); /* not dirty yet */
    CHECK(t.executable && t.global && t.user);
    CHECK_EQ(peek64(ROOT), L3 | P | W | U | A);
    CHECK_EQ(peek64(L3), L2 | P | W | U | A);
    CHECK_EQ(peek64(L2), L1 | P | W | U | A);
    CHECK_EQ(peek64(L1 + 40), 0x7000 | P | W | U | G | A);
    CHECK_EQ(dirty_log[0], BIT(1) | BIT(2) | BIT(3) | BIT(4));
    CHECK(walk(0x5ff8, ACCESS_WRITE, true));
    CHECK(t.writable);
    CHECK_EQ(peek64(L1 + 40), 0x7000 | P | W | U | G | A | D);
    CHECK(walk(0x5000, ACCESS_READ, true));
    CHECK(t.writable); /* dirty: reads may open the page for writes */
    v->cr4 &= ~(u64)CR4_PGE;
    CHECK(walk(0x5000, ACCESS_READ, true));
    CHECK(!t.global);
}

/* One row: the leaf entry, what is accessed how, and the error code that results; OK: none. */
enum { OK = 0xffff };
struct rights_case {
    u64 leaf;
    u64 cr0_clear, cr4_set, efer_clear;
    enum access_kind kind;
    bool user, smap;
    u32 want;
};

static const struct rights_case rights[] = {
    {P | W | U, 0, 0, 0, ACCESS_READ, true, false, OK},
    {P | W | U, 0, 0, 0, ACCESS_WRITE, true, false, OK},
    {P | W | U, 0, 0, 0, ACCESS_FETCH, true, false, OK},
    {0, 0, 0, 0, ACCESS_READ, false, false, 0},
    {0, 0, 0, 0, ACCESS_WRITE, true, false, PF_W | PF_U},
    {0, 0, 0, 0, ACCESS_FETCH, true, false, PF_I | PF_U},
    {0, 0, 0, EFER_NXE, ACCESS_FETCH, true, false, PF_U}, /* neither NX nor SMEP: no I bit */
    {0, 0, CR4_SMEP, EFER_NXE, ACCESS_FETCH, true, false, PF_U | PF_I},
    {P | U, 0, 0, 0, ACCESS_WRITE, true, false, PF_P | PF_W | PF_U},
    {P | U, 0, 0, 0, ACCESS_WRITE, false, false, PF_P | PF_W},
    {P | U, CR0_WP, 0, 0, ACCESS_WRITE, false, false, OK},
    {P | U, CR0_WP, 0, 0, ACCESS_WRITE, true, false, PF_P | PF_W | PF_U},
    {P | W, 0, 0, 0, ACCESS_READ, true, false, PF_P | PF_U},
    {P | W, 0, 0, 0, ACCESS_FETCH, true, false, PF_P | PF_U | PF_I},
    {P | W, 0, 0, 0, ACCESS_READ, false, false, OK},
    {P | W | U | NX, 0, 0, 0, ACCESS_FETCH, true, false, PF_P | PF_U | PF_I},
    {P | W | NX, 0, 0, 0, ACCESS_FETCH, false, false, PF_P | PF_I},
    {P | W | U | NX, 0, 0, 0, ACCESS_WRITE, true, false, OK},
    {P | W | U | NX, 0, 0, EFER_NXE, ACCESS_READ, true, false, PF_P | PF_U | PF_RSVD},
    {P | W | U, 0, CR4_SMEP, 0, ACCESS_FETCH, false, false, PF_P | PF_I},
    {P | W | U, 0, CR4_SMEP, 0, ACCESS_FETCH, true, false, OK},
    {P | W, 0, CR4_SMEP, 0, ACCESS_FETCH, false, false, OK},
    {P | W | U, 0, CR4_SMAP, 0, ACCESS_READ, false, true, PF_P},
    {P | W | U, 0, CR4_SMAP, 0, ACCESS_WRITE, false, true, PF_P | PF_W},
    {P | W | U, 0, CR4_SMAP, 0, ACCESS_READ, false, false, OK},
    {P | W | U, 0, CR4_SMAP, 0, ACCESS_FETCH, false, true, OK},
    {P | W | U, 0, CR4_SMAP, 0, ACCESS_READ, true, true, OK},
    {P | W, 0, CR4_SMAP, 0, ACCESS_WRITE, false, true, OK},
    {P | W | U | BIT(40), 0, 0, 0, ACCESS_READ, true, false, PF_P | PF_U | PF_RSVD},
    {P | W | U | BIT(51), 0, 0, 0, ACCESS_WRITE, false, false, PF_P | PF_W | PF_RSVD},
    {P | W | U | BIT(52), 0, 0, 0, ACCESS_READ, true, false, OK}, /* ignored bits 62:52 */
    {BIT(51), 0, 0, 0, ACCESS_READ, true, false, PF_U},           /* not present: nothing is reserved */
};

static void check_rights(void)
{
    for (unsigned i = 0; i < ARRAY_SIZE(rights); i++) {
        const struct rights_case *c = &rights[i];
        u64 leaf = c->leaf | (c->leaf ? 0x7000 : 0);
        set_long_mode(leaf);
        v->cr0 &= ~c->cr0_clear;
        v->cr4 |= c->cr4_set;
        v->efer &= ~c->efer_clear;
        bool good = page_walk(v, 0x5000, c->kind, c->user, c->smap, &t, &code);
        if (good != (c->want == OK) || (!good && code != c->want))
            printf("row %u:\n", i);
        CHECK_EQ(good ? OK : code, c->want);
        if (!good)
            CHECK_EQ(peek64(L1 + 40), leaf); /* A and D as they were */
    }
}

/* Rights are those of the whole path. */
static void check_upper_levels(void)
{
    set_long_mode(0x7000 | P | W | U);
    poke64(L3, L2 | P | W);
    CHECK(!walk(0x5000, ACCESS_READ, true));
    CHECK_EQ(code, PF_P | PF_U);
    poke64(L3, L2 | P | U);
    CHECK(!walk(0x5000, ACCESS_WRITE, true));
    CHECK_EQ(code, PF_P | PF_W | PF_U);
    poke64(L3, L2 | P | W | U | NX);
    CHECK(!walk(0x5000, ACCESS_FETCH, true));
    CHECK(walk(0x5000, ACCESS_READ, true));
    CHECK(!t.executable);
    poke64(L3, L2 | P | W | U);
    poke64(ROOT, L3 | P | W | U | PS); /* reserved there */
    CHECK(!walk(0x5000, ACCESS_READ, false));
    CHECK_EQ(code, PF_P | PF_RSVD);
    poke64(ROOT, 0x40000000 | P | W | U); /* a table outside of RAM: as not present */
    CHECK(!walk(0x5000, ACCESS_WRITE, false));
    CHECK_EQ(code, PF_W);
    CHECK(!walk((gva)-0x1000, ACCESS_READ, false)); /* the highest index of every table */
    CHECK_EQ(code, 0);
}

static void check_large_pages(void)
{
    set_long_mode(0);
    poke64(L2 + 8, 0x40200000 | P | W | U | PS | PAT_LARGE);
    CHECK(walk(0x2abcde, ACCESS_WRITE, true));
    CHECK_EQ(t.gpa, 0x402abcde);
    CHECK_EQ(t.page_shift, 21);
    CHECK_EQ(peek64(L2 + 8), 0x40200000 | P | W | U | PS | PAT_LARGE | A | D);
    poke64(L2 + 8, 0x40200000 | P | W | U | PS | BIT(13));
    CHECK(!walk(0x2abcde, ACCESS_READ, false));
    CHECK_EQ(code, PF_P | PF_RSVD);
    poke64(L2 + 8, 0x40200000 | P | W | U | PS | BIT(20));
    CHECK(!walk(0x2abcde, ACCESS_READ, false));

    has_1g_pages = true;
    poke64(L3 + 8, 0x1c0000000 | P | W | U | PS | G);
    CHECK(walk(0x7abcdef0, ACCESS_READ, true));
    CHECK_EQ(t.gpa, 0x1fabcdef0);
    CHECK_EQ(t.page_shift, 30);
    CHECK(t.global);
    poke64(L3 + 8, 0x1c0000000 | P | W | U | PS | BIT(29));
    CHECK(!walk(0x7abcdef0, ACCESS_READ, true));
    CHECK_EQ(code, PF_P | PF_U | PF_RSVD);
    has_1g_pages = false;
    poke64(L3 + 8, 0x1c0000000 | P | W | U | PS);
    CHECK(!walk(0x7abcdef0, ACCESS_READ, true));
    CHECK_EQ(code, PF_P | PF_U | PF_RSVD);
}

static void check_read_only_table(void)
{
    set_long_mode(0);
    poke64(L2, READ_ONLY_PAGE | P | W | U);
    poke64(READ_ONLY_PAGE + 40, 0x7000 | P | W | U);
    CHECK(walk(0x5000, ACCESS_WRITE, true));
    CHECK_EQ(t.gpa, 0x7000);
    CHECK(!t.writable);
    CHECK_EQ(peek64(READ_ONLY_PAGE + 40), 0x7000 | P | W | U);
}

static void set_pae(void)
{
    memset(ram, 0, sizeof(ram));
    v->cr0 = CR0_PG | CR0_PE | CR0_WP;
    v->cr4 = CR4_PAE;
    v->efer = EFER_NXE;
    v->maxphyaddr_mask = MASK(63, 40);
    poke64(0x1020, L2 | P); /* PDPTEs are at any multiple of 32 */
    poke64(0x1038, L2 | P | BIT(9) | BIT(11));
}

static void check_pae(void)
{
    set_pae();
    CHECK(paging_load_pdptes(v, 0x1020 | 0x18));
    CHECK_EQ(v->pdpte[0], L2 | P);
    CHECK_EQ(v->pdpte[1], 0);
    poke64(L2, L1 | P | W | U);
    poke64(L1 + 40, 0x123457000 | P | W | U);
    poke64(L2 + 8, 0x240200000 | P | W | PS);
    CHECK(walk(0x5678, ACCESS_READ, true));
    CHECK_EQ(t.gpa, 0x123457678);
    CHECK(walk(0xc0005678, ACCESS_READ, true));
    CHECK_EQ(t.gpa, 0x123457678);
    CHECK(walk(0xffffffff00005678, ACCESS_READ, true)); /* 32 bits of it */
    CHECK(walk(0x234567, ACCESS_WRITE, false));
    CHECK_EQ(t.gpa, 0x240234567);
    CHECK_EQ(t.page_shift, 21);
    CHECK(!walk(0x40005678, ACCESS_READ, true)); /* PDPTE 1 */
    CHECK_EQ(code, PF_U);
    poke64(L1 + 40, 0x7000 | P | W | U | BIT(52)); /* bits 62:52 are reserved here */
    CHECK(!walk(0x5678, ACCESS_READ, true));
    CHECK_EQ(code, PF_P | PF_U | PF_RSVD);
    poke64(0x1020, 0); /* the cached PDPTE counts */
    poke64(L1 + 40, 0x7000 | P | W | U);
    CHECK(walk(0x5678, ACCESS_READ, true));
}

static void check_pdpte_load(void)
{
    static const u64 bad[] = {BIT(1), BIT(2), BIT(5), BIT(8), BIT(40), BIT(51), BIT(52), BIT(62), BIT(63)};
    set_pae();
    CHECK(paging_load_pdptes(v, 0x1020));
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        poke64(0x1030, L2 | P | bad[i]);
        CHECK(!paging_load_pdptes(v, 0x1020));
        CHECK_EQ(v->pdpte[2], 0); /* unchanged */
        poke64(0x1030, L2 | bad[i]);
        CHECK(paging_load_pdptes(v, 0x1020)); /* not present: anything goes */
        v->pdpte[2] = 0;
    }
    CHECK(!paging_load_pdptes(v, 0x40000000));
}

static void set_legacy(void)
{
    memset(ram, 0, sizeof(ram));
    v->cr0 = CR0_PG | CR0_PE | CR0_WP;
    v->cr4 = CR4_PSE | CR4_PGE;
    v->efer = 0;
    v->cr3 = ROOT;
    v->maxphyaddr_mask = MASK(63, 36);
}

static void check_legacy(void)
{
    set_legacy();
    poke32(ROOT + 4, L1 | P | W | U);
    poke32(L1 + 5 * 4, 0xabcde000 | P | W | U | G);
    CHECK(walk(0x405678, ACCESS_WRITE, true));
    CHECK_EQ(t.gpa, 0xabcde678);
    CHECK_EQ(t.page_shift, 12);
    CHECK(t.global && t.writable && t.executable && t.user);
    CHECK_EQ(peek32(ROOT + 4), L1 | P | W | U | A);
    CHECK_EQ(peek32(L1 + 20), 0xabcde000 | P | W | U | G | A | D);
    CHECK_EQ(peek32(L1 + 24), 0); /* the neighbour */
    CHECK(!walk(0x5678, ACCESS_FETCH, true));
    CHECK_EQ(code, PF_U);

    poke32(ROOT + 8, 0x00c00000 | P | W | PS | 0xf << 13); /* PSE-36: 39:32 is 0xf */
    CHECK(walk(0x812345, ACCESS_WRITE, false));
    CHECK_EQ(t.gpa, 0xf00c12345);
    CHECK_EQ(t.page_shift, 22);
    CHECK_EQ(peek32(ROOT + 8), 0x00c00000 | P | W | PS | 0xf << 13 | A | D);
    poke32(ROOT + 8, 0x00c00000 | P | W | PS | 0x10 << 13); /* beyond MAXPHYADDR */
    CHECK(!walk(0x812345, ACCESS_READ, false));
    CHECK_EQ(code, PF_P | PF_RSVD);
    poke32(ROOT + 8, 0x00e00000 | P | W | PS); /* bit 21 */
    CHECK(!walk(0x812345, ACCESS_READ, false));
    v->cr4 &= ~(u64)CR4_PSE; /* PS means nothing then */
    poke32(ROOT + 8, L1 | P | W | PS);
    CHECK(walk(0x805678, ACCESS_READ, false));
    CHECK_EQ(t.gpa, 0xabcde678);
}

int main(void)
{
    v = aligned_alloc(_Alignof(struct vcpu), sizeof(*v));
    memset(v, 0, offsetof(struct vcpu, tlb)); /* the tables are never touched */
    v->vm = &vm;
    check_no_paging();
    check_long_mode();
    check_rights();
    check_upper_levels();
    check_large_pages();
    check_read_only_table();
    check_pae();
    check_pdpte_load();
    check_legacy();
    free(v);
    return TEST_DONE();
}
