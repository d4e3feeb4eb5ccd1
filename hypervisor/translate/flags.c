/* flags.c - where the guest's arithmetic flags are while a block runs */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * They live in the host's flags, but a TLB probe overwrites those. What then happens to them before a probe:
 *
 * - They are read later, or nobody could tell them afterwards: they go to vcpu.cc (LAHF, SETO) once, and come
 * back when an instruction needs them.
 * - They are dead, as nearly everywhere in compiled code, and only a fault would show them: they are given up
 *   (FLAGS_LOST) if they can be made again from the instruction that made them (producer.c) at every access
 * until they are overwritten.
 *
 * Two backward passes say which flags are read later (live), and which a fault or a reader might see (shown).
 * At a block's end all flags count as read; they may be in either place (translate.c emit_entries).
 */
#include "hypervisor/translate/translate.h"

/* Does the instruction contain a TLB probe, that is, can it fault after its flags' place was overwritten? */
static bool probes(const struct tinsn *i)
{
    switch (i->kind) {
    case KIND_WRAP:
    case KIND_PUSH:
    case KIND_PUSHF:
    case KIND_POP:
    case KIND_LEAVE:
    case KIND_CALL:
    case KIND_RET:
    case KIND_CALL_INDIRECT: return true;
    case KIND_JMP_INDIRECT: return i->has_mem;
    default: return false;
    }
}

void flags_plan(struct translator *t)
{
    u16 live = FLAGS_ARITH, shown = FLAGS_ARITH;
    t->live[t->count] = t->shown[t->count] = FLAGS_ARITH;
    for (unsigned n = t->count; n-- > 0;) {
        const struct tinsn *i = &t->insn[n];
        if (i->kind == KIND_JCC) /* where it leads, all may be read */
            live = shown = FLAGS_ARITH;
        live = (u16)((live & ~i->flags_written) | i->flags_read);
        shown = probes(i) || i->traps ? FLAGS_ARITH : (u16)((shown & ~i->flags_written) | i->flags_read);
        t->live[n] = live;
        t->shown[n] = shown;
    }
    t->last_flags = NULL;
}

enum flags_entry flags_entry(const struct translator *t)
{
    if (t->checked)
        return ENTRY_SAVES;
    for (const struct tinsn *i = t->insn; i < t->insn + t->count; i++) {
        if (i->kind == KIND_SENSITIVE || i->kind == KIND_JCC || i->kind == KIND_LOOP)
            return ENTRY_RESTORES;
        if (probes(i))
            return ENTRY_SAVES;
        if (i->flags_read || i->traps)
            return ENTRY_RESTORES;
        if (i->flags_changed)
            return i->flags_written == FLAGS_ARITH ? ENTRY_OVERWRITES : ENTRY_RESTORES;
    }
    return ENTRY_RESTORES;
}

u16 registers_written(const struct tinsn *i)
{
    u16 written = i->implicit_gprs;
    const struct field *f[] = {&i->reg, &i->rm, &i->v, &i->op};
    for (size_t n = 0; n < ARRAY_SIZE(f); n++)
        if (f[n]->used && f[n]->written)
            written |= (u16)BIT(f[n]->gpr & (f[n]->byte_high ? 3 : 15));
    if (i->kind == KIND_PUSH || i->kind == KIND_PUSHF || i->kind == KIND_POP || i->kind == KIND_LEAVE)
        written |= BIT(GPR_RSP);
    if (i->kind == KIND_LEAVE)
        written |= BIT(GPR_RBP);
    return written;
}

/* The flags made by p are dead at i: can they be made again at each probe until they are overwritten? */
static bool can_be_lost(const struct translator *t, const struct tinsn *i, const struct producer *p)
{
    u16 needed = (u16)(BIT(p->to) | (p->from == GPR_NONE ? 0 : BIT(p->from)));
    bool intact = true;
    for (const struct tinsn *k = t->last_flags + 1; k < t->insn + t->count; k++) {
        if (k >= i && (probes(k) || k->traps) && !intact)
            return false;
        if (k->flags_changed)
            return k >= i && k->flags_written == FLAGS_ARITH && !k->flags_read;
        intact &= !(registers_written(k) & needed);
    }
    return false;
}

void flags_make_room(struct translator *t, const struct tinsn *i)
{
    struct producer *p = &t->producers[t->producer_count];
    if (t->flags != FLAGS_IN_HOST)
        return;
    if (!t->live[i - t->insn] && t->last_flags && producer_of(t->last_flags, p) && can_be_lost(t, i, p)) {
        t->flags = FLAGS_LOST;
        t->producer = (u8)t->producer_count++;
    } else {
        emit_flags_save(&t->e, at(H_VCPU, VCPU_CC), spill(SPILL_FLAGS));
        t->flags = FLAGS_IN_CC;
    }
    map_here(t, i, GPR_NONE);
}

void flags_to_cc(struct translator *t)
{
    ASSERT(t->flags != FLAGS_LOST); /* can_be_lost */
    if (t->flags == FLAGS_IN_HOST)
        emit_flags_save(&t->e, at(H_VCPU, VCPU_CC), spill(SPILL_FLAGS));
    t->flags = FLAGS_IN_CC;
}

void flags_to_host(struct translator *t)
{
    ASSERT(t->flags != FLAGS_LOST); /* can_be_lost */
    if (t->flags == FLAGS_IN_CC)
        emit_flags_restore(&t->e, at(H_VCPU, VCPU_CC), spill(SPILL_FLAGS));
    t->flags = FLAGS_IN_HOST;
}

/* CF alone: all that INC and DEC pass on. */
static void carry_to_host(struct translator *t)
{
    enum { CC_CF = 8 };
    if (t->flags == FLAGS_IN_CC) { /* bt $8, cc */
        emit_op_mem(&t->e, 0x0fba, false, 4, at(H_VCPU, VCPU_CC));
        emit8(&t->e, CC_CF);
    }
    t->flags = FLAGS_IN_HOST;
}

void flags_for(struct translator *t, const struct tinsn *i)
{
    u16 needed = i->flags_read;
    if (i->flags_changed)
        needed |= t->shown[i - t->insn + (i->traps ? 0 : 1)] & ~i->flags_written;
    if (needed == FLAG_CF && i->flags_changed && !i->flags_read)
        carry_to_host(t);
    else if (needed)
        flags_to_host(t);
}

void flags_after(struct translator *t, const struct tinsn *i)
{
    if (!i->flags_changed)
        return;
    t->flags = FLAGS_IN_HOST;
    t->last_flags = i;
}
