/* snapshots.c - the table of the states that an image keeps inside: read, and left as it is */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/image/qcow2/qcow2.h"

struct record { /* big-endian; extra data, id and name follow */
    u64 l1_offset;
    u32 l1_entries;
    u16 id_bytes, name_bytes;
    u32 date_sec, date_nsec;
    u64 clock;
    u32 vm_state_size, extra_bytes;
} __attribute__((packed));
_Static_assert(sizeof(struct record) == 40, "docs/interop/qcow2.txt");

enum { MAX_EXTRA = 1024 };

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
    u64 extra[3] = {0};
    if (image_pread(q->image, *at, &r, sizeof(r)) != sizeof(r))
        return -EINVAL;
    u32 n = be32toh(r.extra_bytes);
    *at += sizeof(r);
    if (n > MAX_EXTRA || image_pread_all(q->image, *at, extra, min(n, (u32)sizeof(extra))) < 0)
        return -EINVAL;
    *at += n;
    *s = (struct qcow2_snapshot){
        .l1_offset = be64toh(r.l1_offset), .l1_entries = be32toh(r.l1_entries), .extra = n};
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

void qcow2_free_snapshots(struct qcow2 *q)
{
    for (u32 k = 0; q->snapshots && k < q->header.snapshot_count; k++) {
        free((char *)q->snapshots[k].shown.id);
        free((char *)q->snapshots[k].shown.name);
    }
    free(q->snapshots);
}
