/* x87.c - code that notes what x87 keeps of its last instruction (cpu/x87.h) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <Zydis/Mnemonic.h>

#include "hypervisor/translate/translate.h"

static struct host_mem field(size_t offset)
{
    return at(H_VCPU, (s32)(offsetof(struct vcpu, x87) + offset) - VCPU_BIAS);
}
#define FIELD(name) field(offsetof(struct vcpu, x87.name) - offsetof(struct vcpu, x87))

static void emit_store_immediate(struct emitter *e, bool wide, struct host_mem m, u32 value)
{
    emit_op_mem(e, 0xc7, wide, 0, m);
    emit32(e, value);
}

/* Control instructions leave it alone (SDM 1 8.1.8). */
static bool is_noted(const struct tinsn *i)
{
    switch (i->in.mnemonic) {
    case ZYDIS_MNEMONIC_FNINIT:
    case ZYDIS_MNEMONIC_FLDCW:
    case ZYDIS_MNEMONIC_FNSTCW:
    case ZYDIS_MNEMONIC_FNSTSW:
    case ZYDIS_MNEMONIC_FENI8087_NOP:
    case ZYDIS_MNEMONIC_FDISI8087_NOP:
    case ZYDIS_MNEMONIC_FSETPM287_NOP:
    case ZYDIS_MNEMONIC_FWAIT: return false;
    default: return i->unit == UNIT_X87;
    }
}

/* FOP: the last bits of the escape byte, and ModRM. No prefix looks like an escape byte. */
static u32 opcode_of(const struct insn *in)
{
    unsigned n = 0;
    while (n < 13 && (in->bytes[n] & 0xf8) != 0xd8)
        n++;
    return (in->bytes[n] & 7u) << 8 | in->bytes[n + 1];
}

static void emit_forget(struct translator *t)
{
    struct emitter *e = &t->e;
    emit_store_immediate(e, true, FIELD(ip), 0);
    emit_store_immediate(e, true, FIELD(dp), 0);
    emit_store_immediate(e, false, FIELD(op), X87_QUIET);
    emit_store_immediate(e, false, FIELD(segment), 0);
    emit_store_immediate(e, false, FIELD(cs), 0);
    emit_store_immediate(e, true, FIELD(raised.dp), 0);
    emit_store_immediate(e, false, FIELD(raised.op), 0);
}

static void emit_instruction(struct translator *t, const struct tinsn *i)
{
    struct emitter *e = &t->e;
    u64 ip = i->in.rip;
    if (t->mode & MODE_MOVABLE) {
        emit_code_address(t, H_SCRATCH, ip, true);
        emit_store(e, FIELD(ip), H_SCRATCH);
    } else if (ip == (u64)(s32)ip) {
        emit_store_immediate(e, true, FIELD(ip), (u32)ip);
    } else {
        emit_store_immediate(e, false, FIELD(ip), (u32)ip);
        emit_store_immediate(e, false, field(4), (u32)(ip >> 32));
    }
    emit_store_immediate(e, false, FIELD(op), opcode_of(&i->in) | X87_CURRENT);
}

static void emit_operand_address(struct translator *t, const struct tinsn *i)
{
    emit_offset(t, i->in.addrsize, &i->in.mem, 0);
    emit_store(&t->e, FIELD(dp), H_ADDRESS);
    emit_store_immediate(&t->e, false, FIELD(segment), i->in.mem.seg | X87_CURRENT);
}

/* FLDCW has not faulted, so the instruction before it raised nothing; but what it unmasks may wait now. */
static void emit_quiet(struct translator *t)
{
    enum { QUIET_BYTE = 2 }; /* which has nothing else */
    _Static_assert(X87_QUIET >> 8 * QUIET_BYTE == 1, "");
    struct host_mem op = FIELD(op);
    op.disp += QUIET_BYTE;
    emit_op_mem(&t->e, 0xc6, false, 0, op);
    emit8(&t->e, 1);
}

/* No x87 instruction but a control instruction writes a general register: the operand's is as it was. */
void emit_x87_note(struct translator *t, const struct tinsn *i)
{
    if (i->in.mnemonic == ZYDIS_MNEMONIC_FNINIT)
        emit_forget(t);
    if (i->in.mnemonic == ZYDIS_MNEMONIC_FLDCW)
        emit_quiet(t);
    if (!is_noted(i))
        return;
    emit_instruction(t, i);
    if (i->has_mem)
        emit_operand_address(t, i);
}
