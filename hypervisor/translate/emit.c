/* emit.c - x86-64 encoding (SDM 2A ch. 2) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/translate/emit.h"

static u8 scale_bits(u8 scale)
{
    return scale == 8 ? 3 : scale == 4 ? 2 : scale == 2 ? 1 : 0;
}

static void modrm_mem(struct emitter *e, u8 reg, struct host_mem m, bool may_be_short)
{
    u8 r = (u8)((reg & 7) << 3);
    if (m.base == H_NONE) { /* SIB without base: disp32 */
        u8 index = m.index == H_NONE ? 4 : m.index & 7;
        emit8(e, r | 4);
        emit8(e, (u8)(scale_bits(m.scale) << 6 | index << 3 | 5));
        emit32(e, (u32)m.disp);
        return;
    }
    bool disp0 = m.disp == 0 && (m.base & 7) != 5; /* rbp and r13 need a displacement */
    bool disp8 = may_be_short && m.disp == (s8)m.disp;
    u8 mod = disp0 ? 0 : disp8 ? 0x40 : 0x80;
    if (m.index != H_NONE || (m.base & 7) == 4) {
        u8 index = m.index == H_NONE ? 4 : m.index & 7;
        emit8(e, mod | r | 4);
        emit8(e, (u8)(scale_bits(m.scale) << 6 | index << 3 | (m.base & 7)));
    } else {
        emit8(e, mod | r | (m.base & 7));
    }
    if (disp0)
        return;
    if (disp8)
        emit8(e, (u8)m.disp);
    else
        emit32(e, (u32)m.disp);
}

void emit_modrm_mem(struct emitter *e, u8 reg, struct host_mem m)
{
    modrm_mem(e, reg, m, true);
}

void emit_modrm_mem_unscaled(struct emitter *e, u8 reg, struct host_mem m)
{
    modrm_mem(e, reg, m, false);
}

static void emit_rex(struct emitter *e, bool wide, u8 reg, u8 index, u8 base)
{
    u8 rex = (u8)(0x40 | wide << 3 | (reg >> 3 & 1) << 2 | (index != H_NONE ? index >> 3 & 1 : 0) << 1 |
                  (base != H_NONE ? base >> 3 & 1 : 0));
    if (rex != 0x40)
        emit8(e, rex);
}

static void emit_opcode(struct emitter *e, u32 op)
{
    for (int shift = 16; shift >= 0; shift -= 8)
        if (op >> shift)
            emit8(e, (u8)(op >> shift));
}

void emit_op_mem(struct emitter *e, u32 op, bool wide, u8 reg, struct host_mem m)
{
    emit_rex(e, wide, reg, m.index, m.base);
    emit_opcode(e, op);
    emit_modrm_mem(e, reg, m);
}

void emit_op_near(struct emitter *e, u32 op, bool wide, u8 reg, const void *target, unsigned after)
{
    emit_rex(e, wide, reg, H_NONE, H_NONE);
    emit_opcode(e, op);
    emit8(e, (u8)((reg & 7) << 3 | 5));
    emit32(e, (u32)((uintptr_t)target - ((uintptr_t)e->p + (u64)e->delta + 4 + after)));
}

void emit_op_reg(struct emitter *e, u32 op, bool wide, u8 reg, u8 rm)
{
    emit_rex(e, wide, reg, H_NONE, rm);
    emit_opcode(e, op);
    emit8(e, (u8)(0xc0 | (reg & 7) << 3 | (rm & 7)));
}

void emit_immediate(struct emitter *e, u8 reg, u64 value)
{
    if (value == (u32)value) {
        emit_rex(e, false, 0, H_NONE, reg);
        emit8(e, 0xb8 | (reg & 7));
        emit32(e, (u32)value);
    } else if (value == (u64)(s64)(s32)value) {
        emit_op_reg(e, 0xc7, true, 0, reg);
        emit32(e, (u32)value);
    } else {
        emit_rex(e, true, 0, H_NONE, reg);
        emit8(e, 0xb8 | (reg & 7));
        emit64(e, value);
    }
}

u8 *emit_jcc(struct emitter *e, enum condition cc)
{
    emit8(e, 0x0f);
    emit8(e, (u8)(0x80 | cc));
    emit32(e, 0);
    return e->p - 4;
}

u8 *emit_jmp(struct emitter *e)
{
    emit8(e, 0xe9);
    emit32(e, 0);
    return e->p - 4;
}

void emit_align_site(struct emitter *e, unsigned opcode)
{
    static const u8 nop[4][3] = {{0}, {0x90}, {0x66, 0x90}, {0x0f, 0x1f, 0x00}};
    unsigned at = ((uintptr_t)e->p + opcode) & 7, pad = at > 4 ? 8 - at : 0;
    emit_bytes(e, nop[pad], pad);
}

void emit_patch(u8 *site, const u8 *target)
{
    s32 rel = (s32)(target - (site + 4));
    memcpy(site, &rel, 4);
}

void emit_jmp_to(struct emitter *e, const u8 *target)
{
    u8 *site = emit_jmp(e);
    if (!e->overflow)
        emit_patch(site, target);
}

void emit_flags_save(struct emitter *e, struct host_mem cc, struct host_mem spill)
{
    emit_store(e, spill, H_RAX);
    emit8(e, 0x9f);                      /* lahf */
    emit_op_reg(e, 0x0f90, false, 0, 0); /* seto al */
    emit_op_mem(e, 0x89, false, H_RAX, cc);
    emit_load(e, H_RAX, spill);
}

void emit_flags_restore(struct emitter *e, struct host_mem cc, struct host_mem spill)
{
    emit_store(e, spill, H_RAX);
    emit_op_mem(e, 0x8b, false, H_RAX, cc);
    emit8(e, 0x04); /* add al, 0x7f: OF from bit 0 */
    emit8(e, 0x7f);
    emit8(e, 0x9e); /* sahf */
    emit_load(e, H_RAX, spill);
}
