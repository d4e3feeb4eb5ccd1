/* image.c - disk images of all formats: opened, read and written in pieces as their formats map them */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <linux/fs.h>

#include "base/image/image.h"
#include "base/image/io.h"

enum { PROBE_SIZE = 512, MAX_DEPTH = 64, ZERO_CHUNK = 1 << 20 };

static const struct image_format *const formats[] = {&image_raw};

static const struct image_format *find_format(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(formats); i++)
        if (!strcmp(formats[i]->name, name))
            return formats[i];
    return NULL;
}

static const struct image_format *probe(struct disk_image *im)
{
    u8 head[PROBE_SIZE];
    ssize_t n = image_pread(im, 0, head, sizeof(head));
    for (size_t i = 0; n > 0 && i < ARRAY_SIZE(formats); i++)
        if (formats[i]->probe(head, (size_t)n))
            return formats[i];
    return &image_raw;
}

char *image_relative_path(const char *of, const char *path)
{
    const char *slash = strrchr(of, '/');
    size_t folder = slash && *path != '/' ? (size_t)(slash + 1 - of) : 0;
    char *text = malloc(folder + strlen(path) + 1);
    if (text) {
        memcpy(text, of, folder);
        strcpy(text + folder, path);
    }
    return text;
}

static const char *advice(int err)
{
    switch (err) {
    case EACCES:
    case EPERM: return "make it readable and writable for this user, or say readonly=on";
    case EROFS: return "say readonly=on";
    case ENOENT: return "check the path";
    case EINVAL: return "its file system does not take cache=none: use another cache mode";
    default: return "check the file";
    }
}

/* Two programs that write one image destroy it. QEMU's locks are of the same kind (OFD locks on single
 * bytes), so that it and we keep out of each other's way: byte 100 + n says that the holder uses permission
 * n, 200 + n that it does not share it. */
enum { PERM_READ = 0, PERM_WRITE = 1, LOCK_PERM = 100, LOCK_SHARED = 200 };

static int lock_byte(int fd, off_t at, bool test)
{
    struct flock l = {.l_type = test ? F_WRLCK : F_RDLCK, .l_whence = SEEK_SET, .l_start = at, .l_len = 1};
    if (fcntl(fd, test ? F_OFD_GETLK : F_OFD_SETLK, &l) < 0)
        return errno == EAGAIN || errno == EACCES ? -EBUSY : 0; /* no locks here: as without */
    return test && l.l_type != F_UNLCK ? -EBUSY : 0;
}

static int lock(struct disk_image *im)
{
    bool write = !im->read_only;
    int r;
    if ((r = lock_byte(im->fd, LOCK_PERM + PERM_READ, false)) < 0 ||
        (r = lock_byte(im->fd, LOCK_SHARED + PERM_WRITE, false)) < 0 ||
        (write && (r = lock_byte(im->fd, LOCK_PERM + PERM_WRITE, false)) < 0))
        return r;
    if ((r = lock_byte(im->fd, LOCK_SHARED + PERM_READ, true)) < 0 ||
        (r = lock_byte(im->fd, LOCK_PERM + PERM_WRITE, true)) < 0)
        return r;
    return write ? lock_byte(im->fd, LOCK_SHARED + PERM_WRITE, true) : 0;
}

static int open_file(struct disk_image *im, const struct image_options *o, struct error *e)
{
    struct stat st;
    int flags = (o->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK | (o->direct ? O_DIRECT : 0);
    im->fd = open(o->filename, flags);
    if (im->fd < 0)
        return error_set(e, errno, "cannot open the image '%s': %s: %s", o->filename, strerror(errno),
                         advice(errno));
    if (fstat(im->fd, &st) < 0 || !(S_ISREG(st.st_mode) || S_ISBLK(st.st_mode)))
        return error_set(e, EINVAL, "cannot open the image '%s': it is neither a file nor a block device",
                         o->filename);
    if (!o->no_lock && lock(im) < 0)
        return error_set(e, EBUSY, "the image '%s' is in use by another program: stop that first",
                         o->filename);
    return 0;
}

static int open_image(struct disk_image *im, const struct image_options *o, struct error *e)
{
    int r = open_file(im, o, e);
    if (r < 0)
        return r;
    const struct image_format *f = o->format ? find_format(o->format) : probe(im);
    if (!f)
        return error_set(e, EINVAL, "image format '%s' is not supported: use raw", o->format);
    r = f->open(im, o, e);
    if (r == 0)
        im->format = f;
    return r;
}

struct disk_image *image_open(const struct image_options *o, struct error *e)
{
    struct disk_image *im = calloc(1, sizeof(*im));
    if (!im || !(im->filename = strdup(o->filename))) {
        free(im);
        error_set(e, ENOMEM, "no memory for the image '%s'", o->filename);
        return NULL;
    }
    im->fd = -1;
    im->read_only = o->read_only;
    im->direct = o->direct;
    im->no_flush = o->no_flush;
    im->align = o->direct ? 4096 : 1;
    if (open_image(im, o, e) == 0)
        return im;
    image_close(im);
    return NULL;
}

void image_close(struct disk_image *i)
{
    if (!i)
        return;
    if (i->format)
        i->format->close(i);
    image_close(i->backing);
    if (i->fd >= 0)
        close(i->fd);
    free(i->filename);
    free(i);
}

static bool in_range(const struct disk_image *i, u64 offset, u64 bytes)
{
    return bytes <= i->size && offset <= i->size - bytes;
}

int image_map(struct disk_image *i, u64 offset, u64 bytes, struct image_extent *x)
{
    if (!in_range(i, offset, bytes) || !bytes)
        return -EINVAL;
    *x = (struct image_extent){.bytes = bytes, .at = i};
    return i->format->map(i, offset, bytes, x);
}

static size_t total(const struct iovec *iov, unsigned count)
{
    size_t bytes = 0;
    for (unsigned n = 0; n < count; n++)
        bytes += iov[n].iov_len;
    return bytes;
}

static int read_coded(struct disk_image *i, u64 offset, struct cursor *c, size_t bytes)
{
    u8 *buffer = malloc(bytes);
    int r = buffer ? i->format->read_coded(i, offset, buffer, bytes) : -ENOMEM;
    if (r == 0)
        cursor_put(c, buffer, bytes);
    free(buffer);
    return r;
}

static int read_piece(struct disk_image *i, u64 offset, struct cursor *c, const struct image_extent *x)
{
    switch (x->kind) {
    case EXTENT_DATA: return cursor_pread(c, x->at, x->host, x->bytes);
    case EXTENT_ZERO: cursor_zero(c, x->bytes); return 0;
    default: return read_coded(x->at, offset, c, x->bytes);
    }
    (void)i;
}

int image_read(struct disk_image *i, u64 offset, const struct iovec *iov, unsigned count)
{
    struct cursor c = {iov, count, 0};
    u64 left = total(iov, count);
    while (left) {
        struct image_extent x;
        int r = image_map(i, offset, left, &x);
        if (r < 0 || (r = read_piece(i, offset, &c, &x)) < 0)
            return r;
        offset += x.bytes;
        left -= x.bytes;
    }
    return 0;
}

int image_write(struct disk_image *i, u64 offset, const struct iovec *iov, unsigned count)
{
    struct cursor c = {iov, count, 0};
    u64 left = total(iov, count);
    if (i->read_only)
        return -EROFS;
    while (left) {
        struct image_extent x;
        int r = image_map(i, offset, left, &x);
        if (r < 0)
            return r;
        ssize_t n;
        if (x.kind == EXTENT_DATA && x.in_place)
            n = (r = cursor_pwrite(&c, i, x.host, x.bytes)) < 0 ? r : (ssize_t)x.bytes;
        else
            n = cursor_write_new(&c, i, offset, left);
        if (n < 0)
            return (int)n;
        offset += (u64)n;
        left -= (u64)n;
    }
    return 0;
}

static int write_zeros(struct disk_image *i, u64 offset, u64 bytes)
{
    int r = 0;
    u8 *zeros = bytes ? calloc(1, min(bytes, (u64)ZERO_CHUNK)) : NULL;
    if (bytes && !zeros)
        return -ENOMEM;
    while (bytes && r == 0) {
        const struct iovec iov = {zeros, min(bytes, (u64)ZERO_CHUNK)};
        r = image_write(i, offset, &iov, 1);
        offset += iov.iov_len;
        bytes -= iov.iov_len;
    }
    free(zeros);
    return r;
}

int image_zero(struct disk_image *i, u64 offset, u64 bytes, bool unmap)
{
    if (i->read_only)
        return -EROFS;
    if (!in_range(i, offset, bytes))
        return -EINVAL;
    while (bytes) {
        ssize_t n = i->format->zero(i, offset, bytes, unmap);
        if (n < 0)
            return (int)n;
        if (n == 0) {
            u64 chunk = min(bytes, ZERO_CHUNK - offset % ZERO_CHUNK);
            struct image_extent x;
            int r = image_map(i, offset, chunk, &x);
            if (r == 0 && (x.kind != EXTENT_ZERO || (x.allocated && !unmap)))
                r = write_zeros(i, offset, min(x.bytes, chunk));
            if (r < 0)
                return r;
            n = (ssize_t)min(x.bytes, chunk);
        }
        offset += (u64)n;
        bytes -= (u64)n;
    }
    return 0;
}

int image_discard(struct disk_image *i, u64 offset, u64 bytes)
{
    if (i->read_only)
        return -EROFS;
    return in_range(i, offset, bytes) ? i->format->discard(i, offset, bytes) : -EINVAL;
}

int image_flush(struct disk_image *i)
{
    return i->read_only || i->no_flush ? 0 : i->format->flush(i);
}

int image_resize(struct disk_image *i, u64 size, bool shrink, struct error *e)
{
    if (size < i->size && !shrink)
        return error_set(
            e, EINVAL,
            "'%s' has %llu bytes, and what is beyond %llu would be lost: use --shrink if that is meant",
            i->filename, (unsigned long long)i->size, (unsigned long long)size);
    return i->format->resize(i, size, e);
}

void image_get_info(struct disk_image *i, struct image_info *info)
{
    struct stat st;
    *info = (struct image_info){.format = i->format->name, .filename = i->filename, .size = i->size};
    if (fstat(i->fd, &st) == 0)
        info->allocated = (u64)st.st_blocks * 512;
    i->format->info(i, info);
}
