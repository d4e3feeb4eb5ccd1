/* generate.c - a case from its seed: descriptor tables, page tables and registers of a CPU in some mode */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "tests/lockstep/generate.h"

const struct mode modes[MODES] = {
    [MODE_REAL] = {"real", 16, .protected = false},
    [MODE_VM86] = {"vm86", 16, .protected = true, .vm86 = true},
    [MODE_VM86_PAGED] = {"vm86-paged", 16, .protected = true, .paged = true, .vm86 = true},
    [MODE_PROTECTED16] = {"protected16", 16, .protected = true},
    [MODE_PROTECTED32] = {"protected32", 32, .protected = true},
    [MODE_PAGED32] = {"paged32", 32, .protected = true, .paged = true},
    [MODE_PAE16] = {"pae16", 16, .protected = true, .paged = true, .pae = true},
    [MODE_PAE32] = {"pae32", 32, .protected = true, .paged = true, .pae = true},
    [MODE_COMPATIBILITY16] = {"compatibility16", 16, true, true, true, .wide = true},
    [MODE_COMPATIBILITY32] = {"compatibility32", 32, true, true, true, .wide = true},
    [MODE_64BIT] = {"64bit", 64, true, true, true, .wide = true},
};

const u32 msr_number[MSRS] = {
    [STAR] = 0xc0000081,    [LSTAR] = 0xc0000082,          [CSTAR] = 0xc0000083,
    [SFMASK] = 0xc0000084,  [KERNEL_GS_BASE] = 0xc0000102, [SYSENTER_CS] = 0x174,
    [SYSENTER_ESP] = 0x175, [SYSENTER_EIP] = 0x176,        [PAT] = 0x277,
};

void put(struct guest *g, u64 gpa, unsigned size, u64 value)
{
    if (gpa <= LOADER - size)
        memcpy(g->ram + gpa, &value, size);
}

enum {
    REAL_END = (LOADER - 0x10000) / 16
}; /* of real mode's selectors: their segments end before the loader */

/* ---- descriptors (SDM 3A 3.4.5, 3.5) ---- */

enum { CODE_READABLE = 0x9b, DATA_WRITABLE = 0x93, L = 0x2000, B = 0x4000, G = 0x8000 };

static u64 descriptor(u64 base, u32 limit, u16 attributes)
{
    return (limit & 0xffff) | (base & 0xffffff) << 16 | (u64)attributes << 40 | (u64)(limit & 0xf0000) << 32 |
           (base & 0xff000000) << 32;
}

/* Five descriptors for each privilege level from entry 1 on, then the system's, then random ones, then gates.
 */
enum { KINDS = 5, KIND_CODE64 = 0, KIND_CODE32, KIND_CODE16, KIND_DATA32, KIND_DATA16 };
enum { ENTRY_TSS = 21, ENTRY_LDT = 23, ENTRY_RANDOM = 25, ENTRY_GATES = 46 };

static u16 selector_of(unsigned ring, unsigned kind)
{
    return (u16)((1 + ring * KINDS + kind) << 3 | ring);
}

static u64 plain_descriptor(unsigned ring, unsigned kind)
{
    static const struct {
        u32 limit;
        u16 attributes;
    } kinds[KINDS] = {
        [KIND_CODE64] = {0xfffff, CODE_READABLE | L | G}, [KIND_CODE32] = {0xfffff, CODE_READABLE | B | G},
        [KIND_CODE16] = {0xfffff, CODE_READABLE | G},     [KIND_DATA32] = {0xfffff, DATA_WRITABLE | B | G},
        [KIND_DATA16] = {0x0ffff, DATA_WRITABLE},
    };
    return descriptor(0, kinds[kind].limit, (u16)(kinds[kind].attributes | ring << 5));
}

static const u32 some_bases[] = {0, 0, 0, 0x10, 0x1000, DATA};
static const u32 some_limits[] = {0xfffff, 0xfffff, 0xffff, 0x1fff, 0xfff, DATA + 0x7f, 0xf, 0};

/* A plain one with its base, limit, type, privilege, presence and size changed at random. */
static u64 random_descriptor(struct generator *n)
{
    struct random *r = &n->random;
    u64 d = plain_descriptor(random_below(r, 4), random_below(r, KINDS));
    u16 attributes = (u16)(d >> 40 & 0xf0ff);
    if (one_in(r, 2))
        attributes = (u16)((attributes & ~0xfu) | random_below(r, 16));
    if (one_in(r, 3))
        attributes ^= (u16)(random_below(r, 4) << 5);
    if (one_in(r, 10))
        attributes ^= 0x80;
    if (one_in(r, 12))
        attributes ^= 0x10;
    if (one_in(r, 6))
        attributes ^= (u16)(random_below(r, 16) << 12);
    if (n->mode->wide && (attributes & L)) /* TCG takes both */
        attributes &= (u16)~B;
    return descriptor(RANDOM_OF(r, some_bases), RANDOM_OF(r, some_limits), attributes);
}

/* 16 bytes in IA-32e mode, else 8. */
static void put_gate(struct generator *n, u64 at, u16 selector, u64 offset, unsigned attributes, unsigned low)
{
    u64 raw = (offset & 0xffff) | (u64)selector << 16 | (u64)low << 32 | (u64)attributes << 40 |
              (offset & 0xffff0000) << 32;
    put(n->g, at, 8, raw);
    if (n->mode->wide)
        put(n->g, at + 8, 8, offset >> 32);
}

static u16 code_selector(struct generator *n)
{
    static const u8 kinds[] = {KIND_CODE64, KIND_CODE32, KIND_CODE16};
    struct random *r = &n->random;
    if (n->mode->vm86) /* a gate to CPL 1 to 3 is #GP from there; TCG does not ask */
        return selector_of(0, kinds[1 + random_below(r, 2)]);
    if (one_in(r, 4))
        return random_selector(n);
    unsigned kind = n->mode->wide && !one_in(r, 4) ? KIND_CODE64 : RANDOM_OF(r, kinds);
    return (u16)(selector_of(one_in(r, 2) ? 0 : random_below(r, 4), kind) ^ (one_in(r, 4) ? 3 : 0));
}

static void put_random_call_gate(struct generator *n, u64 at)
{
    static const u8 types[] = {0xc, 0xc, 0xc, 0x4, 0xe, 0x2, 0x9};
    struct random *r = &n->random;
    unsigned type = n->mode->wide && !one_in(r, 4) ? 0xc : RANDOM_OF(r, types);
    unsigned attributes = type | random_below(r, 4) << 5 | (one_in(r, 12) ? 0 : 0x80);
    put_gate(n, at, code_selector(n), random_target(n), attributes, one_in(r, 2) ? random_below(r, 32) : 0);
    if (n->mode->wide && one_in(r, 8))
        put(n->g, at + 13, 1, random_below(r, 32));
}

static void put_system_descriptors(struct generator *n)
{
    struct guest *g = n->g;
    u64 tss = descriptor(TSS, 0x1ff, 0x8b);
    u64 ldt = descriptor(LDT, GDT_ENTRIES * 8 - 1, 0x82);
    put(g, GDT + ENTRY_TSS * 8, 8, tss);
    put(g, GDT + ENTRY_TSS * 8 + 8, 8, 0);
    put(g, GDT + ENTRY_LDT * 8, 8, ldt);
    put(g, GDT + ENTRY_LDT * 8 + 8, 8, 0);
}

/* Among the random ones are some for LLDT and LTR, with a null upper half behind them. */
static void put_tables(struct generator *n)
{
    struct guest *g = n->g;
    struct random *r = &n->random;
    put(g, GDT, 8, 0);
    put(g, LDT, 8, 0);
    for (unsigned i = 0; i < 4 * KINDS; i++) {
        put(g, GDT + 8 + i * 8, 8, plain_descriptor(i / KINDS, i % KINDS));
        put(g, LDT + 8 + i * 8, 8, random_descriptor(n));
    }
    put_system_descriptors(n);
    for (unsigned i = ENTRY_RANDOM; i < ENTRY_GATES; i++) {
        put(g, GDT + i * 8, 8, random_descriptor(n));
        put(g, LDT + i * 8, 8, random_descriptor(n));
    }
    for (unsigned i = ENTRY_RANDOM; i < ENTRY_RANDOM + 6; i += 2) {
        static const u8 types[] = {0x82, 0x89, 0x82, 0x89, 0x8b, 0x02, 0x09, 0x81};
        u8 type = types[random_below(r, n->mode->wide ? 7 : 8)];
        put(g, GDT + i * 8, 8, descriptor(one_in(r, 2) ? LDT : TSS, RANDOM_OF(r, some_limits), type));
        put(g, GDT + i * 8 + 8, 8, one_in(r, 6) ? random_below(r, 0x8000) : 0);
    }
    for (unsigned i = ENTRY_GATES; i < GDT_ENTRIES; i += 2) {
        put_random_call_gate(n, GDT + i * 8);
        put_random_call_gate(n, LDT + i * 8);
    }
}

/* All vectors lead to HLTs at CPL 0, but some do something else. */
static void put_idt(struct generator *n)
{
    struct random *r = &n->random;
    const struct mode *m = n->mode;
    unsigned size = m->wide ? 16 : 8;
    u16 cs = selector_of(0, m->wide ? KIND_CODE64 : KIND_CODE32);
    for (unsigned v = 0; v < 256; v++) {
        unsigned handler = HANDLERS + v * 16;
        if (!m->protected)
            put(n->g, v * 4, 4, (HANDLERS / 16) << 16 | v * 16);
        else
            put_gate(n, IDT + v * size, cs, handler, 0x8e | (v & 1) | (v & 0x20 ? 0x60 : 0), 0);
        if (!m->protected || !one_in(r, v < 32 ? 24 : 3))
            continue;
        static const u8 types[] = {0xe, 0xf, 0xe, 0xf, 0x6, 0x7, 0xc, 0x1};
        unsigned type = m->wide && !one_in(r, 8) ? 0xe | (v & 1) : RANDOM_OF(r, types);
        unsigned attributes = type | random_below(r, 4) << 5 | (one_in(r, 10) ? 0 : 0x80);
        put_gate(n, IDT + v * size, code_selector(n), one_in(r, 8) ? random_target(n) : handler, attributes,
                 m->wide && one_in(r, 2) ? random_below(r, 8) : 0);
    }
}

static u64 stack_top(unsigned ring)
{
    return STACKS + (ring + 1) * 0x1000 - 0x100;
}

static void put_tss(struct generator *n)
{
    struct guest *g = n->g;
    struct random *r = &n->random;
    memset(g->ram + TSS, 0, 0x200);
    for (unsigned ring = 0; ring < 3; ring++) {
        u64 top = stack_top(ring) + (one_in(r, 8) ? random_below(r, 16) : 0);
        if (n->mode->wide) {
            put(g, TSS + 4 + ring * 8, 8, one_in(r, 16) ? random_pointer(n) : top);
            continue;
        }
        put(g, TSS + 4 + ring * 8, 4, top);
        put(g, TSS + 8 + ring * 8, 4, one_in(r, 6) ? random_selector(n) : selector_of(ring, KIND_DATA32));
    }
    for (unsigned i = 0; n->mode->wide && i < 7; i++)
        put(g, TSS + 0x24 + i * 8, 8, one_in(r, 16) ? random_pointer(n) : IST_STACKS + 0x200u + i * 0x200);
    put(g, TSS + 0x66, 2, 0x68);
    for (unsigned i = 0; i < 0x100; i += 8)
        put(g, TSS + 0x68 + i, 8, one_in(r, 2) ? random_u64(r) : 0);
}

/* ---- paging: tables one after the other in TABLES (SDM 3A ch. 4) ---- */

enum { P = 1, W = 2, U = 4, A = 0x20, D = 0x40, PS = 0x80 };
enum {
    PML4 = TABLES,
    PDPT = TABLES + 0x1000,
    PD = TABLES + 0x2000,
    PT = TABLES + 0x3000,
    TEST_PT = TABLES + 0x4000
};

static bool is_for_user(const struct generator *n, u64 page)
{
    if (page == CODE)
        return n->g->cpl == 3;
    return page == STACKS + 0x3000 || (page >= DATA && page < DATA + 0x4000);
}

static u64 random_entry(struct generator *n, u64 frame)
{
    struct random *r = &n->random;
    u64 e = frame | P | W | U | (one_in(r, 2) ? A | D : 0);
    for (unsigned flips = random_below(r, 3); flips; flips--)
        e ^= BIT(random_below(r, 9));
    if (n->mode->pae && one_in(r, 4))
        e |= BIT(63);
    if (n->mode->pae && one_in(r, 12))
        e |= BIT(40 + random_below(r, 12));
    return e;
}

static void put_entry(struct generator *n, u64 table, u64 index, u64 entry)
{
    unsigned size = n->mode->pae ? 8 : 4;
    put(n->g, table + index * size, size, entry);
}

static void put_paging(struct generator *n)
{
    struct random *r = &n->random;
    unsigned shift = n->mode->pae ? 21 : 22;
    memset(n->g->ram + TABLES, 0, TABLES_END - TABLES);
    put(n->g, PML4, 8, PDPT | P | W | U | A);
    put(n->g, PDPT, 8, n->mode->wide ? PD | P | W | U | A : PD | P);
    put_entry(n, PD, 0, PT | P | W | U | A);
    for (u64 page = 0; page < RAM_SIZE; page += 0x1000)
        put_entry(n, PT, page >> 12, page | P | W | A | D | (is_for_user(n, page) ? U : 0));
    put_entry(n, PD, TEST_VA >> shift,
              one_in(r, 4) ? random_entry(n, TEST_PT) & ~(u64)PS : TEST_PT | P | W | U | A);
    for (unsigned i = 0; i < 16; i++)
        put_entry(n, TEST_PT, i,
                  random_entry(n, one_in(r, 4) ? HANDLERS : DATA + random_below(r, 4) * 0x1000));
    put_entry(n, PD, LARGE_VA >> shift, random_entry(n, PS));
}

/* ---- registers ---- */

static struct segment_state segment_by_selector(const struct guest *g, u16 selector)
{
    u64 d;
    memcpy(&d, g->ram + GDT + (selector & ~7u), 8);
    struct segment_state s = {.selector = selector, .attributes = (u16)(d >> 40 & 0xf0ff)};
    u32 limit = (u32)(d & 0xffff) | (u32)(d >> 32 & 0xf0000);
    s.limit = s.attributes & G ? limit << 12 | 0xfff : limit;
    s.base = (d >> 16 & 0xffffff) | (d >> 32 & 0xff000000);
    return s;
}

static struct segment_state real_segment(u16 selector, unsigned dpl)
{
    return (struct segment_state){selector, (u16)(DATA_WRITABLE | dpl << 5), 0xffff, (u64)selector << 4};
}

static void set_real_segments(struct generator *n)
{
    unsigned dpl = n->mode->vm86 ? 3 : 0;
    for (unsigned i = ES; i <= GS; i++)
        n->g->state.segment[i] =
            real_segment(i == SS || one_in(&n->random, 2) ? 0 : (u16)random_below(&n->random, REAL_END), dpl);
    n->g->state.segment[CS] = real_segment(CODE / 16, dpl);
}

static void set_protected_segments(struct generator *n)
{
    struct guest *g = n->g;
    unsigned bits = n->mode->bits;
    unsigned code = bits == 64 ? KIND_CODE64 : bits == 32 ? KIND_CODE32 : KIND_CODE16;
    unsigned data = bits == 16 && one_in(&n->random, 2) ? KIND_DATA16 : KIND_DATA32;
    for (unsigned i = ES; i <= GS; i++) {
        unsigned kind = i == SS || one_in(&n->random, 2) ? data : KIND_DATA32;
        g->state.segment[i] = segment_by_selector(g, selector_of(i == SS ? g->cpl : 3, kind));
    }
    g->state.segment[CS] = segment_by_selector(g, selector_of(g->cpl, code));
}

enum { CR0_PE = 1, CR0_ET = 16, CR0_NE = 32, CR0_WP = 0x10000, CR0_AM = 0x40000 };
#define CR0_PG BIT(31)
enum { CR4_PSE = 16, CR4_PAE = 32, CR4_PGE = 128, CR4_OSFXSR = 512, CR4_UMIP = 2048, CR4_FSGSBASE = 0x10000 };
enum { CR4_SMEP = 0x100000, CR4_SMAP = 0x200000 };
enum { EFER_SCE = 1, EFER_LME = 0x100, EFER_LMA = 0x400, EFER_NXE = 0x800 };

static void set_control_registers(struct generator *n)
{
    static const u32 cr4_bits[] = {4,        8,        CR4_PSE, CR4_PGE, CR4_OSFXSR, CR4_UMIP, CR4_FSGSBASE,
                                   CR4_SMEP, CR4_SMAP, 0x40000};
    struct state *s = &n->g->state;
    struct random *r = &n->random;
    const struct mode *m = n->mode;
    s->cr0 = CR0_ET | CR0_NE | (m->protected ? CR0_PE : 0) | (m->paged ? CR0_PG : 0);
    s->cr0 |= one_in(r, 2) ? CR0_WP : 0;
    s->cr0 |= one_in(r, 4) ? CR0_AM : 0;
    s->cr0 |= one_in(r, 8) ? 2 << random_below(r, 3) : 0;
    for (unsigned i = 0; i < ARRAY_SIZE(cr4_bits); i++)
        s->cr4 |= one_in(r, 3) ? cr4_bits[i] : 0;
    s->cr4 |= m->pae ? CR4_PAE : 0;
    if (n->g->cpl == 3) /* TCG makes stack accesses of far transfers as a supervisor */
        s->cr4 &= ~(u64)CR4_SMAP;
    s->cr3 = !m->paged ? 0 : m->wide ? PML4 : m->pae ? PDPT : PD;
    s->cr2 = random_u64(r) & 0x7fffffff;
    s->efer = (m->wide ? EFER_LME | EFER_LMA : 0) | (one_in(r, 2) ? EFER_SCE : 0) |
              (m->pae && one_in(r, 2) ? EFER_NXE : 0);
}

static u64 random_flags(struct generator *n)
{
    u64 f = 2 | (random_u64(&n->random) & 0x8d5);
    f |= random_below(&n->random, 4) << 12;
    f |= one_in(&n->random, 2) ? 0x200 : 0;
    f |= one_in(&n->random, 4) ? 0x40000 : 0;
    f |= one_in(&n->random, 16) ? 0x4000 : 0;
    return f;
}

static void set_msrs(struct generator *n)
{
    struct state *s = &n->g->state;
    struct random *r = &n->random;
    s->msr[STAR] = (u64)random_selector(n) << 48 | (u64)random_selector(n) << 32 | HANDLERS;
    if (one_in(r, 2))
        s->msr[STAR] =
            (u64)selector_of(3, KIND_CODE64) << 48 | (u64)selector_of(0, KIND_CODE64) << 32 | HANDLERS;
    s->msr[LSTAR] = HANDLERS + 0x10;
    s->msr[CSTAR] = HANDLERS + 0x20;
    s->msr[SFMASK] = random_u64(r) & 0x3f7fd7;
    s->msr[KERNEL_GS_BASE] = DATA + 0x100;
    s->msr[SYSENTER_CS] = one_in(r, 4) ? random_selector(n) | 8 : selector_of(0, KIND_CODE64);
    s->msr[SYSENTER_ESP] = stack_top(0);
    s->msr[SYSENTER_EIP] = HANDLERS + 0x30;
    s->msr[PAT] = 0x0007040600070406;
}

static void set_state(struct generator *n)
{
    struct guest *g = n->g;
    struct state *s = &g->state;
    memset(s, 0, sizeof(*s));
    for (unsigned i = 0; i < 16; i++)
        s->gpr[i] = n->mode->bits == 64 ? random_u64(&n->random)
                    : i < 8             ? random_u64(&n->random) & 0xffffffff
                                        : 0;
    s->gpr[RSP] = stack_top(g->cpl);
    s->rflags = random_flags(n) | (n->mode->vm86 ? 0x20000 : 0);
    if (n->mode->vm86 || !n->mode->protected)
        set_real_segments(n);
    else
        set_protected_segments(n);
    s->rip = CODE - s->segment[CS].base;
    s->gdtr = (struct table_state){GDT, one_in(&n->random, 8) ? 8 * 40 - 1 : 8 * GDT_ENTRIES - 1};
    s->idtr = (struct table_state){n->mode->protected ? IDT : 0, n->mode->wide        ? 0xfff
                                                                 : n->mode->protected ? 0x7ff
                                                                                      : 0x3ff};
    s->segment[TR] = segment_by_selector(g, ENTRY_TSS << 3);
    s->segment[LDTR] = segment_by_selector(g, ENTRY_LDT << 3);
    set_control_registers(n);
    set_msrs(n);
    s->dr[6] = 0xffff0ff0;
    s->dr[7] = 0x400;
}

/* ---- random values that items and tables share ---- */

u16 random_selector(struct generator *n)
{
    struct random *r = &n->random;
    if (!n->mode->protected || n->mode->vm86)
        return (u16)random_below(r, REAL_END);
    if (one_in(r, 3))
        return selector_of(random_below(r, 4), random_below(r, KINDS));
    if (one_in(r, 16))
        return (u16)(one_in(r, 2) ? random_below(r, 8) : random_u64(r));
    u16 s = (u16)(random_below(r, GDT_ENTRIES) << 3 | random_below(r, 4));
    return one_in(r, 3) ? s | 4 : s;
}

u64 random_pointer(struct generator *n)
{
    struct random *r = &n->random;
    static const u64 odd[] = {0xfff8,
                              0xffff,
                              0xfffe,
                              0xfffc,
                              0xfffffffc,
                              0xffffffff,
                              0x7fffffffff00,
                              0x800000000000,
                              0xffff800000000000,
                              0xffffffffffffffff,
                              0x100000000 + DATA};
    u64 p = DATA + random_below(r, 0x4000 - 64);
    switch (random_below(r, 8)) {
    case 0: p = odd[random_below(r, n->mode->wide ? ARRAY_SIZE(odd) : 4)]; break;
    case 1: p = DATA + 0x1000u * (1 + random_below(r, 3)) - random_below(r, 8); break;
    case 2:
    case 3:
        if (n->mode->paged)
            p = TEST_VA + random_below(r, 16) * 0x1000 +
                (one_in(r, 3) ? 0x1000 - random_below(r, 8) : random_below(r, 0xfc0));
        break;
    case 4:
        if (n->mode->paged && one_in(r, 2))
            p = LARGE_VA + DATA + random_below(r, 0x3000);
        break;
    default: break;
    }
    return one_in(r, 2) ? p & ~7ull : p;
}

u64 random_target(struct generator *n)
{
    struct random *r = &n->random;
    if (n->mode->protected || !one_in(r, 4)) {
        u64 p = HANDLERS + random_below(r, 0x1000);
        return one_in(r, 8) ? random_pointer(n) : p;
    }
    return random_u64(r) & 0xffff;
}

/* ---- the case ---- */

static void put_data(struct generator *n)
{
    for (unsigned at = DATA; at < DATA + 0x4000; at += 8) {
        u64 v =
            one_in(&n->random, 2) ? random_u64(&n->random) : random_selector(n) | (u64)random_target(n) << 32;
        if (one_in(&n->random, 3))
            put(n->g, at, 8, v);
    }
}

static void choose_privilege(struct generator *n)
{
    static const u8 rings[] = {0, 0, 0, 0, 0, 3, 3, 3, 1, 2};
    n->g->cpl = RANDOM_OF(&n->random, rings);
    if (n->mode->vm86)
        n->g->cpl = 3;
    if (!n->mode->protected)
        n->g->cpl = 0;
}

void guest_generate(struct guest *g, unsigned mode)
{
    struct generator n = {.g = g, .random = {g->seed}};
    unsigned chosen = random_below(&n.random, MODES);
    g->mode = mode < MODES ? mode : chosen;
    n.mode = &modes[g->mode];
    choose_privilege(&n);
    memset(g->ram, 0xf4, sizeof(g->ram));
    put_tables(&n);
    put_idt(&n);
    put_tss(&n);
    put_data(&n);
    if (n.mode->paged)
        put_paging(&n);
    set_state(&n);
    g->code_length = 0;
    for (n.item = 0; n.item < MAX_ITEMS; n.item++) {
        n.random.x = g->seed * 31 + n.item + 1;
        unsigned start = g->code_length;
        generate_item(&n);
        if (!(g->items >> n.item & 1)) {
            memset(g->ram + CODE + start, 0xf4, g->code_length - start);
            g->code_length = start;
        }
    }
}
