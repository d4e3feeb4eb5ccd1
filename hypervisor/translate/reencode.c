/* reencode.c - a guest instruction again, with its general registers renamed and its memory operand where
 * translator.operand says */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Evicted guest registers are loaded into r12 (and r14 where there is no memory operand) and stored back, or,
 * as the only r/m operand, used where they are: in struct vcpu. An instruction that needs one register more,
 * or that names ah..bh (which cannot stand beside a REX prefix) together with a register that needs REX,
 * borrows a native guest register that it does not use: its value waits in spill[SPILL_BORROWED], and the pc
 * map says so in case the instruction faults.
 */
#include <Zydis/Mnemonic.h>

#include "hypervisor/cpu/vendor.h"
#include "hypervisor/translate/translate.h"

struct renaming {
    u8 guest[3], host[3]; /* evicted registers in scratch registers */
    unsigned count;
    u8 borrowed;     /* native register taken for a value, or H_NONE */
    bool rm_in_slot; /* the r/m operand is the place of the register in struct vcpu */
};

static bool uses_high_byte(const struct tinsn *i)
{
    return i->reg.byte_high || i->rm.byte_high || i->v.byte_high || i->op.byte_high;
}

static u16 registers_used(const struct tinsn *i)
{
    u16 used = i->implicit_gprs | BIT(H_RSP);
    if (i->has_mem && i->in.mem.base != GPR_NONE)
        used |= (u16)BIT(i->in.mem.base);
    if (i->has_mem && i->in.mem.index != GPR_NONE)
        used |= (u16)BIT(i->in.mem.index);
    const struct field *f[] = {&i->reg, &i->rm, &i->v, &i->op};
    for (size_t n = 0; n < ARRAY_SIZE(f); n++)
        if (f[n]->used)
            used |= (u16)BIT(f[n]->gpr);
    return used;
}

/* A register that can be named without REX, is no base with a special encoding, and is not used by i. */
static u8 borrow(struct translator *t, const struct tinsn *i, struct renaming *r)
{
    static const u8 candidates[] = {H_RDI, H_RSI, H_RBX, H_RDX, H_RCX, H_RAX};
    u16 used = registers_used(i);
    u8 choice = H_RDI;
    for (size_t n = 0; n < ARRAY_SIZE(candidates); n++)
        if (!(used >> candidates[n] & 1)) {
            choice = candidates[n];
            break;
        }
    r->borrowed = choice;
    emit_store(&t->e, spill(SPILL_BORROWED), choice);
    map_here(t, i, choice);
    return choice;
}

static u8 rename_field(struct translator *t, const struct tinsn *i, struct renaming *r, const struct field *f)
{
    if (f->byte_high)
        return f->gpr + 4;
    if (f->gpr == GPR_RSP && uses_high_byte(i)) {
        u8 host = borrow(t, i, r);
        emit_move(&t->e, host, H_GUEST_RSP);
        return host;
    }
    if (!is_evicted(f->gpr))
        return host_reg(f->gpr);
    for (unsigned n = 0; n < r->count; n++)
        if (r->guest[n] == f->gpr) {
            if (!f->replaced) /* the field before may not have needed the old value */
                emit_load(&t->e, r->host[n], slot(f->gpr));
            return r->host[n];
        }
    u8 host = r->count == 0 ? H_SCRATCH : !i->has_mem && r->count == 1 ? H_ADDRESS : borrow(t, i, r);
    if (host == H_ADDRESS)
        t->in_address = NULL;
    r->guest[r->count] = f->gpr;
    r->host[r->count++] = host;
    if (!f->replaced)
        emit_load(&t->e, host, slot(f->gpr));
    return host;
}

/* May the r/m operand be the register's slot itself? Not where the memory form means something else (bit
 * strings, the lock of XCHG, flags of rotations) or has another opcode (KMOV, VPBROADCAST), and not for parts
 * of a register: a narrow store would delay the next load, and a 32-bit write clears the upper half. */
static bool fits_slot(const struct tinsn *i)
{
    if (!i->rm.used || i->has_mem || !is_evicted(i->rm.gpr) || i->rm.size < 4 || i->unit == UNIT_AVX512 ||
        (i->rm.written && i->rm.size != 8))
        return false;
    if (i->rm.written && i->reg.used && i->reg.written) /* xadd with itself */
        return false;
    switch (i->in.mnemonic) {
    case ZYDIS_MNEMONIC_ROL:
    case ZYDIS_MNEMONIC_ROR: return !i->imm_size || !rotates_of_memory_differ();
    case ZYDIS_MNEMONIC_BT:
    case ZYDIS_MNEMONIC_BTS:
    case ZYDIS_MNEMONIC_BTR:
    case ZYDIS_MNEMONIC_BTC:
    case ZYDIS_MNEMONIC_NOP: /* 0f 0d, which only its memory form defines */
    case ZYDIS_MNEMONIC_XCHG: return false;
    default: return true;
    }
}

static void emit_map(struct emitter *e, u8 map)
{
    if (map)
        emit8(e, 0x0f);
    if (map == 2)
        emit8(e, 0x38);
    if (map == 3)
        emit8(e, 0x3a);
}

/* The encoding as it will be written. */
struct form {
    bool modrm, mem, evex;
    u8 opcode, reg, rm, v; /* rm: a register */
    struct host_mem m;
};

static void emit_modrm(struct emitter *e, const struct form *f)
{
    if (f->mem && f->evex)
        emit_modrm_mem_unscaled(e, f->reg, f->m);
    else if (f->mem)
        emit_modrm_mem(e, f->reg, f->m);
    else if (f->modrm)
        emit8(e, (u8)(0xc0 | (f->reg & 7) << 3 | (f->rm & 7)));
}

/* The fourth bit of the base or the register, and of the index. */
static u8 extension_b(const struct form *f)
{
    u8 rm = !f->mem ? f->rm : f->m.base == H_NONE ? 0 : f->m.base;
    return rm >> 3 & 1;
}

static u8 extension_x(const struct form *f)
{
    return f->mem && f->m.index != H_NONE ? f->m.index >> 3 & 1 : 0;
}

static void emit_legacy(struct translator *t, const struct tinsn *i, const struct form *f)
{
    struct emitter *e = &t->e;
    emit_bytes(e, i->prefix, i->prefix_count);
    u8 rex =
        (u8)(0x40 | i->w << 3 | (f->modrm ? f->reg >> 3 & 1 : 0) << 2 | extension_x(f) << 1 | extension_b(f));
    if (rex != 0x40 || i->rex_present)
        emit8(e, rex);
    emit_map(e, i->map);
    emit8(e, f->opcode);
    emit_modrm(e, f);
}

static void emit_vex(struct translator *t, const struct tinsn *i, const struct form *f)
{
    struct emitter *e = &t->e;
    emit8(e, 0xc4);
    emit8(e, (u8)((~f->reg >> 3 & 1) << 7 | !extension_x(f) << 6 | !extension_b(f) << 5 | i->map));
    emit8(e, (u8)(i->w << 7 | (~f->v & 15) << 3 | i->vex_l << 2 | i->vex_pp));
    emit8(e, f->opcode);
    emit_modrm(e, f);
}

/* Of the prefix only the bits change that name a general register: R, B and, as the fifth bit of a vector
 * register in ModRM.rm, X. All are inverted. */
static void emit_evex(struct translator *t, const struct tinsn *i, const struct form *f)
{
    enum { R = 0x80, X = 0x40, B = 0x20 };
    struct emitter *e = &t->e;
    u8 p0 = i->evex[0] & (u8) ~(R | B);
    if (f->mem || i->rm.used) /* of a memory operand the index, and group.c gives none with EVEX */
        p0 |= X;
    p0 |= (u8)((f->reg & 8 ? 0 : R) | (extension_b(f) ? 0 : B));
    emit8(e, 0x62);
    emit8(e, p0);
    emit_bytes(e, i->evex + 1, 2);
    emit8(e, f->opcode);
    emit_modrm(e, f);
}

/* Encodings that 64-bit mode lacks, in their ModRM form (SDM 2A 2.2.1.2, 2B MOV moffs). */
static bool legacy_only_form(const struct translator *t, const struct tinsn *i, struct form *f)
{
    bool one_byte = i->encoding == ENCODING_LEGACY && i->map == 0;
    if (one_byte && !i->has_modrm && i->has_mem && i->opcode >= 0xa0 && i->opcode <= 0xa3) {
        static const u8 mov[] = {0x8a, 0x8b, 0x88, 0x89};
        *f = (struct form){.modrm = true, .mem = true, .opcode = mov[i->opcode - 0xa0], .reg = H_RAX};
        return true;
    }
    if (one_byte && !is_64(t) && i->opcode >= 0x40 && i->opcode <= 0x4f) {
        *f = (struct form){.modrm = true, .opcode = 0xff, .reg = i->opcode >= 0x48};
        return true;
    }
    if (one_byte && i->opcode == 0x82) {
        *f = (struct form){
            .modrm = true, .mem = i->has_mem, .opcode = 0x80, .reg = i->modrm_reg, .rm = i->modrm_rm};
        return true;
    }
    return false;
}

/* moffs has its displacement where others have an immediate. */
static unsigned immediate_size(const struct tinsn *i)
{
    bool moffs = i->encoding == ENCODING_LEGACY && i->map == 0 && i->opcode >= 0xa0 && i->opcode <= 0xa3;
    return moffs ? 0 : i->imm_size;
}

static void store_back(struct translator *t, const struct tinsn *i, const struct renaming *r)
{
    const struct field *f[] = {&i->reg, &i->rm, &i->v, &i->op};
    for (unsigned n = 0; n < r->count; n++)
        for (size_t k = 0; k < ARRAY_SIZE(f); k++)
            if (f[k]->used && f[k]->written && !(f[k] == &i->rm && r->rm_in_slot) && !f[k]->byte_high &&
                f[k]->gpr == r->guest[n]) {
                emit_store(&t->e, slot(r->guest[n]), r->host[n]);
                break;
            }
}

static void give_back(struct translator *t, const struct tinsn *i, const struct renaming *r)
{
    if (r->borrowed == H_NONE)
        return;
    bool rsp_written = (i->reg.used && i->reg.written && i->reg.gpr == GPR_RSP && !i->reg.byte_high) ||
                       (i->rm.used && i->rm.written && i->rm.gpr == GPR_RSP && !i->rm.byte_high);
    if (uses_high_byte(i) && rsp_written)
        emit_move(&t->e, H_GUEST_RSP, r->borrowed);
    emit_load(&t->e, r->borrowed, spill(SPILL_BORROWED));
    map_here(t, i, GPR_NONE);
}

/* The register offset of a bit string without what emit_bit_offset has moved into the address. */
static void emit_bit_number(struct translator *t, const struct tinsn *i)
{
    emit_move(&t->e, H_SCRATCH, emit_read_gpr(t, i->reg.gpr, H_SCRATCH));
    emit_op_reg(&t->e, 0x83, false, 4, H_SCRATCH); /* and */
    emit8(&t->e, (u8)(i->in.opsize * 8 - 1));
}

/* The form with an r/m operand of the same instruction, which is the immediate in the block's copy of the
 * code. */
static void emit_soft(struct translator *t, const struct tinsn *i)
{
    struct renaming r = {.borrowed = H_NONE};
    u64 end = i->in.rip + i->in.length - t->block->pc;
    u8 reg = H_RAX, op;
    bool sign_extended = i->opcode == 0xc7 && i->w;
    if (i->opcode >= 0xb8)
        op = i->opcode == 0xf7 ? 0x85 : sign_extended ? 0x63 : 0x8b;
    else
        op = i->opcode == 0xa9 ? 0x85
                               : (u8)((i->opcode == 0x81 ? i->modrm_reg << 3 & 0x38 : i->opcode & 0x38) | 3);
    flags_for(t, i);
    map_here(t, i, GPR_NONE);
    if (i->op.used || i->rm.used)
        reg = rename_field(t, i, &r, i->op.used ? &i->op : &i->rm);
    emit_op_near(&t->e, op, i->w, reg, t->block->source + end - i->imm_size, 0);
    store_back(t, i, &r);
    flags_after(t, i);
}

void emit_renamed(struct translator *t, const struct tinsn *i)
{
    if (i->soft) {
        emit_soft(t, i);
        return;
    }
    struct renaming r = {.borrowed = H_NONE};
    struct form f = {.modrm = i->has_modrm,
                     .mem = i->has_mem,
                     .evex = i->encoding == ENCODING_EVEX,
                     .opcode = i->opcode,
                     .reg = i->modrm_reg,
                     .rm = i->modrm_rm,
                     .v = i->vvvv};
    bool other_form = legacy_only_form(t, i, &f);
    if (i->bit_string)
        emit_bit_number(t, i);
    flags_for(t, i);
    map_here(t, i, GPR_NONE);
    if (i->bit_string)
        f.reg = H_SCRATCH;
    else if (i->reg.used)
        f.reg = rename_field(t, i, &r, &i->reg);
    if (fits_slot(i) && !other_form) {
        r.rm_in_slot = true;
        f.mem = true;
        f.m = at(H_VCPU, VCPU_GPR(i->rm.gpr));
    } else if (i->rm.used && !f.mem) {
        f.rm = rename_field(t, i, &r, &i->rm);
    }
    if (i->v.used)
        f.v = rename_field(t, i, &r, &i->v);
    if (i->op.used) {
        f.rm = rename_field(t, i, &r, &i->op);
        if (!other_form)
            f.opcode = (i->opcode & 0xf8) | (f.rm & 7);
    }
    if (f.mem && !r.rm_in_slot) {
        f.m = t->operand;
        if (uses_high_byte(i)) {
            f.m = at(borrow(t, i, &r), 0);
            emit_move(&t->e, f.m.base, H_ADDRESS);
        }
    }
    if (!f.modrm && !i->op.used)
        f.rm = 0;
    if (i->encoding == ENCODING_VEX)
        emit_vex(t, i, &f);
    else if (f.evex)
        emit_evex(t, i, &f);
    else
        emit_legacy(t, i, &f);
    emit_bytes(&t->e, i->imm, immediate_size(i));
    store_back(t, i, &r);
    give_back(t, i, &r);
    flags_after(t, i);
}
