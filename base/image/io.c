/* io.c - the images' own file accesses: whole, aligned where the host wants it, from and to scattered memory
 */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/image/io.h"

enum { MAX_IOV = 64, BOUNCE_SIZE = 1 << 20 };

/* The next piece of at most `bytes`, without moving on. */
static struct iovec piece(const struct cursor *c, size_t bytes)
{
    return (struct iovec){(u8 *)c->iov->iov_base + c->skip, min(c->iov->iov_len - c->skip, bytes)};
}

static void advance(struct cursor *c, size_t bytes)
{
    while (bytes) {
        size_t n = min(c->iov->iov_len - c->skip, bytes);
        bytes -= n;
        c->skip += n;
        if (c->skip == c->iov->iov_len && c->count > 1)
            c->iov++, c->count--, c->skip = 0;
    }
}

/* Up to MAX_IOV pieces of at most `bytes` together: how many, and their sum. */
static unsigned pieces(const struct cursor *c, size_t bytes, struct iovec *out, size_t *sum)
{
    struct cursor at = *c;
    unsigned n = 0;
    *sum = 0;
    while (*sum < bytes && n < MAX_IOV) {
        struct iovec p = piece(&at, bytes - *sum);
        if (!p.iov_len) { /* an empty entry */
            if (at.count <= 1)
                break;
            at.iov++, at.count--, at.skip = 0;
            continue;
        }
        out[n++] = p;
        *sum += p.iov_len;
        advance(&at, p.iov_len);
    }
    return n;
}

static void skip_empty(struct cursor *c)
{
    while (c->count > 1 && c->skip == c->iov->iov_len)
        c->iov++, c->count--, c->skip = 0;
}

void cursor_put(struct cursor *c, const void *from, size_t bytes)
{
    for (size_t done = 0; done < bytes;) {
        skip_empty(c);
        struct iovec p = piece(c, bytes - done);
        memcpy(p.iov_base, (const u8 *)from + done, p.iov_len);
        done += p.iov_len;
        advance(c, p.iov_len);
    }
}

void cursor_get(struct cursor *c, void *to, size_t bytes)
{
    for (size_t done = 0; done < bytes;) {
        skip_empty(c);
        struct iovec p = piece(c, bytes - done);
        memcpy((u8 *)to + done, p.iov_base, p.iov_len);
        done += p.iov_len;
        advance(c, p.iov_len);
    }
}

void cursor_zero(struct cursor *c, size_t bytes)
{
    for (size_t done = 0; done < bytes;) {
        skip_empty(c);
        struct iovec p = piece(c, bytes - done);
        memset(p.iov_base, 0, p.iov_len);
        done += p.iov_len;
        advance(c, p.iov_len);
    }
}

static bool is_aligned(const struct disk_image *i, u64 host, const struct iovec *iov, unsigned n)
{
    u64 all = host;
    for (unsigned k = 0; k < n; k++)
        all |= (uintptr_t)iov[k].iov_base | iov[k].iov_len;
    return all % i->align == 0;
}

/* What the host did not read is zeros: an image's last sector need not be whole. */
static int read_some(struct disk_image *i, u64 host, const struct iovec *iov, unsigned n, size_t sum)
{
    ssize_t got;
    do
        got = preadv(i->fd, iov, (int)n, (off_t)host);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return -errno;
    if (got == 0) {
        struct cursor c = {iov, n, 0};
        cursor_zero(&c, sum);
        return (int)sum;
    }
    return (int)got;
}

/* Through an aligned buffer. Alignment may make the file longer than what is written; formats do not mind. */
static int bounce(struct disk_image *i, u64 host, struct cursor *c, size_t bytes, bool write)
{
    u64 first = ALIGN_DOWN(host, (u64)i->align);
    size_t n = min(bytes, (size_t)(BOUNCE_SIZE - (host - first)));
    size_t span = ALIGN_UP((size_t)(host - first) + n, i->align);
    u8 *buffer = aligned_alloc(i->align, span);
    struct iovec all = {buffer, span};
    int r = buffer ? 0 : -ENOMEM;
    for (size_t done = 0; r >= 0 && done < span; done += (size_t)max(r, 0)) {
        struct iovec rest = {buffer + done, span - done};
        r = read_some(i, first + done, &rest, 1, rest.iov_len);
    }
    if (r >= 0 && write) {
        cursor_get(c, buffer + (host - first), n);
        ssize_t put = pwritev(i->fd, &all, 1, (off_t)first);
        r = put < 0 ? -errno : put < (ssize_t)span ? -ENOSPC : 0;
    } else if (r >= 0) {
        cursor_put(c, buffer + (host - first), n);
    }
    free(buffer);
    return r < 0 ? r : (int)n;
}

int cursor_pread(struct cursor *c, struct disk_image *i, u64 host, size_t bytes)
{
    while (bytes) {
        struct iovec iov[MAX_IOV];
        size_t sum;
        unsigned n = pieces(c, min(bytes, (size_t)1 << 30), iov, &sum);
        int r;
        if (is_aligned(i, host, iov, n)) {
            r = read_some(i, host, iov, n, sum);
            if (r > 0)
                advance(c, (size_t)r);
        } else {
            r = bounce(i, host, c, bytes, false);
        }
        if (r < 0)
            return r;
        host += (u64)r;
        bytes -= (size_t)r;
    }
    return 0;
}

int cursor_pwrite(struct cursor *c, struct disk_image *i, u64 host, size_t bytes)
{
    while (bytes) {
        struct iovec iov[MAX_IOV];
        size_t sum;
        unsigned n = pieces(c, min(bytes, (size_t)1 << 30), iov, &sum);
        ssize_t r;
        if (is_aligned(i, host, iov, n)) {
            r = pwritev(i->fd, iov, (int)n, (off_t)host);
            if (r < 0 && errno == EINTR)
                continue;
            r = r < 0 ? -errno : r;
            if (r > 0)
                advance(c, (size_t)r);
        } else {
            r = bounce(i, host, c, bytes, true);
        }
        if (r <= 0)
            return r ? (int)r : -ENOSPC;
        host += (u64)r;
        bytes -= (size_t)r;
    }
    return 0;
}

ssize_t cursor_write_new(struct cursor *c, struct disk_image *i, u64 offset, size_t bytes)
{
    struct iovec iov[MAX_IOV];
    size_t sum;
    unsigned n = pieces(c, bytes, iov, &sum);
    ssize_t r = i->format->write_new(i, offset, iov, n, sum);
    if (r > 0)
        advance(c, (size_t)r);
    return r == 0 ? -EIO : r;
}

int image_pread_all(struct disk_image *i, u64 host, void *to, size_t bytes)
{
    const struct iovec iov = {to, bytes};
    struct cursor c = {&iov, 1, 0};
    return cursor_pread(&c, i, host, bytes);
}

ssize_t image_pread(struct disk_image *i, u64 host, void *to, size_t bytes)
{
    off_t end = lseek(i->fd, 0, SEEK_END);
    if (end < 0)
        return -errno;
    if (host >= (u64)end)
        return 0;
    size_t n = min(bytes, (size_t)((u64)end - host));
    int r = image_pread_all(i, host, to, n);
    return r < 0 ? r : (ssize_t)n;
}

int image_pwrite_all(struct disk_image *i, u64 host, const void *from, size_t bytes)
{
    const struct iovec iov = {(void *)from, bytes};
    struct cursor c = {&iov, 1, 0};
    return cursor_pwrite(&c, i, host, bytes);
}

int image_preadv_all(struct disk_image *i, u64 host, const struct iovec *iov, unsigned count, size_t bytes)
{
    struct cursor c = {iov, count, 0};
    return cursor_pread(&c, i, host, bytes);
}

int image_pwritev_all(struct disk_image *i, u64 host, const struct iovec *iov, unsigned count, size_t bytes)
{
    struct cursor c = {iov, count, 0};
    return cursor_pwrite(&c, i, host, bytes);
}
