/* limits.c - accesses that segmentation forbids, which TCG lets pass (SDM 3A 5.3, 5.5) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <Zydis/Zydis.h>

#include "tests/lockstep/limits.h"

enum { STACK_MARGIN = 256 };

static u64 register_value(const struct state *s, ZydisRegister r)
{
    switch (ZydisRegisterGetClass(r)) {
    case ZYDIS_REGCLASS_GPR16: return (u16)s->gpr[(unsigned)ZydisRegisterGetId(r)];
    case ZYDIS_REGCLASS_GPR32: return (u32)s->gpr[(unsigned)ZydisRegisterGetId(r)];
    default: return 0;
    }
}

static unsigned segment_index(ZydisRegister r)
{
    return (unsigned)ZydisRegisterGetId(r); /* es, cs, ss, ds, fs, gs */
}

static bool is_64bit(const struct state *s)
{
    return (s->efer & 0x400) && (s->segment[CS].attributes & 0x2000);
}

static bool is_expand_down(u16 attributes)
{
    return (attributes & 0x1c) == 0x14;
}

static bool is_within(const struct segment_state *d, u64 offset, u64 size)
{
    u64 last = offset + size - 1;
    if (is_expand_down(d->attributes))
        return offset > d->limit && last <= (d->attributes & 0x4000 ? 0xffffffff : 0xffff);
    return last <= d->limit;
}

static bool allows(const struct state *s, const struct segment_state *d, bool write)
{
    u16 a = d->attributes;
    if (!(s->cr0 & 1))
        return true;
    if (!(a & 0x80))
        return false;
    return write ? (a & 0xa) == 2 : (a & 0xa) != 8;
}

static bool breaks_memory(const struct state *s, const ZydisDecodedInstruction *in,
                          const ZydisDecodedOperand *op)
{
    const struct segment_state *d = &s->segment[segment_index(op->mem.segment)];
    u64 offset = register_value(s, op->mem.base) + register_value(s, op->mem.index) * op->mem.scale +
                 (u64)op->mem.disp.value;
    offset &= in->address_width == 16 ? 0xffff : 0xffffffff;
    u64 size = op->size ? op->size / 8 : 1;
    if (op->visibility == ZYDIS_OPERAND_VISIBILITY_HIDDEN && op->mem.segment == ZYDIS_REGISTER_SS)
        return false; /* is_at_stack_end has looked */
    return !allows(s, d, op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) || !is_within(d, offset, size);
}

/* An event would push beyond the end of the stack. */
static bool is_at_stack_end(const struct state *s)
{
    const struct segment_state *ss = &s->segment[SS];
    u64 sp = ss->attributes & 0x4000 ? (u32)s->gpr[RSP] : (u16)s->gpr[RSP];
    return !is_within(ss, sp - STACK_MARGIN, 2 * STACK_MARGIN);
}

/* Far transfers with a stack elsewhere than where their privilege level has its own. Those of CPL 3 read it
 * as a supervisor, and an IRET that finds VM there obeys at CPL 1 to 3 and in IA-32e mode too. */
static bool is_far_with_odd_stack(const struct state *s, const ZydisDecodedInstruction *in)
{
    unsigned cpl = s->rflags & BIT(17) ? 3 : s->segment[CS].selector & 3;
    bool iret = in->mnemonic == ZYDIS_MNEMONIC_IRET || in->mnemonic == ZYDIS_MNEMONIC_IRETD ||
                in->mnemonic == ZYDIS_MNEMONIC_IRETQ;
    bool far = in->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR && (s->cr0 & BIT(31)) && cpl == 3;
    u64 at = is_64bit(s) ? s->gpr[RSP] : (u32)(s->segment[SS].base + s->gpr[RSP]);
    return (far || (iret && (s->cr0 & 1) && (cpl || (s->efer & 0x400)))) &&
           (at & ~0xfffull) != STACKS + cpl * 0x1000;
}

/* A page fault would show that TCG pops one register after the other, and that its ARPL always writes. */
static bool breaks_page(const struct state *s, const ZydisDecodedInstruction *in)
{
    bool popa = in->mnemonic == ZYDIS_MNEMONIC_POPA || in->mnemonic == ZYDIS_MNEMONIC_POPAD;
    bool last = ((s->segment[SS].base + s->gpr[RSP]) & 0xfff) > 0x1000 - 32;
    return (s->cr0 & BIT(31)) && ((popa && last) || in->mnemonic == ZYDIS_MNEMONIC_ARPL);
}

static void decoder_init(ZydisDecoder *z, const struct state *s)
{
    bool big = s->segment[CS].attributes & 0x4000, big_stack = s->segment[SS].attributes & 0x4000;
    if (is_64bit(s))
        ZydisDecoderInit(z, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    else
        ZydisDecoderInit(z, big ? ZYDIS_MACHINE_MODE_LEGACY_32 : ZYDIS_MACHINE_MODE_LEGACY_16,
                         big_stack ? ZYDIS_STACK_WIDTH_32 : ZYDIS_STACK_WIDTH_16);
}

bool tcg_would_let_pass(const struct state *s, const u8 *code, unsigned size)
{
    ZydisDecoder z;
    ZydisDecodedInstruction in;
    ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
    decoder_init(&z, s);
    if (!is_64bit(s) && (!is_within(&s->segment[CS], s->rip, 1) || is_at_stack_end(s)))
        return true;
    if (!size || !ZYAN_SUCCESS(ZydisDecoderDecodeFull(&z, code, size, &in, op)))
        return false;
    if (is_64bit(s))
        return is_far_with_odd_stack(s, &in);
    if (breaks_page(s, &in))
        return true;
    if (in.mnemonic == ZYDIS_MNEMONIC_SYSCALL && (!(s->cr0 & 1) || (s->rflags & BIT(17))))
        return true;
    if (!is_within(&s->segment[CS], s->rip, in.length) || is_far_with_odd_stack(s, &in))
        return true;
    for (unsigned i = 0; i < in.operand_count; i++) {
        bool memory = op[i].type == ZYDIS_OPERAND_TYPE_MEMORY && op[i].mem.type == ZYDIS_MEMOP_TYPE_MEM;
        if (memory && breaks_memory(s, &in, &op[i]))
            return true;
    }
    return false;
}
