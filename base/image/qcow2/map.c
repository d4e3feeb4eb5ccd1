/* map.c - from the guest's offsets to the file's: L1, L2, and what an entry says */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/image/qcow2/qcow2.h"

static unsigned l1_index(const struct qcow2 *q, u64 offset)
{
    return (unsigned)(offset >> (q->header.cluster_bits + q->l2_bits));
}

/* Where the entry of a guest's offset lies within its table, in bytes. */
static u64 l2_place(const struct qcow2 *q, u64 offset)
{
    return 8 * (offset >> q->header.cluster_bits & MASK(q->l2_bits - 1, 0));
}

static int get_entry(struct qcow2 *q, u64 table, u64 offset, struct page **p, unsigned *index)
{
    u64 at = l2_place(q, offset);
    *index = (unsigned)(at % q->page_size / 8);
    return cache_get(q, table + at, PAGE_L2, p);
}

int qcow2_find(struct qcow2 *q, u64 offset, struct page **p, unsigned *index)
{
    u64 table = entry_host(q->l1.entry[l1_index(q, offset)]);
    *p = NULL;
    *index = (unsigned)(l2_place(q, offset) % q->page_size / 8);
    if (!table)
        return 0;
    if (table % q->cluster_size)
        return qcow2_corrupt(q, "an L2 table is not at a cluster's start");
    return get_entry(q, table, offset, p, index);
}

/* An L2 table of our own: empty, or as the one at `from`, which others have as well. */
static int new_table(struct qcow2 *q, u64 from, u64 *host)
{
    s64 n = qcow2_allocate(q, 1, host);
    u8 *bytes = n > 0 ? calloc(1, q->cluster_size) : NULL;
    int r = n < 0 ? (int)n : bytes ? 0 : -ENOMEM;
    if (r == 0 && from)
        r = image_pread_all(q->image, from, bytes, q->cluster_size);
    if (r == 0)
        r = image_pwrite_all(q->image, *host, bytes, q->cluster_size);
    free(bytes);
    q->barrier = true;
    if (r < 0 && n > 0)
        qcow2_give_back(q, *host, 1);
    return r;
}

int qcow2_find_own(struct qcow2 *q, u64 offset, struct page **p, unsigned *index)
{
    u64 *entry = &q->l1.entry[l1_index(q, offset)], table = entry_host(*entry), host;
    int r;
    if (table % q->cluster_size || (table && qcow2_overlaps(q, table, q->cluster_size)))
        return qcow2_corrupt(q, "an L2 table is where it cannot be");
    if (!table || !(*entry & ENTRY_COPIED)) {
        if ((r = new_table(q, table, &host)) < 0)
            return r;
        *entry = host | ENTRY_COPIED;
        table_touch(&q->l1, l1_index(q, offset));
        if (table && (r = qcow2_free(q, table, 1, false)) < 0)
            return r;
        table = host;
    }
    return get_entry(q, table, offset, p, index);
}

void set_entry(struct qcow2 *q, struct page *p, unsigned index, u64 entry)
{
    entry = htobe64(entry);
    memcpy(p->bytes + 8 * (size_t)index, &entry, 8);
    cache_touch(q, p);
}

int qcow2_release(struct qcow2 *q, u64 entry, bool punch)
{
    u64 host = entry_host(entry), bytes = q->cluster_size;
    if (entry & ENTRY_CODED) {
        coded_place(q, entry, &host, &bytes);
        if (q->coded_entry == (entry & ~ENTRY_COPIED))
            q->coded_entry = 0;
        bytes += host % q->cluster_size;
        host = ALIGN_DOWN(host, q->cluster_size);
        punch = false; /* others may have parts of it */
    }
    u64 clusters = ALIGN_UP(bytes, q->cluster_size) >> q->header.cluster_bits;
    return host ? qcow2_free(q, host, clusters, punch) : 0;
}

/* How many entries from the first on are of its kind, and one behind another in the file. */
static unsigned run_length(const struct qcow2 *q, const struct page *p, unsigned index, unsigned most)
{
    u64 first = page_entry(p, index);
    bool is_host = !(first & ENTRY_ZERO) && entry_host(first);
    unsigned n = 1;
    for (; n < most; n++) {
        u64 e = page_entry(p, index + n), next = first + ((u64)n << q->header.cluster_bits);
        if (e & ENTRY_CODED || (is_host && e != next) ||
            (!is_host && (entry_host(first) != entry_host(e) || (first ^ e) & ENTRY_ZERO)))
            break;
    }
    return n;
}

/* Nothing of its own stands there: the backing image's, or zeros. */
static int map_backing(struct disk_image *i, u64 offset, struct image_extent *x)
{
    struct disk_image *b = i->backing;
    x->kind = EXTENT_ZERO;
    x->allocated = false;
    if (!b || offset >= b->size)
        return 0;
    int r = image_map(b, offset, min(x->bytes, b->size - offset), x);
    x->in_place = false;
    x->depth++;
    return r;
}

static int map_entry(struct disk_image *i, u64 offset, u64 entry, struct image_extent *x)
{
    struct qcow2 *q = qcow2_of(i);
    u64 host = entry_host(entry);
    if (entry & ENTRY_CODED) {
        x->kind = EXTENT_CODED;
        x->allocated = true;
        return 0;
    }
    if (entry & ENTRY_ZERO && q->header.version < 3)
        return qcow2_corrupt(q, "a cluster is of zeros, which version 2 does not know");
    if (entry & ENTRY_ZERO) {
        x->kind = EXTENT_ZERO;
        x->allocated = true;
        return 0;
    }
    if (!host)
        return map_backing(i, offset, x);
    x->host = host + offset % q->cluster_size;
    x->in_place = entry & ENTRY_COPIED;
    x->allocated = true;
    if (host % q->cluster_size || (x->in_place && qcow2_overlaps(q, x->host, x->bytes)))
        return qcow2_corrupt(q, "a cluster is where it cannot be");
    return 0;
}

int qcow2_map(struct disk_image *i, u64 offset, u64 bytes, struct image_extent *x)
{
    struct qcow2 *q = qcow2_of(i);
    u64 inside = offset % q->cluster_size, table_covers = q->cluster_size << q->l2_bits;
    struct page *p;
    unsigned index;
    int r = qcow2_find(q, offset, &p, &index);
    if (r < 0)
        return r;
    if (!p) {
        x->bytes = min(bytes, table_covers - offset % table_covers);
        return map_backing(i, offset, x);
    }
    u64 entry = page_entry(p, index),
        clusters = (inside + bytes + q->cluster_size - 1) >> q->header.cluster_bits;
    unsigned most = entry & ENTRY_CODED ? 1 : (unsigned)min(clusters, (u64)(page_entries(q) - index));
    unsigned n = run_length(q, p, index, most);
    x->bytes = min(bytes, ((u64)n << q->header.cluster_bits) - inside);
    return map_entry(i, offset, entry, x);
}
