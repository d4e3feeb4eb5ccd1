/* overlay.c - -snapshot: what is written goes to a file without a name, which ends with the program */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "machine/block/block.h"

static int make_file(char *path, size_t size, struct error *e)
{
    const char *folder = getenv("TMPDIR");
    if ((size_t)snprintf(path, size, "%s/lodge-snapshot.XXXXXX", folder ? folder : "/var/tmp") >= size)
        return error_set(e, ENAMETOOLONG, "snapshot=on: TMPDIR is too long");
    int fd = mkstemp(path);
    if (fd < 0)
        return error_set(e, errno,
                         "snapshot=on: cannot make a file in '%s': %s: set TMPDIR to another folder",
                         folder ? folder : "/var/tmp", strerror(errno));
    close(fd);
    return 0;
}

static struct disk_image *open_above(const char *path, const struct image_options *base, const char *format,
                                     u64 size, struct error *e)
{
    char *below = realpath(base->filename, NULL);
    const struct image_create c = {.filename = path,
                                   .format = "qcow2",
                                   .size = size,
                                   .backing = below,
                                   .backing_format = format,
                                   .cluster_size = 65536,
                                   .version = 3,
                                   .refcount_bits = 16};
    const struct image_options o = {.filename = path,
                                    .format = "qcow2",
                                    .no_flush = true,
                                    .direct = base->direct,
                                    .backing = below,
                                    .backing_format = format};
    struct disk_image *i = NULL;
    if (!below)
        error_set(e, errno, "snapshot=on: cannot find '%s': %s", base->filename, strerror(errno));
    else if (image_create(&c, e) == 0)
        i = image_open(&o, e);
    free(below);
    return i;
}

struct disk_image *block_open_overlay(const struct image_options *base, struct error *e)
{
    struct image_options o = *base;
    char path[512];
    o.read_only = true;
    struct disk_image *below = image_open(&o, e);
    if (!below)
        return NULL;
    const char *format = below->format->name;
    u64 size = below->size;
    image_close(below);
    if (make_file(path, sizeof(path), e) < 0)
        return NULL;
    struct disk_image *i = open_above(path, base, format, size, e);
    unlink(path);
    return i;
}
