/* extensions.c - the header's extensions: the backing file's format, names of features, bitmaps */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/image/qcow2/qcow2.h"

enum {
    EXTENSION_END = 0,
    EXTENSION_BACKING_FORMAT = (int)0xe2792aca,
    EXTENSION_FEATURES = 0x6803f857,
    EXTENSION_BITMAPS = 0x23852875,
};
enum { FEATURE_SIZE = 48, FEATURE_NAME = 46, MAX_FORMAT = 15, BITMAPS_SIZE = 24 };

struct extension {
    u32 type, bytes;
    u64 at; /* of its data */
};

/* The next one at *from, which moves behind it; 1, 0 at the end, -errno. */
static int next(struct qcow2 *q, u64 *from, u64 to, struct extension *x)
{
    u32 head[2];
    if (*from + sizeof(head) > to)
        return 0;
    int r = image_pread_all(q->image, *from, head, sizeof(head));
    *x = (struct extension){be32toh(head[0]), be32toh(head[1]), *from + sizeof(head)};
    if (r < 0 || x->type == EXTENSION_END)
        return r;
    if (x->bytes > to - x->at)
        return -EINVAL;
    *from = ALIGN_UP(x->at + x->bytes, 8ull);
    return 1;
}

static int read_backing_format(struct qcow2 *q, const struct extension *x)
{
    if (x->bytes > MAX_FORMAT)
        return -EINVAL;
    free(q->backing_format);
    q->backing_format = calloc(1, x->bytes + 1);
    return q->backing_format ? image_pread_all(q->image, x->at, q->backing_format, x->bytes) : -ENOMEM;
}

static int read_bitmaps(struct qcow2 *q, const struct extension *x)
{
    struct {
        u32 count, reserved;
        u64 bytes, offset;
    } b;
    if (x->bytes != BITMAPS_SIZE)
        return -EINVAL;
    int r = image_pread_all(q->image, x->at, &b, sizeof(b));
    q->bitmaps = be32toh(b.count);
    q->bitmaps_bytes = be64toh(b.bytes);
    q->bitmaps_offset = be64toh(b.offset);
    return r;
}

int qcow2_read_extensions(struct qcow2 *q, u64 from, u64 to, struct error *e)
{
    struct extension x;
    int r;
    while ((r = next(q, &from, to, &x)) == 1) {
        if (x.type == (u32)EXTENSION_BACKING_FORMAT)
            r = read_backing_format(q, &x);
        else if (x.type == EXTENSION_BITMAPS)
            r = read_bitmaps(q, &x);
        if (r < 0)
            break;
    }
    return r < 0 ? error_set(e, -r, "cannot open the image '%s': its header's extensions are damaged",
                             q->image->filename)
                 : 0;
}

/* In the image's own table of names. */
static bool named_there(struct qcow2 *q, unsigned bit, char name[64])
{
    u64 from = q->header.header_length,
        to = q->header.backing_size ? q->header.backing_offset : q->cluster_size;
    struct extension x;
    while (next(q, &from, to, &x) == 1)
        for (u32 at = 0; x.type == EXTENSION_FEATURES && at + FEATURE_SIZE <= x.bytes; at += FEATURE_SIZE) {
            u8 row[FEATURE_SIZE];
            if (image_pread_all(q->image, x.at + at, row, sizeof(row)) < 0 || row[0] != 0 || row[1] != bit)
                continue;
            snprintf(name, 64, "%.*s", FEATURE_NAME, (char *)row + 2);
            for (char *c = name; *c; c++)
                *c = isprint((unsigned char)*c) ? *c : '?';
            return true;
        }
    return false;
}

void qcow2_feature_name(struct qcow2 *q, unsigned bit, char name[64])
{
    static const char *const names[] = {[2] = "external data file", [4] = "extended L2 entries"};
    if (bit < ARRAY_SIZE(names) && names[bit])
        snprintf(name, 64, "%s", names[bit]);
    else if (!named_there(q, bit, name))
        snprintf(name, 64, "incompatible feature bit %u", bit);
}
