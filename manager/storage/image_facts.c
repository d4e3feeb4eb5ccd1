/* image_facts.c - what a disk image on the host says of itself */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/image/image.h"
#include "manager/daemon/work.h"
#include "manager/storage/image_facts.h"

static void copy(char *to, size_t size, const char *text)
{
    size_t n = text ? strnlen(text, size - 1) : 0;
    if (n)
        memcpy(to, text, n);
    to[n] = 0;
}

static struct timespec birth(const char *path)
{
    struct statx sx;
    if (statx(AT_FDCWD, path, 0, STATX_BTIME, &sx) < 0 || !(sx.stx_mask & STATX_BTIME))
        return (struct timespec){0};
    return (struct timespec){.tv_sec = sx.stx_btime.tv_sec, .tv_nsec = sx.stx_btime.tv_nsec};
}

static int read_facts(void *arg)
{
    struct image_facts *f = arg;
    struct error e;
    struct image_info info = {0};
    const struct image_options o = {
        .filename = f->path, .format = f->format, .read_only = true, .no_lock = true};
    if (stat(f->path, &f->st) < 0)
        return -errno;
    f->born = birth(f->path);
    f->allocation = (u64)f->st.st_blocks * 512;
    f->physical = f->capacity = (u64)f->st.st_size;
    copy(f->found, sizeof(f->found), f->format ? f->format : "raw");
    struct disk_image *image = image_open(&o, &e);
    if (!image) {
        copy(f->why, sizeof(f->why), e.text);
        return 0;
    }
    image_get_info(image, &info);
    f->capacity = info.size;
    if (S_ISBLK(f->st.st_mode))
        f->allocation = f->physical = info.size;
    copy(f->found, sizeof(f->found), info.format);
    copy(f->compat, sizeof(f->compat), info.compat);
    copy(f->backing, sizeof(f->backing), info.backing);
    copy(f->backing_format, sizeof(f->backing_format), info.backing_format);
    image_close(image);
    return 0;
}

int image_facts_read(struct tasks *t, struct image_facts *f)
{
    return work_run(t, read_facts, f);
}
