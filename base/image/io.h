/* io.h - the images' own file accesses: whole, aligned where the host wants it, from and to scattered memory
 */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef IMAGE_IO_H
#define IMAGE_IO_H

#include "base/image/image.h"

/* A place in an iovec that moves on as bytes are taken. */
struct cursor {
    const struct iovec *iov;
    unsigned count;
    size_t skip; /* bytes of iov[0] that are done */
};

void cursor_put(struct cursor *c, const void *from, size_t bytes);
void cursor_get(struct cursor *c, void *to, size_t bytes);
void cursor_zero(struct cursor *c, size_t bytes);
int cursor_pread(struct cursor *c, struct disk_image *i, u64 host, size_t bytes);
int cursor_pwrite(struct cursor *c, struct disk_image *i, u64 host, size_t bytes);
/* The format's write_new, of as many entries as fit one call. */
ssize_t cursor_write_new(struct cursor *c, struct disk_image *i, u64 offset, size_t bytes);

#endif
