/* producer.c - arithmetic flags made again (SDM 1 3.4.3.1) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "hypervisor/translate/producer.h"

/* The forms of the eight operations of opcodes 00..3f and of groups 1 and 3 (SDM 2A table A-2), and of TEST.
 */
static bool operation_of(const struct tinsn *i, u8 *op)
{
    static const u8 arithmetic[8] = {
        PRODUCER_ADD,   PRODUCER_LOGIC, 0xff,           0xff,
        PRODUCER_LOGIC, PRODUCER_SUB,   PRODUCER_LOGIC, PRODUCER_CMP}; /* adc and sbb also read CF */
    if (i->kind != KIND_COPY || i->encoding != ENCODING_LEGACY || i->map != 0)
        return false;
    if (i->opcode < 0x40)
        *op = arithmetic[i->opcode >> 3];
    else if (i->opcode >= 0x80 && i->opcode <= 0x83)
        *op = arithmetic[i->modrm_reg & 7];
    else if (i->opcode == 0x84 || i->opcode == 0x85 || i->opcode == 0xa8 || i->opcode == 0xa9)
        *op = PRODUCER_TEST;
    else if ((i->opcode == 0xf6 || i->opcode == 0xf7) && (i->modrm_reg & 6) == 0)
        *op = PRODUCER_TEST;
    else
        return false;
    return *op != 0xff;
}

static s32 immediate_of(const struct tinsn *i)
{
    return (s32)i->in.imm; /* Zydis has sign-extended it */
}

bool producer_of(const struct tinsn *i, struct producer *p)
{
    if (i->soft || !operation_of(i, &p->op) || i->reg.byte_high || i->rm.byte_high)
        return false;
    p->size = i->in.opsize;
    p->from = GPR_NONE;
    p->immediate = 0;
    bool accumulator = i->opcode < 0x40 ? (i->opcode & 7) >= 4 : i->opcode == 0xa8 || i->opcode == 0xa9;
    if (accumulator) {
        p->to = GPR_RAX;
        p->immediate = immediate_of(i);
    } else if (!i->reg.used) {
        p->to = i->rm.gpr;
        p->immediate = immediate_of(i);
    } else {
        bool to_reg = i->opcode < 0x40 && (i->opcode & 2);
        p->to = to_reg ? i->reg.gpr : i->rm.gpr;
        p->from = to_reg ? i->rm.gpr : i->reg.gpr;
    }
    if (p->op == PRODUCER_SUB && p->from == p->to)
        p->op = PRODUCER_LOGIC; /* 0, and so are CF, OF and AF */
    return !(p->op == PRODUCER_ADD && p->from == p->to);
}

#define FLAGS_OF(suffix, type)                                                                            \
    static u32 add_##suffix(u64 a, u64 b)                                                                 \
    {                                                                                                     \
        u32 cc = 0;                                                                                       \
        type x = (type)a;                                                                                 \
        __asm__("add %2, %1; mov $0, %%eax; lahf; seto %%al" : "=&a"(cc), "+q"(x) : "q"((type)b) : "cc"); \
        return cc;                                                                                        \
    }                                                                                                     \
    static u32 sub_##suffix(u64 a, u64 b)                                                                 \
    {                                                                                                     \
        u32 cc = 0;                                                                                       \
        type x = (type)a;                                                                                 \
        __asm__("sub %2, %1; mov $0, %%eax; lahf; seto %%al" : "=&a"(cc), "+q"(x) : "q"((type)b) : "cc"); \
        return cc;                                                                                        \
    }                                                                                                     \
    static u32 test_##suffix(u64 a, u64 b)                                                                \
    {                                                                                                     \
        u32 cc;                                                                                           \
        __asm__("test %2, %1; mov $0, %%eax; lahf; seto %%al"                                             \
                : "=&a"(cc)                                                                               \
                : "q"((type)a), "q"((type)b)                                                              \
                : "cc");                                                                                  \
        return cc;                                                                                        \
    }

FLAGS_OF(1, u8)
FLAGS_OF(2, u16)
FLAGS_OF(4, u32)
FLAGS_OF(8, u64)

typedef u32 flags_fn(u64 a, u64 b);

static u32 by_size(u8 size, flags_fn *f1, flags_fn *f2, flags_fn *f4, flags_fn *f8, u64 a, u64 b)
{
    return (size == 1 ? f1 : size == 2 ? f2 : size == 4 ? f4 : f8)(a, b);
}

u32 producer_flags(const struct producer *p, const u64 *gpr)
{
    u64 to = gpr[p->to], from = p->from == GPR_NONE ? (u64)(s64)p->immediate : gpr[p->from];
    switch (p->op) {
    case PRODUCER_ADD: return by_size(p->size, add_1, add_2, add_4, add_8, to - from, from);
    case PRODUCER_SUB: return by_size(p->size, sub_1, sub_2, sub_4, sub_8, to + from, from);
    case PRODUCER_CMP: return by_size(p->size, sub_1, sub_2, sub_4, sub_8, to, from);
    case PRODUCER_TEST: return by_size(p->size, test_1, test_2, test_4, test_8, to, from);
    default: return by_size(p->size, test_1, test_2, test_4, test_8, to, to);
    }
}
