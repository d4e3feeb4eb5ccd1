/* group.c - accesses off one base register, checked once in a block (design: memory, tier 1) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Compiled code saves registers side by side, and reads one field of a structure after another. Such accesses
 * of a block, which have the same base (and index) and constant displacements, form a group. Its first access
 * probes the TLB for the bytes of all of them, and keeps the host address of the lowest in vcpu.group; the
 * others are the guest's instruction with its operand at a constant distance from that:
 *
 *      push  %rbp              lea   -32(%r15), %r14           the lowest byte of the group,
 *      push  %rbx              (probe for 32 bytes)
 *      sub   $16, %rsp         add   host(%r13,%r12,8), %r14
 *      mov   %rax, 8(%rsp)     mov   %r14, vcpu.group[0]       for when r14 has something else
 *                              mov   %rbp, 24(%r14)
 *                              lea   -8(%r15), %r15
 *                              mov   %rbx, 16(%r14)
 *                              lea   -8(%r15), %r15
 *                              sub   $16, %r15
 *                              mov   %rax, 8(%r14)
 *
 * A member cannot fault: where the bytes are not all to be had by one entry (they lie in two pages, or are
 * MMIO, or the page has translated code), the head leaves the block for a plain translation of the rest of
 * it, which has no groups (engine_group). Nothing was accessed yet, so no order of faults changes. A store
 * joins only a group whose head stores, as only that may set the page's dirty bit.
 */
#include "hypervisor/translate/translate.h"

enum { LOW_RANGE = 256, STACK_RANGE = 512, ALIGN_LARGEST = 64 };

/* What is known of a register: its value is that of its version + offset. */
struct known {
    u32 version[16];
    s64 offset[16];
};

struct access {
    u8 base, index, scale, seg;
    s64 disp; /* from the registers as they are */
    unsigned size;
    bool write;
};

static u8 segment_kind(u8 seg)
{
    return seg == SEG_FS || seg == SEG_GS ? seg : SEG_DS;
}

static void stack_access(struct access *a, u8 base, s64 disp, unsigned size, bool write)
{
    *a = (struct access){.base = base,
                         .index = GPR_NONE,
                         .scale = 1,
                         .seg = SEG_DS,
                         .disp = disp,
                         .size = size,
                         .write = write};
}

static bool is_high_byte_user(const struct tinsn *i)
{
    return i->reg.byte_high || i->rm.byte_high || i->v.byte_high || i->op.byte_high;
}

static bool operand_access(const struct tinsn *i, struct access *a)
{
    const struct memop *m = &i->in.mem;
    if (i->in.addrsize != 8 || i->bit_string || i->masking || i->waits || is_high_byte_user(i))
        return false;
    if (m->disp != (s32)m->disp) /* an absolute address of 64 bits: distances to it would overflow */
        return false;
    *a = (struct access){m->base,
                         m->index,
                         m->scale,
                         segment_kind(m->seg),
                         m->disp,
                         operand_size(i),
                         i->access & OPERAND_WRITE};
    return a->size <= ALIGN_LARGEST;
}

/* The one access that i makes, if it may be a member. */
static bool access_of(const struct tinsn *i, struct access *a)
{
    unsigned size = i->in.opsize;
    bool moves_rsp = (i->op.used ? i->op.gpr : i->rm.gpr) == GPR_RSP && (i->op.used || i->rm.used);
    switch (i->kind) {
    case KIND_WRAP: return operand_access(i, a);
    case KIND_PUSH: stack_access(a, GPR_RSP, -8, 8, true); return size == 8 && !i->has_mem;
    case KIND_POP: stack_access(a, GPR_RSP, 0, 8, false); return size == 8 && !i->has_mem && !moves_rsp;
    case KIND_CALL: stack_access(a, GPR_RSP, -8, 8, true); return size != 2;
    case KIND_RET: stack_access(a, GPR_RSP, 0, 8, false); return size != 2;
    case KIND_LEAVE: stack_access(a, GPR_RBP, 0, 8, false); return size == 8;
    default: return false;
    }
}

/* ---- which registers change, and by how much ---- */

static bool is_add(const struct tinsn *i)
{
    return i->kind == KIND_COPY && i->encoding == ENCODING_LEGACY && i->map == 0 && i->w && i->rm.used &&
           (i->opcode == 0x81 || i->opcode == 0x83) && ((i->modrm_reg & 7) == 0 || (i->modrm_reg & 7) == 5);
}

static bool is_lea_of_itself(const struct tinsn *i)
{
    return i->kind == KIND_LEA && i->in.opsize == 8 && i->in.addrsize == 8 && i->in.mem.base == i->reg.gpr &&
           i->in.mem.index == GPR_NONE;
}

static void follow(struct known *k, const struct tinsn *i)
{
    if (is_add(i)) {
        k->offset[i->rm.gpr] += (i->modrm_reg & 7) == 0 ? (s64)i->in.imm : -(s64)i->in.imm;
        return;
    }
    if (is_lea_of_itself(i)) {
        k->offset[i->reg.gpr] += i->in.mem.disp;
        return;
    }
    u16 written = registers_written(i);
    if (i->kind == KIND_PUSH && i->in.opsize == 8) {
        k->offset[GPR_RSP] -= 8;
        written = 0;
    } else if (i->kind == KIND_POP && i->in.opsize == 8 && !i->has_mem) {
        k->offset[GPR_RSP] += 8;
        written = (u16)BIT(i->op.used ? i->op.gpr : i->rm.gpr);
    }
    for (unsigned r = 0; r < 16; r++)
        if (written >> r & 1) {
            k->version[r]++;
            k->offset[r] = 0;
        }
}

/* ---- forming groups ---- */

static u32 version_of(const struct known *k, u8 gpr)
{
    return gpr > GPR_R15 ? 0 : k->version[gpr];
}

static s64 offset_of(const struct known *k, const struct access *a)
{
    s64 offset = a->base > GPR_R15 ? 0 : k->offset[a->base];
    return a->index == GPR_NONE ? offset : offset + k->offset[a->index] * a->scale;
}

static bool same_registers(const struct group *g, const struct access *a, const struct known *k)
{
    return g->base == a->base && g->index == a->index && g->scale == a->scale && g->seg == a->seg &&
           g->base_version == version_of(k, a->base) && g->index_version == version_of(k, a->index);
}

static s64 range_of(const struct access *a)
{
    return a->base == GPR_RSP || a->base == GPR_RBP ? STACK_RANGE : LOW_RANGE;
}

/* The newest group first: it is the one that also allows writes, if there is one. */
static struct group *group_for(struct translator *t, const struct access *a, const struct known *k,
                               unsigned from)
{
    s64 low = a->disp + offset_of(k, a), high = low + a->size;
    for (unsigned n = t->group_count; n-- > from;) {
        struct group *g = &t->group[n];
        s64 new_low = min(low, g->low), new_high = max(high, g->high);
        if (!same_registers(g, a, k) || (a->write && !g->write) || new_high - new_low > range_of(a))
            continue;
        g->low = new_low;
        g->high = new_high;
        return g;
    }
    if (t->group_count == MAX_GROUPS)
        return NULL;
    struct group *g = &t->group[t->group_count++];
    *g = (struct group){.base = a->base,
                        .index = a->index,
                        .scale = a->scale,
                        .seg = a->seg,
                        .write = a->write,
                        .base_version = version_of(k, a->base),
                        .index_version = version_of(k, a->index),
                        .low = low,
                        .high = high,
                        .slot = (u8)(t->group_count - 1)};
    return g;
}

static void form_groups(struct translator *t, s64 *place, s64 *head_offset)
{
    struct known k = {0};
    unsigned from = 0; /* groups before it have ended */
    for (unsigned n = 0; n < t->count; n++) {
        const struct tinsn *i = &t->insn[n];
        struct access a;
        struct group *g = access_of(i, &a) ? group_for(t, &a, &k, from) : NULL;
        t->group_of[n] = g;
        if (g) {
            place[n] = a.disp + offset_of(&k, &a);
            if (!g->members++) {
                g->head = (u8)n;
                head_offset[g->slot] = offset_of(&k, &a);
            }
        }
        if (i->kind == KIND_SENSITIVE || i->kind == KIND_PRIVILEGED) /* it may change the TLB, or a base */
            from = t->group_count;
        follow(&k, i);
    }
}

/* Ranges are formed from the registers as they are where their version begins; in the end they are from the
 * registers at the head. A group of one is none. */
void group_plan(struct translator *t)
{
    s64 place[MAX_INSNS], head_offset[MAX_GROUPS];
    t->group_count = 0;
    memset(t->group_of, 0, t->count * sizeof(t->group_of[0]));
    if (t->plain || !is_64(t))
        return;
    form_groups(t, place, head_offset);
    for (unsigned n = 0; n < t->count; n++) {
        struct group *g = t->group_of[n];
        if (g && g->members < 2)
            t->group_of[n] = NULL;
        else if (g)
            t->distance[n] = (s32)(place[n] - g->low);
    }
    for (unsigned n = 0; n < t->group_count; n++) {
        t->group[n].low -= head_offset[n];
        t->group[n].high -= head_offset[n];
    }
}

/* ---- emitting ---- */

static struct host_mem lowest(const struct group *g)
{
    return at(H_VCPU, VCPU_GROUP(g->slot));
}

static void emit_head(struct translator *t, const struct tinsn *i, struct group *g)
{
    struct emitter *e = &t->e;
    const struct memop low = {
        .base = g->base, .index = g->index, .scale = g->scale, .seg = g->seg, .disp = g->low};
    flags_make_room(t, i);
    g->start = e->p;
    g->flags = t->flags;
    g->producer = t->producer;
    map_here(t, i, GPR_NONE);
    emit_offset(t, sizeof(u64), &low, 0); /* whatever prefix a push has */
    emit_segment(t, g->seg, 0, g->write);
    g->miss = emit_probe(t, g->write, (unsigned)(g->high - g->low));
    emit_op_mem(e, 0x03, true, H_ADDRESS, tlb_field(t, offsetof(struct tlb_entry, host)));
    emit_store(e, lowest(g), H_ADDRESS);
    t->in_address = g;
}

bool group_emit(struct translator *t, const struct tinsn *i, operand_fn *use)
{
    unsigned n = (unsigned)(i - t->insn);
    struct group *g = t->group_of[n];
    if (!g)
        return false;
    if (g->head == n)
        emit_head(t, i, g);
    else if (t->in_address != g)
        emit_load(&t->e, H_ADDRESS, lowest(g));
    t->in_address = g;
    t->operand = at(H_ADDRESS, t->distance[n]);
    map_here(t, i, GPR_NONE);
    use(t, i);
    t->operand = at(H_ADDRESS, 0);
    return true;
}

static u8 align_mask(const struct tinsn *i)
{
    return i->aligned ? (u8)(operand_size(i) - 1) : 0;
}

static void emit_cold_head(struct translator *t, const struct group *g)
{
    struct emitter *e = &t->e;
    const struct tinsn *i = &t->insn[g->head];
    struct access a;
    struct group_head *h = cache_alloc(t->engine, sizeof(*h));
    if (!h || e->overflow) {
        e->overflow = true;
        return;
    }
    access_of(i, &a);
    *h = (struct group_head){.start = exec_view(t->engine, g->start),
                             .rip = i->in.rip,
                             .host = t->block->host + (i->in.rip - t->block->pc),
                             .low = g->low,
                             .size = (u32)(g->high - g->low),
                             .first = (u32)(a.disp - g->low),
                             .base = g->base,
                             .index = g->index,
                             .scale = g->scale,
                             .seg = g->seg,
                             .align_mask = align_mask(i),
                             .write = g->write,
                             .movable = is_movable(t),
                             .context = mode_context(t->mode),
                             .flags = (u8)g->flags};
    if (g->flags == FLAGS_LOST)
        h->producer = t->producers[g->producer];
    emit_patch(g->miss, e->p);
    t->flags = g->flags;
    t->producer = g->producer;
    map_here(t, i, GPR_NONE);
    emit_immediate(e, H_ADDRESS, (uintptr_t)h);
    emit_jmp_mem(e, thunk(THUNK_GROUP));
}

void group_emit_cold(struct translator *t)
{
    for (unsigned n = 0; n < t->group_count; n++)
        if (t->group[n].members >= 2)
            emit_cold_head(t, &t->group[n]);
}
