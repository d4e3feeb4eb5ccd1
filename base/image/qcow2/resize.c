/* resize.c - an image becomes larger, or smaller */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/image/qcow2/qcow2.h"

/* A larger L1 table, in new clusters; the header then names it, in one write. */
static int grow_l1(struct qcow2 *q, u64 entries)
{
    struct table old = q->l1, new = {.count = (u32)entries};
    u64 bytes = ALIGN_UP(8 * entries, q->cluster_size);
    if (entries > MAX_L1_BYTES / 8)
        return -EFBIG;
    u64 *raw = calloc(1, bytes);
    new.entry = calloc(entries, sizeof(u64));
    int r = raw && new.entry ? qcow2_allocate_run(q, bytes >> q->header.cluster_bits, &new.offset) : -ENOMEM;
    if (r == 0) {
        memcpy(new.entry, old.entry, 8ull * old.count);
        for (u32 k = 0; k < old.count; k++)
            raw[k] = htobe64(old.entry[k]);
        r = image_pwrite_all(q->image, new.offset, raw, bytes);
    }
    free(raw);
    if (r == 0)
        r = qcow2_commit(q); /* counts, and what the old table is still to get */
    if (r < 0 || (r = image_sync(q->image)) < 0) {
        free(new.entry);
        return r;
    }
    q->l1 = new;
    q->header.l1_entries = (u32)entries;
    q->header.l1_offset = new.offset;
    free(old.entry);
    r = qcow2_write_header(q, offsetof(struct qcow2_header, size), 24);
    u64 clusters = ALIGN_UP(8ull * old.count, q->cluster_size) >> q->header.cluster_bits;
    return r < 0 || !clusters ? r : qcow2_free(q, old.offset, clusters, false);
}

static int set_size(struct qcow2 *q, u64 size)
{
    q->header.size = q->image->size = size;
    return qcow2_write_header(q, offsetof(struct qcow2_header, size), 8);
}

static int grow(struct qcow2 *q, u64 size)
{
    u64 covers = q->cluster_size << q->l2_bits, entries = (size + covers - 1) / covers, old = q->image->size;
    int r = 0;
    if (size > (u64)INT64_MAX - q->cluster_size)
        return -EFBIG;
    if (entries > q->l1.count)
        r = grow_l1(q, entries);
    if (r == 0)
        r = set_size(q, size);
    /* What the backing image has there is not the guest's. */
    const struct disk_image *b = q->image->backing;
    if (r == 0 && b && b->size > old)
        r = image_zero(q->image, old, min(size, b->size) - old, true);
    return r;
}

/* What is beyond is zeros, should it ever be there again. */
static int shrink(struct qcow2 *q, u64 size)
{
    struct disk_image *i = q->image;
    u64 whole = min(ALIGN_UP(size, q->cluster_size), i->size);
    int r = whole > size ? image_zero(i, size, whole - size, true) : 0;
    if (r == 0)
        r = qcow2_discard(i, whole, i->size - whole);
    if (r == 0)
        r = qcow2_commit(q);
    return r < 0 ? r : set_size(q, size);
}

/* A snapshot that does not tell its size has the image's. */
static bool sized_snapshots(const struct qcow2 *q)
{
    for (u32 k = 0; k < q->header.snapshot_count; k++)
        if (q->snapshots[k].extra < 16)
            return false;
    return true;
}

int qcow2_resize(struct disk_image *i, u64 size, struct error *e)
{
    struct qcow2 *q = qcow2_of(i);
    if (!sized_snapshots(q))
        return error_set(
            e, ENOTSUP,
            "cannot resize '%s': it has snapshots that do not keep their own size: remove them first",
            i->filename);
    if (q->bitmaps && q->header.autoclear & AUTOCLEAR_BITMAPS)
        return error_set(e, ENOTSUP, "cannot resize '%s': it has persistent bitmaps: remove them first",
                         i->filename);
    int r = qcow2_begin_use(q);
    if (r == 0)
        r = size < i->size ? shrink(q, size) : grow(q, size);
    if (r == 0)
        r = qcow2_commit(q);
    if (r == 0)
        r = image_sync(i);
    return r < 0 ? error_set(e, -r, "cannot resize '%s': %s", i->filename, strerror(-r)) : 0;
}
