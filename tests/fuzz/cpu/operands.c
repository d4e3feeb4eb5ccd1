/* operands.c - brings the operands of a random instruction to where something can happen */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "tests/fuzz/cpu/generate.h"

struct item *item_add(struct test_case *c)
{
    struct item *it = &c->item[c->count++];
    memset(it, 0, sizeof(*it));
    return it;
}

/* ---- addresses ---- */

enum place { ANYWHERE, ALIGNED, EDGE, READ_ONLY, OUTSIDE, PLACES };

static u64 page_that(struct random *r, char right)
{
    for (;;) {
        u32 n = random_below(r, WINDOW_PAGES);
        if (window_rights[n] == right)
            return WINDOW_VA + n * PAGE;
    }
}

u64 random_address(struct random *r, unsigned size, bool write)
{
    static const u8 weights[PLACES] = {42, 34, 16, 6, 2};
    size = max(size, 1u);
    switch (random_choice(r, weights, PLACES)) {
    case ANYWHERE: return page_that(r, 'w') + random_below(r, PAGE - min(size, 2048u));
    case ALIGNED: return page_that(r, 'w') + random_below(r, PAGE / 64) * 64;
    case EDGE: {
        u64 edge = random_percent(r, 80) ? WINDOW_VA + (random_percent(r, 50) ? 1 : 6) * PAGE
                                         : WINDOW_VA + random_below(r, WINDOW_PAGES + 1) * PAGE;
        return edge - random_below(r, size + 1);
    }
    case READ_ONLY:
        return page_that(r, write && random_percent(r, 70) ? 'w' : 'r') + random_below(r, PAGE / 8) * 8;
    default: return WINDOW_VA - PAGE + random_below(r, (WINDOW_PAGES + 2) * PAGE);
    }
}

/* ---- registers ---- */

struct placing {
    struct test_case *c;
    struct random *r;
    const struct decoded *d;
    struct item *item;
    u16 set; /* registers that have been given values */
    u64 value[16];
};

static u8 gpr_number(ZydisRegister reg)
{
    if (reg >= ZYDIS_REGISTER_AH && reg <= ZYDIS_REGISTER_BH)
        return (u8)(reg - ZYDIS_REGISTER_AH);
    return (u8)ZydisRegisterGetId(ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg));
}

/* mov $value, %gpr */
static struct item *set_register(struct placing *p, u8 gpr, u64 value)
{
    struct item *it = item_add(p->c);
    it->setup = true;
    it->length = 10;
    it->bytes[0] = 0x48 | gpr >> 3;
    it->bytes[1] = 0xb8 | (gpr & 7);
    memcpy(it->bytes + 2, &value, 8);
    p->set |= (u16)BIT(gpr);
    p->value[gpr] = value;
    return it;
}

static bool is_set(const struct placing *p, u8 gpr)
{
    return p->set >> gpr & 1;
}

/* ---- memory operands ---- */

static void patch_displacement(struct placing *p, u64 value)
{
    unsigned at = p->d->i.raw.disp.offset, size = p->d->i.raw.disp.size / 8;
    if (p->d->op[0].mem.base == ZYDIS_REGISTER_RIP || size == 0)
        return;
    memcpy(p->item->bytes + at, &value, size);
}

static u64 random_index(struct random *r)
{
    return random_percent(r, 60) ? random_below(r, 200) : random_value(r);
}

/* base + index * scale + disp = target, as far as registers are free to choose. */
static void solve(struct placing *p, const ZydisDecodedOperand *o, u64 target)
{
    bool has_base = o->mem.base != ZYDIS_REGISTER_NONE, has_index = o->mem.index != ZYDIS_REGISTER_NONE;
    u8 base = has_base ? gpr_number(o->mem.base) : 0, index = has_index ? gpr_number(o->mem.index) : 0;
    u64 rest = target - (u64)o->mem.disp.value, scale = o->mem.scale ? o->mem.scale : 1;
    if (has_index && has_base && base == index) {
        if (!is_set(p, base))
            set_register(p, base, rest / (scale + 1));
    } else if (has_index && (!has_base || is_set(p, base))) {
        if (!is_set(p, index))
            set_register(p, index, (rest - (has_base ? p->value[base] : 0)) / scale);
    } else if (has_index && has_base) {
        if (!is_set(p, index))
            set_register(p, index, random_index(p->r));
        set_register(p, base, rest - p->value[index] * scale);
    } else if (has_base && !is_set(p, base)) {
        set_register(p, base, rest);
    }
}

/* vmovdqu64 from [abs32] to the ZMM register. */
static void load_wide_vector(struct placing *p, u8 number)
{
    struct item *it = item_add(p->c);
    u32 at = (u32)random_address(p->r, 64, false);
    it->setup = true;
    it->length = 11;
    const u8 bytes[] = {
        0x62, (u8)(0x61 | (~number & 8) << 4 | (~number & 16)), 0xfe, 0x48, 0x6f, (u8)(4 | (number & 7) << 3),
        0x25};
    memcpy(it->bytes, bytes, sizeof(bytes));
    memcpy(it->bytes + 7, &at, 4);
}

/* vmovdqu from [abs32] to the register: the window holds indices of all sizes. */
static void load_vector(struct placing *p, u8 number)
{
    struct item *it = item_add(p->c);
    u32 at = (u32)random_address(p->r, 64, false);
    it->setup = true;
    it->length = 10;
    const u8 bytes[] = {0xc4, number & 8 ? 0x61 : 0xe1, 0x7e, 0x6f, (u8)(4 | (number & 7) << 3), 0x25};
    memcpy(it->bytes, bytes, sizeof(bytes));
    memcpy(it->bytes + 6, &at, 4);
}

static void place_gather(struct placing *p, const ZydisDecodedOperand *o, u64 target)
{
    u8 index = (u8)ZydisRegisterGetId(o->mem.index);
    if (random_percent(p->r, 60)) {
        if (p->d->i.encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX)
            load_wide_vector(p, index);
        else
            load_vector(p, index);
    }
    if (o->mem.base != ZYDIS_REGISTER_NONE)
        set_register(p, gpr_number(o->mem.base), target - (u64)o->mem.disp.value);
}

static bool is_rip(ZydisRegister reg)
{
    return reg == ZYDIS_REGISTER_RIP || reg == ZYDIS_REGISTER_EIP;
}

static void place_memory_at(struct placing *p, const ZydisDecodedOperand *o, u64 target)
{
    if (o->mem.segment == ZYDIS_REGISTER_FS)
        target -= p->c->state.fs;
    if (o->mem.segment == ZYDIS_REGISTER_GS)
        target -= p->c->state.gs;
    if (is_rip(o->mem.base)) {
        p->item->fix = FIX_RIP32;
        p->item->fix_at = p->d->i.raw.disp.offset;
        p->item->target = target;
    } else if (o->mem.type == ZYDIS_MEMOP_TYPE_VSIB) {
        place_gather(p, o, target);
    } else if (o->mem.base == ZYDIS_REGISTER_NONE && o->mem.index == ZYDIS_REGISTER_NONE) {
        patch_displacement(p, target);
    } else if (random_percent(p->r, 92)) {
        solve(p, o, target);
    }
}

static bool is_stack(const ZydisDecodedOperand *o)
{
    return o->visibility == ZYDIS_OPERAND_VISIBILITY_HIDDEN &&
           (o->mem.base == ZYDIS_REGISTER_RSP || o->mem.base == ZYDIS_REGISTER_RBP);
}

static void place_memory(struct placing *p, const ZydisDecodedOperand *o)
{
    bool write = o->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;
    if (o->mem.type == ZYDIS_MEMOP_TYPE_AGEN || o->mem.type == ZYDIS_MEMOP_TYPE_MIB)
        return;
    if (is_stack(o) && random_percent(p->r, 75))
        return;
    place_memory_at(p, o, random_address(p->r, o->size / 8, write));
}

/* ---- other operands that decide much ---- */

static void place_count(struct placing *p)
{
    u64 count = random_below(p->r, 40);
    if (random_percent(p->r, 10))
        count = random_below(p->r, 6000);
    if (random_percent(p->r, 2))
        count = random64(p->r);
    set_register(p, RCX, count);
}

/* A dividend that the quotient has room for, mostly. */
static void place_dividend(struct placing *p)
{
    u64 small = random_below(p->r, 100);
    if (!random_percent(p->r, 75))
        return;
    if (!is_set(p, RDX))
        set_register(p, RDX, random_percent(p->r, 30) ? 0 : small);
    if (p->d->i.operand_width == 8 && !is_set(p, RAX))
        set_register(p, RAX, random64(p->r) & ~(u64)0xff00);
}

/* The bit offset moves the address. */
static void place_bit_offset(struct placing *p)
{
    const ZydisDecodedOperand *o = p->d->op;
    if (o[0].type != ZYDIS_OPERAND_TYPE_MEMORY || o[1].type != ZYDIS_OPERAND_TYPE_REGISTER)
        return;
    if (!is_set(p, gpr_number(o[1].reg.value)) && random_percent(p->r, 80))
        set_register(p, gpr_number(o[1].reg.value), (u64)random_below(p->r, 20000) - 10000);
}

static void place_special(struct placing *p)
{
    switch (p->d->i.mnemonic) {
    case ZYDIS_MNEMONIC_DIV:
    case ZYDIS_MNEMONIC_IDIV: place_dividend(p); break;
    case ZYDIS_MNEMONIC_BT:
    case ZYDIS_MNEMONIC_BTS:
    case ZYDIS_MNEMONIC_BTR:
    case ZYDIS_MNEMONIC_BTC: place_bit_offset(p); break;
    case ZYDIS_MNEMONIC_LOOP:
    case ZYDIS_MNEMONIC_LOOPE:
    case ZYDIS_MNEMONIC_LOOPNE:
    case ZYDIS_MNEMONIC_JCXZ:
    case ZYDIS_MNEMONIC_JECXZ:
    case ZYDIS_MNEMONIC_JRCXZ:
        if (random_percent(p->r, 50))
            set_register(p, RCX, random_below(p->r, 3));
        break;
    default:
        if (p->d->i.meta.category == ZYDIS_CATEGORY_STRINGOP)
            place_count(p);
    }
}

/* ---- branches ---- */

static bool is_branch(const struct decoded *d)
{
    return d->i.meta.branch_type == ZYDIS_BRANCH_TYPE_NEAR ||
           d->i.meta.branch_type == ZYDIS_BRANCH_TYPE_SHORT;
}

/* An item that will stand behind this instruction. */
static u64 branch_target(struct placing *p)
{
    return p->c->count + 1 + random_below(p->r, 4);
}

/* A word in the window that will hold the address of an item. */
static u64 place_pointer(struct placing *p)
{
    u64 at = random_percent(p->r, 80) ? page_that(p->r, 'w') + random_below(p->r, PAGE - 8)
                                      : WINDOW_VA + PAGE - random_below(p->r, 9);
    if (p->c->pointers < MAX_POINTERS)
        p->c->pointer[p->c->pointers++] =
            (struct pointer){.offset = (u32)(at - WINDOW_VA), .item = (u8)(branch_target(p) + 2)};
    return at;
}

static void place_direct_branch(struct placing *p)
{
    unsigned size = p->d->i.raw.imm[0].size;
    p->item->fix = size == 8 ? FIX_REL8 : size == 32 ? FIX_REL32 : FIX_NONE;
    p->item->fix_at = p->d->i.raw.imm[0].offset;
    p->item->target = branch_target(p);
}

static void place_indirect_branch(struct placing *p)
{
    const ZydisDecodedOperand *o = &p->d->op[0];
    if (p->d->i.mnemonic == ZYDIS_MNEMONIC_RET) {
        set_register(p, RSP, place_pointer(p));
    } else if (o->type == ZYDIS_OPERAND_TYPE_MEMORY) {
        place_memory_at(p, o, place_pointer(p));
    } else if (random_percent(p->r, 95)) {
        struct item *it = set_register(p, gpr_number(o->reg.value), 0);
        it->fix = FIX_IMM64;
        it->fix_at = 2;
        it->target = branch_target(p);
    }
}

static void place_branch(struct placing *p)
{
    place_special(p);
    if (p->d->op[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE && p->d->i.mnemonic != ZYDIS_MNEMONIC_RET)
        place_direct_branch(p);
    else
        place_indirect_branch(p);
}

void place_operands(struct test_case *c, struct random *r, const struct decoded *d, struct item *item)
{
    struct placing p = {.c = c, .r = r, .d = d, .item = item};
    if (is_branch(d)) {
        place_branch(&p);
        return;
    }
    for (unsigned i = 0; i < d->i.operand_count; i++)
        if (d->op[i].type == ZYDIS_OPERAND_TYPE_MEMORY)
            place_memory(&p, &d->op[i]);
    place_special(&p);
}
