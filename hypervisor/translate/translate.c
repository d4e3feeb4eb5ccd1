/* translate.c - from guest code to a block: decode, flag liveness, emit */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <Zydis/Mnemonic.h>

#include "hypervisor/cpu/xsave.h"
#include "hypervisor/cpu/handlers.h"
#include "hypervisor/translate/dump.h"
#include "hypervisor/translate/tlb.h"
#include "hypervisor/translate/translate.h"

/* ---- the pc map ---- */

void map_here(struct translator *t, const struct tinsn *i, u8 borrowed)
{
    u32 offset = (u32)(t->e.p - t->block->code);
    if (t->map_count && t->map[t->map_count - 1].host_offset == offset)
        t->map_count--;
    if (t->map_count == MAX_MAP) {
        t->e.overflow = true;
        return;
    }
    t->map[t->map_count++] = (struct pc_map){
        .host_offset = offset & (BIT(HOST_OFFSET_BITS) - 1),
        .guest_offset = (i->in.rip - t->block->pc) & (BIT(GUEST_OFFSET_BITS) - 1),
        .length = i->in.length & 15,
        .borrowed = borrowed,
        .flags = (u8)t->flags,
        .producer = t->producer,
    };
}

/* ---- instructions ---- */

/* Here with EM or TS set. FWAIT does not care for EM, and for TS only with MP (SDM 3A table 2-2). */
static void insn_x87_unavailable(struct vcpu *v, const struct insn *in)
{
    if (in->mnemonic != ZYDIS_MNEMONIC_FWAIT || ((v->cr0 & CR0_MP) && (v->cr0 & CR0_TS)))
        raise_exception(v, EXC_NM);
    if (fpu_error_pending())
        raise_exception(v, EXC_MF);
}

/* MMX and SSE: EM makes them undefined, TS unavailable (SDM 3A table 2-2, 13.1). */
static void insn_sse_unavailable(struct vcpu *v, const struct insn *in)
{
    (void)in;
    raise_exception(v, v->cr0 & CR0_EM ? EXC_UD : EXC_NM);
}

static void insn_sse_disabled(struct vcpu *v, const struct insn *in)
{
    (void)in;
    raise_exception(v, v->cr0 & CR0_EM || !(v->cr4 & CR4_OSFXSR) ? EXC_UD : EXC_NM);
}

static void insn_avx_disabled(struct vcpu *v, const struct insn *in)
{
    (void)in;
    bool enabled = (v->cr4 & CR4_OSXSAVE) && (v->xcr0 & 6) == 6 && (v->cr0 & CR0_PE);
    raise_exception(v, enabled ? EXC_NM : EXC_UD);
}

static void insn_avx512_disabled(struct vcpu *v, const struct insn *in)
{
    (void)in;
    raise_exception(v, avx512_enabled(v) && (v->cr0 & CR0_PE) ? EXC_NM : EXC_UD);
}

static void make_handler(struct tinsn *i, sensitive_fn *handler)
{
    i->kind = KIND_SENSITIVE;
    i->handler = handler;
    i->sensitive_flags = SENSITIVE_ENDS;
}

/* The vector unit that the instruction needs may be off in this mode. */
static void require_unit(const struct translator *t, struct tinsn *i)
{
    static const struct {
        u32 mode;
        sensitive_fn *absent;
    } units[] = {
        [UNIT_X87] = {MODE_X87, insn_x87_unavailable},       [UNIT_MMX] = {MODE_X87, insn_sse_unavailable},
        [UNIT_SSE] = {MODE_SSE, insn_sse_disabled},          [UNIT_AVX] = {MODE_AVX, insn_avx_disabled},
        [UNIT_AVX512] = {MODE_AVX512, insn_avx512_disabled},
    };
    if (i->unit != UNIT_NONE && i->kind != KIND_SENSITIVE && !(t->mode & units[i->unit].mode))
        make_handler(i, units[i->unit].absent);
}

static bool is_near_branch(const struct tinsn *i)
{
    return i->kind >= KIND_JMP && i->kind <= KIND_CALL_INDIRECT;
}

static void adjust(const struct translator *t, struct tinsn *i)
{
    require_unit(t, i);
    if (i->kind == KIND_SENSITIVE)
        privileged_in_line(t, i);
    i->soft = t->checked && checked_is_soft(i);
    if (i->kind == KIND_SENSITIVE || i->kind == KIND_PUSHF || i->handler == insn_sti)
        i->flags_read = FLAGS_ARITH; /* the handler sees them, and an exception shows them */
}

static bool ends_block(const struct translator *t, const struct tinsn *i)
{
    if ((t->mode & MODE_STEP) || (t->engine->stress.modes & STRESS_BLOCK))
        return true;
    if (t->checked && checked_ends(i))
        return true;
    if (i->kind == KIND_JCC) /* up to a point: what follows is translated again where it is a target */
        return t->branch_count == MAX_BRANCHES;
    bool called = i->kind == KIND_SENSITIVE || i->kind == KIND_PRIVILEGED;
    return is_near_branch(i) || (called && (i->sensitive_flags & SENSITIVE_ENDS));
}

static void emit_copy_insn(struct translator *t, const struct tinsn *i)
{
    emit_renamed(t, i);
    if (i->unit == UNIT_X87)
        emit_x87_note(t, i);
}

static void emit_skip_insn(struct translator *t, const struct tinsn *i)
{
    (void)t;
    (void)i;
}

static void emit_wrap_insn(struct translator *t, const struct tinsn *i)
{
    emit_operand(t, i, operand_size(i), i->access, 0, emit_copy_insn);
}

/* The guest's own LEA, where all of its registers are the host's. */
static bool emit_plain_lea(struct translator *t, const struct tinsn *i)
{
    const struct memop *m = &i->in.mem;
    bool native = is_64(t) && m->base != GPR_RIP && i->in.addrsize == 8 && i->in.opsize >= 4 &&
                  !is_evicted(i->reg.gpr) && (m->base == GPR_NONE || !is_evicted(m->base)) &&
                  (m->index == GPR_NONE || !is_evicted(m->index));
    if (!native || (m->base == GPR_NONE && m->index == GPR_NONE))
        return false;
    struct host_mem h = {m->base == GPR_NONE ? H_NONE : host_reg(m->base),
                         m->index == GPR_NONE ? H_NONE : host_reg(m->index), m->scale, (s32)m->disp};
    emit_op_mem(&t->e, 0x8d, i->in.opsize == 8, host_reg(i->reg.gpr), h);
    return true;
}

/* The offset alone: no segment, no access. */
static void emit_lea_insn(struct translator *t, const struct tinsn *i)
{
    if (emit_plain_lea(t, i))
        return;
    emit_offset(t, i->in.addrsize, &i->in.mem, 0);
    u8 to = is_evicted(i->reg.gpr) ? H_SCRATCH : host_reg(i->reg.gpr);
    if (i->in.opsize == 2) {
        if (is_evicted(i->reg.gpr))
            emit_load(&t->e, H_SCRATCH, slot(i->reg.gpr));
        emit8(&t->e, 0x66);
    }
    emit_op_reg(&t->e, 0x8b, i->in.opsize == 8, to, H_ADDRESS);
    if (is_evicted(i->reg.gpr))
        emit_store(&t->e, slot(i->reg.gpr), to);
}

void emit_helper(struct translator *t, const struct tinsn *i, bool ends)
{
    struct site *s = cache_alloc(t->engine, sizeof(*s));
    if (!s) {
        t->e.overflow = true;
        return;
    }
    *s = (struct site){.handler = i->handler, .movable = is_movable(t), .in = i->in};
    flags_to_host(t);
    t->in_address = NULL;
    emit_immediate(&t->e, H_ADDRESS, (uintptr_t)s);
    if (ends)
        emit_jmp_mem(&t->e, thunk(THUNK_HELPER_END));
    else
        emit_call_mem(&t->e, thunk(THUNK_HELPER));
}

static void emit_sensitive_insn(struct translator *t, const struct tinsn *i)
{
    emit_helper(t, i, ends_block(t, i));
}

typedef void emit_fn(struct translator *t, const struct tinsn *i);

static emit_fn *const emitters[KIND_COUNT] = {
    [KIND_COPY] = emit_copy_insn,
    [KIND_WRAP] = emit_wrap_insn,
    [KIND_SKIP] = emit_skip_insn,
    [KIND_LEA] = emit_lea_insn,
    [KIND_PUSH] = emit_push_insn,
    [KIND_PUSHF] = emit_pushf_insn,
    [KIND_POP] = emit_pop_insn,
    [KIND_LEAVE] = emit_leave_insn,
    [KIND_JMP] = emit_jmp_insn,
    [KIND_JCC] = emit_jcc_insn,
    [KIND_LOOP] = emit_loop_insn,
    [KIND_CALL] = emit_call_insn,
    [KIND_RET] = emit_ret_insn,
    [KIND_JMP_INDIRECT] = emit_jmp_indirect_insn,
    [KIND_CALL_INDIRECT] = emit_call_indirect_insn,
    [KIND_PRIVILEGED] = emit_privileged_insn,
    [KIND_SENSITIVE] = emit_sensitive_insn,
};

/* ---- the block ---- */

/* Movable code knows no address that is cut to 16 bits, nor distances from its page of more than 32. */
static bool fits_mode(const struct translator *t, const struct tinsn *i)
{
    if (!is_movable(t))
        return true;
    if (i->in.mem.base == GPR_RIP && i->in.mem.disp != (s32)i->in.mem.disp)
        return false;
    if (!is_near_branch(i))
        return true;
    s64 by = (s64)i->in.imm;
    return i->in.opsize != 2 && by < INT32_MAX - 2 * 4096 && by > INT32_MIN + 2 * 4096;
}

/* Decodes from the block's start to a control transfer, the page's end or MAX_INSNS. An instruction that
 * straddles two pages stands alone in its block. */
static void decode_page(struct translator *t, size_t n)
{
    u64 rip = t->block->pc;
    size_t done = 0;
    while (t->count < MAX_INSNS && done < n) {
        struct tinsn *i = &t->insn[t->count];
        if (decode(i, t->source + done, n - done, rip + done, t->mode) != DECODE_OK || !fits_mode(t, i))
            break;
        adjust(t, i);
        t->count++;
        t->branch_count += i->kind == KIND_JCC;
        done += i->in.length;
        if (ends_block(t, i))
            break;
    }
    t->block->length = (u16)done;
}

/* The first instruction runs on into the next page: its bytes from both. Faults as a fetch there would. */
static void decode_straddling(struct translator *t, size_t n)
{
    enum { LONGEST = 15 };
    gva next = t->base + t->page + 4096;
    struct tlb_target target;
    u8 *host2 = n < LONGEST ? tlb_fetch(t->v, is_64(t) ? next : (u32)next, &target) : NULL;
    if (!host2)
        return;
    memcpy(t->source + n, host2, LONGEST - n);
    t->checked |= page_is_checked(t->engine, host2);
    if (decode(t->insn, t->source, LONGEST, t->block->pc, t->mode) != DECODE_OK || !fits_mode(t, t->insn))
        return;
    adjust(t, t->insn);
    t->count = 1;
    t->block->length = t->insn->in.length;
    t->block->host2 = host2;
}

/*
 * A block has two entries. The second, ENTRY_SIZE further, expects the flags in the host's; the first has
 * them in vcpu.cc, where blocks that probed the TLB leave them. What lies between brings one to the other, if
 * the block cares: most blocks either overwrite the flags, or probe before they do anything with them.
 */
static void emit_entries(struct translator *t)
{
    struct emitter *e = &t->e;
    enum flags_entry kind = flags_entry(t);
    u8 *start = e->p, *from = NULL;
    if (kind == ENTRY_RESTORES) {
        emit_flags_restore(e, at(H_VCPU, VCPU_CC), spill(SPILL_FLAGS));
    } else {
        emit8(e, 0xeb);
        emit8(e, 0);
        from = e->p;
    }
    while (!e->overflow && e->p < start + ENTRY_SIZE)
        emit8(e, 0x90);
    if (kind == ENTRY_SAVES) {
        emit_flags_save(e, at(H_VCPU, VCPU_CC), spill(SPILL_FLAGS));
        t->flags = FLAGS_IN_CC;
    }
    if (from && !e->overflow)
        from[-1] = (u8)(e->p - from);
}

/* i, the block's last, leads on by itself. */
static bool transfers(const struct translator *t, const struct tinsn *i)
{
    return (is_near_branch(i) && i->kind != KIND_JCC) || (i->kind == KIND_SENSITIVE && ends_block(t, i));
}

/* What emit_block will use. */
static unsigned count_links(const struct translator *t)
{
    static const u8 links[KIND_COUNT] = {
        [KIND_JMP] = 1, [KIND_JCC] = 1, [KIND_CALL] = 1, [KIND_LOOP] = LOOP_LINKS};
    unsigned n = !transfers(t, &t->insn[t->count - 1]);
    for (unsigned i = 0; i < t->count; i++)
        n += links[t->insn[i].kind];
    return n;
}

static void emit_block(struct translator *t)
{
    emit_entries(t);
    if (t->checked)
        emit_check(t);
    for (unsigned n = 0; n < t->count; n++) {
        const struct tinsn *i = &t->insn[n];
        map_here(t, i, GPR_NONE);
        emitters[i->kind](t, i);
    }
    const struct tinsn *last = &t->insn[t->count - 1];
    u64 next = t->block->pc + t->block->length;
    if (!transfers(t, last))
        emit_goto(t, is_64(t) ? next : (u32)next, NULL);
    emit_cold(t);
    emit_check_cold(t);
    emit_stubs(t);
}

static bool keep_metadata(struct translator *t)
{
    struct block *b = t->block;
    size_t map_size = t->map_count * sizeof(t->map[0]);
    struct pc_map *map = cache_alloc(t->engine, map_size);
    struct producer *producers = cache_alloc(t->engine, t->producer_count * sizeof(t->producers[0]));
    if (!map || !producers)
        return false;
    memcpy(producers, t->producers, t->producer_count * sizeof(t->producers[0]));
    b->producers = producers;
    memcpy(map, t->map, map_size);
    b->map = map;
    b->map_count = t->map_count;
    return true;
}

static void translator_begin(struct translator *t, struct vcpu *v, u8 *host, bool plain)
{
    struct engine *e = v->engine;
    t->v = v;
    t->engine = e;
    t->mode = t->next_mode = v->mode;
    t->base = is_movable(t) ? ALIGN_DOWN(v->rip, 4096) : 0;
    t->cs_base = is_64(t) ? 0 : v->seg[SEG_CS].base;
    t->page = ALIGN_DOWN(v->rip - t->base + t->cs_base, 4096);
    t->e = (struct emitter){.p = e->code_write + e->code_used, .end = e->code_write + CODE_SIZE};
    t->e.delta = e->code_exec - e->code_write;
    t->count = t->cold_count = t->map_count = t->link_count = t->producer_count = 0;
    t->branch_count = 0;
    t->flags = FLAGS_IN_HOST;
    t->plain = plain;
    t->checked = page_is_checked(e, host);
    t->check_count = 0;
    t->operand = at(H_ADDRESS, 0);
    t->in_address = NULL;
    t->block = cache_alloc(e, sizeof(*t->block));
    memcpy(t->e.p, &t->block, sizeof(t->block));
    t->e.p += HEADER_SIZE;
    *t->block = (struct block){
        .pc = v->rip - t->base, .host = host, .mode = t->mode | (plain ? MODE_PLAIN : 0), .code = t->e.p};
}

bool cache_has_room(const struct engine *e)
{
    return CODE_SIZE - __atomic_load_n(&e->code_used, __ATOMIC_RELAXED) > BLOCK_CODE_MAX &&
           META_SIZE - __atomic_load_n(&e->meta_used, __ATOMIC_RELAXED) > BLOCK_META_MAX &&
           CROSSINGS - __atomic_load_n(&e->crossing_count, __ATOMIC_RELAXED) > MAX_LINKS &&
           __atomic_load_n(&e->block_count, __ATOMIC_RELAXED) < MAX_BLOCKS;
}

static void decode_block(struct translator *t, size_t n)
{
    decode_page(t, min(n, code_room(t->v)));
    if (!t->count)
        decode_straddling(t, n);
    privileged_plan(t);
}

/* The block's first instruction is not for a movable one (fits_mode). */
static void fix_address(struct translator *t)
{
    t->mode &= ~(u32)MODE_MOVABLE;
    t->next_mode = t->mode; /* no link leads from or to the vcpu's mode */
    t->block->mode &= ~(u32)MODE_MOVABLE;
    t->block->pc += t->base;
    t->page += t->base;
    t->base = 0;
}

struct block *translate(struct vcpu *v, u8 *host, bool plain)
{
    struct engine *e = v->engine;
    struct translator *t = e->translator;
    if (!cache_has_room(e))
        return NULL;
    translator_begin(t, v, host, plain);
    size_t n = min(sizeof(t->source), (size_t)(4096 - ((uintptr_t)host & 4095)));
    memcpy(t->source, host, n);
    decode_block(t, n);
    if (!t->count && is_movable(t)) {
        fix_address(t);
        decode_block(t, n);
    }
    if (!t->count)
        return NULL;
    t->links = t->block->links = cache_alloc(e, count_links(t) * sizeof(*t->links));
    bool room = checked_alloc(t);
    flags_plan(t);
    group_plan(t);
    emit_block(t);
    ASSERT(room && !t->e.overflow && keep_metadata(t)); /* BLOCK_CODE_MAX and BLOCK_META_MAX bound a block */
    t->block->code_size = (u32)(t->e.p - t->block->code);
    t->block->link_count = (u8)t->link_count;
    e->code_used = ALIGN_UP(t->e.p - e->code_write, 16);
    large_pages_follow(e);
    cache_insert(e, t->block, t->block->host2);
    v->stat_translations++;
    if (dump_mask & DUMP_BLOCKS)
        dump_block(v, t->block, t->insn, t->count);
    return t->block;
}
