/* check.c - who refers to each cluster of the file, against what is counted; and counts made right */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/image/qcow2/qcow2.h"

/* References are counted in chunks, which are there where something is referred to. */
enum { CHUNK = 4096 };
#define MAX_CLUSTERS (1ull << 36)

struct checker {
    struct qcow2 *q;
    struct image_check *c;
    u32 **chunk;
    u64 clusters, highest; /* of the file; the last one that is referred to */
};

static void tell(struct checker *k, const char *fmt, ...)
{
    char line[200];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    if (k->c->tell)
        k->c->tell(k->c->opaque, line);
}

static void corruption(struct checker *k, const char *what, u64 at)
{
    tell(k, "ERROR %s: %#" PRIx64, what, at);
    k->c->corruptions++;
}

static u32 counted(const struct checker *k, u64 cluster)
{
    const u32 *chunk = cluster < k->clusters ? k->chunk[cluster / CHUNK] : NULL;
    return chunk ? chunk[cluster % CHUNK] : 0;
}

/* One reference more to each cluster of the range: how many the first had before, or -errno. */
static s64 count(struct checker *k, u64 host, u64 bytes)
{
    unsigned bits = k->q->header.cluster_bits;
    u64 first = host >> bits, last = (host + (bytes ? bytes - 1 : 0)) >> bits;
    s64 before = counted(k, first);
    if (!bytes)
        return 0;
    if (last >= k->clusters || host + bytes < host) {
        corruption(k, "a reference behind the end of the file", host);
        return -ERANGE;
    }
    for (u64 at = first; at <= last; at++) {
        u32 **chunk = &k->chunk[at / CHUNK];
        if (!*chunk && !(*chunk = calloc(CHUNK, sizeof(u32)))) {
            k->c->errors++;
            return -ENOMEM;
        }
        ++(*chunk)[at % CHUNK];
    }
    k->highest = max(k->highest, last);
    return before;
}

static bool aligned(struct checker *k, u64 host, const char *what)
{
    if (host % k->q->cluster_size == 0)
        return true;
    corruption(k, what, host);
    return false;
}

static void count_fragment(struct checker *k, u64 entry, u64 *expected)
{
    struct image_check *c = k->c;
    bool coded = entry & ENTRY_CODED;
    c->allocated_clusters++;
    c->compressed_clusters += coded;
    c->fragmented_clusters += coded || (*expected && *expected != entry_host(entry));
    if (!coded)
        *expected = entry_host(entry) + k->q->cluster_size;
}

static void count_entry(struct checker *k, u64 entry, bool active, u64 *expected)
{
    u64 host = entry_host(entry), bytes = k->q->cluster_size;
    if (entry & ENTRY_CODED)
        coded_place(k->q, entry, &host, &bytes);
    else if (!host || !aligned(k, host, "a data cluster is not at a cluster's start"))
        return;
    if (entry & ENTRY_CODED && entry & ENTRY_COPIED)
        corruption(k, "a compressed cluster is marked as nobody else's", host);
    if (active)
        count_fragment(k, entry, expected);
    count(k, host, bytes);
}

static void count_l2(struct checker *k, u64 table, bool active)
{
    struct qcow2 *q = k->q;
    u64 *raw = malloc(q->cluster_size), expected = 0;
    if (!raw || image_pread_all(q->image, table, raw, q->cluster_size) < 0)
        k->c->errors++;
    else
        for (u64 n = 0; n < q->cluster_size / 8; n++)
            if (raw[n])
                count_entry(k, be64toh(raw[n]), active, &expected);
    free(raw);
}

/* A table that more have than there are snapshots is not looked at again: what it says has been counted. */
static void count_l1(struct checker *k, const u64 *entry, u32 n, bool active)
{
    for (u32 i = 0; i < n; i++) {
        u64 table = entry_host(entry[i]);
        if (!table || !aligned(k, table, "an L2 table is not at a cluster's start"))
            continue;
        s64 before = count(k, table, k->q->cluster_size);
        if (before > (s64)k->q->header.snapshot_count)
            corruption(k, "an L2 table is referred to too often", table);
        else if (before >= 0)
            count_l2(k, table, active);
    }
}

static void count_snapshot(struct checker *k, const struct qcow2_snapshot *s)
{
    u64 bytes = 8ull * s->l1_entries;
    u64 *entry = malloc(max(bytes, 8ull));
    if (count(k, s->l1_offset, bytes) > 0)
        corruption(k, "an L1 table has what others have", s->l1_offset);
    else if (!entry || image_pread_all(k->q->image, s->l1_offset, entry, bytes) < 0)
        k->c->errors++;
    else {
        for (u32 i = 0; i < s->l1_entries; i++)
            entry[i] = be64toh(entry[i]);
        count_l1(k, entry, s->l1_entries, false);
    }
    free(entry);
}

static void count_bitmap(struct checker *k, u64 table, u32 entries)
{
    if (table % k->q->cluster_size || entries > MAX_L1_BYTES / 8 || count(k, table, 8ull * entries) != 0) {
        corruption(k, "a bitmap's table is where it cannot be", table);
        return;
    }
    for (u32 i = 0; i < entries; i++) {
        u64 raw = 0;
        if (image_pread_all(k->q->image, table + 8ull * i, &raw, 8) < 0)
            k->c->errors++;
        else if (entry_host(be64toh(raw)))
            count(k, entry_host(be64toh(raw)), k->q->cluster_size);
    }
}

static void count_bitmaps(struct checker *k)
{
    struct {
        u64 table;
        u32 entries, flags;
        u8 type, granularity;
        u16 name_bytes;
        u32 extra_bytes;
    } b;
    const struct qcow2 *q = k->q;
    u64 at = q->bitmaps_offset, end = at + q->bitmaps_bytes;
    if (!q->bitmaps || !(q->header.autoclear & AUTOCLEAR_BITMAPS) || count(k, at, q->bitmaps_bytes) < 0)
        return;
    for (u32 n = 0; n < q->bitmaps && at + sizeof(b) <= end; n++) {
        if (image_pread_all(q->image, at, &b, sizeof(b)) < 0)
            k->c->errors++;
        count_bitmap(k, be64toh(b.table), be32toh(b.entries));
        at = ALIGN_UP(at + sizeof(b) + be16toh(b.name_bytes) + be32toh(b.extra_bytes), 8ull);
    }
}

/* A block that cannot be one is taken out of the table, if it is to be made right. */
static void count_blocks(struct checker *k)
{
    struct qcow2 *q = k->q;
    for (u32 i = 0; i < q->reftable.count; i++) {
        u64 block = q->reftable.entry[i] & REFTABLE_MASK;
        if (!block)
            continue;
        bool good = aligned(k, block, "a refcount block is not at a cluster's start");
        s64 before = good ? count(k, block, q->cluster_size) : -EINVAL;
        if (before > 0)
            corruption(k, "a refcount block is something else as well", block);
        if (before == 0 || k->c->fix != IMAGE_FIX_ALL)
            continue;
        k->c->corruptions_fixed++;
        q->reftable.entry[i] = 0;
        table_touch(&q->reftable, i);
    }
}

static void count_all(struct checker *k)
{
    struct qcow2 *q = k->q;
    count(k, 0, q->cluster_size);
    count(k, q->l1.offset, 8ull * q->l1.count);
    count(k, q->reftable.offset, (u64)q->header.reftable_clusters << q->header.cluster_bits);
    count(k, q->header.snapshots_offset, q->snapshots_bytes);
    count_l1(k, q->l1.entry, q->l1.count, true);
    for (u32 i = 0; i < q->header.snapshot_count; i++)
        count_snapshot(k, &q->snapshots[i]);
    count_bitmaps(k);
    count_blocks(k);
}

/* A refcount block where none is, in a cluster that nothing refers to: of those that it counts, or of others.
 */
static int make_block(struct checker *k, u64 cluster)
{
    struct qcow2 *q = k->q;
    u64 covers = reftable_covers(q), first = cluster / covers * covers, at = first;
    while (at < first + covers && counted(k, at))
        at++;
    if (at == first + covers || at >= k->clusters || cluster / covers >= q->reftable.count)
        return -ENOSPC;
    u8 *zeros = calloc(1, q->cluster_size);
    u64 host = at << q->header.cluster_bits;
    int r = zeros ? image_pwrite_all(q->image, host, zeros, q->cluster_size) : -ENOMEM;
    free(zeros);
    if (r < 0)
        return r;
    cache_forget(q, host, q->cluster_size);
    q->barrier = true;
    q->reftable.entry[cluster / covers] = host;
    table_touch(&q->reftable, (u32)(cluster / covers));
    return count(k, host, q->cluster_size) < 0 ? -ENOSPC : 0;
}

static int set_count(struct checker *k, u64 cluster, u32 references)
{
    struct qcow2 *q = k->q;
    u64 at = cluster / reftable_covers(q);
    int r = qcow2_make_room(q);
    if (r == 0 && (at >= q->reftable.count || !q->reftable.entry[at]))
        r = make_block(k, cluster);
    return r < 0 ? r : refcount_set(q, cluster, max(references, counted(k, cluster)));
}

static void compare(struct checker *k, u64 cluster)
{
    u32 references = counted(k, cluster);
    u64 there;
    if (refcount_get(k->q, cluster, &there) < 0) {
        k->c->errors++;
        return;
    }
    if (there == references)
        return;
    bool leak = there > references;
    bool fix = k->c->fix == IMAGE_FIX_ALL || (leak && k->c->fix == IMAGE_FIX_LEAKS);
    tell(k, "%s cluster %" PRIu64 " refcount=%" PRIu64 " reference=%u",
         fix    ? "Repairing"
         : leak ? "Leaked"
                : "ERROR",
         cluster, there, references);
    *(leak ? &k->c->leaks : &k->c->corruptions) += 1;
    if (fix && references <= refcount_max(k->q) && set_count(k, cluster, references) == 0)
        *(leak ? &k->c->leaks_fixed : &k->c->corruptions_fixed) += 1;
}

/* Nothing refers to a chunk of clusters, and nothing counts them: a file may have endless holes. */
static bool is_hole(const struct checker *k, u64 at)
{
    u64 covers = reftable_covers(k->q), last = (at + CHUNK - 1) / covers;
    if (at % CHUNK || k->chunk[at / CHUNK])
        return false;
    for (u64 block = at / covers; block <= last && block < k->q->reftable.count; block++)
        if (k->q->reftable.entry[block])
            return false;
    return true;
}

static void compare_all(struct checker *k)
{
    for (u64 at = 0; at < k->clusters; at++)
        if (is_hole(k, at))
            at += CHUNK - 1;
        else
            compare(k, at);
}

/* The flag that nobody else has it says so exactly where the count is 1. */
static u64 right_flag(struct checker *k, u64 entry, const char *what)
{
    u64 there, host = entry_host(entry);
    if (!host || host % k->q->cluster_size || entry & ENTRY_CODED ||
        refcount_get(k->q, host >> k->q->header.cluster_bits, &there) < 0 ||
        (there == 1) == !!(entry & ENTRY_COPIED))
        return entry;
    tell(k, "%s OFLAG_COPIED %s: entry=%" PRIx64 " refcount=%" PRIu64,
         k->c->fix == IMAGE_FIX_ALL ? "Repairing" : "ERROR", what, entry, there);
    k->c->corruptions++;
    k->c->corruptions_fixed += k->c->fix == IMAGE_FIX_ALL;
    return entry ^ ENTRY_COPIED;
}

static void check_l2_flags(struct checker *k, u64 table)
{
    struct qcow2 *q = k->q;
    for (u64 at = table; at < table + q->cluster_size; at += q->page_size)
        for (unsigned n = 0; n < page_entries(q); n++) {
            struct page *p;
            if (cache_get(q, at, PAGE_L2, &p) < 0) {
                k->c->errors++;
                return;
            }
            u64 old = page_entry(p, n), new = old ? right_flag(k, old, "data cluster") : 0;
            if (new == old || k->c->fix != IMAGE_FIX_ALL)
                continue;
            if (cache_get(q, at, PAGE_L2, &p) == 0)
                set_entry(q, p, n, new);
        }
}

static void check_flags(struct checker *k)
{
    struct qcow2 *q = k->q;
    for (u32 i = 0; i < q->l1.count; i++) {
        u64 old = q->l1.entry[i], table = entry_host(old), new = old ? right_flag(k, old, "L2 cluster") : 0;
        if (new != old && k->c->fix == IMAGE_FIX_ALL) {
            q->l1.entry[i] = new;
            table_touch(&q->l1, i);
        }
        bool once = counted(k, table >> q->header.cluster_bits) <= q->header.snapshot_count + 1;
        if (table && table % q->cluster_size == 0 && once && table >> q->header.cluster_bits < k->clusters)
            check_l2_flags(k, table);
        if (qcow2_make_room(q) < 0)
            k->c->errors++;
    }
}

/* What was wrong has been made right: the image need not say any more that it is. */
static int finish(struct checker *k)
{
    struct qcow2 *q = k->q;
    struct image_check *c = k->c;
    int r = c->fix == IMAGE_FIX_NONE ? 0 : qcow2_commit(q);
    if (r < 0 || c->fix != IMAGE_FIX_ALL || c->errors || c->corruptions != c->corruptions_fixed)
        return r;
    q->image->corrupt = false;
    q->header.incompatible &= ~(u64)(INCOMPATIBLE_DIRTY | INCOMPATIBLE_CORRUPT);
    r = image_sync(q->image);
    if (r == 0 && q->header.version >= 3)
        r = qcow2_write_header(q, offsetof(struct qcow2_header, incompatible), 8);
    return r < 0 ? r : image_sync(q->image);
}

int qcow2_check(struct disk_image *i, struct image_check *c, struct error *e)
{
    struct qcow2 *q = qcow2_of(i);
    /* A new refcount block may have to lie behind the end. */
    struct checker k = {.q = q, .c = c, .clusters = q->file_clusters + (c->fix == IMAGE_FIX_ALL ? CHUNK : 0)};
    if (k.clusters > MAX_CLUSTERS)
        return error_set(e, EFBIG, "the image '%s' has too many clusters to be checked", i->filename);
    k.chunk = calloc(k.clusters / CHUNK + 1, sizeof(*k.chunk));
    if (!k.chunk)
        return error_set(e, ENOMEM, "no memory to check the image '%s'", i->filename);
    count_all(&k);
    compare_all(&k);
    check_flags(&k);
    c->total_clusters = (i->size + q->cluster_size - 1) >> q->header.cluster_bits;
    c->image_end = (k.highest + 1) << q->header.cluster_bits;
    int r = finish(&k);
    for (u64 n = 0; n <= k.clusters / CHUNK; n++)
        free(k.chunk[n]);
    free(k.chunk);
    return r < 0 ? error_set(e, -r, "cannot repair the image '%s': %s", i->filename, strerror(-r)) : 0;
}
