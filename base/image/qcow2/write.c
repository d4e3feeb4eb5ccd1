/* write.c - writes that need new clusters, zeros, and discards */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/image/qcow2/qcow2.h"

/* A write may go where the entry says, if not for a zero flag. */
static bool is_own(u64 entry)
{
    return entry & ENTRY_COPIED && !(entry & ENTRY_CODED) && entry_host(entry);
}

/* A write into new clusters: they begin at the guest's `start` and the file's `host`. What of them is not
 * written keeps what the guest sees there now. */
struct placement {
    u64 start, host, clusters;
    bool fresh; /* behind the end of the file, where it reads as zeros */
};

/* What the guest sees in [from, to), of which the image may not have all; NULL with *r: an error, or (0)
 * nothing to write, as it is zeros where zeros are. */
static u8 *old_bytes(struct disk_image *i, const struct placement *at, u64 from, u64 to, int *r)
{
    struct image_extent x;
    u64 known = min(to, max(i->size, from)) - from;
    *r = known ? image_map(i, from, known, &x) : 0;
    if (*r < 0 || from == to || (at->fresh && (!known || (x.kind == EXTENT_ZERO && x.bytes == known))))
        return NULL;
    u8 *bytes = calloc(1, to - from);
    const struct iovec iov = {bytes, known};
    *r = !bytes ? -ENOMEM : known ? image_read(i, from, &iov, 1) : 0;
    if (*r == 0)
        return bytes;
    free(bytes);
    return NULL;
}

/* The part of at most `bytes` of an iovec, behind a first entry: how many entries there are then. */
static unsigned gather(struct iovec *to, const struct iovec *iov, unsigned count, size_t bytes)
{
    unsigned n = 0;
    for (unsigned k = 0; k < count && bytes; k++) {
        to[n] = (struct iovec){iov[k].iov_base, min(iov[k].iov_len, bytes)};
        bytes -= to[n++].iov_len;
    }
    return n;
}

static int write_placed(struct disk_image *i, const struct placement *at, u64 offset, const struct iovec *iov,
                        unsigned count, size_t bytes)
{
    struct qcow2 *q = qcow2_of(i);
    u64 end = at->start + (at->clusters << q->header.cluster_bits), host = at->host;
    int r, r2;
    u8 *head = old_bytes(i, at, at->start, offset, &r), *tail = old_bytes(i, at, offset + bytes, end, &r2);
    struct iovec *all = malloc((count + 2) * sizeof(*all));
    r = r < 0 ? r : r2 < 0 ? r2 : all ? 0 : -ENOMEM;
    if (r == 0) {
        unsigned n = 0;
        if (head)
            all[n++] = (struct iovec){head, offset - at->start};
        else
            host += offset - at->start;
        n += gather(all + n, iov, count, bytes);
        if (tail)
            all[n++] = (struct iovec){tail, end - offset - bytes};
        r = image_pwritev_all(i, host, all, n,
                              bytes + (head ? offset - at->start : 0) + (tail ? end - offset - bytes : 0));
    }
    q->barrier = true;
    free(all);
    free(head);
    free(tail);
    return r;
}

/* How many entries from the index on need a new cluster. */
static u64 need_new(const struct qcow2 *q, const struct page *p, unsigned index, u64 most)
{
    u64 n = 1;
    most = min(most, (u64)(page_entries(q) - index));
    while (n < most && !is_own(page_entry(p, index + (unsigned)n)))
        n++;
    return n;
}

/* Clusters for up to `most` entries: the one that is there already, or new ones. */
static int place(struct qcow2 *q, const struct page *p, unsigned index, u64 most, struct placement *at)
{
    u64 entry = page_entry(p, index), end = q->file_clusters;
    if (is_own(entry)) {
        at->host = entry_host(entry);
        at->clusters = 1;
        return qcow2_overlaps(q, at->host, q->cluster_size)
                   ? qcow2_corrupt(q, "a cluster is where it cannot be")
                   : 0;
    }
    s64 n = qcow2_allocate(q, need_new(q, p, index, most), &at->host);
    at->clusters = n > 0 ? (u64)n : 0;
    at->fresh = n > 0 && at->host >> q->header.cluster_bits >= end;
    return n < 0 ? (int)n : 0;
}

static int enter(struct qcow2 *q, struct page *p, unsigned index, const struct placement *at)
{
    int r = 0;
    for (unsigned k = 0; k < at->clusters && r == 0; k++) {
        u64 old = page_entry(p, index + k), host = at->host + ((u64)k << q->header.cluster_bits);
        set_entry(q, p, index + k, host | ENTRY_COPIED);
        if (entry_host(old) != host || old & ENTRY_CODED)
            r = qcow2_release(q, old, false);
    }
    return r;
}

ssize_t qcow2_write_new(struct disk_image *i, u64 offset, const struct iovec *iov, unsigned count,
                        size_t bytes)
{
    struct qcow2 *q = qcow2_of(i);
    u64 inside = offset % q->cluster_size;
    struct placement at = {.start = offset - inside};
    struct page *p;
    unsigned index;
    int r = qcow2_begin_use(q);
    if (r < 0 || (r = qcow2_make_room(q)) < 0 || (r = qcow2_find_own(q, offset, &p, &index)) < 0)
        return r;
    bool own = is_own(page_entry(p, index));
    u64 most = (inside + bytes + q->cluster_size - 1) >> q->header.cluster_bits;
    if ((r = place(q, p, index, most, &at)) < 0)
        return r;
    bytes = min((u64)bytes, (at.clusters << q->header.cluster_bits) - inside);
    if ((r = write_placed(i, &at, offset, iov, count, bytes)) < 0) {
        if (!own)
            qcow2_give_back(q, at.host, at.clusters);
        return r;
    }
    r = qcow2_find(q, offset, &p, &index);
    if (r == 0)
        r = enter(q, p, index, &at);
    return r < 0 ? r : (ssize_t)bytes;
}

/* ---- zeros and discards ---- */

/* Less than a cluster: written, if it is not zeros already. */
static ssize_t zero_part(struct disk_image *i, u64 offset, u64 bytes)
{
    struct image_extent x;
    int r = image_map(i, offset, bytes, &x);
    if (r < 0 || (x.kind == EXTENT_ZERO && x.bytes == bytes))
        return r < 0 ? r : (ssize_t)bytes;
    u8 *zeros = calloc(1, bytes);
    const struct iovec iov = {zeros, bytes};
    r = zeros ? image_write(i, offset, &iov, 1) : -ENOMEM;
    free(zeros);
    return r < 0 ? r : (ssize_t)bytes;
}

/* What an entry becomes so that the guest reads zeros. keep: its cluster stays. */
static u64 zero_entry(const struct qcow2 *q, u64 old, bool keep)
{
    bool hides = q->image->backing || q->header.backing_size;
    if (q->header.version < 3)
        return 0;
    if (keep && is_own(old))
        return entry_host(old) | ENTRY_COPIED | ENTRY_ZERO;
    return hides || keep ? ENTRY_ZERO : 0;
}

/* Full clusters from the offset on, as far as one page of L2 goes: how many, or -errno. */
static s64 zero_clusters(struct qcow2 *q, u64 offset, u64 clusters, bool keep)
{
    u64 covers = 1ull << q->l2_bits, first = offset >> q->header.cluster_bits;
    struct page *p;
    unsigned index;
    int r = qcow2_make_room(q);
    if (r < 0 || (r = qcow2_find(q, offset, &p, &index)) < 0)
        return r;
    if (!p && !zero_entry(q, 0, false))
        return (s64)min(clusters, covers - first % covers);
    if ((r = qcow2_find_own(q, offset, &p, &index)) < 0)
        return r;
    clusters = min(clusters, (u64)(page_entries(q) - index));
    for (u64 k = 0; k < clusters && r == 0; k++, index++) {
        u64 old = page_entry(p, index), new = old ? zero_entry(q, old, keep) : zero_entry(q, 0, false);
        if (new == old)
            continue;
        set_entry(q, p, index, new);
        if (!entry_host(new))
            r = qcow2_release(q, old, true);
    }
    return r < 0 ? r : (s64)clusters;
}

/* Whole clusters of [offset, offset + bytes), the offset being at the start of one. The image's last cluster
 * need not be whole. */
static u64 whole_clusters(const struct qcow2 *q, u64 offset, u64 bytes)
{
    if (offset + bytes == q->image->size)
        bytes = ALIGN_UP(bytes, q->cluster_size);
    return bytes >> q->header.cluster_bits;
}

static bool can_hide(const struct qcow2 *q)
{
    return q->header.version >= 3 || !(q->image->backing || q->header.backing_size);
}

ssize_t qcow2_zero(struct disk_image *i, u64 offset, u64 bytes, bool unmap)
{
    struct qcow2 *q = qcow2_of(i);
    u64 inside = offset % q->cluster_size, clusters = inside ? 0 : whole_clusters(q, offset, bytes);
    int r = qcow2_begin_use(q);
    if (r < 0)
        return r;
    if (!clusters)
        return zero_part(i, offset, min(bytes, q->cluster_size - inside));
    if (!can_hide(q))
        return 0;
    s64 n = zero_clusters(q, offset, clusters, !unmap);
    return n < 0 ? n : (ssize_t)min(bytes, (u64)n << q->header.cluster_bits);
}

/* Parts of clusters stay: a discard is a wish. */
int qcow2_discard(struct disk_image *i, u64 offset, u64 bytes)
{
    struct qcow2 *q = qcow2_of(i);
    u64 end = offset + bytes, at = ALIGN_UP(offset, q->cluster_size);
    int r = can_hide(q) ? qcow2_begin_use(q) : 0;
    if (r < 0 || !can_hide(q))
        return r;
    while (at < end) {
        s64 n = (s64)whole_clusters(q, at, end - at);
        if (n > 0)
            n = zero_clusters(q, at, (u64)n, false);
        if (n <= 0)
            return (int)n;
        at += (u64)n << q->header.cluster_bits;
    }
    return 0;
}

/* ---- compressed clusters ---- */

/* Room for packed bytes, behind the last ones if they fit there. */
static int place_coded(struct qcow2 *q, u64 bytes, u64 *host)
{
    u64 rest = q->coded_next ? q->cluster_size - q->coded_next % q->cluster_size : 0, next = 0, count = 0;
    u64 last = ALIGN_DOWN(q->coded_next, q->cluster_size);
    int r = q->coded_next ? refcount_get(q, last >> q->header.cluster_bits, &count) : 0;
    bool full = !q->coded_next || !count || count >= refcount_max(q);
    if (r == 0 && (full || rest < bytes)) {
        s64 n = qcow2_allocate(q, 1, &next);
        r = n < 0 ? (int)n : 0;
    }
    if (r < 0)
        return r;
    bool joins = !full && (!next || next == last + q->cluster_size);
    *host = joins ? q->coded_next : next;
    q->coded_next = *host + bytes;
    if (q->coded_next % q->cluster_size == 0)
        q->coded_next = 0;
    return joins ? refcount_set(q, last >> q->header.cluster_bits, count + 1) : 0;
}

int qcow2_write_coded(struct disk_image *i, u64 offset, const void *from, size_t bytes)
{
    struct qcow2 *q = qcow2_of(i);
    unsigned shift = 62 - (q->header.cluster_bits - 8), index;
    u64 host;
    struct page *p;
    u8 *packed = malloc(q->cluster_size), *whole = calloc(1, q->cluster_size);
    ssize_t n = packed && whole ? 0 : -ENOMEM;
    if (n == 0) {
        memcpy(whole, from, bytes);
        n = qcow2_pack(q, whole, packed);
    }
    int r = n < 0 ? (int)n : qcow2_begin_use(q);
    if (r == 0 && n == 0) {
        const struct iovec iov = {(void *)from, bytes};
        r = image_write(i, offset, &iov, 1);
    } else if (r == 0 && (r = qcow2_make_room(q)) == 0 && (r = qcow2_find_own(q, offset, &p, &index)) == 0 &&
               (r = place_coded(q, (u64)n, &host)) == 0 &&
               (r = image_pwrite_all(i, host, packed, (size_t)n)) == 0) {
        u64 sectors = ((host + (u64)n - 1) >> 9) - (host >> 9), old = page_entry(p, index);
        set_entry(q, p, index, ENTRY_CODED | host | sectors << shift);
        r = qcow2_release(q, old, false);
    }
    free(packed);
    free(whole);
    return r;
}
