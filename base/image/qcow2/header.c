/* header.c - a qcow2 image is opened, closed, described: the header and what it leads to */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/image/qcow2/qcow2.h"

struct qcow2_header qcow2_swap_header(const struct qcow2_header *h)
{
    struct qcow2_header s = *h;
    u32 *words[] = {&s.magic,          &s.version,      &s.backing_size,      &s.cluster_bits,
                    &s.crypt_method,   &s.l1_entries,   &s.reftable_clusters, &s.snapshot_count,
                    &s.refcount_order, &s.header_length};
    u64 *longs[] = {&s.backing_offset,   &s.size,         &s.l1_offset,  &s.reftable_offset,
                    &s.snapshots_offset, &s.incompatible, &s.compatible, &s.autoclear};
    for (size_t k = 0; k < ARRAY_SIZE(words); k++)
        *words[k] = be32toh(*words[k]);
    for (size_t k = 0; k < ARRAY_SIZE(longs); k++)
        *longs[k] = be64toh(*longs[k]);
    return s;
}

int qcow2_write_header(struct qcow2 *q, size_t offset, size_t bytes)
{
    struct qcow2_header h = qcow2_swap_header(&q->header);
    return image_pwrite_all(q->image, offset, (u8 *)&h + offset, bytes);
}

static int set_features(struct qcow2 *q, u64 incompatible, u64 autoclear)
{
    if (q->header.version < 3 || (q->header.incompatible == incompatible && q->header.autoclear == autoclear))
        return 0;
    q->header.incompatible = incompatible;
    q->header.autoclear = autoclear;
    int r = qcow2_write_header(q, offsetof(struct qcow2_header, incompatible), 24);
    return r < 0 ? r : image_sync(q->image);
}

int qcow2_begin_use(struct qcow2 *q)
{
    if (q->image->corrupt)
        return -EIO;
    if (q->used)
        return 0;
    int r =
        set_features(q, q->header.incompatible | INCOMPATIBLE_DIRTY, q->header.autoclear & AUTOCLEAR_BITMAPS);
    q->used = r == 0;
    return r;
}

static bool probe(const u8 *head, size_t len)
{
    u32 words[2];
    if (len < sizeof(words))
        return false;
    memcpy(words, head, sizeof(words));
    return be32toh(words[0]) == QCOW2_MAGIC && be32toh(words[1]) >= 2;
}

static int bad(struct qcow2 *q, struct error *e, const char *what)
{
    return error_set(e, EINVAL, "cannot open the image '%s': it is damaged: %s", q->image->filename, what);
}

static int read_header(struct qcow2 *q, struct error *e)
{
    struct qcow2_header *h = &q->header;
    ssize_t n = image_pread(q->image, 0, h, sizeof(*h));
    if (n < HEADER_V2_SIZE)
        return n < 0 ? error_set(e, (int)-n, "cannot read the image '%s': %s", q->image->filename,
                                 strerror((int)-n))
                     : bad(q, e, "it ends within its header");
    memset((u8 *)h + n, 0, sizeof(*h) - (size_t)n);
    *h = qcow2_swap_header(h);
    if (h->magic != QCOW2_MAGIC)
        return error_set(e, EINVAL, "cannot open the image '%s': it is not in qcow2 format",
                         q->image->filename);
    if (h->version != 2 && h->version != 3)
        return error_set(e, ENOTSUP, "cannot open the image '%s': version %u of qcow2 is not supported",
                         q->image->filename, h->version);
    if (h->version == 2) {
        memset((u8 *)h + HEADER_V2_SIZE, 0, sizeof(*h) - HEADER_V2_SIZE);
        h->refcount_order = 4;
        h->header_length = HEADER_V2_SIZE;
    }
    if (h->header_length < sizeof(*h)) /* the rest is not the header's */
        memset((u8 *)h + HEADER_V3_SIZE, 0, sizeof(*h) - HEADER_V3_SIZE);
    return 0;
}

static int check_features(struct qcow2 *q, struct error *e)
{
    const u64 known = INCOMPATIBLE_DIRTY | INCOMPATIBLE_CORRUPT | INCOMPATIBLE_COMPRESSION;
    const struct qcow2_header *h = &q->header;
    const char *name = q->image->filename;
    char feature[64];
    if (h->crypt_method)
        return error_set(e, ENOTSUP,
                         "the image '%s' is encrypted, which is not supported: use qemu-img convert", name);
    if (h->incompatible & ~known) {
        qcow2_feature_name(q, (unsigned)__builtin_ctzll(h->incompatible & ~known), feature);
        return error_set(e, ENOTSUP, "the image '%s' needs a feature that is not supported: %s", name,
                         feature);
    }
    if (h->compression > COMPRESSION_ZSTD ||
        (!h->compression == !!(h->incompatible & INCOMPATIBLE_COMPRESSION)))
        return error_set(e, ENOTSUP, "the image '%s' is compressed in an unknown way (%u)", name,
                         h->compression);
    return 0;
}

static int check_numbers(struct qcow2 *q, struct error *e)
{
    const struct qcow2_header *h = &q->header;
    if (h->cluster_bits < MIN_CLUSTER_BITS || h->cluster_bits > MAX_CLUSTER_BITS)
        return bad(q, e, "its cluster size is none");
    q->cluster_size = 1ull << h->cluster_bits;
    q->l2_bits = h->cluster_bits - 3;
    if (h->refcount_order > 6)
        return bad(q, e, "its refcounts are wider than 64 bits");
    if (h->version >= 3 &&
        (h->header_length < HEADER_V3_SIZE || h->header_length % 8 || h->header_length > q->cluster_size))
        return bad(q, e, "its header has an impossible length");
    if (h->backing_size > MAX_BACKING_NAME ||
        (h->backing_size &&
         (h->backing_offset < h->header_length || h->backing_offset + h->backing_size > q->cluster_size ||
          h->backing_offset > q->cluster_size)))
        return bad(q, e, "the name of its backing file is not in its first cluster");
    if (h->size > (u64)INT64_MAX - q->cluster_size || h->size > (u64)MAX_L1_BYTES / 8
                                                                    << (h->cluster_bits + q->l2_bits))
        return bad(q, e, "its size is larger than such an image can be");
    if (h->l1_entries > MAX_L1_BYTES / 8 || (u64)h->l1_entries << (h->cluster_bits + q->l2_bits) < h->size)
        return bad(q, e, "its L1 table has an impossible size");
    if (!h->reftable_clusters || (u64)h->reftable_clusters << h->cluster_bits > MAX_REFTABLE_BYTES)
        return bad(q, e, "its refcount table has an impossible size");
    if (h->l1_offset % q->cluster_size || h->reftable_offset % q->cluster_size || !h->reftable_offset ||
        (!h->l1_offset && h->l1_entries))
        return bad(q, e, "a table is not at a cluster's start");
    return 0;
}

static int read_table(struct qcow2 *q, struct table *t, u64 offset, u32 count, struct error *e)
{
    *t = (struct table){.offset = offset, .count = count};
    if (!(t->entry = calloc(max(count, 1u), sizeof(u64))))
        return error_set(e, ENOMEM, "no memory for the tables of the image '%s'", q->image->filename);
    ssize_t n = count ? image_pread(q->image, offset, t->entry, 8ull * count) : 0;
    if (n < 0)
        return error_set(e, (int)-n, "cannot read the image '%s': %s", q->image->filename, strerror((int)-n));
    if ((u64)n < 8ull * count)
        return bad(q, e, "it ends within a table");
    for (u32 k = 0; k < count; k++)
        t->entry[k] = be64toh(t->entry[k]);
    return 0;
}

static int read_tables(struct qcow2 *q, struct error *e)
{
    const struct qcow2_header *h = &q->header;
    struct stat st;
    if (fstat(q->image->fd, &st) < 0)
        return error_set(e, errno, "cannot read the image '%s': %s", q->image->filename, strerror(errno));
    u64 bytes = S_ISREG(st.st_mode) ? (u64)st.st_size : 0;
    q->file_clusters = (bytes + q->cluster_size - 1) >> h->cluster_bits;
    int r = read_table(q, &q->l1, h->l1_offset, h->l1_entries, e);
    return r < 0 ? r
                 : read_table(q, &q->reftable, h->reftable_offset,
                              (u32)(((u64)h->reftable_clusters << h->cluster_bits) / 8), e);
}

static int read_backing_name(struct qcow2 *q, struct error *e)
{
    u32 n = q->header.backing_size;
    if (!n)
        return 0;
    if (!(q->backing_file = calloc(1, n + 1)))
        return error_set(e, ENOMEM, "no memory for the image '%s'", q->image->filename);
    int r = image_pread_all(q->image, q->header.backing_offset, q->backing_file, n);
    return r < 0 ? error_set(e, -r, "cannot read the image '%s': %s", q->image->filename, strerror(-r)) : 0;
}

/* What an image that is to be written to must not have. */
static int check_writable(struct qcow2 *q, const struct image_options *o, struct error *e)
{
    if (o->read_only || o->check)
        return 0;
    if (q->header.incompatible & INCOMPATIBLE_CORRUPT)
        return error_set(e, EIO,
                         "the image '%s' is marked as damaged: use lodge image check -r all, or readonly=on",
                         o->filename);
    if (q->bitmaps && q->header.autoclear & AUTOCLEAR_BITMAPS)
        return error_set(
            e, ENOTSUP,
            "the image '%s' has persistent bitmaps, which a write would make wrong: use readonly=on, or "
            "remove them with qemu-img bitmap --remove",
            o->filename);
    return 0;
}

/* The last one who wrote to it did not come to an end: its counts are made anew. */
static int repair(struct disk_image *i, struct error *e)
{
    struct image_check c = {.fix = IMAGE_FIX_ALL};
    int r = qcow2_check(i, &c, e);
    if (r == 0 && (c.corruptions > c.corruptions_fixed || c.errors))
        r = error_set(e, EIO, "the image '%s' was not closed, and is damaged: use lodge image check -r all",
                      i->filename);
    return r;
}

int qcow2_open(struct disk_image *i, const struct image_options *o, struct error *e)
{
    struct qcow2 *q = calloc(1, sizeof(*q));
    if (!q)
        return error_set(e, ENOMEM, "no memory for the image '%s'", o->filename);
    i->state = q;
    q->image = i;
    int r = read_header(q, e);
    if (r < 0 || (r = check_numbers(q, e)) < 0)
        return r;
    u64 end = q->header.backing_size ? q->header.backing_offset : q->cluster_size;
    if ((r = qcow2_read_extensions(q, q->header.header_length, end, e)) < 0 ||
        (r = check_features(q, e)) < 0 || (r = read_tables(q, e)) < 0 ||
        (r = qcow2_read_snapshots(q, e)) < 0 || (r = read_backing_name(q, e)) < 0 ||
        (r = check_writable(q, o, e)) < 0)
        return r;
    if (cache_init(q) < 0)
        return error_set(e, ENOMEM, "no memory for the image '%s'", o->filename);
    i->size = q->header.size;
    i->backing_file = q->backing_file;
    i->backing_format = q->backing_format;
    bool unclean = q->header.incompatible & INCOMPATIBLE_DIRTY && !o->read_only && !o->check;
    return unclean ? repair(i, e) : 0;
}

static int flush(struct disk_image *i)
{
    int r = qcow2_commit(qcow2_of(i));
    return r < 0 ? r : image_sync(i);
}

static void qcow2_close(struct disk_image *i)
{
    struct qcow2 *q = qcow2_of(i);
    if (!q)
        return;
    if (!i->corrupt)
        qcow2_vm_state_drop(i);
    qcow2_vm_state_forget(q);
    if (q->used && !i->corrupt && flush(i) == 0)
        set_features(q, q->header.incompatible & ~(u64)INCOMPATIBLE_DIRTY, q->header.autoclear);
    cache_free(q);
    qcow2_free_snapshots(q);
    free(q->l1.entry);
    free(q->reftable.entry);
    free(q->backing_file);
    free(q->backing_format);
    free(q->coded);
    free(q);
    i->state = NULL;
}

static void qcow2_info(struct disk_image *i, struct image_info *info)
{
    const struct qcow2 *q = qcow2_of(i);
    const struct qcow2_header *h = &q->header;
    info->cluster_size = q->cluster_size;
    info->compat = h->version == 2 ? "0.10" : "1.1";
    info->compression = h->compression == COMPRESSION_ZSTD ? "zstd" : "zlib";
    info->refcount_bits = 1u << h->refcount_order;
    info->snapshots = h->snapshot_count;
    info->dirty = h->incompatible & INCOMPATIBLE_DIRTY;
    info->corrupt = h->incompatible & INCOMPATIBLE_CORRUPT;
    info->lazy_refcounts = h->compatible & COMPATIBLE_LAZY_REFCOUNTS;
}

static const struct image_snapshot *qcow2_snapshot(struct disk_image *i, unsigned k)
{
    return &qcow2_of(i)->snapshots[k].shown;
}

const struct image_format image_qcow2 = {
    .name = "qcow2",
    .probe = probe,
    .open = qcow2_open,
    .close = qcow2_close,
    .map = qcow2_map,
    .read_coded = qcow2_read_coded,
    .write_new = qcow2_write_new,
    .write_coded = qcow2_write_coded,
    .zero = qcow2_zero,
    .discard = qcow2_discard,
    .flush = flush,
    .resize = qcow2_resize,
    .info = qcow2_info,
    .snapshot = qcow2_snapshot,
    .snapshot_create = qcow2_snapshot_create,
    .snapshot_apply = qcow2_snapshot_apply,
    .snapshot_delete = qcow2_snapshot_delete,
    .vm_state_write = qcow2_vm_state_write,
    .vm_state_drop = qcow2_vm_state_drop,
    .vm_state_read = qcow2_vm_state_read,
    .check = qcow2_check,
    .create = qcow2_create,
    .preallocate = qcow2_preallocate,
};
