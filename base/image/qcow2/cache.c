/* cache.c - pages of L2 tables and refcount blocks in memory, and how their changes reach the file (qcow2.h
 * has the order, and why) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/image/qcow2/qcow2.h"

/* 4 MiB: the L2 entries of 32 GiB of disk, with clusters of 64 KiB. */
enum { MAX_PAGES = 1024, BUCKETS = 1024, MAX_DIRTY = MAX_PAGES / 4 };

int cache_init(struct qcow2 *q)
{
    q->page_size = (unsigned)min(q->cluster_size, (u64)PAGE_SIZE_MAX);
    q->cache.bucket = calloc(BUCKETS, sizeof(struct page *));
    q->freed = calloc(MAX_FREED, sizeof(q->freed[0]));
    return q->cache.bucket && q->freed ? 0 : -ENOMEM;
}

static struct page **bucket_of(struct qcow2 *q, u64 host)
{
    return &q->cache.bucket[host / q->page_size % BUCKETS];
}

static void list_remove(struct cache *c, struct page *p)
{
    *(p->older ? &p->older->newer : &c->oldest) = p->newer;
    *(p->newer ? &p->newer->older : &c->newest) = p->older;
}

static void list_add(struct cache *c, struct page *p)
{
    p->older = c->newest;
    p->newer = NULL;
    *(c->newest ? &c->newest->newer : &c->oldest) = p;
    c->newest = p;
}

static void set_dirty(struct cache *c, struct page *p, bool dirty)
{
    c->dirty += (unsigned)dirty - (unsigned)p->dirty;
    p->dirty = dirty;
}

static void drop(struct qcow2 *q, struct page *p)
{
    struct page **at = bucket_of(q, p->host);
    while (*at != p)
        at = &(*at)->hash_next;
    *at = p->hash_next;
    list_remove(&q->cache, p);
    set_dirty(&q->cache, p, false);
    q->cache.count--;
    free(p);
}

void cache_free(struct qcow2 *q)
{
    while (q->cache.oldest)
        drop(q, q->cache.oldest);
    free(q->cache.bucket);
    free(q->freed);
}

static int write_page(struct qcow2 *q, struct page *p)
{
    int r = image_pwrite_all(q->image, p->host, p->bytes, q->page_size);
    if (r == 0)
        set_dirty(&q->cache, p, false);
    return r;
}

/* One page that is clean, or becomes so. A dirty one is there only while counts go down: qcow2_make_room. */
static int evict(struct qcow2 *q)
{
    struct page *p = q->cache.oldest;
    while (p->dirty && p->newer && !q->cache.lowering)
        p = p->newer;
    int r = p->dirty ? q->cache.lowering ? write_page(q, p) : -ENOMEM : 0;
    if (r == 0)
        drop(q, p);
    return r;
}

static struct page *lookup(struct qcow2 *q, u64 host)
{
    struct page *p = *bucket_of(q, host);
    while (p && p->host != host)
        p = p->hash_next;
    return p;
}

static int load(struct qcow2 *q, u64 host, struct page **out)
{
    int r = q->cache.count >= MAX_PAGES ? evict(q) : 0;
    if (r < 0)
        return r;
    struct page *p = calloc(1, sizeof(*p) + q->page_size);
    r = p ? image_pread_all(q->image, host, p->bytes, q->page_size) : -ENOMEM;
    if (r < 0) {
        free(p);
        return r;
    }
    p->host = host;
    p->hash_next = *bucket_of(q, host);
    *bucket_of(q, host) = p;
    list_add(&q->cache, p);
    q->cache.count++;
    *out = p;
    return 0;
}

int cache_get(struct qcow2 *q, u64 host, enum page_kind kind, struct page **out)
{
    u64 base = ALIGN_DOWN(host, (u64)q->page_size);
    struct page *p = lookup(q, base);
    int r = 0;
    if (p) {
        list_remove(&q->cache, p);
        list_add(&q->cache, p);
        if (p->kind != kind && p->dirty) /* a table that is two things at once */
            return qcow2_corrupt(q, "a refcount block is an L2 table as well");
    } else {
        r = load(q, base, &p);
    }
    if (r < 0)
        return r;
    p->kind = kind;
    *out = p;
    return 0;
}

void cache_touch(struct qcow2 *q, struct page *p)
{
    set_dirty(&q->cache, p, true);
}

void cache_forget(struct qcow2 *q, u64 host, u64 bytes)
{
    for (u64 at = ALIGN_DOWN(host, (u64)q->page_size); at < host + bytes; at += q->page_size) {
        struct page *p = lookup(q, at);
        if (p)
            drop(q, p);
    }
}

void table_touch(struct table *t, u32 at)
{
    if (t->dirty_from == t->dirty_to)
        t->dirty_from = at, t->dirty_to = at + 1;
    t->dirty_from = min(t->dirty_from, at);
    t->dirty_to = max(t->dirty_to, at + 1);
}

int table_write(struct qcow2 *q, struct table *t)
{
    u32 n = t->dirty_to - t->dirty_from;
    u64 *raw = n ? malloc(n * sizeof(*raw)) : NULL;
    if (!n)
        return 0;
    if (!raw)
        return -ENOMEM;
    for (u32 i = 0; i < n; i++)
        raw[i] = htobe64(t->entry[t->dirty_from + i]);
    int r = image_pwrite_all(q->image, t->offset + 8ull * t->dirty_from, raw, n * sizeof(*raw));
    free(raw);
    if (r == 0)
        t->dirty_from = t->dirty_to = 0;
    return r;
}

int cache_write(struct qcow2 *q, enum page_kind kind)
{
    int r = 0;
    for (struct page *p = q->cache.oldest; p && r == 0; p = p->newer)
        if (p->dirty && p->kind == kind)
            r = write_page(q, p);
    return r;
}

/* Where there is a dirty bit, a power failure that changes the order of the steps does no harm. */
static int step(struct qcow2 *q)
{
    return q->header.version < 3 ? image_sync(q->image) : 0;
}

static bool is_clean(const struct qcow2 *q)
{
    return !q->cache.dirty && !q->freed_count && q->l1.dirty_from == q->l1.dirty_to &&
           q->reftable.dirty_from == q->reftable.dirty_to;
}

static int lower_counts(struct qcow2 *q)
{
    q->cache.lowering = true;
    int r = qcow2_lower_counts(q);
    q->cache.lowering = false;
    return r < 0 ? r : image_sync(q->image);
}

int qcow2_commit(struct qcow2 *q)
{
    int r = 0;
    if (is_clean(q))
        return 0;
    if (q->barrier && (r = image_sync(q->image)) < 0)
        return r;
    q->barrier = false;
    if ((r = cache_write(q, PAGE_REFCOUNT)) < 0 || (r = table_write(q, &q->reftable)) < 0 ||
        (r = step(q)) < 0 || (r = cache_write(q, PAGE_L2)) < 0 || (r = table_write(q, &q->l1)) < 0 ||
        (r = step(q)) < 0)
        return r;
    return q->freed_count ? lower_counts(q) : 0;
}

int qcow2_make_room(struct qcow2 *q)
{
    bool full = q->cache.dirty >= MAX_DIRTY || q->freed_count >= MAX_FREED / 2;
    return full ? qcow2_commit(q) : 0;
}
