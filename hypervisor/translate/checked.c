/* checked.c - pages whose code is stored to again and again: their blocks check themselves
 */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Compilers at run time and programs that modify themselves store to a page, run it, and store to it again.
 * To guard it each time, to have each store announced and each block made anew, would cost a thousand times
 * what the stores cost. So a page in which blocks were made and dropped many times in short order, or which
 * has data beside code that is stored to all the time, is no longer guarded:
 *
 * - Stores to it are like any other.
 * - Each of its blocks begins with a comparison of the guest's bytes with those that it was made of
 *   (block.source). Where they differ, C looks for a block made of the present bytes, at the same address, or
 * has one made (engine_changed).
 * - The next instruction behind a store must be the new one, so a block ends behind each instruction that may
 *   store: the next one's check comes after it.
 * - What code that is made anew has new is often constants. So immediates that an instruction may as well
 * take from memory are taken from block.source ("soft"). A block whose other bytes hold (block.mask) is good
 *   again when the new bytes have been copied to its source.
 *
 * xor %eax, %eax; add $1234, %eax; ret becomes
 *
 *      (the flags to vcpu.cc)
 *      subl  $1, runs_left(%rip)
 *      jz    changed
 *      mov   $host address of the code, %r14
 *      mov   source(%rip), %r12
 *      cmp   (%r14), %r12
 *      jne   changed
 *      xor   %eax, %eax
 *      add   source+3(%rip), %eax
 *      ...
 *
 * Other vcpus store to the page without a word to anybody. What a block runs was in memory at its check or,
 * of soft immediates, later; a vcpu that has serialized after the store (SDM 3A 8.1.3) comes to a new check.
 * Sources change with the engine's lock, by whole words at the same alignment as the guest's, so that no
 * immediate is torn that was stored at once, and never back to older bytes.
 *
 * A page whose bytes have not changed for a while, though its blocks run, becomes one like others again.
 */
#include "hypervisor/translate/translate.h"

enum {
    REWRITES = 16,
    BESIDE = 1000,
    VERSIONS = 8,   /* of one block, kept for when the bytes are the same again */
    RUNS = 1 << 16, /* of a block, between two questions whether the page still changes */
    MAX_WORDS = MAX_SOURCE / 8 + 2,
};

/* In ticks of the TSC: some 50 and 400 ms. */
static const u64 calm = 100 << 20, short_order = 800 << 20;

bool page_is_checked(struct engine *e, u8 *host)
{
    const struct code_page *p = cache_page_make(e, host);
    return p && p->checked;
}

/* ---- which pages ---- */

bool checked_count(struct code_page *p, bool dropped)
{
    bool rewritten = dropped && p->fresh, is_beside = !dropped && p->blocks;
    if (!rewritten && !is_beside)
        return false;
    u64 now = host_tsc();
    if (now - p->changed > short_order)
        p->rewrites = p->beside = 0;
    p->changed = now;
    p->fresh &= !rewritten;
    p->rewrites += rewritten;
    p->beside += is_beside;
    p->checked = p->rewrites >= REWRITES || p->beside >= BESIDE;
    return p->checked;
}

bool checked_still(struct engine *e, struct code_page *p, u64 now)
{
    if (!p->checked || now - p->changed <= calm)
        return p->checked;
    cache_let_go(e, p);
    p->checked = false;
    p->rewrites = p->beside = 0;
    return false;
}

/* ---- source and mask: words as they lie in memory ---- */

static unsigned word_count(const struct block *b)
{
    return ((unsigned)((uintptr_t)b->host & 7) + b->length + 7) / 8;
}

static u64 *source_words(const struct block *b)
{
    return (u64 *)(b->source - ((uintptr_t)b->host & 7));
}

/* Where the guest has them. */
static const volatile u64 *word_at(const struct block *b, unsigned n)
{
    const u8 *first = (const u8 *)ALIGN_DOWN((uintptr_t)b->host, 8);
    unsigned in_page = (4096 - ((uintptr_t)first & 4095)) / 8;
    return (const u64 *)(n < in_page ? first + 8 * n : b->host2 + 8 * (n - in_page));
}

static void mask_bytes(const struct block *b, unsigned from, unsigned n, u8 value)
{
    memset((u8 *)b->mask + ((uintptr_t)b->host & 7) + from, value, n);
}

static void fill_mask(struct translator *t)
{
    const struct block *b = t->block;
    memset(b->mask, 0, word_count(b) * sizeof(u64));
    mask_bytes(b, 0, b->length, 0xff);
    for (const struct tinsn *i = t->insn; i < t->insn + t->count; i++)
        if (i->soft)
            mask_bytes(b, (unsigned)(i->in.rip + i->in.length - b->pc) - i->imm_size, i->imm_size, 0);
}

bool checked_alloc(struct translator *t)
{
    struct block *b = t->block;
    unsigned words = word_count(b);
    u8 *source = cache_alloc(t->engine, words * sizeof(u64));
    if (!source)
        return false;
    b->source = source + ((uintptr_t)b->host & 7);
    memcpy(b->source, t->source, b->length);
    if (!t->checked)
        return true;
    b->mask = cache_alloc(t->engine, words * sizeof(u64));
    if (!b->mask)
        return false;
    b->runs_left = RUNS;
    fill_mask(t);
    return true;
}

/* Whether b holds for what memory has now, soft immediates brought up to date. */
bool checked_follow(struct block *b)
{
    u64 now[MAX_WORDS], *source = source_words(b);
    unsigned count = word_count(b);
    for (unsigned n = 0; n < count; n++) {
        now[n] = *word_at(b, n);
        if ((now[n] ^ source[n]) & b->mask[n])
            return false;
    }
    for (unsigned n = 0; n < count; n++)
        *(volatile u64 *)&source[n] = now[n];
    return true;
}

static struct code_page *checked_page(const struct block *b)
{
    return b->page[0]->checked ? b->page[0] : b->page[1];
}

/* b has found other bytes than its own, or has run RUNS times. Whether it may run. */
bool checked_recheck(struct engine *e, struct block *b)
{
    if (!b->valid)
        return false;
    struct code_page *p = checked_page(b);
    u64 now = host_tsc();
    if (!b->runs_left) {
        b->runs_left = RUNS;
        return checked_still(e, p, now) && checked_follow(b);
    }
    p->changed = now;
    if (checked_follow(b))
        return true;
    cache_unlink(e, b);
    return false;
}

/* Before another version of b enters the cache. */
void checked_bound(struct engine *e, const struct block *b)
{
    struct block *last = NULL;
    unsigned count = 0;
    for (struct block *other = e->hash[cache_hash(b->host)]; other; other = other->hash_next)
        if (other->host == b->host && other->mode == b->mode && other->pc == b->pc) {
            last = other;
            count++;
        }
    if (count >= VERSIONS)
        cache_invalidate(e, last);
}

/* ---- what blocks look like ---- */

/* May i store? */
bool checked_ends(const struct tinsn *i)
{
    switch (i->kind) {
    case KIND_WRAP: return i->access & OPERAND_WRITE;
    case KIND_POP: return i->has_mem;
    case KIND_PUSH:
    case KIND_PUSHF:
    case KIND_PRIVILEGED:
    case KIND_SENSITIVE: return true;
    default: return false;
    }
}

/* Those that reencode.c (emit_soft) knows. The width of group.c's additions is left alone. */
bool checked_is_soft(const struct tinsn *i)
{
    bool plain = i->kind == KIND_COPY && i->encoding == ENCODING_LEGACY && i->map == 0 && !i->prefix_count &&
                 !i->has_mem && !i->rm.byte_high;
    if (!plain || (i->in.opsize != 4 && i->in.opsize != 8))
        return false;
    if (i->opcode >= 0xb8 && i->opcode <= 0xbf)
        return i->imm_size == i->in.opsize;
    if (i->imm_size != 4)
        return false;
    if (i->opcode == 0xc7)
        return true;
    bool accumulator = (i->opcode & 0xc7) == 0x05 || i->opcode == 0xa9;
    bool test = i->opcode == 0xf7 && (i->modrm_reg & 7) <= 1;
    return i->in.opsize == 4 && (accumulator || test || i->opcode == 0x81);
}

static void emit_jump_if_changed(struct translator *t, enum condition cc)
{
    ASSERT(t->check_count < MAX_CHECKS);
    t->check[t->check_count++] = emit_jcc(&t->e, cc);
}

static void emit_compare_piece(struct translator *t, const u8 *source, unsigned at_host, unsigned size)
{
    struct emitter *e = &t->e;
    u32 load = size >= 4 ? 0x8b : size == 2 ? 0x0fb7 : 0x0fb6;
    emit_op_near(e, load, size == 8, H_SCRATCH, source, 0);
    if (size == 2)
        emit8(e, 0x66);
    emit_op_mem(e, size == 1 ? 0x3a : 0x3b, size == 8, H_SCRATCH, at(H_ADDRESS, (s32)at_host));
    emit_jump_if_changed(t, CC_NE);
}

/* The last piece overlaps the one before it. */
static void emit_compare(struct translator *t, const u8 *host, const u8 *source, unsigned n)
{
    unsigned size = n >= 8 ? 8 : n >= 4 ? 4 : n >= 2 ? 2 : 1;
    emit_immediate(&t->e, H_ADDRESS, (uintptr_t)host);
    for (unsigned done = 0; done < n; done += size) {
        unsigned piece = min(done, n - size);
        emit_compare_piece(t, source + piece, piece, size);
    }
}

/* C looks at the bytes before each entry to a block of MODE_STEP. */
void emit_check(struct translator *t)
{
    struct block *b = t->block;
    if (t->mode & MODE_STEP)
        return;
    map_here(t, t->insn, GPR_NONE);
    emit_op_near(&t->e, 0x83, false, 5, &b->runs_left, 1); /* sub */
    emit8(&t->e, 1);
    emit_jump_if_changed(t, CC_E);
    unsigned first = min((unsigned)b->length, (unsigned)(4096 - ((uintptr_t)b->host & 4095)));
    emit_compare(t, b->host, b->source, first);
    if (b->host2)
        emit_compare(t, b->host2, b->source + first, b->length - first);
}

void emit_check_cold(struct translator *t)
{
    if (!t->check_count || t->e.overflow)
        return;
    for (unsigned n = 0; n < t->check_count; n++)
        emit_patch(t->check[n], t->e.p);
    emit_immediate(&t->e, H_ADDRESS, (uintptr_t)t->block);
    emit_jmp_mem(&t->e, thunk(THUNK_CHANGED));
}
