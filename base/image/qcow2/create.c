/* create.c - a new qcow2 image: the header, the first refcounts, and room that is taken beforehand */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/image/qcow2/qcow2.h"

/* The first clusters: header, refcount table, refcount block. */
enum { TABLE = 1, BLOCK = 2, FIRST_CLUSTERS = 3 };
enum { EXTENSION_BACKING_FORMAT = (int)0xe2792aca, EXTENSION_FEATURES = 0x6803f857, FEATURE_SIZE = 48 };

struct feature {
    u8 type, bit; /* type: incompatible, compatible, autoclear */
    char name[46];
};
_Static_assert(sizeof(struct feature) == FEATURE_SIZE, "docs/interop/qcow2.txt");

/* For programs that do not know one: so they can tell its name. */
static const struct feature features[] = {
    {0, 0, "dirty bit"},        {0, 1, "corrupt bit"},         {0, 2, "external data file"},
    {0, 3, "compression type"}, {0, 4, "extended L2 entries"}, {1, 0, "lazy refcounts"},
    {2, 0, "bitmaps"},          {2, 1, "raw external data"},
};

static size_t put_extension(u8 *to, u32 type, const void *data, size_t bytes)
{
    const u32 head[2] = {htobe32(type), htobe32((u32)bytes)};
    memcpy(to, head, sizeof(head));
    memcpy(to + sizeof(head), data, bytes);
    return sizeof(head) + ALIGN_UP(bytes, (size_t)8);
}

static int put_header(u8 *cluster, const struct image_create *c)
{
    struct qcow2_header h = {
        .magic = QCOW2_MAGIC,
        .version = c->version,
        .cluster_bits = (u32)__builtin_ctzll(c->cluster_size),
        .reftable_offset = TABLE * c->cluster_size,
        .reftable_clusters = 1,
        .incompatible = c->compression ? INCOMPATIBLE_COMPRESSION : 0,
        .compatible = c->lazy_refcounts ? COMPATIBLE_LAZY_REFCOUNTS : 0,
        .refcount_order = (u32)__builtin_ctz(c->refcount_bits),
        .header_length = sizeof(h),
        .compression = (u8)c->compression,
    };
    size_t at = c->version == 2 ? HEADER_V2_SIZE : sizeof(h), name = c->backing ? strlen(c->backing) : 0;
    size_t end = sizeof(u32) * 2 + name;
    if (c->backing_format)
        at += put_extension(cluster + at, (u32)EXTENSION_BACKING_FORMAT, c->backing_format,
                            strlen(c->backing_format));
    if (c->version >= 3 && at + 8 + sizeof(features) + end <= c->cluster_size)
        at += put_extension(cluster + at, EXTENSION_FEATURES, features, sizeof(features));
    if (at + end > c->cluster_size)
        return -ENAMETOOLONG;
    if (name) {
        h.backing_offset = at + 8;
        h.backing_size = (u32)name;
        memcpy(cluster + h.backing_offset, c->backing, name);
    }
    h = qcow2_swap_header(&h);
    memcpy(cluster, &h, c->version == 2 ? HEADER_V2_SIZE : sizeof(h));
    return 0;
}

static int check_options(const struct image_create *c, struct error *e)
{
    if (c->cluster_size < 1u << MIN_CLUSTER_BITS || c->cluster_size > 1u << MAX_CLUSTER_BITS ||
        c->cluster_size & (c->cluster_size - 1))
        return error_set(e, EINVAL, "cluster_size must be a power of 2 from 512 to 2M");
    if (!c->refcount_bits || c->refcount_bits > 64 || c->refcount_bits & (c->refcount_bits - 1))
        return error_set(e, EINVAL, "refcount_bits must be a power of 2 from 1 to 64");
    if (c->version == 2 && (c->refcount_bits != 16 || c->lazy_refcounts || c->compression))
        return error_set(e, EINVAL, "compat=0.10 knows no %s: use compat=1.1",
                         c->lazy_refcounts ? "lazy_refcounts"
                         : c->compression  ? "compression_type=zstd"
                                           : "refcount_bits but 16");
    if (c->backing && strlen(c->backing) > MAX_BACKING_NAME)
        return error_set(e, ENAMETOOLONG, "the name of the backing file is too long: at most %d bytes",
                         MAX_BACKING_NAME);
    if (c->backing && c->preallocation)
        return error_set(e, EINVAL, "preallocation and a backing file exclude each other");
    return 0;
}

int qcow2_create(struct disk_image *i, const struct image_create *c, struct error *e)
{
    int r = check_options(c, e);
    if (r < 0)
        return r;
    u8 *image = calloc(FIRST_CLUSTERS, c->cluster_size);
    if (!image)
        return error_set(e, ENOMEM, "no memory for the image '%s'", c->filename);
    const u64 block = htobe64(BLOCK * c->cluster_size);
    r = put_header(image, c);
    memcpy(image + TABLE * c->cluster_size, &block, sizeof(block));
    for (u64 k = 0; k < FIRST_CLUSTERS; k++)
        refcount_encode(image + BLOCK * c->cluster_size, k, (unsigned)__builtin_ctz(c->refcount_bits), 1);
    if (r == 0)
        r = image_pwrite_all(i, 0, image, FIRST_CLUSTERS * c->cluster_size);
    free(image);
    return r == -ENAMETOOLONG
               ? error_set(e, -r, "the name of the backing file does not fit a cluster of %u bytes",
                           (unsigned)c->cluster_size)
           : r < 0 ? error_set(e, -r, "cannot write the image '%s': %s", c->filename, strerror(-r))
                   : 0;
}

/* A cluster for each entry of one page of L2, from the guest's offset on: how many. */
static s64 preallocate_page(struct qcow2 *q, u64 offset, u64 clusters)
{
    struct page *p;
    unsigned index;
    u64 host;
    int r = qcow2_make_room(q);
    if (r < 0 || (r = qcow2_find_own(q, offset, &p, &index)) < 0)
        return r;
    s64 n = qcow2_allocate(q, min(clusters, (u64)(page_entries(q) - index)), &host);
    for (s64 k = 0; k < n; k++)
        set_entry(q, p, index + (unsigned)k, (host + ((u64)k << q->header.cluster_bits)) | ENTRY_COPIED);
    return n;
}

int qcow2_preallocate(struct disk_image *i, unsigned mode)
{
    struct qcow2 *q = qcow2_of(i);
    u64 clusters = (i->size + q->cluster_size - 1) >> q->header.cluster_bits;
    int r = qcow2_begin_use(q);
    for (u64 at = 0; at < clusters && r == 0;) {
        s64 n = preallocate_page(q, at << q->header.cluster_bits, clusters - at);
        r = n < 0 ? (int)n : 0;
        at += (u64)max(n, (s64)0);
    }
    off_t end = (off_t)(q->file_clusters << q->header.cluster_bits);
    if (r == 0 && mode == PREALLOCATE_FALLOC)
        r = -posix_fallocate(i->fd, 0, end);
    else if (r == 0)
        r = ftruncate(i->fd, end) < 0 ? -errno : 0;
    if (r == 0 && mode == PREALLOCATE_FULL)
        r = image_write_zeros(i, 0, i->size);
    return r;
}
