/* branch.c - near control transfers: links inside a page, the branch-target cache for all else */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/cpu/vendor.h"
#include "hypervisor/translate/translate.h"

/* The instruction pointer goes on in the width of the code, but is cut to the operand size by a branch. */
static u64 rip_after(const struct translator *t, const struct tinsn *i)
{
    u64 rip = i->in.rip + i->in.length;
    return is_64(t) ? rip : (u32)rip;
}

static u64 branch_target(const struct translator *t, const struct tinsn *i)
{
    u64 rip = rip_after(t, i) + i->in.imm;
    return i->in.opsize == 2 ? (u16)rip : is_64(t) ? rip : (u32)rip;
}

/*
 * Leaves translated code when somebody has something for the vcpu (design: interrupts). vcpu.poll points at a
 * readable page's end, or, when armed, into the inaccessible page behind it; the first bytes of kvm_run
 * (request_interrupt_window, immediate_exit) index it, so that immediate_exit makes it fault too. No flag
 * changes.
 */
void emit_poll(struct translator *t, const struct tinsn *i)
{
    struct emitter *e = &t->e;
    if (t->mode & MODE_STEP) /* ends behind the instruction anyway */
        return;
    map_here(t, i, GPR_NONE);
    t->in_address = NULL;
    emit_load(e, H_ADDRESS, at(H_VCPU, VCPU_RUN));
    emit_load(e, H_SCRATCH, at(H_VCPU, VCPU_POLL));
    emit_op_mem(e, 0x8b, false, H_ADDRESS, (struct host_mem){H_SCRATCH, H_ADDRESS, 8, 0});
}

/* Asks C for the way on to the guest rip in r14; r12: where in i this is, should no code be there. */
static void emit_lookup(struct translator *t, const struct tinsn *i)
{
    static const u8 lea_here[] = {0x4c, 0x8d, 0x25, 0, 0, 0, 0};
    map_here(t, i, GPR_NONE);
    emit_bytes(&t->e, lea_here, sizeof(lea_here));
    emit_jmp_mem(&t->e, thunk(t->flags == FLAGS_IN_CC ? THUNK_LOOKUP_CC : THUNK_LOOKUP));
}

/* vcpu.code_page = the page of the address -npc; r14 is 0. */
static void emit_code_page(struct translator *t, struct host_mem npc)
{
    struct emitter *e = &t->e;
    emit_op_mem(e, 0x2b, true, H_ADDRESS, npc);
    emit_op_reg(e, 0x81, true, 4, H_ADDRESS); /* and */
    emit32(e, (u32)-4096);
    emit_store(e, at(H_VCPU, VCPU_CODE_PAGE), H_ADDRESS);
}

/* On at the guest rip in r14, through the branch-target cache of the mode's class: the end of i. */
static void emit_jump_r14(struct translator *t, const struct tinsn *i)
{
    struct emitter *e = &t->e;
    if (t->mode & MODE_STEP) {
        emit_lookup(t, i);
        return;
    }
    bool may_move = mode_class(t->mode) == CLASS_USER;
    if (may_move)
        flags_to_cc(t);
    size_t table = offsetof(struct vcpu, ibtc) + mode_class(t->mode) * sizeof(((struct vcpu *)0)->ibtc[0]);
    s32 npc = (s32)table - VCPU_BIAS;
    s32 code = npc + (s32)sizeof(u64);
    emit_op_reg(e, 0x0fb7, false, H_SCRATCH, H_ADDRESS); /* movzwl: the index */
    emit_lea32(e, H_SCRATCH, (struct host_mem){H_SCRATCH, H_SCRATCH, 1, 0});
    if (t->flags == FLAGS_IN_CC) { /* the host's are free */
        emit_op_mem(e, 0x03, true, H_ADDRESS, (struct host_mem){H_VCPU, H_SCRATCH, 8, npc});
        u8 *miss = emit_jcc(e, CC_NE);
        if (may_move)
            emit_code_page(t, (struct host_mem){H_VCPU, H_SCRATCH, 8, npc});
        emit_jmp_mem(e, (struct host_mem){H_VCPU, H_SCRATCH, 8, code});
        if (!e->overflow)
            emit_patch(miss, e->p);
        emit_op_mem(e, 0x2b, true, H_ADDRESS, (struct host_mem){H_VCPU, H_SCRATCH, 8, npc});
        emit_lookup(t, i);
        return;
    }
    emit_store(e, spill(SPILL_BRANCH), H_RCX);
    emit_load(e, H_RCX, (struct host_mem){H_VCPU, H_SCRATCH, 8, npc});
    emit_lea(e, H_RCX, (struct host_mem){H_RCX, H_ADDRESS, 1, 0});
    emit8(e, 0xe3); /* jrcxz hit */
    emit8(e, 0);
    u8 *hit = e->p - 1;
    emit_load(e, H_RCX, spill(SPILL_BRANCH));
    emit_lookup(t, i);
    if (!e->overflow)
        *hit = (u8)(e->p - (hit + 1));
    emit_load(e, H_RCX, spill(SPILL_BRANCH));
    emit_load(e, H_SCRATCH, (struct host_mem){H_VCPU, H_SCRATCH, 8, code});
    emit_lea(e, H_SCRATCH, at(H_SCRATCH, ENTRY_SIZE));
    emit_op_reg(e, 0xff, false, 4, H_SCRATCH); /* jmp */
}

/* A jump inside the page, which may be patched. What may straddle two pages is found by a pointer, as the
 * second one's mapping counts too. */
static bool is_linkable(const struct translator *t, u64 target)
{
    enum { LONGEST = 15 };
    u64 most = (t->mode & MODE_BITS) == MODE_16 ? 0xffff : ~0ull;
    if ((t->mode & MODE_STEP) || !(t->mode & MODE_CODE_OPEN) || target > most || t->block->host2)
        return false;
    u64 linear = target + t->cs_base;
    return ALIGN_DOWN(linear, 4096) == t->page && (linear & 4095) <= 4096 - LONGEST;
}

/* Notes that the rel32 at site leads to target (emit_goto), by way of what emit_stubs makes. site NULL: what
 * leads there is no jump. */
static void link_add(struct translator *t, u8 *site, u64 target, const struct tinsn *by)
{
    t->links[t->link_count++] = (struct link){.target = target,
                                              .mode = t->next_mode,
                                              .site = site,
                                              .crossing = NO_CROSSING,
                                              .in_cc = t->flags == FLAGS_IN_CC,
                                              .branch = by ? (u16)(by->in.rip - t->block->pc) : NO_BRANCH,
                                              .from = t->block};
}

static void link_jmp(struct translator *t, u64 target, const struct tinsn *by)
{
    emit_align_site(&t->e, 1);
    link_add(t, emit_jmp(&t->e), target, by);
}

static void link_jcc(struct translator *t, enum condition cc, u64 target, const struct tinsn *by)
{
    emit_align_site(&t->e, 2);
    link_add(t, emit_jcc(&t->e, cc), target, by);
}

/* Leaves the block for the link's target: by way of C, or directly where this vcpu knows where that is. */
static void emit_leave(struct translator *t, struct link *l)
{
    struct emitter *e = &t->e;
    bool other_page = !is_linkable(t, l->target);
    if (other_page && is_movable(t)) {
        l->shift = (s32)ALIGN_DOWN(l->target, 4096);
        emit_code_address(t, H_ADDRESS, (u64)(s64)l->shift, true);
        emit_store(e, at(H_VCPU, VCPU_CODE_PAGE), H_ADDRESS);
    }
    bool by_pointer = other_page && !(t->mode & MODE_STEP);
    if (by_pointer)
        l->crossing = t->engine->crossing_count++;
    emit_immediate(e, H_ADDRESS, (uintptr_t)l | l->in_cc);
    emit_jmp_mem(e, by_pointer
                        ? at(H_VCPU, (s32)offsetof(struct vcpu, crossing) - VCPU_BIAS + (s32)l->crossing * 8)
                        : thunk(THUNK_LINK));
}

void emit_goto(struct translator *t, u64 target, const struct tinsn *by)
{
    if (is_linkable(t, target)) {
        link_jmp(t, target, by);
    } else {
        link_add(t, NULL, target, by);
        emit_leave(t, &t->links[t->link_count - 1]);
    }
}

void emit_stubs(struct translator *t)
{
    struct emitter *e = &t->e;
    for (unsigned n = 0; n < t->link_count && !e->overflow; n++) {
        struct link *l = &t->links[n];
        if (!l->site)
            continue;
        l->stub = e->p;
        emit_patch(l->site, e->p);
        emit_leave(t, l);
    }
}

static bool is_backward(const struct tinsn *i, u64 target)
{
    return (s64)(target - i->in.rip) <= 0;
}

void emit_jmp_insn(struct translator *t, const struct tinsn *i)
{
    u64 target = branch_target(t, i);
    if (is_backward(i, target))
        emit_poll(t, i);
    emit_goto(t, target, i);
}

void emit_jcc_insn(struct translator *t, const struct tinsn *i)
{
    u64 target = branch_target(t, i);
    if (is_backward(i, target))
        emit_poll(t, i);
    flags_to_host(t);
    link_jcc(t, i->opcode & 15, target, i);
}

/* CX counts alone in r12, which changes places with rcx for JRCXZ, before it and on either way after it. */
static void emit_swap_count(struct translator *t, const struct tinsn *i)
{
    if (i->in.addrsize == 2)
        emit_op_reg(&t->e, 0x87, true, H_RCX, H_SCRATCH);
}

static void emit_count_down(struct translator *t, const struct tinsn *i)
{
    struct emitter *e = &t->e;
    if (i->in.addrsize != 2) {
        emit_op_mem(e, 0x8d, i->in.addrsize == 8, H_RCX, at(H_RCX, -1));
        return;
    }
    emit_lea32(e, H_SCRATCH, at(H_RCX, -1));
    emit8(e, 0x66);
    emit_op_reg(e, 0x8b, false, H_RCX, H_SCRATCH);
}

/* Jumps when the count register is zero; returns the byte to patch with the distance. */
static u8 *emit_jump_if_zero(struct translator *t, const struct tinsn *i)
{
    if (i->in.addrsize == 2)
        emit_op_reg(&t->e, 0x0fb7, false, H_SCRATCH, H_RCX);
    emit_swap_count(t, i);
    if (i->in.addrsize == 4)
        emit8(&t->e, 0x67);
    emit8(&t->e, 0xe3);
    emit8(&t->e, 0);
    return t->e.p - 1;
}

static bool loops_while_equal(const struct tinsn *i)
{
    bool equal = i->opcode == 0xe1;
    for (unsigned n = 0; n < i->prefix_count && loops_obey_rep_prefix(); n++)
        if (i->prefix[n] == 0xf2 || i->prefix[n] == 0xf3)
            equal = i->prefix[n] == 0xf3;
    return equal;
}

void emit_loop_insn(struct translator *t, const struct tinsn *i)
{
    struct emitter *e = &t->e;
    u64 target = branch_target(t, i), next = rip_after(t, i);
    bool counts = i->opcode != 0xe3;
    emit_poll(t, i);
    flags_to_host(t);
    if (counts)
        emit_count_down(t, i);
    u8 *zero = emit_jump_if_zero(t, i);
    emit_swap_count(t, i);
    if (i->opcode <= 0xe1) /* loope leaves without ZF, loopne with it */
        link_jcc(t, loops_while_equal(i) ? CC_NE : CC_E, next, NULL);
    link_jmp(t, counts ? target : next, counts ? i : NULL);
    if (!e->overflow)
        *zero = (u8)(e->p - (zero + 1));
    emit_swap_count(t, i);
    link_jmp(t, counts ? next : target, counts ? NULL : i);
}

/* Near branches push and pop the operand size; it is 8 in 64-bit mode, or 2 where the CPU obeys its prefix.
 */
static unsigned return_size(const struct translator *t, const struct tinsn *i)
{
    return is_64(t) && i->in.opsize != 2 ? 8 : i->in.opsize;
}

/* The return address to the operand, and rsp down. */
static void push_return(struct translator *t, const struct tinsn *i)
{
    unsigned size = return_size(t, i);
    u64 rip = rip_after(t, i);
    if (is_movable(t) || (size == 8 && rip != (u64)(s64)(s32)rip)) {
        emit_code_address(t, H_SCRATCH, rip, true);
        emit_store(&t->e, t->operand, H_SCRATCH);
    } else {
        if (size == 2)
            emit8(&t->e, 0x66);
        emit_op_mem(&t->e, 0xc7, size == 8, 0, t->operand);
        emit_bytes(&t->e, &rip, min(size, 4u));
    }
    emit_set_rsp(t, H_GUEST_RSP, -(s32)size);
}

static void emit_push_return(struct translator *t, const struct tinsn *i)
{
    unsigned size = return_size(t, i);
    emit_stack(t, i, H_GUEST_RSP, -(s32)size, size, OPERAND_WRITE, push_return);
}

void emit_call_insn(struct translator *t, const struct tinsn *i)
{
    emit_poll(t, i);
    emit_push_return(t, i);
    emit_goto(t, branch_target(t, i), i);
}

/* r14 = the instruction pointer of size bytes in the operand */
static void emit_load_target(struct translator *t, unsigned size)
{
    emit_op_mem(&t->e, size == 2 ? 0x0fb7 : 0x8b, size == 8, H_ADDRESS, t->operand);
}

/* The return address from the operand to r14, and rsp up. */
static void pop_return(struct translator *t, const struct tinsn *i)
{
    unsigned size = return_size(t, i);
    emit_load_target(t, size);
    emit_set_rsp(t, H_GUEST_RSP, (s32)(size + (u16)i->in.imm));
}

void emit_ret_insn(struct translator *t, const struct tinsn *i)
{
    unsigned size = return_size(t, i);
    emit_poll(t, i);
    emit_stack(t, i, H_GUEST_RSP, 0, size, OPERAND_READ, pop_return);
    emit_jump_r14(t, i);
}

static void load_target(struct translator *t, const struct tinsn *i)
{
    emit_load_target(t, return_size(t, i));
}

/* r14 = the target of an indirect branch. */
static void emit_target(struct translator *t, const struct tinsn *i)
{
    if (i->has_mem) {
        emit_operand(t, i, return_size(t, i), OPERAND_READ, 0, load_target);
    } else {
        u32 op = i->in.opsize == 2 ? 0x0fb7 : 0x8b;
        emit_op_reg(&t->e, op, is_64(t), H_ADDRESS, emit_read_gpr(t, i->rm.gpr, H_ADDRESS));
    }
}

void emit_jmp_indirect_insn(struct translator *t, const struct tinsn *i)
{
    emit_poll(t, i);
    emit_target(t, i);
    emit_jump_r14(t, i);
}

void emit_call_indirect_insn(struct translator *t, const struct tinsn *i)
{
    emit_poll(t, i);
    emit_target(t, i);
    emit_store(&t->e, spill(SPILL_VALUE), H_ADDRESS);
    emit_push_return(t, i);
    emit_load(&t->e, H_ADDRESS, spill(SPILL_VALUE));
    emit_jump_r14(t, i);
}
