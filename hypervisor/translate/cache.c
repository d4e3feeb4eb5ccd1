/* cache.c - blocks by address, pages by host address, invalidation (design: code cache) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>
#include <sys/mman.h>

#include "hypervisor/direct/direct.h"
#include "hypervisor/translate/cache.h"
#include "hypervisor/translate/emit.h"
#include "hypervisor/translate/ibtc.h"
#include "hypervisor/translate/tlb.h"

enum { META_RESERVE = 1 << 20 }; /* for a block under way (translate.c) */

unsigned cache_hash(const u8 *host)
{
    return (unsigned)(((uintptr_t)host ^ (uintptr_t)host >> 17) & (BLOCK_HASH - 1));
}

static unsigned page_hash(const u8 *host)
{
    return (unsigned)((uintptr_t)host >> 12 ^ (uintptr_t)host >> 25) & (PAGE_HASH - 1);
}

static const u8 *page_of(const u8 *host)
{
    return (const u8 *)ALIGN_DOWN((uintptr_t)host, 4096);
}

void *cache_alloc(struct engine *e, size_t n)
{
    n = ALIGN_UP(n, 16);
    if (META_SIZE - e->meta_used < n)
        return NULL;
    void *p = e->meta + e->meta_used;
    e->meta_used += n;
    return p;
}

struct code_page *cache_page(struct engine *e, const u8 *host)
{
    const u8 *page = page_of(host);
    struct code_page *p = __atomic_load_n(&e->pages[page_hash(page)], __ATOMIC_ACQUIRE);
    while (p && p->host != page)
        p = p->hash_next;
    return p;
}

bool cache_has_code(struct engine *e, const u8 *host)
{
    const struct code_page *p = cache_page(e, host);
    return p && __atomic_load_n(&p->guarded, __ATOMIC_ACQUIRE);
}

struct code_page *cache_page_make(struct engine *e, u8 *host)
{
    struct code_page *p = cache_page(e, host);
    if (p)
        return p;
    p = cache_alloc(e, sizeof(*p));
    if (!p)
        return NULL;
    u8 *page = (u8 *)(uintptr_t)page_of(host);
    unsigned h = page_hash(page);
    *p = (struct code_page){.hash_next = e->pages[h], .host = page};
    p->checked = stress_now(&e->stress, STRESS_CHECKED, 2);
    __atomic_store_n(&e->pages[h], p, __ATOMIC_RELEASE);
    return p;
}

/* Even where movable code is wanted, some blocks are not (translate.c). */
static bool serves(const struct block *b, u64 pc, u32 mode)
{
    if (b->mode & MODE_MOVABLE)
        return b->mode == mode;
    return b->mode == (mode & ~(u32)MODE_MOVABLE) && b->pc == pc;
}

struct block *cache_find(struct engine *e, u64 pc, u32 mode, const u8 *host)
{
    for (struct block *b = e->hash[cache_hash(host)]; b; b = b->hash_next)
        if (b->host == host && serves(b, pc, mode) && (!b->mask || b->host2 || checked_follow(b)))
            return b;
    return NULL;
}

static void page_guard(struct engine *e, struct code_page *p)
{
    p->strays = p->hits = 0;
    p->fresh = true;
    if (p->guarded || p->checked)
        return;
    __atomic_store_n(&p->guarded, true, __ATOMIC_RELEASE); /* before write entries are looked for: tlb.c */
    p->verified = p->lines = p->sum = 0;
    p->in_doubt = false;
    p->settled = false;
    p->looks = 0;
    tlb_protect(e->vm, p->host);
    p->epoch = atomic_fetch_add(&e->epoch, 1) + 1;
}

/* The part of b's source that lies in the page of host: [*from, *to) as host addresses. */
static void block_range(const struct block *b, const u8 *page, const u8 **from, const u8 **to)
{
    size_t first = 4096 - ((uintptr_t)b->host & 4095);
    if (page_of(b->host) == page) {
        *from = b->host;
        *to = b->host + min((size_t)b->length, first);
    } else {
        *from = b->host2;
        *to = b->host2 + (b->length - first);
    }
}

bool block_unchanged(const struct block *b)
{
    size_t first = min((size_t)b->length, (size_t)(4096 - ((uintptr_t)b->host & 4095)));
    return !memcmp(b->host, b->source, first) &&
           (!b->host2 || !memcmp(b->host2, b->source + first, b->length - first));
}

/* Of the 64 bytes at line; each pair of words is mixed by a key of its own and of the line's. */
static u64 line_sum(const u8 *line)
{
    static const u64 keys[8] = {0xa0761d6478bd642f, 0xe7037ed1a0b428db, 0x8ebc6af09c88c6e3,
                                0x589965cc75374cc3, 0x1d8e4e27c47d124f, 0xeb44accab455d165,
                                0x9e3779b97f4a7c15, 0xd6e8feb86659fd93};
    typedef u64 aliased_u64 __attribute__((may_alias));
    const aliased_u64 *word = (const aliased_u64 *)line;
    u64 place = ((uintptr_t)line & 4095) * keys[6], sum = 0;
    for (unsigned i = 0; i < 8; i += 2) {
        unsigned __int128 m = (unsigned __int128)(word[i] ^ keys[i] ^ place) * (word[i + 1] ^ keys[i + 1]);
        sum += (u64)m ^ (u64)(m >> 64);
    }
    return sum;
}

static u64 lines_sum(const u8 *page, u64 lines)
{
    u64 sum = 0;
    for (; lines; lines &= lines - 1)
        sum += line_sum(page + 64 * __builtin_ctzll(lines));
    return sum;
}

/* What has changed while b was made is in the sum, but not in b. */
static void page_add_lines(struct code_page *p, const struct block *b)
{
    const u8 *from, *to;
    block_range(b, p->host, &from, &to);
    unsigned first = (unsigned)(from - p->host) / 64, last = (unsigned)(to - 1 - p->host) / 64;
    u64 lines = (~0ull >> (63 - last) & ~0ull << first) & ~p->lines;
    p->lines |= lines;
    p->sum += lines_sum(p->host, lines);
    if (!block_unchanged(b))
        p->in_doubt = true;
}

static void block_join_page(struct engine *e, struct block *b, unsigned i, u8 *host)
{
    struct code_page *p = cache_page_make(e, host);
    ASSERT(p); /* translate reserves room for it */
    b->page[i] = p;
    b->page_next[i] = p->blocks;
    p->blocks = b;
    page_guard(e, p);
    if (!p->checked)
        page_add_lines(p, b);
}

void cache_insert(struct engine *e, struct block *b, u8 *host2)
{
    unsigned h = cache_hash(b->host);
    if (b->mask)
        checked_bound(e, b);
    b->hash_next = e->hash[h];
    e->hash[h] = b;
    b->valid = true;
    b->host2 = host2;
    block_join_page(e, b, 0, b->host);
    if (host2)
        block_join_page(e, b, 1, host2);
    e->by_code[e->block_count] = b;
    __atomic_store_n(&e->block_count, e->block_count + 1, __ATOMIC_RELEASE);
}

struct block *cache_by_host_pc(struct engine *e, const u8 *exec_pc)
{
    const u8 *pc = write_view(e, exec_pc);
    unsigned low = 0, high = __atomic_load_n(&e->block_count, __ATOMIC_ACQUIRE);
    while (low < high) {
        unsigned mid = (low + high) / 2;
        if (e->by_code[mid]->code <= pc)
            low = mid + 1;
        else
            high = mid;
    }
    if (!low)
        return NULL;
    struct block *b = e->by_code[low - 1];
    return pc < b->code + b->code_size ? b : NULL;
}

struct block *cache_by_entry(const struct engine *e, const u8 *entry)
{
    struct block *b;
    memcpy(&b, write_view(e, entry) - ENTRY_SIZE - HEADER_SIZE, sizeof(b));
    return b;
}

const struct pc_map *block_map(const struct block *b, const u8 *exec_pc, struct engine *e)
{
    u32 offset = (u32)(write_view(e, exec_pc) - b->code);
    u32 low = 0, high = b->map_count;
    while (low < high) {
        u32 mid = (low + high) / 2;
        if (b->map[mid].host_offset <= offset)
            low = mid + 1;
        else
            high = mid;
    }
    return low ? &b->map[low - 1] : NULL;
}

/* One store, while other vcpus run the jump. */
static void link_patch(u8 *site, const u8 *target)
{
    s32 rel = (s32)(target - (site + 4));
    __asm__ volatile("movl %1, %0" : "=m"(*(u8(*)[4])site) : "r"(rel));
}

void link_connect(struct engine *e, struct link *l, struct block *to)
{
    (void)e;
    l->to = to;
    l->next_in = to->links_in;
    to->links_in = l;
    link_patch(l->site, l->in_cc ? to->code : to->code + ENTRY_SIZE);
}

static void link_disconnect(struct link *l)
{
    struct link **p = &l->to->links_in;
    while (*p != l)
        p = &(*p)->next_in;
    *p = l->next_in;
    l->to = NULL;
    link_patch(l->site, l->stub);
}

static void block_leave_page(struct block *b, unsigned i)
{
    struct block **p = &b->page[i]->blocks;
    while (*p != b)
        p = &(*p)->page_next[(*p)->page[0] != b->page[i]];
    *p = b->page_next[i];
}

static void block_leave_hash(struct engine *e, struct block *b)
{
    struct block **p = &e->hash[cache_hash(b->host)];
    while (*p != b)
        p = &(*p)->hash_next;
    *p = b->hash_next;
}

void cache_unlink(struct engine *e, struct block *b)
{
    while (b->links_in)
        link_disconnect(b->links_in);
    for (unsigned i = 0; i < e->vm->vcpu_count; i++)
        if (e->vm->vcpu[i])
            ibtc_forget(e->vm->vcpu[i], b, exec_view(e, b->code));
}

void cache_invalidate(struct engine *e, struct block *b)
{
    ASSERT(b->valid);
    for (unsigned i = 0; i < b->link_count; i++)
        if (b->links[i].to)
            link_disconnect(&b->links[i]);
    block_leave_hash(e, b);
    block_leave_page(b, 0);
    if (b->host2)
        block_leave_page(b, 1);
    b->valid = false;
    e->forgets++;
    cache_unlink(e, b);
    u64 epoch = atomic_fetch_add(&e->epoch, 1) + 1;
    for (unsigned i = 0; i < 2; i++)
        if (b->page[i])
            __atomic_store_n(&b->page[i]->dropped, epoch, __ATOMIC_RELEASE);
}

bool cache_overlaps(struct engine *e, const u8 *host, size_t n, const struct block *b)
{
    (void)e;
    const u8 *page = page_of(host), *from, *to;
    if (page_of(b->host) != page && b->host2 != page)
        return false;
    block_range(b, page, &from, &to);
    return host < to && from < host + n;
}

static void end_direct(struct engine *e, struct code_page *p)
{
    if (!p->direct)
        return;
    __atomic_store_n(&p->direct, false, __ATOMIC_RELEASE);
    for (unsigned i = 0; i < e->vm->vcpu_count; i++)
        if (e->vm->vcpu[i]) {
            direct_code_changed(e->vm->vcpu[i], p->host);
            direct_kick(e->vm->vcpu[i]);
        }
}

bool cache_is_direct(struct engine *e, const u8 *host)
{
    const struct code_page *p = cache_page(e, host);
    return p && __atomic_load_n(&p->direct, __ATOMIC_ACQUIRE);
}

bool cache_make_direct(struct vcpu *v, u8 *host)
{
    struct engine *e = v->engine;
    bool settled = false;
    engine_lock(v);
    struct code_page *p =
        META_SIZE - e->meta_used > META_RESERVE ? cache_page_make(e, host) : cache_page(e, host);
    if (p && !checked_still(e, p, host_tsc())) {
        __atomic_store_n(&p->direct, true, __ATOMIC_RELEASE);
        page_guard(e, p);
        settled = cache_settle(v, p);
    }
    engine_unlock(v);
    return settled;
}

void cache_let_go(struct engine *e, struct code_page *p)
{
    while (p->blocks)
        cache_invalidate(e, p->blocks);
    __atomic_store_n(&p->guarded, false, __ATOMIC_RELEASE);
}

/* Code that is made over and over in the same place stays guarded between two rounds, as guarding costs more
 * than some stores. Where much is written, all of the page will be, or none of it is code any more.
 * true: all of its blocks were dropped. */
static bool count_store(struct engine *e, struct code_page *p, bool dropped)
{
    enum { STRAYS = 16, HITS = 4 };
    if (!p->guarded)
        return false;
    p->hits += dropped;
    p->strays += !dropped && !p->blocks;
    bool lets_go = checked_count(p, dropped) || p->hits > HITS || p->strays > STRAYS;
    if (lets_go)
        cache_let_go(e, p);
    return lets_go;
}

void cache_forget_page(struct vcpu *v, const u8 *host)
{
    engine_lock(v);
    struct code_page *p = cache_page(v->engine, host);
    if (p) {
        end_direct(v->engine, p);
        cache_let_go(v->engine, p);
    }
    engine_unlock(v);
}

/* v may be in a block of p that has been dropped since v left C. */
static bool may_be_in_dropped(const struct vcpu *v, const struct code_page *p)
{
    return atomic_load_explicit(&v->epoch, memory_order_relaxed) <
           __atomic_load_n(&p->dropped, __ATOMIC_ACQUIRE);
}

bool cache_hears_stores(struct vcpu *v, const u8 *host)
{
    const struct code_page *p = cache_page(v->engine, host);
    return p && (__atomic_load_n(&p->guarded, __ATOMIC_ACQUIRE) || may_be_in_dropped(v, p));
}

bool cache_store(struct vcpu *v, const u8 *host, size_t n)
{
    struct engine *e = v->engine;
    struct code_page *p = cache_page(e, host);
    if (!p)
        return false;
    bool leaves = may_be_in_dropped(v, p), dropped = false;
    end_direct(e, p);
    for (struct block *b = p->checked ? NULL : p->blocks, *next; b; b = next) {
        next = b->page_next[b->page[0] != p];
        if (!cache_overlaps(e, host, n, b))
            continue;
        cache_invalidate(e, b);
        dropped = true;
    }
    return count_store(e, p, dropped) || dropped || leaves;
}

/* As far as b lies in p: its other page may not even be there any more. */
static bool part_unchanged(const struct block *b, const struct code_page *p)
{
    const u8 *from, *to;
    block_range(b, p->host, &from, &to);
    return !memcmp(from, b->source + (from == b->host ? 0 : b->length - (to - from)), (size_t)(to - from));
}

static void compare_blocks(struct engine *e, struct code_page *p)
{
    for (struct block *b = p->blocks, *next; b; b = next) {
        next = b->page_next[b->page[0] != p];
        if (!part_unchanged(b, p))
            cache_invalidate(e, b);
    }
}

/* The sum first: what changes while blocks are compared is found the next time. */
void cache_verify(struct engine *e, struct code_page *p, u64 generation)
{
    if (p->checked)
        return;
    u64 sum = lines_sum(p->host, p->lines);
    if (p->in_doubt || sum != p->sum)
        compare_blocks(e, p);
    p->in_doubt = false;
    p->sum = sum;
    p->verified = generation;
}

/* Under the lock also where no page has code: a block that is being made of the old bytes is there before, or
 * is made of the new ones. */
void cache_written(struct engine *e, const u8 *host, size_t n)
{
    pthread_mutex_lock(&e->lock);
    for (const u8 *page = page_of(host); n && page < host + n; page += 4096) {
        struct code_page *p = cache_page(e, page);
        if (!p)
            continue;
        end_direct(e, p);
        cache_verify(e, p, p->verified);
    }
    pthread_mutex_unlock(&e->lock);
}

static bool has_noted(const struct vcpu *v, u64 epoch)
{
    return atomic_load(&v->state) != STATE_RUNNING || atomic_load(&v->epoch) >= epoch;
}

/* Those that do not pass through C by themselves are asked to, now and then. */
bool cache_settle(struct vcpu *v, struct code_page *p)
{
    enum { LOOKS = 32 };
    const struct vm *vm = v->vm;
    if (p->settled || p->checked)
        return true;
    bool all = true, ask = ++p->looks % LOOKS == 0;
    for (unsigned i = 0; i < vm->vcpu_count; i++) {
        if (vm->vcpu[i] == v || has_noted(vm->vcpu[i], p->epoch))
            continue;
        all = false;
        if (ask)
            vcpu_kick(vm->vcpu[i], REQ_LOOK);
    }
    if (all)
        cache_verify(v->engine, p, v->generation);
    return p->settled = all;
}

/* No vcpu runs guest code, but for one that is in its run loop. */
void cache_flush(struct engine *e)
{
    memset(e->hash, 0, sizeof(e->hash));
    memset(e->pages, 0, sizeof(e->pages));
    large_pages_release(e);
    madvise(e->by_code, ALIGN_UP(e->block_count * sizeof(*e->by_code), 4096), MADV_DONTNEED);
    e->block_count = 0;
    e->code_used = e->meta_used = 0;
    e->crossing_count = 0;
    e->flushes++;
    e->forgets++;
    for (unsigned i = 0; i < e->vm->vcpu_count; i++)
        if (e->vm->vcpu[i]) {
            ibtc_flush_all(e->vm->vcpu[i]);
            direct_forget_all(e->vm->vcpu[i]);
        }
}
