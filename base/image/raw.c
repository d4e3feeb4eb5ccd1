/* raw.c - raw images: the file is the disk, or the block device is */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/image/image.h"

enum { SECTOR = 512 };

static bool raw_probe(const u8 *head, size_t len)
{
    (void)head, (void)len;
    return true; /* asked last */
}

/* A guest's disk has whole sectors: the last one is filled up with zeros, which are not in the file. */
static int raw_open(struct disk_image *i, const struct image_options *o, struct error *e)
{
    off_t end = lseek(i->fd, 0, SEEK_END);
    if (end < 0)
        return error_set(e, errno, "cannot find the size of the image '%s': %s", o->filename,
                         strerror(errno));
    i->size = ALIGN_UP((u64)end, (u64)SECTOR);
    return 0;
}

static void raw_close(struct disk_image *i)
{
    (void)i;
}

static int raw_map(struct disk_image *i, u64 offset, u64 bytes, struct image_extent *x)
{
    (void)i, (void)bytes;
    x->kind = EXTENT_DATA;
    x->host = offset;
    x->in_place = x->allocated = true;
    return 0;
}

static int allocate(struct disk_image *i, int mode, u64 offset, u64 bytes)
{
    int r;
    do
        r = fallocate(i->fd, mode, (off_t)offset, (off_t)bytes);
    while (r < 0 && errno == EINTR);
    return r < 0 ? -errno : 0;
}

static ssize_t raw_zero(struct disk_image *i, u64 offset, u64 bytes, bool unmap)
{
    int mode =
        unmap ? FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE : FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;
    u64 n = min(bytes, (u64)1 << 40);
    return allocate(i, mode, offset, n) < 0 ? 0 : (ssize_t)n;
}

/* A discard is a wish: a host that cannot punch holes keeps the data. */
static int raw_discard(struct disk_image *i, u64 offset, u64 bytes)
{
    if (bytes)
        allocate(i, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, bytes);
    return 0;
}

static int raw_flush(struct disk_image *i)
{
    return image_sync(i);
}

static int raw_resize(struct disk_image *i, u64 size, struct error *e)
{
    if (ftruncate(i->fd, (off_t)size) < 0)
        return error_set(e, errno, "cannot resize '%s': %s", i->filename, strerror(errno));
    i->size = ALIGN_UP(size, (u64)SECTOR);
    return 0;
}

static void raw_info(struct disk_image *i, struct image_info *info)
{
    (void)i, (void)info;
}

static int raw_preallocate(struct disk_image *i, unsigned mode)
{
    if (mode == PREALLOCATE_FULL)
        return image_write_zeros(i, 0, i->size);
    int r = mode == PREALLOCATE_FALLOC && i->size ? posix_fallocate(i->fd, 0, (off_t)i->size) : 0;
    return -r;
}

const struct image_format image_raw = {
    .name = "raw",
    .probe = raw_probe,
    .open = raw_open,
    .close = raw_close,
    .map = raw_map,
    .zero = raw_zero,
    .discard = raw_discard,
    .flush = raw_flush,
    .resize = raw_resize,
    .info = raw_info,
    .preallocate = raw_preallocate,
};
