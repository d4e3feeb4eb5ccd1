/* evex.c - decoding of what only AVX-512 has: the EVEX prefix, opmasks, vectors of addresses (SDM 2A 2.7) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "hypervisor/cpu/handlers.h"
#include "hypervisor/translate/evex.h"

/* Outside 64-bit mode there are eight registers, whatever the bits say. */
void evex_take_encoding(struct tinsn *t, const struct decoded *d)
{
    enum { RXBR = 0xf0, VVVV_3 = 0x40, V = 0x08 }; /* all inverted */
    memcpy(t->evex, t->in.bytes + d->i.raw.evex.offset + 1, sizeof(t->evex));
    t->encoding = ENCODING_EVEX;
    if (t->in.bits == 64)
        return;
    t->evex[0] |= RXBR;
    t->evex[1] |= VVVV_3;
    t->evex[2] |= V;
}

bool evex_classify(struct tinsn *t, const struct decoded *d)
{
    bool gather = d->i.meta.category == ZYDIS_CATEGORY_GATHER;
    if (t->encoding != ENCODING_EVEX || !(gather || d->i.meta.category == ZYDIS_CATEGORY_SCATTER))
        return false;
    t->kind = KIND_SENSITIVE;
    t->handler = gather ? insn_vgather_opmask : insn_vscatter;
    t->in.opsize = (u8)(d->i.avx.vector_length / 8);
    t->in.reg |= (u8)(~t->evex[0] & 0x10);
    t->in.imm2 = t->evex[2] & 7;
    return true;
}

/* ---- opmasks of memory operands ---- */

static unsigned power_below(unsigned n)
{
    unsigned p = 1;
    while (2 * p <= n)
        p *= 2;
    return p;
}

/* The types of exceptions whose names end in NF access all of the operand (SDM 2A 2.8.1). Here are also those
 * that Zydis does not count among them. */
static bool faults_are_suppressed(const struct decoded *d)
{
    switch (d->i.mnemonic) {
    case ZYDIS_MNEMONIC_VCVTNE2PS2BF16:
    case ZYDIS_MNEMONIC_VDBPSADBW:
    case ZYDIS_MNEMONIC_VGF2P8AFFINEQB:
    case ZYDIS_MNEMONIC_VGF2P8AFFINEINVQB: return false;
    default: break;
    }
    switch (d->i.meta.exception_class) {
    case ZYDIS_EXCEPTION_CLASS_E1:
    case ZYDIS_EXCEPTION_CLASS_E2:
    case ZYDIS_EXCEPTION_CLASS_E3:
    case ZYDIS_EXCEPTION_CLASS_E4:
    case ZYDIS_EXCEPTION_CLASS_E5:
    case ZYDIS_EXCEPTION_CLASS_E6:
    case ZYDIS_EXCEPTION_CLASS_E10:
    case ZYDIS_EXCEPTION_CLASS_E11: return true;
    default: return false;
    }
}

static bool is_packed(const struct decoded *d)
{
    return d->i.meta.category == ZYDIS_CATEGORY_COMPRESS || d->i.meta.category == ZYDIS_CATEGORY_EXPAND;
}

/* Bits of the mask that count: elements of the destination or, if that is a mask itself or in memory, of the
 * memory operand. */
static unsigned mask_bits(const struct decoded *d, const ZydisDecodedOperand *memory)
{
    const ZydisDecodedOperand *to = &d->op[0];
    ZydisBroadcastMode mode = d->i.avx.broadcast.mode;
    if (mode && !d->i.avx.broadcast.is_static) /* {1toN} */
        return 1u << (mode - ZYDIS_BROADCAST_MODE_1_TO_2 + 1);
    bool vector = to->type == ZYDIS_OPERAND_TYPE_REGISTER &&
                  ZydisRegisterGetClass(to->reg.value) != ZYDIS_REGCLASS_MASK;
    if (!vector)
        return memory->element_count;
    return mode ? to->element_count : min(to->element_count, memory->element_count);
}

void evex_take_masking(struct tinsn *t, const struct decoded *d, const ZydisDecodedOperand *memory)
{
    bool masked = d->i.avx.mask.reg != ZYDIS_REGISTER_NONE && d->i.avx.mask.reg != ZYDIS_REGISTER_K0;
    bool suppressed = faults_are_suppressed(d);
    if (!masked || (!suppressed && !(t->access & OPERAND_WRITE)))
        return;
    t->masking = !suppressed ? MASKING_PROBED : is_packed(d) ? MASKING_PACKED : MASKING_PLAIN;
    unsigned bits = mask_bits(d, memory), elements = d->i.avx.broadcast.mode ? memory->element_count : bits;
    t->mask_bits = (u8)power_below(min(bits, 64u));
    t->mask_elements = (u8)power_below(min(elements, (unsigned)t->mask_bits));
}
