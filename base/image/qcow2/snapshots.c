/* snapshots.c - the states that an image keeps inside: read, made, gone back to, removed */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/image/qcow2/qcow2.h"

/*
 * A snapshot is an L1 table of its own: what it refers to has one more who does. So the active table's
 * entries lose their COPIED flag, by which a write knows that it must not go there.
 *
 * The order is that of a commit (qcow2.h): counts that go up come first, then who refers to the clusters (a
 * table in new clusters, which the header names in one write), then counts that go down. A kill in between
 * leaves clusters that nobody has, and COPIED flags that are missing, which costs a copy; `check -r` makes
 * both right.
 */

struct record { /* big-endian; extra data, id and name follow */
    u64 l1_offset;
    u32 l1_entries;
    u16 id_bytes, name_bytes;
    u32 date_sec, date_nsec;
    u64 clock;
    u32 vm_state_size, extra_bytes;
} __attribute__((packed));
_Static_assert(sizeof(struct record) == 40, "docs/interop/qcow2.txt");

enum { MAX_EXTRA = 1024, OUR_EXTRA = 24 };

static char *read_text(struct qcow2 *q, u64 *at, u16 bytes)
{
    char *text = calloc(1, bytes + 1u);
    if (text && image_pread_all(q->image, *at, text, bytes) < 0)
        *text = 0;
    *at += bytes;
    return text;
}

/* One record at *at, which moves behind it. */
static int read_one(struct qcow2 *q, u64 *at, struct qcow2_snapshot *s)
{
    struct record r;
    u64 extra[3] = {0}, start = *at;
    if (image_pread(q->image, *at, &r, sizeof(r)) != sizeof(r))
        return -EINVAL;
    u32 n = be32toh(r.extra_bytes);
    *at += sizeof(r);
    if (n > MAX_EXTRA || image_pread_all(q->image, *at, extra, min(n, (u32)sizeof(extra))) < 0)
        return -EINVAL;
    *at += n;
    *s = (struct qcow2_snapshot){
        .l1_offset = be64toh(r.l1_offset), .l1_entries = be32toh(r.l1_entries), .extra = n, .at = start};
    s->shown = (struct image_snapshot){
        .date_sec = be32toh(r.date_sec),
        .date_nsec = be32toh(r.date_nsec),
        .clock = be64toh(r.clock),
        .vm_state_size = n >= 8 ? be64toh(extra[0]) : be32toh(r.vm_state_size),
        .disk_size = n >= 16 ? be64toh(extra[1]) : q->header.size,
        .icount = n >= 24 ? be64toh(extra[2]) : ~0ull,
        .id = read_text(q, at, be16toh(r.id_bytes)),
        .name = read_text(q, at, be16toh(r.name_bytes)),
    };
    *at = ALIGN_UP(*at, 8ull);
    s->bytes = *at - start;
    bool fits = s->l1_offset % q->cluster_size == 0 && s->l1_entries <= MAX_L1_BYTES / 8;
    return !s->shown.id || !s->shown.name ? -ENOMEM : fits ? 0 : -EINVAL;
}

int qcow2_read_snapshots(struct qcow2 *q, struct error *e)
{
    const struct qcow2_header *h = &q->header;
    u64 at = h->snapshots_offset;
    int r = h->snapshot_count > MAX_SNAPSHOTS || (h->snapshot_count && at % q->cluster_size) ? -EINVAL : 0;
    q->snapshots = r == 0 ? calloc(max(h->snapshot_count, 1u), sizeof(q->snapshots[0])) : NULL;
    for (u32 k = 0; k < h->snapshot_count && r == 0 && q->snapshots; k++)
        r = at - h->snapshots_offset > MAX_SNAPSHOT_BYTES ? -EINVAL : read_one(q, &at, &q->snapshots[k]);
    q->snapshots_bytes = h->snapshot_count ? at - h->snapshots_offset : 0;
    if (r < 0)
        return error_set(e, -r, "cannot open the image '%s': its table of snapshots is damaged",
                         q->image->filename);
    return q->snapshots ? 0 : error_set(e, ENOMEM, "no memory for the image '%s'", q->image->filename);
}

static void free_texts(struct qcow2_snapshot *s)
{
    free((char *)s->shown.id);
    free((char *)s->shown.name);
}

void qcow2_free_snapshots(struct qcow2 *q)
{
    for (u32 k = 0; q->snapshots && k < q->header.snapshot_count; k++)
        free_texts(&q->snapshots[k]);
    free(q->snapshots);
}

/* ---- counts of all that a table refers to ---- */

/* Does something to each cluster that the tables of `entry` refer to, and to those tables. */
struct walk {
    int (*see)(struct qcow2 *q, u64 cluster);
    struct qcow2 *q;
    u64 *l2; /* room for a table */
};

static int walk_range(struct walk *w, u64 host, u64 bytes)
{
    unsigned bits = w->q->header.cluster_bits;
    int r = 0;
    for (u64 c = host >> bits; bytes && c <= (host + bytes - 1) >> bits && r == 0; c++)
        r = w->see(w->q, c);
    return r;
}

static int walk_table(struct walk *w, u64 table)
{
    struct qcow2 *q = w->q;
    int r = table % q->cluster_size ? qcow2_corrupt(q, "an L2 table is not at a cluster's start")
                                    : image_pread_all(q->image, table, w->l2, q->cluster_size);
    for (u64 k = 0; k < q->cluster_size / 8 && r == 0; k++) {
        u64 entry = be64toh(w->l2[k]), host = entry_host(entry), bytes = host ? q->cluster_size : 0;
        if (entry & ENTRY_CODED)
            coded_place(q, entry, &host, &bytes);
        else if (host % q->cluster_size)
            return qcow2_corrupt(q, "a cluster does not begin where clusters do");
        r = walk_range(w, host, bytes);
    }
    return r < 0 ? r : walk_range(w, table, q->cluster_size);
}

/* The file has all that the tables say: a commit came before. */
static int walk_all(struct qcow2 *q, const u64 *entry, u32 count, int (*see)(struct qcow2 *q, u64 cluster))
{
    struct walk w = {see, q, malloc(q->cluster_size)};
    int r = w.l2 ? 0 : -ENOMEM;
    for (u32 k = 0; k < count && r == 0; k++)
        if (entry_host(entry[k]))
            r = walk_table(&w, entry_host(entry[k]));
    free(w.l2);
    return r;
}

static int has_room(struct qcow2 *q, u64 cluster)
{
    u64 count;
    int r = refcount_get(q, cluster, &count);
    if (r == 0 && !count)
        return qcow2_corrupt(q, "a cluster that is in use counts as free");
    return r == 0 && count >= refcount_max(q) ? -EOVERFLOW : r;
}

static int raise_count(struct qcow2 *q, u64 cluster)
{
    u64 count;
    int r = qcow2_make_room(q);
    if (r == 0)
        r = refcount_get(q, cluster, &count);
    return r == 0 ? refcount_set(q, cluster, count + 1) : r;
}

static int drop_count(struct qcow2 *q, u64 cluster)
{
    int r = qcow2_make_room(q);
    q->coded_entry = 0; /* where it was, there may be another */
    return r == 0 ? qcow2_free(q, cluster << q->header.cluster_bits, 1, true) : r;
}

/* ---- the COPIED flags ---- */

static int is_alone(struct qcow2 *q, u64 host, u64 *flag)
{
    u64 count;
    int r = refcount_get(q, host >> q->header.cluster_bits, &count);
    *flag = r == 0 && count == 1 ? ENTRY_COPIED : 0;
    return r;
}

/* In one page of an active table. */
static int flag_page(struct qcow2 *q, u64 at)
{
    struct page *p;
    int r = qcow2_make_room(q);
    for (unsigned k = 0; k < page_entries(q) && r == 0; k++) {
        u64 flag = 0;
        if ((r = cache_get(q, at, PAGE_L2, &p)) < 0)
            return r;
        u64 entry = page_entry(p, k);
        if (entry & ENTRY_CODED || !entry_host(entry))
            continue;
        if ((r = is_alone(q, entry_host(entry), &flag)) < 0 || flag == (entry & ENTRY_COPIED))
            continue;
        if ((r = cache_get(q, at, PAGE_L2, &p)) == 0) /* looking at the count may have put it out */
            set_entry(q, p, k, (entry & ~ENTRY_COPIED) | flag);
    }
    return r;
}

/* The active tables say which clusters are theirs alone. */
static int set_flags(struct qcow2 *q)
{
    int r = 0;
    for (u32 k = 0; k < q->l1.count && r == 0; k++) {
        u64 table = entry_host(q->l1.entry[k]), flag = 0;
        if (!table)
            continue;
        if ((r = is_alone(q, table, &flag)) == 0 && flag != (q->l1.entry[k] & ENTRY_COPIED)) {
            q->l1.entry[k] = table | flag;
            table_touch(&q->l1, k);
        }
        for (u64 at = 0; at < q->cluster_size && r == 0; at += q->page_size)
            r = flag_page(q, table + at);
    }
    return r == 0 ? qcow2_commit(q) : r;
}

/* ---- tables ---- */

/* An L1 table in new clusters. */
static int write_l1(struct qcow2 *q, const u64 *entry, u32 count, u64 *host)
{
    u64 bytes = ALIGN_UP(max(8ull * count, 8ull), q->cluster_size);
    u64 *raw = calloc(1, bytes);
    int r = raw ? qcow2_allocate_run(q, bytes >> q->header.cluster_bits, host) : -ENOMEM;
    for (u32 k = 0; r == 0 && k < count; k++)
        raw[k] = htobe64(entry_host(entry[k]));
    if (r == 0 && (r = image_pwrite_all(q->image, *host, raw, bytes)) < 0)
        qcow2_give_back(q, *host, bytes >> q->header.cluster_bits);
    free(raw);
    return r;
}

static int read_l1(struct qcow2 *q, const struct qcow2_snapshot *s, u64 **entry)
{
    *entry = calloc(max(s->l1_entries, 1u), 8);
    int r = *entry ? image_pread_all(q->image, s->l1_offset, *entry, 8ull * s->l1_entries) : -ENOMEM;
    for (u32 k = 0; k < s->l1_entries && r == 0; k++)
        (*entry)[k] = entry_host(be64toh((*entry)[k]));
    return r;
}

static int free_table(struct qcow2 *q, u64 host, u64 bytes)
{
    u64 clusters = ALIGN_UP(bytes, q->cluster_size) >> q->header.cluster_bits;
    return clusters ? qcow2_free(q, host, clusters, false) : 0;
}

static int free_l1(struct qcow2 *q, u64 host, u32 count)
{
    return free_table(q, host, 8ull * count);
}

/* The record of a new snapshot, as it stands in the file: how many bytes. */
static size_t write_record(u8 *to, const struct qcow2_snapshot *s)
{
    size_t id = strlen(s->shown.id), name = strlen(s->shown.name);
    const u64 extra[] = {htobe64(s->shown.vm_state_size), htobe64(s->shown.disk_size),
                         htobe64(s->shown.icount)};
    const struct record r = {.l1_offset = htobe64(s->l1_offset),
                             .l1_entries = htobe32(s->l1_entries),
                             .id_bytes = htobe16((u16)id),
                             .name_bytes = htobe16((u16)name),
                             .date_sec = htobe32(s->shown.date_sec),
                             .date_nsec = htobe32(s->shown.date_nsec),
                             .clock = htobe64(s->shown.clock),
                             .vm_state_size = htobe32((u32)min(s->shown.vm_state_size, (u64)UINT32_MAX)),
                             .extra_bytes = htobe32(OUR_EXTRA)};
    memcpy(to, &r, sizeof(r));
    memcpy(to + sizeof(r), extra, OUR_EXTRA);
    memcpy(to + sizeof(r) + OUR_EXTRA, s->shown.id, id);
    memcpy(to + sizeof(r) + OUR_EXTRA + id, s->shown.name, name);
    return ALIGN_UP(sizeof(r) + OUR_EXTRA + id + name, 8ull);
}

/* The table without the one at `without` (of the old count: none), and with `more`. Records that are there
 * already go over as they are, with what we do not know. */
static int write_snapshots(struct qcow2 *q, u32 without, const struct qcow2_snapshot *more, u64 *host,
                           u64 *size)
{
    u64 room = ALIGN_UP(q->snapshots_bytes + sizeof(struct record) + OUR_EXTRA + 2 * UINT16_MAX + 8,
                        q->cluster_size);
    u8 *bytes = calloc(1, room);
    int r = bytes ? 0 : -ENOMEM;
    *size = *host = 0;
    for (u32 k = 0; k < q->header.snapshot_count && r == 0; k++) {
        const struct qcow2_snapshot *s = &q->snapshots[k];
        if (k == without)
            continue;
        r = image_pread_all(q->image, s->at, bytes + *size, s->bytes);
        *size += s->bytes;
    }
    if (r == 0 && more)
        *size += write_record(bytes + *size, more);
    if (r == 0 && *size > MAX_SNAPSHOT_BYTES)
        r = -EFBIG;
    u64 clusters = ALIGN_UP(*size, q->cluster_size) >> q->header.cluster_bits;
    if (r == 0 && clusters && (r = qcow2_allocate_run(q, clusters, host)) == 0 &&
        (r = image_pwrite_all(q->image, *host, bytes, clusters << q->header.cluster_bits)) < 0)
        qcow2_give_back(q, *host, clusters);
    free(bytes);
    return r;
}

/* The header names another table; the old one's clusters are free. */
static int enter_snapshots(struct qcow2 *q, u32 count, u64 host, u64 size)
{
    u64 old = q->header.snapshots_offset, old_bytes = q->snapshots_bytes;
    u32 old_count = q->header.snapshot_count;
    struct error none;
    int r = qcow2_commit(q);
    if (r < 0 || (r = image_sync(q->image)) < 0)
        return r;
    q->header.snapshot_count = count;
    q->header.snapshots_offset = host;
    r = qcow2_write_header(q, offsetof(struct qcow2_header, snapshot_count), 12);
    q->header.snapshot_count = old_count; /* of the list that we still have */
    if (r < 0 || (r = image_sync(q->image)) < 0) {
        q->header.snapshots_offset = old;
        return r;
    }
    qcow2_free_snapshots(q);
    q->header.snapshot_count = count;
    q->snapshots_bytes = size;
    if ((r = qcow2_read_snapshots(q, &none)) == 0)
        return free_table(q, old, old_bytes);
    qcow2_free_snapshots(q);
    q->snapshots = NULL;
    q->header.snapshot_count = 0;
    q->image->corrupt = true; /* what we have is not what the file has */
    return r;
}

/* ---- what is done with them ---- */

/* As QEMU names them: the next number. */
static void next_id(const struct qcow2 *q, char id[24])
{
    unsigned long most = 0;
    for (u32 k = 0; k < q->header.snapshot_count; k++)
        most = max(most, strtoul(q->snapshots[k].shown.id, NULL, 10));
    snprintf(id, 24, "%lu", most + 1);
}

/* Nothing has its clusters any more but who else had them. */
static int drop_tree(struct qcow2 *q, const struct qcow2_snapshot *s, const u64 *entry)
{
    int r = walk_all(q, entry, s->l1_entries, drop_count);
    if (r == 0 && (r = free_l1(q, s->l1_offset, s->l1_entries)) == 0 && (r = qcow2_commit(q)) == 0)
        r = set_flags(q);
    return r;
}

/* The entries of a new one's L1: those of the disk, then those of the machine's state, which is its own. */
static u64 *join_l1(struct qcow2 *q, struct qcow2_snapshot *s, u32 disk, int *r)
{
    const u64 *state;
    u32 tables;
    *r = qcow2_vm_state_finish(q, &state, &tables, &s->shown.vm_state_size);
    s->l1_entries = disk + tables;
    u64 *entry = *r == 0 ? calloc(max(s->l1_entries, 1u), sizeof(*entry)) : NULL;
    if (!entry) {
        *r = *r < 0 ? *r : -ENOMEM;
        return NULL;
    }
    memcpy(entry, q->l1.entry, 8ull * disk);
    if (tables)
        memcpy(entry + disk, state, 8ull * tables);
    return entry;
}

/* All that needs room comes before any count goes up, so that a full disk leaves the image as it was. */
static int make_room(struct qcow2 *q, struct qcow2_snapshot *s, u32 disk, u32 instead, u64 *host, u64 *size)
{
    int r;
    u64 *entry = join_l1(q, s, disk, &r);
    if (r == 0 && (r = write_l1(q, entry, s->l1_entries, &s->l1_offset)) == 0 &&
        (r = write_snapshots(q, instead, s, host, size)) < 0)
        qcow2_give_back(q, s->l1_offset,
                        ALIGN_UP(max(8ull * s->l1_entries, 8ull), q->cluster_size) >> q->header.cluster_bits);
    free(entry);
    return r;
}

static int create(struct qcow2 *q, struct qcow2_snapshot *s, u32 instead)
{
    u32 disk = (u32)l1_entries_for(q, q->image->size),
        count = q->header.snapshot_count + (instead == UINT32_MAX);
    u64 host, size;
    int r;
    if ((r = walk_all(q, q->l1.entry, disk, has_room)) < 0 ||
        (r = make_room(q, s, disk, instead, &host, &size)) < 0 ||
        (r = walk_all(q, q->l1.entry, disk, raise_count)) < 0 || (r = qcow2_commit(q)) < 0 ||
        (r = set_flags(q)) < 0)
        return r;
    r = enter_snapshots(q, count, host, size);
    qcow2_vm_state_forget(q); /* after an error as well: the file may name the new table all the same */
    return r == 0 ? qcow2_commit(q) : r;
}

int qcow2_snapshot_create(struct disk_image *i, const struct image_snapshot *shown, unsigned instead)
{
    struct qcow2 *q = qcow2_of(i);
    const struct qcow2_snapshot old =
        instead < q->header.snapshot_count ? q->snapshots[instead] : (struct qcow2_snapshot){0};
    struct qcow2_snapshot s = {.shown = *shown};
    char id[24];
    u64 *entry = NULL;
    if (q->header.snapshot_count >= MAX_SNAPSHOTS || strlen(shown->name) > UINT16_MAX)
        return -EFBIG;
    next_id(q, id);
    s.shown.id = id;
    s.shown.disk_size = i->size;
    s.shown.icount = ~0ull;
    int r = qcow2_begin_use(q);
    if (r == 0 && (r = qcow2_commit(q)) == 0 && (r = read_l1(q, &old, &entry)) == 0 &&
        (r = create(q, &s, instead)) == 0 && old.l1_offset)
        r = drop_tree(q, &old, entry);
    free(entry);
    return r;
}

int qcow2_snapshot_delete(struct disk_image *i, unsigned n)
{
    struct qcow2 *q = qcow2_of(i);
    const struct qcow2_snapshot s = q->snapshots[n];
    u64 *entry = NULL, host, size;
    int r = qcow2_begin_use(q);
    if (r == 0 && (r = qcow2_commit(q)) == 0 && (r = read_l1(q, &s, &entry)) == 0 &&
        (r = write_snapshots(q, n, NULL, &host, &size)) == 0 &&
        (r = enter_snapshots(q, q->header.snapshot_count - 1, host, size)) == 0)
        r = drop_tree(q, &s, entry);
    free(entry);
    return r;
}

/* The active table becomes another; q->l1 takes entry over. */
static int enter_l1(struct qcow2 *q, u64 *entry, u32 count, u64 host, u64 size)
{
    int r = qcow2_commit(q);
    if (r == 0)
        r = image_sync(q->image);
    if (r < 0) {
        free(entry);
        return r;
    }
    free(q->l1.entry);
    q->l1 = (struct table){.entry = entry, .offset = host, .count = count};
    q->header.l1_entries = count;
    q->header.l1_offset = host;
    q->header.size = q->image->size = size;
    if ((r = qcow2_write_header(q, offsetof(struct qcow2_header, size), 24)) < 0)
        return r;
    return image_sync(q->image);
}

/* The state of the machine stays the snapshot's: the active table is the disk's alone. */
int qcow2_snapshot_apply(struct disk_image *i, unsigned n)
{
    struct qcow2 *q = qcow2_of(i);
    const struct qcow2_snapshot *s = &q->snapshots[n];
    u64 old_l1 = q->l1.offset, host, *entry = NULL;
    u64 needed = l1_entries_for(q, s->shown.disk_size);
    u32 count = (u32)needed, old_count = q->l1.count;
    u64 *old = calloc(max(old_count, 1u), 8);
    int r = old ? qcow2_begin_use(q) : -ENOMEM;
    if (r == 0 && needed > s->l1_entries)
        r = -EINVAL;
    if (r == 0 && (r = qcow2_commit(q)) == 0 && (r = read_l1(q, s, &entry)) == 0 &&
        (r = walk_all(q, entry, count, has_room)) == 0 && (r = write_l1(q, entry, count, &host)) == 0 &&
        (r = walk_all(q, entry, count, raise_count)) == 0) {
        memcpy(old, q->l1.entry, 8ull * old_count);
        r = enter_l1(q, entry, count, host, s->shown.disk_size);
        entry = NULL;
        if (r == 0 && (r = walk_all(q, old, old_count, drop_count)) == 0 &&
            (r = free_l1(q, old_l1, old_count)) == 0 && (r = qcow2_commit(q)) == 0)
            r = set_flags(q);
    }
    free(entry);
    free(old);
    return r;
}
