/* iov.c - copies between buffers and the scattered memory of a chain */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "machine/virtio/virtio.h"

unsigned iov_part(const struct iovec *iov, unsigned count, size_t offset, size_t bytes, struct iovec *part)
{
    unsigned n = 0;
    for (unsigned i = 0; i < count && bytes; i++) {
        if (offset >= iov[i].iov_len) {
            offset -= iov[i].iov_len;
            continue;
        }
        size_t len = min(iov[i].iov_len - offset, bytes);
        part[n++] = (struct iovec){(u8 *)iov[i].iov_base + offset, len};
        bytes -= len;
        offset = 0;
    }
    return n;
}

/* Calls copy for each piece of [offset, offset + bytes) with its place in the buffer. */
static size_t for_each(const struct iovec *iov, unsigned count, size_t offset, size_t bytes,
                       void (*copy)(void *piece, size_t len, size_t done, void *arg), void *arg)
{
    size_t done = 0;
    for (unsigned i = 0; i < count && done < bytes; i++) {
        if (offset >= iov[i].iov_len) {
            offset -= iov[i].iov_len;
            continue;
        }
        size_t len = min(iov[i].iov_len - offset, bytes - done);
        copy((u8 *)iov[i].iov_base + offset, len, done, arg);
        done += len;
        offset = 0;
    }
    return done;
}

static void copy_out(void *piece, size_t len, size_t done, void *to)
{
    memcpy((u8 *)to + done, piece, len);
}

static void copy_in(void *piece, size_t len, size_t done, void *from)
{
    memcpy(piece, (const u8 *)from + done, len);
}

static void fill(void *piece, size_t len, size_t done, void *value)
{
    (void)done;
    memset(piece, *(u8 *)value, len);
}

size_t iov_read(const struct iovec *iov, unsigned count, size_t offset, void *to, size_t bytes)
{
    return for_each(iov, count, offset, bytes, copy_out, to);
}

size_t iov_write(const struct iovec *iov, unsigned count, size_t offset, const void *from, size_t bytes)
{
    return for_each(iov, count, offset, bytes, copy_in, (void *)from);
}

size_t iov_fill(const struct iovec *iov, unsigned count, size_t offset, u8 value, size_t bytes)
{
    return for_each(iov, count, offset, bytes, fill, &value);
}
