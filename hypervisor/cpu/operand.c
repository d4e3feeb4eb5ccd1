/* operand.c - operands of a decoded instruction (SDM 1 3.7) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/cpu/vcpu.h"

static u64 low_bytes(u64 value, unsigned size)
{
    return size >= 8 ? value : value & (BIT(size * 8) - 1);
}

/* The effective address wraps at its own size: 64 KiB, 4 GiB, or not at all. */
u64 operand_offset(struct vcpu *v, const struct insn *in)
{
    const struct memop *m = &in->mem;
    u64 offset = (u64)m->disp;
    if (m->base == GPR_RIP)
        offset += v->code_page;
    else if (m->base != GPR_NONE)
        offset += v->gpr[m->base & 15];
    if (m->index != GPR_NONE)
        offset += v->gpr[m->index & 15] * m->scale;
    return low_bytes(offset, in->addrsize);
}

gva operand_linear(struct vcpu *v, const struct insn *in, unsigned size, bool write)
{
    return segment_linear(v, in->mem.seg, operand_offset(v, in), size, write);
}

u64 operand_read_rm(struct vcpu *v, const struct insn *in, unsigned size)
{
    if (!in->rm_is_mem)
        return reg_read(v, in, in->rm, size);
    return guest_load(v, operand_linear(v, in, size, false), size, AS_CPL);
}

void operand_write_rm(struct vcpu *v, const struct insn *in, unsigned size, u64 value)
{
    if (in->rm_is_mem)
        guest_store(v, operand_linear(v, in, size, true), size, value, AS_CPL);
    else
        reg_write(v, in, in->rm, size, value);
}

/* AH, CH, DH and BH are bits 15:8 of the registers 0 to 3. */
static bool is_high_byte(const struct insn *in, u8 reg, unsigned size)
{
    return size == 1 && !in->rex && reg >= 4 && reg < 8;
}

u64 reg_read(struct vcpu *v, const struct insn *in, u8 reg, unsigned size)
{
    if (is_high_byte(in, reg, size))
        return v->gpr[reg - 4] >> 8 & 0xff;
    return low_bytes(v->gpr[reg & 15], size);
}

void reg_write(struct vcpu *v, const struct insn *in, u8 reg, unsigned size, u64 value)
{
    if (is_high_byte(in, reg, size)) {
        u64 *r = &v->gpr[reg - 4];
        *r = (*r & ~0xff00ull) | (value & 0xff) << 8;
        return;
    }
    u64 *r = &v->gpr[reg & 15];
    if (size >= 4)
        *r = low_bytes(value, size);
    else
        *r = (*r & ~(BIT(size * 8) - 1)) | low_bytes(value, size);
}
