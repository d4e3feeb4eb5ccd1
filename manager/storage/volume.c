/* volume.c - making, copying, growing and wiping the images that volumes are */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/image/image.h"
#include "manager/daemon/work.h"
#include "manager/storage/volume.h"

enum { COPY_BYTES = 1 << 20 };

int volume_plan_read(struct volume_plan *p, xmlNode *xml, struct vir_error *e)
{
    *p = (struct volume_plan){.format = xml_get_or(xml, "target/format/@type", "raw"),
                              .backing = xml_get(xml, "backingStore/path"),
                              .mode = 0600};
    if (xml_get_size(xml, "capacity", "bytes", &p->capacity, e) < 0)
        return -1;
    p->allocation = p->capacity;
    if (xml_get_size(xml, "allocation", "bytes", &p->allocation, e) < 0)
        return -1;
    if (!xml_get(xml, "capacity") && !p->backing)
        return vir_fail(e, VIR_ERR_XML_ERROR, "missing capacity element");
    if (p->capacity > 1ull << 62)
        return vir_fail(e, VIR_ERR_XML_ERROR, "the capacity is larger than any file");
    p->allocation = min(p->allocation, p->capacity);
    if (strcmp(p->format, "raw") && strcmp(p->format, "qcow2"))
        return vir_fail(e, VIR_ERR_CONFIG_UNSUPPORTED, "volume format '%s': there are raw and qcow2",
                        p->format);
    if (p->backing && !strcmp(p->format, "raw"))
        return vir_fail(e, VIR_ERR_CONFIG_UNSUPPORTED, "a raw volume has no backing store");
    if (p->backing && !*p->backing)
        p->backing = NULL;
    p->backing_format = p->backing ? xml_get_or(xml, "backingStore/format/@type", "raw") : NULL;
    const char *mode = xml_get(xml, "target/permissions/mode");
    char *end = NULL;
    if (mode)
        p->mode = (unsigned)strtoul(mode, &end, 8);
    return mode && (end == mode || *end || p->mode > 07777)
               ? vir_fail(e, VIR_ERR_XML_ERROR, "malformed octal mode '%s'", mode)
               : 0;
}

/* ---- on a thread of their own ---- */

struct making {
    const struct volume_plan *plan;
    struct error error;
};

/* It may be named as seen from the image. */
static int check_backing(const struct volume_plan *p, struct error *e)
{
    char path[PATH_MAX];
    const char *name = strrchr(p->path, '/');
    bool absolute = !p->backing || *p->backing == '/' || !name;
    snprintf(path, sizeof(path), "%.*s%s", absolute ? 0 : (int)(name + 1 - p->path), p->path,
             p->backing ? p->backing : "");
    return !p->backing || access(path, R_OK) == 0
               ? 0
               : error_set(e, errno, "inaccessible backing store volume %s: %s", p->backing, strerror(errno));
}

/* The file must be a new one. */
static int create_file(const struct volume_plan *p, struct error *e)
{
    int fd = open(p->path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, p->mode);
    if (fd < 0)
        return error_set(e, errno, "cannot create path '%s': %s", p->path, strerror(errno));
    fchmod(fd, p->mode);
    close(fd);
    return 0;
}

static int create_image(const struct volume_plan *p, struct error *e)
{
    struct image_create c = {.filename = p->path,
                             .format = p->format,
                             .size = p->capacity,
                             .cluster_size = 65536,
                             .version = 3,
                             .refcount_bits = 16,
                             .backing = p->backing,
                             .backing_format = p->backing_format,
                             .preallocation = p->preallocate ? PREALLOCATE_METADATA : PREALLOCATE_OFF};
    return image_create(&c, e);
}

static int allocate(const char *path, u64 bytes, struct error *e)
{
    int fd = bytes ? open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC) : -1;
    if (fd < 0)
        return 0;
    int error = posix_fallocate(fd, 0, (off_t)bytes);
    close(fd);
    return error ? error_set(e, error, "cannot allocate %lu bytes in file '%s': %s", bytes, path,
                             strerror(error))
                 : 0;
}

static bool is_zero(const u8 *data, size_t size)
{
    return !size || (!data[0] && !memcmp(data, data + 1, size - 1));
}

/* Zeros are left out: the new image reads as zeros where nothing is written. */
static int copy_contents(struct disk_image *from, struct disk_image *to, struct error *e)
{
    u8 *buffer = malloc(COPY_BYTES);
    int r = buffer ? 0 : error_set(e, ENOMEM, "no memory to copy with");
    for (u64 at = 0; at < from->size && r == 0; at += COPY_BYTES) {
        struct iovec part = {buffer, (size_t)min(from->size - at, (u64)COPY_BYTES)};
        struct image_extent x;
        if (image_map(from, at, part.iov_len, &x) == 0 && x.kind == EXTENT_ZERO && x.bytes >= part.iov_len)
            continue;
        r = image_read(from, at, &part, 1);
        if (r == 0 && !is_zero(buffer, part.iov_len))
            r = image_write(to, at, &part, 1);
        if (r < 0)
            error_set(e, -r, "cannot copy '%s' to '%s': %s", from->filename, to->filename, strerror(-r));
    }
    if (r == 0 && (r = image_flush(to)) < 0)
        error_set(e, -r, "cannot write '%s': %s", to->filename, strerror(-r));
    free(buffer);
    return r;
}

static int copy_image(const struct volume_plan *p, struct error *e)
{
    const struct image_options in = {.filename = p->source, .read_only = true},
                               out = {.filename = p->path, .format = p->format};
    struct disk_image *from = image_open(&in, e), *to = from ? image_open(&out, e) : NULL;
    int r = to ? 0 : -EIO;
    if (to && to->size < from->size)
        r = image_resize(to, from->size, false, e);
    if (r == 0)
        r = copy_contents(from, to, e);
    if (to)
        image_close(to);
    if (from)
        image_close(from);
    return r;
}

static int make(void *arg)
{
    struct making *m = arg;
    const struct volume_plan *p = m->plan;
    int r = check_backing(p, &m->error);
    if (r == 0)
        r = create_file(p, &m->error);
    if (r < 0)
        return r; /* the file, if there is one, is somebody else's */
    r = create_image(p, &m->error);
    if (r == 0 && p->source)
        r = copy_image(p, &m->error);
    else if (r == 0 && !strcmp(p->format, "raw"))
        r = allocate(p->path, p->allocation, &m->error);
    if (r < 0)
        unlink(p->path);
    return r;
}

static int system_error(struct vir_error *e, const struct error *why)
{
    vir_fail(e, VIR_ERR_SYSTEM_ERROR, "%s", why->text);
    e->domain = VIR_FROM_STORAGE;
    return -1;
}

int volume_make(struct tasks *t, const struct volume_plan *p, struct vir_error *e)
{
    struct making m = {.plan = p};
    return work_run(t, make, &m) < 0 ? system_error(e, &m.error) : 0;
}

struct resizing {
    const char *path;
    u64 capacity;
    bool shrink, allocate;
    struct error error;
};

static int resize(void *arg)
{
    struct resizing *z = arg;
    const struct image_options o = {.filename = z->path};
    struct disk_image *i = image_open(&o, &z->error);
    if (!i)
        return -EIO;
    bool raw = !strcmp(i->format->name, "raw");
    int r = image_resize(i, z->capacity, z->shrink, &z->error);
    image_close(i);
    return r == 0 && z->allocate && raw ? allocate(z->path, z->capacity, &z->error) : r;
}

int volume_resize(struct tasks *t, const char *path, u64 capacity, bool shrink, bool allocate_all,
                  struct vir_error *e)
{
    struct resizing z = {.path = path, .capacity = capacity, .shrink = shrink, .allocate = allocate_all};
    return work_run(t, resize, &z) < 0 ? system_error(e, &z.error) : 0;
}

/* Zeros over all that is there; holes stay holes. */
static int wipe(void *arg)
{
    struct resizing *z = arg;
    static const u8 zeros[65536];
    int fd = open(z->path, O_WRONLY | O_NOFOLLOW | O_CLOEXEC), r = fd < 0 ? -errno : 0;
    off_t end = fd < 0 ? 0 : lseek(fd, 0, SEEK_END), at = 0;
    while (r == 0 && at < end) {
        off_t data = lseek(fd, at, SEEK_DATA), hole = data < 0 ? -1 : lseek(fd, data, SEEK_HOLE);
        if (data < 0)
            break;
        for (at = data; at < hole && r == 0;) {
            ssize_t n = pwrite(fd, zeros, (size_t)min(hole - at, (off_t)sizeof(zeros)), at);
            if (n < 0)
                r = -errno;
            at += max(n, (ssize_t)0);
        }
    }
    if (r == 0 && fsync(fd) < 0)
        r = -errno;
    if (fd >= 0)
        close(fd);
    return r < 0 ? error_set(&z->error, -r, "cannot wipe '%s': %s", z->path, strerror(-r)) : 0;
}

int volume_wipe(struct tasks *t, const char *path, struct vir_error *e)
{
    struct resizing z = {.path = path};
    return work_run(t, wipe, &z) < 0 ? system_error(e, &z.error) : 0;
}
