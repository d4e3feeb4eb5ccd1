/* image.c - disk images of all formats: opened, read and written in pieces as their formats map them */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/image/image.h"
#include "base/image/io.h"

enum { PROBE_SIZE = 512, MAX_DEPTH = 64, ZERO_CHUNK = 1 << 20 };

/* In the order in which they are asked about an image of which nobody knows. */
static const struct image_format *const formats[] = {&image_qcow2, &image_raw};

const struct image_format *image_format_at(unsigned n)
{
    return n < ARRAY_SIZE(formats) ? formats[n] : NULL;
}

const struct image_format *image_format_find(const char *name)
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
        return error_set(e, EBUSY,
                         "the image '%s' is in use by another program, or twice by this one: stop that first",
                         o->filename);
    return 0;
}

static int open_image(struct disk_image *im, const struct image_options *o, struct error *e)
{
    int r = open_file(im, o, e);
    if (r < 0)
        return r;
    const struct image_format *f = o->format ? image_format_find(o->format) : probe(im);
    if (!f)
        return error_set(e, ENOTSUP, "image format '%s' is not supported: use raw or qcow2", o->format);
    im->format = f;
    im->guessed_raw = !o->format && f == &image_raw;
    return f->open(im, o, e);
}

/* Where an image says that its backing image is: a path, perhaps behind "file:". */
static char *backing_path(const struct disk_image *im, const char *name, struct error *e)
{
    const char *path = !strncmp(name, "file:", 5) ? name + 5 : name;
    size_t word = strcspn(path, ":/");
    char *whole = NULL;
    if (path[word] == ':')
        error_set(e, ENOTSUP, "the image '%s' has the backing file '%s': only paths are supported",
                  im->filename, name);
    else if (!(whole = image_relative_path(im->filename, path)))
        error_set(e, ENOMEM, "no memory for the image '%s'", im->filename);
    return whole;
}

/* The images below, each with the one that it was reached from. */
struct chain {
    const struct disk_image *image;
    const struct chain *above;
    unsigned depth;
};

static bool same_file(const struct disk_image *a, const struct disk_image *b)
{
    struct stat x, y;
    return fstat(a->fd, &x) == 0 && fstat(b->fd, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static int check_chain(const struct chain *c, struct error *e)
{
    if (c->depth > MAX_DEPTH)
        return error_set(e, ELOOP, "the image '%s' is too deep in a chain of backing files: at most %d",
                         c->image->filename, MAX_DEPTH);
    for (const struct chain *up = c->above; up; up = up->above)
        if (same_file(up->image, c->image))
            return error_set(e, ELOOP, "the image '%s' is its own backing file", c->image->filename);
    return 0;
}

static struct disk_image *open_chain(const struct image_options *o, const struct chain *above,
                                     struct error *e);

static int open_backing(struct disk_image *im, const struct image_options *o, const struct chain *at,
                        struct error *e)
{
    const char *name = o->backing ? o->backing : im->backing_file;
    struct error why;
    if (!name || !*name)
        return 0;
    char *path = o->backing ? strdup(name) : backing_path(im, name, e);
    if (!path)
        return -ENOTSUP;
    const struct image_options b = {.filename = path,
                                    .format = o->backing ? o->backing_format : im->backing_format,
                                    .read_only = true,
                                    .direct = o->direct,
                                    .no_lock = o->no_lock};
    im->backing = open_chain(&b, at, &why);
    free(path);
    return im->backing ? 0 : error_set(e, EINVAL, "'%s' needs its backing file: %s", im->filename, why.text);
}

static struct disk_image *new_image(const struct image_options *o, struct error *e)
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
    return im;
}

static struct disk_image *open_chain(const struct image_options *o, const struct chain *above,
                                     struct error *e)
{
    struct disk_image *im = new_image(o, e);
    const struct chain at = {im, above, above ? above->depth + 1 : 0};
    if (!im)
        return NULL;
    if (open_image(im, o, e) == 0 && check_chain(&at, e) == 0 &&
        (o->check || open_backing(im, o, &at, e) == 0))
        return im;
    image_close(im);
    return NULL;
}

struct disk_image *image_open(const struct image_options *o, struct error *e)
{
    return open_chain(o, NULL, e);
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

/* A guest that writes another format's header into a raw image would have the host open, next time, whatever
 * files it names there. */
static bool disguises(struct disk_image *i, u64 offset, const struct iovec *iov, unsigned count)
{
    u8 head[PROBE_SIZE];
    if (!i->guessed_raw || offset >= PROBE_SIZE || image_pread_all(i, 0, head, sizeof(head)) < 0)
        return false;
    struct cursor c = {iov, count, 0};
    cursor_get(&c, head + offset, min(total(iov, count), (size_t)(PROBE_SIZE - offset)));
    for (size_t k = 0; k < ARRAY_SIZE(formats); k++)
        if (formats[k] != &image_raw && formats[k]->probe(head, sizeof(head)))
            return true;
    return false;
}

int image_write(struct disk_image *i, u64 offset, const struct iovec *iov, unsigned count)
{
    struct cursor c = {iov, count, 0};
    u64 left = total(iov, count);
    if (i->read_only || i->corrupt)
        return i->corrupt ? -EIO : -EROFS;
    if (disguises(i, offset, iov, count))
        return -EPERM;
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

int image_write_zeros(struct disk_image *i, u64 offset, u64 bytes)
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
                r = image_write_zeros(i, offset, min(x.bytes, chunk));
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
    return i->read_only ? 0 : i->format->flush(i);
}

int image_sync(struct disk_image *i)
{
    return !i->no_flush && fdatasync(i->fd) < 0 ? -errno : 0;
}

int image_check(struct disk_image *i, struct image_check *c, struct error *e)
{
    if (!i->format->check)
        return error_set(e, ENOTSUP, "images of format %s have nothing that could be checked",
                         i->format->name);
    return i->format->check(i, c, e);
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
    *info = (struct image_info){.format = i->format->name,
                                .filename = i->filename,
                                .size = i->size,
                                .backing = i->backing_file,
                                .backing_format = i->backing_format};
    if (fstat(i->fd, &st) == 0)
        info->allocated = (u64)st.st_blocks * 512;
    i->format->info(i, info);
}

/* ---- snapshots ---- */

static int find_snapshot(struct disk_image *i, const char *name)
{
    struct image_info n;
    int found = -1;
    image_get_info(i, &n);
    for (unsigned k = 0; k < n.snapshots; k++) {
        const struct image_snapshot *s = i->format->snapshot(i, k);
        if (!strcmp(s->name, name))
            return (int)k;
        if (!strcmp(s->id, name))
            found = (int)k;
    }
    return found;
}

static int snapshot_error(const struct disk_image *i, const char *name, const char *verb, int r,
                          struct error *e)
{
    return r < 0 ? error_set(e, -r, "cannot %s the snapshot '%s' of '%s': %s", verb, name, i->filename,
                             r == -EOVERFLOW ? "its clusters cannot count so many: make an image with "
                                               "-o refcount_bits=16"
                                             : strerror(-r))
                 : 0;
}

bool image_keeps_snapshots(const struct disk_image *i)
{
    return i->format->snapshot_create && !i->read_only;
}

static int check_snapshots(const struct disk_image *i, struct error *e)
{
    return i->format->snapshot_create
               ? 0
               : error_set(e, ENOTSUP, "'%s': images of format %s keep no snapshots: use qcow2", i->filename,
                           i->format->name);
}

/* One that has the name, which is not another one's number. */
static int find_named(struct disk_image *i, const char *name)
{
    int n = find_snapshot(i, name);
    return n >= 0 && !strcmp(i->format->snapshot(i, (unsigned)n)->name, name) ? n : -1;
}

const struct image_snapshot *image_snapshot_find(struct disk_image *i, const char *name)
{
    int n = find_named(i, name);
    return n < 0 ? NULL : i->format->snapshot(i, (unsigned)n);
}

int image_snapshot_create_at(struct disk_image *i, const struct image_snapshot *s, bool instead,
                             struct error *e)
{
    int r = check_snapshots(i, e), n = r < 0 ? -1 : find_named(i, s->name);
    if (r < 0)
        return r;
    bool taken = find_snapshot(i, s->name) >= 0 && !(instead && n >= 0);
    if (!*s->name || taken)
        return error_set(e, EEXIST, "there is a snapshot '%s' of '%s' already: use another name", s->name,
                         i->filename);
    return snapshot_error(i, s->name, "make", i->format->snapshot_create(i, s, (unsigned)n), e);
}

int image_snapshot_create(struct disk_image *i, const char *name, struct error *e)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    const struct image_snapshot s = {
        .name = name, .date_sec = (u32)now.tv_sec, .date_nsec = (u32)now.tv_nsec};
    return image_snapshot_create_at(i, &s, false, e);
}

int image_vm_state_write(struct disk_image *i, const void *from, size_t bytes)
{
    return i->corrupt                 ? -EIO
           : image_keeps_snapshots(i) ? i->format->vm_state_write(i, from, bytes)
                                      : -ENOTSUP;
}

int image_vm_state_drop(struct disk_image *i)
{
    return i->format->vm_state_drop ? i->format->vm_state_drop(i) : 0;
}

int image_vm_state_read(struct disk_image *i, const char *name, u64 offset, void *to, size_t bytes)
{
    int n = i->format->vm_state_read ? find_named(i, name) : -1;
    return n < 0 ? -ENOENT : i->format->vm_state_read(i, (unsigned)n, offset, to, bytes);
}

static int no_snapshot(const struct disk_image *i, const char *name, struct error *e)
{
    return error_set(e, ENOENT, "there is no snapshot '%s' of '%s': lodge image snapshot -l lists them", name,
                     i->filename);
}

int image_snapshot_apply(struct disk_image *i, const char *name, struct error *e)
{
    int r = check_snapshots(i, e), n = r < 0 ? -1 : find_snapshot(i, name);
    if (r == 0 && n < 0)
        return no_snapshot(i, name, e);
    return r < 0 ? r : snapshot_error(i, name, "go back to", i->format->snapshot_apply(i, (unsigned)n), e);
}

int image_snapshot_delete(struct disk_image *i, const char *name, struct error *e)
{
    int r = check_snapshots(i, e), n = r < 0 ? -1 : find_snapshot(i, name);
    if (r == 0 && n < 0)
        return no_snapshot(i, name, e);
    return r < 0 ? r : snapshot_error(i, name, "remove", i->format->snapshot_delete(i, (unsigned)n), e);
}

/* The file is emptied only when it is sure that nobody else has it. */
static int create_file(struct disk_image *im, struct error *e)
{
    struct stat st;
    im->fd = open(im->filename, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0644);
    if (im->fd < 0)
        return error_set(e, errno, "cannot create the image '%s': %s: %s", im->filename, strerror(errno),
                         advice(errno));
    if (fstat(im->fd, &st) < 0 || !S_ISREG(st.st_mode))
        return error_set(e, EINVAL, "cannot create the image '%s': what is there is no file", im->filename);
    if (lock(im) < 0)
        return error_set(e, EBUSY,
                         "the image '%s' is in use by another program, or twice by this one: stop that first",
                         im->filename);
    if (ftruncate(im->fd, 0) < 0)
        return error_set(e, errno, "cannot create the image '%s': %s", im->filename, strerror(errno));
    return 0;
}

static int fill_new(struct disk_image *im, const struct image_create *c, struct error *e)
{
    const struct image_options o = {.filename = c->filename};
    const struct image_format *f = image_format_find(c->format);
    int r = create_file(im, e);
    if (r == 0 && f->create)
        r = f->create(im, c, e);
    if (r < 0)
        return r;
    im->format = f;
    if ((r = f->open(im, &o, e)) < 0 || (r = f->resize(im, c->size, e)) < 0)
        return r;
    r = c->preallocation ? f->preallocate(im, c->preallocation) : 0;
    return r < 0 ? error_set(e, -r, "cannot preallocate '%s': %s", c->filename, strerror(-r)) : 0;
}

int image_create(const struct image_create *c, struct error *e)
{
    const struct image_options o = {.filename = c->filename};
    struct disk_image *im = new_image(&o, e);
    int r = im ? fill_new(im, c, e) : -ENOMEM;
    image_close(im);
    return r;
}
