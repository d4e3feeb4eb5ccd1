/* refcount.c - who has which cluster of the file: counts, the search for free ones, new blocks and tables for
 * them */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/image/qcow2/qcow2.h"

/* How many clusters behind the end of the file may be taken already: more is a damaged or a hostile image. */
enum { MAX_BEHIND_END = 1 << 20 };

u64 refcount_decode(const u8 *block, u64 index, unsigned order)
{
    u64 v = 0;
    if (order < 3)
        return block[index >> (3 - order)] >> ((index << order) & 7) & ((1u << (1 << order)) - 1);
    memcpy((u8 *)&v + 8 - (1u << (order - 3)), block + (index << (order - 3)), 1u << (order - 3));
    return be64toh(v);
}

void refcount_encode(u8 *block, u64 index, unsigned order, u64 count)
{
    u64 v = htobe64(count);
    if (order < 3) {
        unsigned shift = (index << order) & 7, mask = (1u << (1 << order)) - 1;
        u8 *at = block + (index >> (3 - order));
        *at = (u8)((*at & ~(mask << shift)) | (count & mask) << shift);
        return;
    }
    memcpy(block + (index << (order - 3)), (u8 *)&v + 8 - (1u << (order - 3)), 1u << (order - 3));
}

u64 refcount_max(const struct qcow2 *q)
{
    return ~0ull >> (64 - (1u << q->header.refcount_order));
}

int qcow2_corrupt(struct qcow2 *q, const char *what)
{
    struct disk_image *i = q->image;
    if (i->corrupt)
        return -EIO;
    i->corrupt = true;
    report("the image '%s' is damaged: %s: nothing more is written to it; 'lodge image check' tells more",
           i->filename, what);
    if (!i->read_only && q->header.version >= 3) {
        q->header.incompatible |= INCOMPATIBLE_CORRUPT;
        qcow2_write_header(q, offsetof(struct qcow2_header, incompatible), 8);
    }
    return -EIO;
}

static bool within(u64 host, u64 bytes, u64 table, u64 size)
{
    return size && host < table + size && table < host + bytes;
}

bool qcow2_overlaps(const struct qcow2 *q, u64 host, u64 bytes)
{
    u64 table = (u64)q->header.reftable_clusters << q->header.cluster_bits;
    return within(host, bytes, 0, q->cluster_size) || within(host, bytes, q->l1.offset, 8ull * q->l1.count) ||
           within(host, bytes, q->reftable.offset, table) ||
           within(host, bytes, q->header.snapshots_offset, q->snapshots_bytes);
}

/* The page with a cluster's count and the index within it. *p NULL: there is no block for it yet. */
static int find_count(struct qcow2 *q, u64 cluster, struct page **p, u64 *index)
{
    u64 covers = reftable_covers(q), at = cluster / covers;
    u64 block = at < q->reftable.count ? q->reftable.entry[at] & REFTABLE_MASK : 0;
    u64 per_page = (u64)q->page_size * 8 >> q->header.refcount_order;
    *p = NULL;
    if (!block)
        return 0;
    if (block % q->cluster_size)
        return qcow2_corrupt(q, "a refcount block is not at a cluster's start");
    *index = cluster % per_page;
    return cache_get(q, block + cluster % covers / per_page * q->page_size, PAGE_REFCOUNT, p);
}

int refcount_get(struct qcow2 *q, u64 cluster, u64 *count)
{
    struct page *p;
    u64 index;
    int r = find_count(q, cluster, &p, &index);
    *count = r == 0 && p ? refcount_decode(p->bytes, index, q->header.refcount_order) : 0;
    return r;
}

int refcount_set(struct qcow2 *q, u64 cluster, u64 count)
{
    struct page *p;
    u64 index;
    int r = find_count(q, cluster, &p, &index);
    if (r < 0 || !p)
        return r < 0 ? r : -EIO;
    refcount_encode(p->bytes, index, q->header.refcount_order, count);
    cache_touch(q, p);
    return 0;
}

static int write_zeros(struct qcow2 *q, u64 host, u64 bytes)
{
    void *zeros = calloc(1, bytes);
    int r = zeros ? image_pwrite_all(q->image, host, zeros, bytes) : -ENOMEM;
    free(zeros);
    q->barrier = true;
    return r;
}

static void grew(struct qcow2 *q, u64 clusters)
{
    q->file_clusters = max(q->file_clusters, clusters);
}

/* A block for the counts of a cluster that none is there for. It lies in that cluster, and so counts itself.
 */
static int add_block(struct qcow2 *q, u64 cluster)
{
    u64 host = cluster << q->header.cluster_bits, at = cluster / reftable_covers(q);
    if (qcow2_overlaps(q, host, q->cluster_size))
        return qcow2_corrupt(q, "a cluster of its tables is not counted");
    int r = write_zeros(q, host, q->cluster_size);
    if (r < 0)
        return r;
    cache_forget(q, host, q->cluster_size);
    q->reftable.entry[at] = host;
    table_touch(&q->reftable, (u32)at);
    grew(q, cluster + 1);
    return refcount_set(q, cluster, 1);
}

/* How a larger refcount table is laid out, behind all that there is: blocks for its own clusters, then
 * itself. */
struct layout {
    u64 start, blocks, clusters; /* in clusters */
    u64 first, entries;          /* the first block's index; of the table */
};

static int plan_table(const struct qcow2 *q, struct layout *n)
{
    u64 covers = reftable_covers(q), per_cluster = q->cluster_size / 8;
    n->start = max(q->file_clusters, q->reftable.count * covers);
    n->first = n->start / covers;
    n->blocks = n->clusters = 1;
    for (u64 before = 0; before != n->blocks + n->clusters;) {
        before = n->blocks + n->clusters;
        u64 last = (n->start + before - 1) / covers;
        n->blocks = last - n->first + 1;
        n->clusters = (last + 1 + last / 2 + per_cluster) / per_cluster;
    }
    n->entries = n->clusters * per_cluster;
    return n->entries * 8 > MAX_REFTABLE_BYTES ? -EFBIG : 0;
}

/* Blocks and table, as they are to be in the file; entry: the new table in the host's byte order. */
static int write_layout(struct qcow2 *q, const struct layout *n, u64 *entry)
{
    u64 covers = reftable_covers(q), bytes = (n->blocks + n->clusters) << q->header.cluster_bits;
    u64 host = n->start << q->header.cluster_bits;
    u8 *image = calloc(1, bytes);
    u64 *table = (u64 *)(image + (n->blocks << q->header.cluster_bits));
    if (!image)
        return -ENOMEM;
    for (u64 b = 0; b < n->blocks; b++)
        entry[n->first + b] = host + (b << q->header.cluster_bits);
    for (u64 c = n->start; c < n->start + n->blocks + n->clusters; c++)
        refcount_encode(image + ((c / covers - n->first) << q->header.cluster_bits), c % covers,
                        q->header.refcount_order, 1);
    for (u64 k = 0; k < n->entries; k++)
        table[k] = htobe64(entry[k]);
    int r = image_pwrite_all(q->image, host, image, bytes);
    free(image);
    return r < 0 ? r : image_sync(q->image);
}

static int grow_table(struct qcow2 *q)
{
    struct layout n;
    struct table old = q->reftable;
    u64 old_clusters = q->header.reftable_clusters;
    int r = qcow2_commit(q);
    if (r < 0 || (r = plan_table(q, &n)) < 0)
        return r;
    u64 *entry = calloc(n.entries, sizeof(*entry));
    if (!entry)
        return -ENOMEM;
    memcpy(entry, old.entry, old.count * sizeof(*entry));
    if ((r = write_layout(q, &n, entry)) < 0) {
        free(entry);
        return r;
    }
    q->reftable = (struct table){entry, (n.start + n.blocks) << q->header.cluster_bits, (u32)n.entries};
    q->header.reftable_offset = q->reftable.offset;
    q->header.reftable_clusters = (u32)n.clusters;
    grew(q, n.start + n.blocks + n.clusters);
    free(old.entry);
    if ((r = qcow2_write_header(q, offsetof(struct qcow2_header, reftable_offset), 12)) < 0 ||
        (r = image_sync(q->image)) < 0)
        return r;
    return qcow2_free(q, old.offset, old_clusters, false);
}

/* Whether a cluster can be had: 1, 0, or -errno. Blocks and tables are made where they are missing. */
static int is_free(struct qcow2 *q, u64 at)
{
    struct page *p;
    u64 index;
    if (at / reftable_covers(q) >= q->reftable.count) {
        int r = grow_table(q);
        if (r < 0)
            return r;
    }
    int r = find_count(q, at, &p, &index);
    if (r < 0)
        return r;
    if (p)
        return refcount_decode(p->bytes, index, q->header.refcount_order) == 0;
    return (r = add_block(q, at)) < 0 ? r : 0;
}

/* Between `least` and `most` free clusters in a row, from `from` on: *start, and how many. */
static s64 search(struct qcow2 *q, u64 from, u64 least, u64 most, u64 *start)
{
    u64 n = 0, behind = 0;
    for (u64 at = from; behind < MAX_BEHIND_END; at++) {
        if (at >> (56 - q->header.cluster_bits))
            return -EFBIG;
        int r = is_free(q, at);
        if (r < 0)
            return r;
        behind += !r && at >= q->file_clusters;
        if (!r && n >= least && n)
            return (s64)n;
        n = r ? n + 1 : 0;
        if (r && n == 1)
            *start = at;
        if (n == most)
            return (s64)n;
    }
    return qcow2_corrupt(q, "clusters behind its end are counted");
}

static s64 take(struct qcow2 *q, u64 from, u64 least, u64 most, u64 *host)
{
    u64 start = 0;
    s64 n = search(q, from, least, most, &start);
    if (n <= 0)
        return n ? n : -EIO;
    *host = start << q->header.cluster_bits;
    if (qcow2_overlaps(q, *host, (u64)n << q->header.cluster_bits))
        return qcow2_corrupt(q, "a cluster of its tables counts as free");
    for (u64 c = start; c < start + (u64)n; c++) {
        int r = refcount_set(q, c, 1);
        if (r < 0)
            return r;
    }
    cache_forget(q, *host, (u64)n << q->header.cluster_bits);
    q->barrier = true; /* what is to be there comes before what refers to it */
    grew(q, start + (u64)n);
    return n;
}

s64 qcow2_allocate(struct qcow2 *q, u64 wanted, u64 *host)
{
    s64 n = take(q, q->search_from, 1, wanted, host);
    if (n > 0)
        q->search_from = (*host >> q->header.cluster_bits) + (u64)n;
    return n;
}

/* So many that a block which lies in what it counts would be in the way: behind the end, where no blocks are
 * yet, with those that they need before them. */
static int append_run(struct qcow2 *q, u64 clusters, u64 *host)
{
    u64 covers = reftable_covers(q), start = ALIGN_UP(q->file_clusters, covers), blocks = 0,
        bits = q->header.cluster_bits;
    int r = 0;
    for (u64 before = ~0ull; before != blocks;) {
        before = blocks;
        blocks = (clusters + before + covers - 1) / covers;
    }
    if ((start + blocks + clusters) >> (56 - bits))
        return -EFBIG;
    while (r == 0 && start / covers + blocks > q->reftable.count)
        r = grow_table(q);
    if (r == 0 && q->file_clusters > start) /* the table has come there */
        return append_run(q, clusters, host);
    for (u64 b = 0; b < blocks && r == 0; b++) {
        u64 at = start / covers + b;
        if (q->reftable.entry[at])
            return qcow2_corrupt(q, "clusters behind its end are counted");
        r = write_zeros(q, (start + b) << bits, q->cluster_size);
        q->reftable.entry[at] = (start + b) << bits;
        table_touch(&q->reftable, (u32)at);
    }
    for (u64 c = start; c < start + blocks + clusters && r == 0; c++)
        r = refcount_set(q, c, 1);
    grew(q, start + blocks + clusters);
    *host = (start + blocks) << bits;
    return r;
}

int qcow2_allocate_run(struct qcow2 *q, u64 clusters, u64 *host)
{
    if (clusters > reftable_covers(q) / 2)
        return append_run(q, clusters, host);
    s64 n = take(q, q->search_from, clusters, clusters, host);
    return n < 0 ? (int)n : 0;
}

int qcow2_free(struct qcow2 *q, u64 host, u64 clusters, bool punch)
{
    struct freed *last = q->freed_count ? &q->freed[q->freed_count - 1] : NULL;
    if (host % q->cluster_size)
        return qcow2_corrupt(q, "a cluster does not begin where clusters do");
    if (last && last->punch == punch && last->host + (last->clusters << q->header.cluster_bits) == host) {
        last->clusters += clusters;
        return 0;
    }
    if (q->freed_count < MAX_FREED)
        q->freed[q->freed_count++] = (struct freed){host, clusters, punch};
    return 0; /* else, with a file that cannot be written for long: they stay taken */
}

void qcow2_give_back(struct qcow2 *q, u64 host, u64 clusters)
{
    u64 first = host >> q->header.cluster_bits;
    for (u64 c = first; c < first + clusters; c++)
        refcount_set(q, c, 0);
    q->search_from = min(q->search_from, first);
}

static int lower(struct qcow2 *q, u64 cluster)
{
    u64 count;
    int r = refcount_get(q, cluster, &count);
    if (r < 0)
        return r;
    if (!count)
        return qcow2_corrupt(q, "a cluster that is in use counts as free");
    q->search_from = count == 1 ? min(q->search_from, cluster) : q->search_from;
    return refcount_set(q, cluster, count - 1);
}

static void punch(struct qcow2 *q, u64 first, u64 clusters)
{
    if (clusters)
        fallocate(q->image->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                  (off_t)(first << q->header.cluster_bits), (off_t)(clusters << q->header.cluster_bits));
}

/* Those that nobody has any more: no page of them is a table's, and the host gets their room, that of
 * neighbours in one call. */
static void drop_freed(struct qcow2 *q, const struct freed *f)
{
    u64 at = f->host >> q->header.cluster_bits, end = at + f->clusters, unused = 0, count;
    for (; at < end; at++) {
        bool used = refcount_get(q, at, &count) < 0 || count;
        if (!used)
            cache_forget(q, at << q->header.cluster_bits, q->cluster_size);
        if (used && f->punch)
            punch(q, at - unused, unused);
        unused = used ? 0 : unused + 1;
    }
    if (f->punch)
        punch(q, end - unused, unused);
}

/* Of what has been freed; the pages that this changes are written too, before anything that takes time. */
int qcow2_lower_counts(struct qcow2 *q)
{
    int r = 0;
    for (unsigned n = 0; n < q->freed_count; n++)
        for (u64 k = 0; k < q->freed[n].clusters && r == 0; k++)
            r = lower(q, (q->freed[n].host >> q->header.cluster_bits) + k);
    int w = cache_write(q, PAGE_REFCOUNT);
    for (unsigned n = 0; n < q->freed_count && r == 0; n++)
        drop_freed(q, &q->freed[n]);
    q->freed_count = 0; /* where an error has come in between, they stay taken */
    return r < 0 ? r : w;
}
