/* coded.c - compressed clusters: where they are, unpacked (and kept, as a guest reads them in pieces), packed
 */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "base/image/qcow2/qcow2.h"

/* Raw deflate with a window of 4 KiB, as QEMU writes it; it reads larger ones. */
enum { WRITE_WINDOW = -12, READ_WINDOW = -15, SECTOR = 512 };

void coded_place(const struct qcow2 *q, u64 entry, u64 *host, u64 *bytes)
{
    unsigned shift = 62 - (q->header.cluster_bits - 8);
    u64 sectors = entry >> shift & MASK(q->header.cluster_bits - 9, 0);
    *host = entry & MASK(shift - 1, 0);
    *bytes = (sectors + 1) * SECTOR - *host % SECTOR;
}

static int inflate_cluster(struct qcow2 *q, u8 *from, size_t bytes)
{
    z_stream z = {
        .next_in = from, .avail_in = (uInt)bytes, .next_out = q->coded, .avail_out = (uInt)q->cluster_size};
    if (inflateInit2(&z, READ_WINDOW) != Z_OK)
        return -ENOMEM;
    int r = inflate(&z, Z_FINISH);
    inflateEnd(&z);
    return (r == Z_STREAM_END || r == Z_BUF_ERROR) && !z.avail_out ? 0 : -EIO;
}

static int zstd_cluster(struct qcow2 *q, const u8 *from, size_t bytes)
{
    ZSTD_DStream *z = ZSTD_createDStream();
    ZSTD_inBuffer in = {from, bytes, 0};
    ZSTD_outBuffer out = {q->coded, q->cluster_size, 0};
    int r = z ? 0 : -ENOMEM;
    while (r == 0 && out.pos < out.size) {
        size_t before = in.pos + out.pos, left = ZSTD_decompressStream(z, &out, &in);
        if (ZSTD_isError(left) || in.pos + out.pos == before)
            r = -EIO;
    }
    ZSTD_freeDStream(z);
    return r;
}

static int unpack(struct qcow2 *q, u64 entry)
{
    u64 host, bytes;
    coded_place(q, entry, &host, &bytes);
    u8 *packed = malloc(bytes);
    if (!q->coded)
        q->coded = malloc(q->cluster_size);
    int r = packed && q->coded ? image_pread_all(q->image, host, packed, bytes) : -ENOMEM;
    q->coded_entry = 0;
    if (r == 0)
        r = q->header.compression == COMPRESSION_ZSTD ? zstd_cluster(q, packed, bytes)
                                                      : inflate_cluster(q, packed, bytes);
    free(packed);
    if (r == 0)
        q->coded_entry = entry;
    return r;
}

int qcow2_read_coded(struct disk_image *i, u64 offset, void *to, size_t bytes)
{
    struct qcow2 *q = qcow2_of(i);
    struct page *p;
    unsigned index;
    int r = qcow2_find(q, offset, &p, &index);
    u64 entry = r == 0 && p ? page_entry(p, index) & ~ENTRY_COPIED : 0;
    if (r < 0 || !(entry & ENTRY_CODED))
        return r < 0 ? r : -EIO;
    if (entry != q->coded_entry && (r = unpack(q, entry)) < 0)
        return r;
    memcpy(to, q->coded + offset % q->cluster_size, bytes);
    return 0;
}

static ssize_t deflate_cluster(const struct qcow2 *q, const void *from, void *to)
{
    z_stream z = {.next_in = (void *)from,
                  .avail_in = (uInt)q->cluster_size,
                  .next_out = to,
                  .avail_out = (uInt)q->cluster_size - 1};
    if (deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, WRITE_WINDOW, 9, Z_DEFAULT_STRATEGY) != Z_OK)
        return -ENOMEM;
    int r = deflate(&z, Z_FINISH);
    deflateEnd(&z);
    return r == Z_STREAM_END ? (ssize_t)z.total_out : 0;
}

ssize_t qcow2_pack(const struct qcow2 *q, const void *from, void *to)
{
    if (q->header.compression != COMPRESSION_ZSTD)
        return deflate_cluster(q, from, to);
    size_t n = ZSTD_compress(to, q->cluster_size - 1, from, q->cluster_size, ZSTD_CLEVEL_DEFAULT);
    return ZSTD_isError(n) ? 0 : (ssize_t)n;
}
