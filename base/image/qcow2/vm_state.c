/* vm_state.c - the state of a machine beside the disk that a snapshot keeps: written for a new one, read of
 * an old one */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/image/qcow2/qcow2.h"

/*
 * A snapshot's L1 table goes on behind the entries that its disk needs, and what those lead to is the state
 * of the machine. QEMU writes it through the active table, and takes it out of that again. Here its tables
 * are made apart: nothing but the snapshot ever refers to them. Until there is one, a kill leaves clusters
 * that nobody has, and nothing else.
 */
struct vm_state {
    u64 bytes; /* so far */
    u64 *l1;   /* where the full tables are */
    u32 tables, room;
    u64 *l2; /* the last one, as it is to be in the file */
    u32 entries;
    u8 *cluster; /* the last one, of which bytes % cluster_size are there */
};

u64 l1_entries_for(const struct qcow2 *q, u64 size)
{
    u64 covers = q->cluster_size << q->l2_bits;
    return size / covers + (size % covers != 0);
}

static struct vm_state *begin(struct qcow2 *q)
{
    struct vm_state *s = calloc(1, sizeof(*s));
    if (!s || !(s->l2 = calloc(1, q->cluster_size)) || !(s->cluster = calloc(1, q->cluster_size))) {
        if (s)
            free(s->l2);
        free(s);
        return NULL;
    }
    return s;
}

/* A cluster with these bytes; what cannot be written is not kept. */
static int put(struct qcow2 *q, const void *bytes, u64 *host)
{
    int r = qcow2_make_room(q);
    s64 n = r < 0 ? r : qcow2_allocate(q, 1, host);
    if (n < 0)
        return (int)n;
    r = image_pwrite_all(q->image, *host, bytes, q->cluster_size);
    if (r < 0)
        qcow2_give_back(q, *host, 1);
    return r;
}

static int end_table(struct qcow2 *q, struct vm_state *s)
{
    if (!s->entries)
        return 0;
    if (s->tables == s->room) {
        u32 room = max(2 * s->room, 16u);
        u64 *more = s->tables < MAX_L1_BYTES / 16 ? realloc(s->l1, room * sizeof(*more)) : NULL;
        if (!more)
            return -EFBIG;
        s->l1 = more;
        s->room = room;
    }
    int r = put(q, s->l2, &s->l1[s->tables]);
    if (r < 0)
        return r;
    s->tables++;
    s->entries = 0;
    memset(s->l2, 0, q->cluster_size);
    return 0;
}

static int put_cluster(struct qcow2 *q, struct vm_state *s, const void *bytes)
{
    u64 host;
    int r = s->entries == 1u << q->l2_bits ? end_table(q, s) : 0;
    if (r == 0 && (r = put(q, bytes, &host)) == 0)
        s->l2[s->entries++] = htobe64(host);
    return r;
}

int qcow2_vm_state_write(struct disk_image *i, const void *from, size_t bytes)
{
    struct qcow2 *q = qcow2_of(i);
    int r = qcow2_begin_use(q);
    if (r == 0 && !q->vm_state && !(q->vm_state = begin(q)))
        r = -ENOMEM;
    struct vm_state *s = q->vm_state;
    for (const u8 *p = from, *end = p + bytes; p < end && r == 0;) {
        u64 at = s->bytes % q->cluster_size, n = min((u64)(end - p), q->cluster_size - at);
        memcpy(s->cluster + at, p, n);
        if (at + n == q->cluster_size && (r = put_cluster(q, s, s->cluster)) < 0)
            return r;
        s->bytes += n;
        p += n;
    }
    return r;
}

int qcow2_vm_state_finish(struct qcow2 *q, const u64 **l1, u32 *tables, u64 *bytes)
{
    struct vm_state *s = q->vm_state;
    *l1 = NULL;
    *tables = 0;
    *bytes = 0;
    if (!s)
        return 0;
    u64 at = s->bytes % q->cluster_size;
    memset(s->cluster + at, 0, q->cluster_size - at);
    int r = at ? put_cluster(q, s, s->cluster) : 0;
    *bytes = s->bytes;
    s->bytes = ALIGN_UP(s->bytes, q->cluster_size);
    if (r == 0)
        r = end_table(q, s);
    *l1 = s->l1;
    *tables = s->tables;
    return r;
}

void qcow2_vm_state_forget(struct qcow2 *q)
{
    struct vm_state *s = q->vm_state;
    q->vm_state = NULL;
    if (!s)
        return;
    free(s->l1);
    free(s->l2);
    free(s->cluster);
    free(s);
}

static void drop_clusters(struct qcow2 *q, const u64 *entry, u32 count)
{
    for (u32 k = 0; k < count; k++)
        if (entry[k] && qcow2_make_room(q) == 0)
            qcow2_free(q, entry_host(be64toh(entry[k])), 1, true);
}

int qcow2_vm_state_drop(struct disk_image *i)
{
    struct qcow2 *q = qcow2_of(i);
    struct vm_state *s = q->vm_state;
    int r = 0;
    if (!s)
        return 0;
    drop_clusters(q, s->l2, s->entries);
    for (u32 k = 0; k < s->tables && r == 0; k++) {
        r = image_pread_all(i, s->l1[k], s->l2, q->cluster_size);
        if (r == 0)
            drop_clusters(q, s->l2, 1u << q->l2_bits);
        qcow2_free(q, s->l1[k], 1, true);
    }
    qcow2_vm_state_forget(q);
    int c = qcow2_commit(q);
    return r < 0 ? r : c;
}

/* ---- reading ---- */

/* What stands at 8 bytes of a table in the file: a place, 0 (zeros), or -EINVAL: it cannot be one. */
static int entry_at(struct qcow2 *q, u64 table, u64 index, u64 *host)
{
    u64 raw;
    int r = image_pread_all(q->image, table + 8 * index, &raw, sizeof(raw));
    if (r < 0)
        return r;
    u64 entry = be64toh(raw);
    *host = entry & ENTRY_ZERO ? 0 : entry_host(entry);
    return entry & ENTRY_CODED || *host % q->cluster_size ? -EINVAL : 0;
}

static int find(struct qcow2 *q, const struct qcow2_snapshot *s, u64 offset, u64 *host)
{
    u64 cluster = offset >> q->header.cluster_bits, table;
    u64 at = l1_entries_for(q, s->shown.disk_size) + (cluster >> q->l2_bits);
    int r = at < s->l1_entries ? entry_at(q, s->l1_offset, at, &table) : -EINVAL;
    *host = 0;
    return r < 0 || !table ? r : entry_at(q, table, cluster & MASK(q->l2_bits - 1, 0), host);
}

int qcow2_vm_state_read(struct disk_image *i, unsigned n, u64 offset, void *to, size_t bytes)
{
    struct qcow2 *q = qcow2_of(i);
    const struct qcow2_snapshot *s = &q->snapshots[n];
    int r = 0;
    if (bytes > s->shown.vm_state_size || offset > s->shown.vm_state_size - bytes)
        return -ENODATA;
    for (u8 *p = to, *end = p + bytes; p < end && r == 0;) {
        u64 at = offset % q->cluster_size, piece = min((u64)(end - p), q->cluster_size - at), host;
        if ((r = find(q, s, offset, &host)) < 0)
            break;
        if (host)
            r = image_pread_all(i, host + at, p, piece);
        else
            memset(p, 0, piece);
        p += piece;
        offset += piece;
    }
    return r;
}
