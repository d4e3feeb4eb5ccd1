/* operand.c - memory operands: the address, the TLB probe, and the out-of-line rest (design: memory, tier 1)
 */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mov 8(%rdi), %rax in 64-bit kernel code becomes
 *
 *      lea   8(%rdi), %r14
 *      rorx  $12 - 5, %r14, %r12
 *      and   $0xffff << 5, %r12d       the page's entry in the TLB
 *      add   ntag_read(%r13,%r12), %r14     on a hit: the offset in the page
 *      cmp   $4096 - 8, %r14           also finds operands that cross the page
 *      ja    miss
 *      add   host(%r13,%r12), %r14
 * resume:
 *      mov   (%r14), %rax              the guest's instruction
 * after:
 *      ...
 * miss:
 *      sub   ntag_read(%r13,%r12), %r14     the address again
 *      mov   $descriptor, %r12d
 *      call  thunk_miss                fills the TLB, or faults and does not return; r14 = host address
 *      jmp   resume                    returns here for RAM,
 *      mov   (%r14), %rax              or here when the operand is in vcpu.bounce
 *      mov   $descriptor, %r12d
 *      call  thunk_commit
 *      jmp   after
 *
 * The guest's flags are dead here, or have been put into vcpu.cc (flags_make_room).
 */
#include "hypervisor/translate/translate.h"

unsigned operand_size(const struct tinsn *insn)
{
    return insn->in.mem.size ? insn->in.mem.size : 1;
}

u8 emit_read_gpr(struct translator *t, u8 gpr, u8 scratch)
{
    if (!is_evicted(gpr))
        return host_reg(gpr);
    emit_load(&t->e, scratch, slot(gpr));
    return scratch;
}

void emit_write_gpr(struct translator *t, u8 gpr, u8 from)
{
    if (is_evicted(gpr))
        emit_store(&t->e, slot(gpr), from);
    else
        emit_move(&t->e, host_reg(gpr), from);
}

void emit_code_address(struct translator *t, u8 reg, u64 address, bool wide)
{
    if (!is_movable(t)) {
        emit_immediate(&t->e, reg, wide ? address : (u32)address);
        return;
    }
    emit_load(&t->e, reg, at(H_VCPU, VCPU_CODE_PAGE));
    emit_op_mem(&t->e, 0x8d, wide, reg, at(reg, (s32)address));
}

/* r14 = offset in the segment (SDM 1 3.7.5), truncated to the address size. */
void emit_offset(struct translator *t, unsigned addrsize, const struct memop *m, s32 rsp_adjust)
{
    bool wide = addrsize == 8;
    t->in_address = NULL;
    if (m->base == GPR_NONE && m->index == GPR_NONE) {
        u64 disp = (u64)m->disp;
        emit_immediate(&t->e, H_ADDRESS, wide ? disp : addrsize == 4 ? (u32)disp : (u16)disp);
        return;
    }
    if (m->base == GPR_RIP) {
        emit_code_address(t, H_ADDRESS, (u64)m->disp, wide);
        return;
    }
    struct host_mem h = {.base = H_NONE, .index = H_NONE, .scale = m->scale, .disp = (s32)m->disp};
    if (m->base != GPR_NONE)
        h.base = emit_read_gpr(t, m->base, H_ADDRESS);
    if (m->index != GPR_NONE)
        h.index = emit_read_gpr(t, m->index, H_SCRATCH);
    if (m->base == GPR_RSP)
        h.disp += rsp_adjust;
    emit_op_mem(&t->e, 0x8d, wide, H_ADDRESS, h);
    if (addrsize == 2)
        emit_op_reg(&t->e, 0x0fb7, false, H_ADDRESS, H_ADDRESS);
}

/* The part of the descriptor that tells which elements are accessed. */
static u32 masking_descriptor(const struct tinsn *insn)
{
    if (!insn->masking)
        return 0;
    return (insn->evex[2] & 7u) << ACCESS_OPMASK_SHIFT |
           (u32)__builtin_ctz(insn->mask_bits) << ACCESS_BITS_SHIFT |
           (u32)__builtin_ctz(insn->mask_elements) << ACCESS_ELEMENTS_SHIFT |
           (u32)insn->masking << ACCESS_MASKING_SHIFT;
}

/* r14: offset in seg -> linear address. */
void emit_segment(struct translator *t, u8 seg, u32 size_and_masking, bool write)
{
    t->segment = seg;
    bool based = seg == SEG_FS || seg == SEG_GS;
    if (is_64(t)) {
        if (!based)
            return;
        emit_load(&t->e, H_SCRATCH, at(H_VCPU, VCPU_SEG_BASE(seg)));
        emit_lea(&t->e, H_ADDRESS, (struct host_mem){H_ADDRESS, H_SCRATCH, 1, 0});
        return;
    }
    bool typed = seg == SEG_CS; /* flat as it is, it cannot be written, nor always read */
    if ((t->mode & MODE_FLAT) && !based && !typed)
        return;
    u32 descriptor = size_and_masking | (write ? ACCESS_STORES : 0) | (u32)seg << ACCESS_SEGMENT_SHIFT;
    emit_immediate(&t->e, H_SCRATCH, descriptor);
    emit_call_mem(&t->e, thunk(THUNK_SEGMENT));
}

/* Bit strings: the register's bits above the operand's width move the address (SDM 2A 3.1.1.9). */
static void emit_bit_offset(struct translator *t, const struct tinsn *insn)
{
    unsigned bytes = insn->in.opsize;
    u8 reg = emit_read_gpr(t, insn->reg.gpr, H_SCRATCH);
    if (bytes == 2)
        emit_op_reg(&t->e, 0x0fbf, true, H_SCRATCH, reg);
    else
        emit_op_reg(&t->e, bytes == 4 ? 0x63 : 0x8b, true, H_SCRATCH, reg);
    emit_op_reg(&t->e, 0xc1, true, 7, H_SCRATCH); /* sar */
    emit8(&t->e, bytes == 2 ? 4 : bytes == 4 ? 5 : 6);
    struct host_mem m = {H_ADDRESS, H_SCRATCH, (u8)bytes, 0};
    emit_op_mem(&t->e, 0x8d, insn->in.addrsize == 8, H_ADDRESS, m);
}

/* r14 = linear address of the operand. */
static void emit_address(struct translator *t, const struct tinsn *insn, unsigned size, bool write,
                         s32 rsp_adjust)
{
    emit_offset(t, insn->in.addrsize, &insn->in.mem, rsp_adjust);
    if (insn->bit_string)
        emit_bit_offset(t, insn);
    emit_segment(t, insn->in.mem.seg, size | masking_descriptor(insn), write);
}

static void emit_stack_address(struct translator *t, u8 base, s32 offset, unsigned size, bool write)
{
    t->in_address = NULL;
    emit_lea_guest(t, H_ADDRESS, at(base, offset));
    if (!(t->mode & MODE_STACK32))
        emit_op_reg(&t->e, 0x0fb7, false, H_ADDRESS, H_ADDRESS);
    emit_segment(t, SEG_SS, size, write);
}

static s32 tlb_offset(u32 mode, size_t field)
{
    size_t tlb = offsetof(struct vcpu, tlb) + mode_context(mode) * sizeof(struct tlb);
    return (s32)(tlb + field) - VCPU_BIAS;
}

struct host_mem tlb_field(const struct translator *t, size_t field)
{
    return (struct host_mem){H_VCPU, H_SCRATCH, 1, tlb_offset(t->mode, field)};
}

static struct host_mem tag_entry(const struct translator *t, bool write)
{
    return tlb_field(t,
                     write ? offsetof(struct tlb_entry, ntag_write) : offsetof(struct tlb_entry, ntag_read));
}

u8 *emit_probe(struct translator *t, bool write, unsigned size)
{
    enum { SIZE_BITS = 5 };
    _Static_assert(sizeof(struct tlb_entry) == 1 << SIZE_BITS, "the page's number times that");
    struct emitter *e = &t->e;
    static const u8 rorx[] = {0xc4, 0x43, 0xfb, 0xf0, 0xe6, 12 - SIZE_BITS}; /* of r14 to r12 */
    if (t->engine->has_bmi2) {
        emit_bytes(e, rorx, sizeof(rorx));
    } else {
        emit_move(e, H_SCRATCH, H_ADDRESS);
        emit_op_reg(e, 0xc1, true, 5, H_SCRATCH); /* shr */
        emit8(e, 12 - SIZE_BITS);
    }
    emit_op_reg(e, 0x81, false, 4, H_SCRATCH); /* and */
    emit32(e, (TLB_ENTRIES - 1) << SIZE_BITS);
    emit_op_mem(e, 0x03, true, H_ADDRESS, tag_entry(t, write));
    emit_op_reg(e, 0x81, true, 7, H_ADDRESS); /* cmp */
    emit32(e, 4096 - size);
    return emit_jcc(e, CC_A);
}

static void emit_access(struct translator *t, const struct tinsn *insn, unsigned size, unsigned access,
                        operand_fn *use)
{
    struct cold *c = &t->cold[t->cold_count++];
    c->insn = insn;
    c->use = use;
    c->descriptor = size | masking_descriptor(insn) | (u32)mode_context(t->mode) << ACCESS_CONTEXT_SHIFT |
                    (u32)t->segment << ACCESS_SEGMENT_SHIFT;
    if (access & OPERAND_WRITE)
        c->descriptor |= ACCESS_STORES;
    if (access & OPERAND_READ)
        c->descriptor |= ACCESS_LOADS;
    if (insn->aligned)
        c->descriptor |= ACCESS_ALIGNED;
    if (insn->unaligned)
        c->descriptor |= ACCESS_UNALIGNED;
    if (insn->waits)
        c->descriptor |= ACCESS_WAITS;
    if (insn->unit == UNIT_X87)
        c->descriptor |= ACCESS_X87;
    if (insn->kind == KIND_CALL || insn->kind == KIND_CALL_INDIRECT)
        c->descriptor |= ACCESS_GOES_ON;
    c->miss = emit_probe(t, access & OPERAND_WRITE, size);
    emit_op_mem(&t->e, 0x03, true, H_ADDRESS, tlb_field(t, offsetof(struct tlb_entry, host)));
    c->resume = t->e.p;
    c->flags = t->flags;
    c->producer = t->producer;
    map_here(t, insn, GPR_NONE);
    use(t, insn);
    c->after = t->e.p;
    map_here(t, insn, GPR_NONE);
}

void emit_operand(struct translator *t, const struct tinsn *insn, unsigned size, unsigned access,
                  s32 rsp_adjust, operand_fn *use)
{
    if (group_emit(t, insn, use))
        return;
    flags_make_room(t, insn);
    emit_address(t, insn, size, access & OPERAND_WRITE, rsp_adjust);
    emit_access(t, insn, size, access, use);
}

void emit_stack(struct translator *t, const struct tinsn *insn, u8 base, s32 offset, unsigned size,
                unsigned access, operand_fn *use)
{
    if (group_emit(t, insn, use))
        return;
    flags_make_room(t, insn);
    emit_stack_address(t, base, offset, size, access & OPERAND_WRITE);
    emit_access(t, insn, size, access, use);
}

static void emit_cold_access(struct translator *t, const struct cold *c)
{
    struct emitter *e = &t->e;
    if (e->overflow)
        return;
    emit_patch(c->miss, e->p);
    t->flags = c->flags;
    t->producer = c->producer;
    map_here(t, c->insn, GPR_NONE);
    emit_op_mem(e, 0x2b, true, H_ADDRESS, tag_entry(t, c->descriptor & ACCESS_STORES));
    emit_immediate(e, H_SCRATCH, c->descriptor);
    emit_call_mem(e, thunk(THUNK_MISS));
    emit_jmp_to(e, c->resume);
    c->use(t, c->insn);
    map_here(t, c->insn, GPR_NONE);
    emit_immediate(e, H_SCRATCH, c->descriptor | (t->flags == FLAGS_IN_HOST ? 0 : ACCESS_FLAGS_IN_CC));
    emit_call_mem(e, thunk(THUNK_COMMIT));
    emit_jmp_to(e, c->after);
}

void emit_cold(struct translator *t)
{
    for (unsigned i = 0; i < t->cold_count; i++)
        emit_cold_access(t, &t->cold[i]);
    group_emit_cold(t);
}
