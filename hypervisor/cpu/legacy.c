/* legacy.c - what long mode dropped, and other rare unprivileged instructions (SDM 2A, 2B) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/cpu/handlers.h"
#include "hypervisor/cpu/stack.h"
#include "hypervisor/cpu/vcpu.h"

/* ---- stack frames ---- */

void insn_pusha(struct vcpu *v, const struct insn *in)
{
    struct stack s;
    stack_current(v, &s);
    stack_probe(v, &s, 8, in->opsize);
    for (unsigned r = GPR_RAX; r <= GPR_RDI; r++)
        stack_push(v, &s, in->opsize, v->gpr[r]); /* of rSP, the value before */
    stack_commit(v, &s);
}

/* The image of rSP is skipped. */
void insn_popa(struct vcpu *v, const struct insn *in)
{
    u64 value[8];
    struct stack s;
    stack_current(v, &s);
    for (int r = GPR_RDI; r >= GPR_RAX; r--)
        value[r] = stack_pop(v, &s, in->opsize);
    for (unsigned r = GPR_RAX; r <= GPR_RDI; r++)
        if (r != GPR_RSP)
            reg_write(v, in, (u8)r, in->opsize, value[r]);
    stack_commit(v, &s);
}

static void enter_push(struct vcpu *v, struct stack *s, unsigned size, u64 value)
{
    stack_probe(v, s, 1, size);
    stack_push(v, s, size, value);
}

/* Copies level - 1 frame pointers of the enclosing procedures, and this one's (SDM 1 6.6.1). */
static void enter_display(struct vcpu *v, struct stack *s, unsigned size, unsigned level, u64 frame)
{
    u64 bp = v->gpr[GPR_RBP];
    for (unsigned i = 1; i < level; i++) {
        bp -= size;
        u64 outer = guest_load(v, segment_linear(v, SEG_SS, bp & s->mask, size, false), size, AS_CPL);
        enter_push(v, s, size, outer);
    }
    enter_push(v, s, size, frame);
}

/* Faults as a write at the new top of the stack would. */
static void enter_probe(struct vcpu *v, const struct stack *s, unsigned size)
{
    struct stack top = *s;
    top.sp += size;
    stack_probe(v, &top, 1, size);
}

void insn_enter(struct vcpu *v, const struct insn *in)
{
    unsigned level = in->imm2 & 31, size = in->opsize;
    u64 allocate = (u16)in->imm;
    struct stack s;
    stack_current(v, &s);
    enter_push(v, &s, size, v->gpr[GPR_RBP]); /* what is pushed before a fault stays in memory */
    u64 frame = s.sp & s.mask;
    if (level)
        enter_display(v, &s, size, level, frame);
    s.sp = (s.sp & ~s.mask) | ((s.sp - allocate) & s.mask);
    enter_probe(v, &s, size);
    reg_write(v, in, GPR_RBP, size, frame);
    stack_commit(v, &s);
}

/* ---- BOUND, XLAT, SALC ---- */

void insn_bound(struct vcpu *v, const struct insn *in)
{
    unsigned size = in->opsize, bits = size * 8;
    gva a = operand_linear(v, in, 2 * size, false);
    u64 pair[2] = {0};
    guest_read(v, a, (u8 *)pair, size, AS_CPL);
    guest_read(v, in_64bit(v) ? a + size : (u32)(a + size), (u8 *)(pair + 1), size, AS_CPL);
    s64 index = (s64)sign_extend(reg_read(v, in, in->reg, size), bits);
    if (index < (s64)sign_extend(pair[0], bits) || index > (s64)sign_extend(pair[1], bits))
        raise_exception(v, EXC_BR);
}

void insn_xlat(struct vcpu *v, const struct insn *in)
{
    u64 offset = v->gpr[GPR_RBX] + (u8)v->gpr[GPR_RAX];
    if (in->addrsize < 8)
        offset &= BIT(in->addrsize * 8) - 1;
    u64 value = guest_load(v, segment_linear(v, in->mem.seg, offset, 1, false), 1, AS_CPL);
    reg_write(v, in, GPR_RAX, 1, value);
}

static bool cf(const struct vcpu *v)
{
    return v->cc >> 8 & FLAG_CF;
}

void insn_salc(struct vcpu *v, const struct insn *in)
{
    reg_write(v, in, GPR_RAX, 1, cf(v) ? 0xff : 0);
}

/* ---- decimal arithmetic ---- */

static u8 al(const struct vcpu *v)
{
    return (u8)v->gpr[GPR_RAX];
}

static bool low_digit_adjusts(const struct vcpu *v)
{
    return (al(v) & 0xf) > 9 || (v->cc >> 8 & FLAG_AF);
}

/* SF, ZF and PF by AL, as TEST gives them; AF and CF as told. */
static void set_flags(struct vcpu *v, bool af, bool carry)
{
    u32 cc = al(v);
    __asm__("testb %%al, %%al; lahf; seto %%al" : "+a"(cc) : : "cc");
    cc &= 0xffff & ~(u32)((FLAG_AF | FLAG_CF) << 8);
    v->cc = cc | (af ? FLAG_AF << 8 : 0) | (carry ? FLAG_CF << 8 : 0);
}

static void decimal_adjust(struct vcpu *v, const struct insn *in, int sign)
{
    u8 old = al(v), value = old;
    bool af = low_digit_adjusts(v), high = old > 0x99 || cf(v), carry = false;
    if (af) {
        carry = sign > 0 ? old > 0xff - 6 : old < 6;
        value = (u8)(value + sign * 6);
    }
    if (high)
        value = (u8)(value + sign * 0x60);
    /* DAA clears CF where neither digit needs it; DAS keeps the borrow of the low one. */
    carry = high || (sign < 0 && carry);
    reg_write(v, in, GPR_RAX, 1, value);
    set_flags(v, af, carry);
}

void insn_daa(struct vcpu *v, const struct insn *in)
{
    decimal_adjust(v, in, 1);
}

void insn_das(struct vcpu *v, const struct insn *in)
{
    decimal_adjust(v, in, -1);
}

static void ascii_adjust(struct vcpu *v, const struct insn *in, u16 by)
{
    bool adjusts = low_digit_adjusts(v);
    u16 ax = (u16)(v->gpr[GPR_RAX] + (adjusts ? by : 0));
    reg_write(v, in, GPR_RAX, 2, ax & 0xff0f);
    set_flags(v, adjusts, adjusts);
}

void insn_aaa(struct vcpu *v, const struct insn *in)
{
    ascii_adjust(v, in, 0x106);
}

void insn_aas(struct vcpu *v, const struct insn *in)
{
    ascii_adjust(v, in, (u16)-0x106);
}

void insn_aam(struct vcpu *v, const struct insn *in)
{
    u8 base = (u8)in->imm;
    if (!base)
        raise_exception(v, EXC_DE);
    reg_write(v, in, GPR_RAX, 2, (u64)(al(v) / base) << 8 | al(v) % base);
    set_flags(v, false, false);
}

void insn_aad(struct vcpu *v, const struct insn *in)
{
    u8 high = v->gpr[GPR_RAX] >> 8 & 0xff;
    reg_write(v, in, GPR_RAX, 2, (u8)(al(v) + high * (u8)in->imm));
    set_flags(v, false, false);
}
