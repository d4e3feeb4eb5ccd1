/* stack.c - PUSH, POP and LEAVE on the guest's stack pointer in r15 (SDM 2B) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/translate/translate.h"

void emit_set_rsp(struct translator *t, u8 base, s32 offset)
{
    if (t->mode & MODE_STACK32) {
        emit_lea_guest(t, H_GUEST_RSP, at(base, offset));
        return;
    }
    emit_lea32(&t->e, H_SCRATCH, at(base, offset)); /* SP alone changes */
    emit8(&t->e, 0x66);
    emit_op_reg(&t->e, 0x8b, false, H_GUEST_RSP, H_SCRATCH);
}

static void emit_move_rsp(struct translator *t, s32 by)
{
    emit_set_rsp(t, H_GUEST_RSP, by);
}

/* The store or load of an operand of 2, 4 or 8 bytes. */
static void emit_sized(struct translator *t, u32 op, unsigned size, u8 reg)
{
    if (size == 2)
        emit8(&t->e, 0x66);
    emit_op_mem(&t->e, op, size == 8, reg, t->operand);
}

static void push_register(struct translator *t, const struct tinsn *i)
{
    u8 gpr = i->op.used ? i->op.gpr : i->rm.gpr;
    emit_sized(t, 0x89, i->in.opsize, emit_read_gpr(t, gpr, H_SCRATCH));
    emit_move_rsp(t, -(s32)i->in.opsize);
}

static void push_immediate(struct translator *t, const struct tinsn *i)
{
    emit_immediate(&t->e, H_SCRATCH, i->in.imm);
    emit_sized(t, 0x89, i->in.opsize, H_SCRATCH);
    emit_move_rsp(t, -(s32)i->in.opsize);
}

static void push_value(struct translator *t, const struct tinsn *i)
{
    emit_load(&t->e, H_SCRATCH, spill(SPILL_VALUE));
    emit_sized(t, 0x89, i->in.opsize, H_SCRATCH);
    emit_move_rsp(t, -(s32)i->in.opsize);
}

/* The operand -> spill[SPILL_VALUE] */
static void load_value(struct translator *t, const struct tinsn *i)
{
    emit_sized(t, 0x8b, i->in.opsize, H_ADDRESS);
    emit_store(&t->e, spill(SPILL_VALUE), H_ADDRESS);
}

void emit_push_insn(struct translator *t, const struct tinsn *i)
{
    unsigned size = i->in.opsize;
    operand_fn *use = i->op.used || i->rm.used ? push_register : push_immediate;
    if (i->has_mem) {
        emit_operand(t, i, size, OPERAND_READ, 0, load_value);
        use = push_value;
    }
    emit_stack(t, i, H_GUEST_RSP, -(s32)size, size, OPERAND_WRITE, use);
}

/* In 64-bit mode: spill[SPILL_VALUE] = RFLAGS as PUSHF has it, without RF and VM; LAHF gives its low byte. */
void emit_pushf_insn(struct translator *t, const struct tinsn *i)
{
    enum { OR = 0x0b, AND = 4, SHL = 4 };
    struct emitter *e = &t->e;
    struct host_mem rflags = at(H_VCPU, (s32)offsetof(struct vcpu, rflags) - VCPU_BIAS);
    flags_to_cc(t);
    t->in_address = NULL;
    emit_load(e, H_ADDRESS, rflags);
    emit_op_reg(e, 0x81, true, AND, H_ADDRESS);
    emit32(e, ~(u32)(FLAG_RF | FLAG_VM));
    emit_op_mem(e, 0x0fb6, false, H_SCRATCH, at(H_VCPU, VCPU_CC + 1));
    emit_op_reg(e, OR, true, H_ADDRESS, H_SCRATCH);
    emit_op_mem(e, 0x0fb6, false, H_SCRATCH, at(H_VCPU, VCPU_CC));
    emit_op_reg(e, 0xc1, false, SHL, H_SCRATCH);
    emit8(e, 11);
    emit_op_reg(e, OR, true, H_ADDRESS, H_SCRATCH);
    emit_store(e, spill(SPILL_VALUE), H_ADDRESS);
    emit_stack(t, i, H_GUEST_RSP, -(s32)i->in.opsize, i->in.opsize, OPERAND_WRITE, push_value);
}

static void pop_register(struct translator *t, const struct tinsn *i)
{
    u8 gpr = i->op.used ? i->op.gpr : i->rm.gpr;
    u8 host = is_evicted(gpr) ? H_SCRATCH : host_reg(gpr);
    if (gpr == GPR_RSP) /* it overwrites the pointer that has moved */
        emit_move_rsp(t, i->in.opsize);
    if (is_evicted(gpr) && i->in.opsize != 8)
        emit_load(&t->e, H_SCRATCH, slot(gpr));
    emit_sized(t, 0x8b, i->in.opsize, host);
    if (is_evicted(gpr))
        emit_store(&t->e, slot(gpr), H_SCRATCH);
    if (gpr != GPR_RSP)
        emit_move_rsp(t, i->in.opsize);
}

static void pop_value(struct translator *t, const struct tinsn *i)
{
    emit_load(&t->e, H_SCRATCH, spill(SPILL_VALUE));
    emit_sized(t, 0x89, i->in.opsize, H_SCRATCH);
    emit_move_rsp(t, i->in.opsize);
}

void emit_pop_insn(struct translator *t, const struct tinsn *i)
{
    unsigned size = i->in.opsize;
    emit_stack(t, i, H_GUEST_RSP, 0, size, OPERAND_READ, i->has_mem ? load_value : pop_register);
    if (i->has_mem) /* with rsp as after the pop */
        emit_operand(t, i, size, OPERAND_WRITE, (s32)size, pop_value);
}

static void leave_frame(struct translator *t, const struct tinsn *i)
{
    emit_set_rsp(t, H_RBP, i->in.opsize);
    emit_sized(t, 0x8b, i->in.opsize, H_RBP);
}

void emit_leave_insn(struct translator *t, const struct tinsn *i)
{
    emit_stack(t, i, H_RBP, 0, i->in.opsize, OPERAND_READ, leave_frame);
}
