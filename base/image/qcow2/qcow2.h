/* qcow2.h - QEMU's copy-on-write images, version 2 and 3: what the files of this folder share */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef IMAGE_QCOW2_QCOW2_H
#define IMAGE_QCOW2_QCOW2_H

#include <endian.h>

#include "base/image/image.h"

/*
 * The format is QEMU's docs/interop/qcow2.txt. A guest's offset is looked up in two levels (L1, L2); an entry
 * of L2 is a cluster of the file. Each cluster of the file has a count of those who refer to it, in refcount
 * blocks that the refcount table lists. An image and its snapshots share clusters: who writes to one that
 * others have copies it before.
 *
 * What a kill or a power failure finds. L2 tables and refcount blocks are changed in memory (cache.c), and
 * reach the file together, in a commit: at a flush, or when much has changed. Its order is
 *
 *   data, new tables -> barrier -> counts that went up -> L2, L1 -> counts that went down -> barrier
 *
 * where a barrier is fdatasync. So a table in the file never refers to what is not there yet, and a cluster
 * that is given up is not used again before nothing in the file refers to it. Between its steps, that is for
 * microseconds, the counts are too high, never too low. A power failure may change the order of the steps:
 * for that, a version 3 image carries the dirty bit while it is written to, and whoever opens it next counts
 * anew. Version 2 has no such bit: there each step ends with a barrier.
 *
 * Nothing that stands in the file is believed: each offset is checked where it is used.
 */

enum {
    QCOW2_MAGIC = 0x514649fb,
    MIN_CLUSTER_BITS = 9,
    MAX_CLUSTER_BITS = 21,
    MAX_L1_BYTES = 32 << 20,
    MAX_REFTABLE_BYTES = 8 << 20,
    MAX_SNAPSHOTS = 65536,
    MAX_SNAPSHOT_BYTES = 64 << 20, /* of the table */
    MAX_EXTENSION_BYTES = 65536,
    MAX_BACKING_NAME = 1023,
    PAGE_SIZE_MAX = 4096,
    MAX_FREED = 4096,
};

enum { INCOMPATIBLE_DIRTY = 1, INCOMPATIBLE_CORRUPT = 2, INCOMPATIBLE_COMPRESSION = 8 };
enum { COMPATIBLE_LAZY_REFCOUNTS = 1 };
enum { AUTOCLEAR_BITMAPS = 1 };
enum { COMPRESSION_ZLIB = 0, COMPRESSION_ZSTD = 1 };

/* The header; numbers are big-endian in the file. */
struct qcow2_header {
    u32 magic, version;
    u64 backing_offset;
    u32 backing_size, cluster_bits;
    u64 size;
    u32 crypt_method, l1_entries;
    u64 l1_offset, reftable_offset;
    u32 reftable_clusters, snapshot_count;
    u64 snapshots_offset;
    u64 incompatible, compatible, autoclear; /* from here: version 3 */
    u32 refcount_order, header_length;
    u8 compression, padding[7];
};
_Static_assert(sizeof(struct qcow2_header) == 112, "docs/interop/qcow2.txt");
enum { HEADER_V2_SIZE = 72, HEADER_V3_SIZE = 104 };

#define OFFSET_MASK         MASK(55, 9)
#define REFTABLE_MASK       MASK(63, 9)
#define ENTRY_COPIED        BIT(63)
#define ENTRY_CODED         BIT(62)
#define ENTRY_ZERO          BIT(0)
#define L1_RESERVED         (~(OFFSET_MASK | ENTRY_COPIED))
#define L2_STANDARD_UNKNOWN (~(OFFSET_MASK | ENTRY_COPIED | ENTRY_ZERO))

/* A piece of a table in the file, as it stands there. Tables are aligned to clusters, so that none crosses a
 * page. */
enum page_kind { PAGE_L2, PAGE_REFCOUNT };
struct page {
    u64 host;
    enum page_kind kind;
    bool dirty;
    struct page *hash_next, *older, *newer;
    u8 bytes[];
};

struct cache {
    struct page **bucket;
    unsigned count, dirty;
    struct page *oldest, *newest;
    bool lowering; /* counts go down: dirty pages may be written alone */
};

/* A table that is in memory whole: L1, the refcount table. */
struct table {
    u64 *entry; /* the host's byte order */
    u64 offset;
    u32 count;
    u32 dirty_from, dirty_to; /* entries that the file has not got yet */
};

struct freed {
    u64 host, clusters;
    bool punch;
};

struct qcow2_snapshot {
    u64 l1_offset;
    u32 l1_entries;
    u32 extra;     /* bytes of extra data */
    u64 at, bytes; /* of its record in the file */
    struct image_snapshot shown;
};

struct qcow2 {
    struct disk_image *image;
    struct qcow2_header header;
    unsigned page_size;
    unsigned l2_bits;                /* entries of a table: 1 << l2_bits */
    u64 cluster_size, file_clusters; /* file_clusters: clusters before the end of the file */
    struct table l1, reftable;
    struct cache cache;

    bool used;       /* written to since it was opened */
    bool barrier;    /* there is what a commit has to wait for */
    u64 search_from; /* the cluster from which on a free one is looked for */
    struct freed *freed;
    unsigned freed_count;

    struct qcow2_snapshot *snapshots;
    u64 snapshots_bytes;       /* of their table */
    struct vm_state *vm_state; /* that the next one gets; NULL: none */
    u64 bitmaps_offset, bitmaps_bytes;
    u32 bitmaps;
    char *backing_file, *backing_format;

    u64 coded_next;  /* where the next compressed cluster goes; 0: into a new one */
    u64 coded_entry; /* of which L2 entry `coded` has the bytes; 0: none */
    u8 *coded;
};

static inline struct qcow2 *qcow2_of(struct disk_image *i)
{
    return i->state;
}

static inline u64 entry_host(u64 entry)
{
    return entry & OFFSET_MASK;
}

/* ---- header.c ---- */
int qcow2_open(struct disk_image *i, const struct image_options *o, struct error *e);
/* Writes bytes of the header from `offset` on as they are in q->header. */
int qcow2_write_header(struct qcow2 *q, size_t offset, size_t bytes);
struct qcow2_header qcow2_swap_header(const struct qcow2_header *h);
/* Before the first change: the dirty bit, and what unknown features ask for. */
int qcow2_begin_use(struct qcow2 *q);

/* ---- extensions.c ---- */
int qcow2_read_extensions(struct qcow2 *q, u64 from, u64 to, struct error *e);
/* The name that the image gives an incompatible feature, or one of our own. */
void qcow2_feature_name(struct qcow2 *q, unsigned bit, char name[64]);

/* ---- snapshots.c ---- */
int qcow2_read_snapshots(struct qcow2 *q, struct error *e);
void qcow2_free_snapshots(struct qcow2 *q);
int qcow2_snapshot_create(struct disk_image *i, const struct image_snapshot *shown, unsigned instead);
int qcow2_snapshot_apply(struct disk_image *i, unsigned n);
int qcow2_snapshot_delete(struct disk_image *i, unsigned n);

/* ---- vm_state.c ---- */
/* How many entries of L1 a disk of that size needs: a snapshot's state comes behind them. */
u64 l1_entries_for(const struct qcow2 *q, u64 size);
int qcow2_vm_state_write(struct disk_image *i, const void *from, size_t bytes);
int qcow2_vm_state_drop(struct disk_image *i);
int qcow2_vm_state_read(struct disk_image *i, unsigned n, u64 offset, void *to, size_t bytes);
/* All of it is in the file: the entries of L1 that lead to it, and its size; none: 0. */
int qcow2_vm_state_finish(struct qcow2 *q, const u64 **l1, u32 *tables, u64 *bytes);
/* A snapshot has it now. */
void qcow2_vm_state_forget(struct qcow2 *q);

/* ---- cache.c ---- */
int cache_init(struct qcow2 *q);
void cache_free(struct qcow2 *q);
/* The page with the bytes at `host`, which is within it. It stays where it is while few others are asked for.
 */
int cache_get(struct qcow2 *q, u64 host, enum page_kind kind, struct page **p);
void cache_touch(struct qcow2 *q, struct page *p);
/* What the cache has of [host, host + bytes) is not wanted any more. */
void cache_forget(struct qcow2 *q, u64 host, u64 bytes);
/* All dirty pages of a kind. */
int cache_write(struct qcow2 *q, enum page_kind kind);
int qcow2_commit(struct qcow2 *q);
/* At the start of an operation: commits if much has changed. */
int qcow2_make_room(struct qcow2 *q);
int table_write(struct qcow2 *q, struct table *t);
void table_touch(struct table *t, u32 at);

/* ---- refcount.c ---- */
int refcount_get(struct qcow2 *q, u64 cluster, u64 *count);
u64 refcount_max(const struct qcow2 *q);
u64 refcount_decode(const u8 *block, u64 index, unsigned order);
void refcount_encode(u8 *block, u64 index, unsigned order, u64 count);
int refcount_set(struct qcow2 *q, u64 cluster, u64 count);
/* Up to `wanted` clusters in a row, whose count is 1 from now on: how many, at *host; or -errno. */
s64 qcow2_allocate(struct qcow2 *q, u64 wanted, u64 *host);
/* Exactly so many, at the end of the file or wherever they fit. */
int qcow2_allocate_run(struct qcow2 *q, u64 clusters, u64 *host);
/* One who refers to the clusters does not do so any more: they are free after the next commit. punch: the
 * host may have their room. */
int qcow2_free(struct qcow2 *q, u64 host, u64 clusters, bool punch);
/* The same of clusters that nothing ever referred to. */
void qcow2_give_back(struct qcow2 *q, u64 host, u64 clusters);
int qcow2_lower_counts(struct qcow2 *q);
/* Whether the range lies in the header or a table that every image has. */
bool qcow2_overlaps(const struct qcow2 *q, u64 host, u64 bytes);
/* The image is damaged: it says so from now on, and takes no more writes. */
int qcow2_corrupt(struct qcow2 *q, const char *what);
static inline u64 reftable_covers(const struct qcow2 *q) /* clusters that one entry is for */
{
    return q->cluster_size * 8 >> q->header.refcount_order;
}

/* ---- map.c ---- */
int qcow2_map(struct disk_image *i, u64 offset, u64 bytes, struct image_extent *x);
/* The entry's place in the L2 table of a guest's offset: NULL in *p where there is no table. */
int qcow2_find(struct qcow2 *q, u64 offset, struct page **p, unsigned *index);
/* The same for a change: the table is there, and is this image's own. */
int qcow2_find_own(struct qcow2 *q, u64 offset, struct page **p, unsigned *index);
static inline u64 page_entry(const struct page *p, unsigned index)
{
    u64 v;
    __builtin_memcpy(&v, p->bytes + 8 * (size_t)index, 8);
    return be64toh(v);
}
void set_entry(struct qcow2 *q, struct page *p, unsigned index, u64 entry);
static inline unsigned page_entries(const struct qcow2 *q)
{
    return q->page_size / 8;
}
/* Gives up what an entry refers to. */
int qcow2_release(struct qcow2 *q, u64 entry, bool punch);

/* ---- write.c ---- */
ssize_t qcow2_write_new(struct disk_image *i, u64 offset, const struct iovec *iov, unsigned count,
                        size_t bytes);
ssize_t qcow2_zero(struct disk_image *i, u64 offset, u64 bytes, bool unmap);
int qcow2_discard(struct disk_image *i, u64 offset, u64 bytes);
int qcow2_write_coded(struct disk_image *i, u64 offset, const void *from, size_t bytes);

/* ---- coded.c ---- */
/* Where the compressed bytes of an entry are. */
void coded_place(const struct qcow2 *q, u64 entry, u64 *host, u64 *bytes);
int qcow2_read_coded(struct disk_image *i, u64 offset, void *to, size_t bytes);
/* A cluster in fewer bytes than it has: how many, 0 (it does not get smaller), or -errno. */
ssize_t qcow2_pack(const struct qcow2 *q, const void *from, void *to);

/* ---- resize.c ---- */
int qcow2_resize(struct disk_image *i, u64 size, struct error *e);

/* ---- check.c ---- */
int qcow2_check(struct disk_image *i, struct image_check *c, struct error *e);

/* ---- create.c ---- */
int qcow2_create(struct disk_image *i, const struct image_create *c, struct error *e);
int qcow2_preallocate(struct disk_image *i, unsigned mode);

#endif
