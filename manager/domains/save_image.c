/* save_image.c - the file of a saved domain: libvirt's header, the document, and what the machine wrote */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "manager/domains/save_image.h"

/* As libvirt's QEMU driver has it, so that its tools know the file. In the host's byte order. */
struct header {
    char magic[16];
    u32 version;
    u32 xml_size; /* with the padding behind it, which leaves room for changes */
    u32 was_running, compressed, cookie_offset, unused[14];
};

enum { VERSION = 2, XML_ROOM = 1024, XML_MAX = 16 << 20 };
static const char complete_magic[] = "LibvirtQemudSave", partial_magic[] = "LibvirtQemudPart";

static int write_all(int fd, const void *data, size_t size, off_t at)
{
    ssize_t n = pwrite(fd, data, size, at);
    return n < 0 ? -errno : (size_t)n < size ? -ENOSPC : 0;
}

int save_image_create(const char *path, const char *xml, bool running, struct vir_error *e)
{
    size_t room = strlen(xml) + 1 + XML_ROOM;
    struct header h = {.version = VERSION, .xml_size = (u32)room, .was_running = running};
    memcpy(h.magic, partial_magic, sizeof(h.magic));
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return vir_fail_errno(e, errno, "Failed to create file '%s'", path);
    char *padded = calloc(1, room);
    ASSERT(padded);
    memcpy(padded, xml, strlen(xml));
    int r = write_all(fd, &h, sizeof(h), 0);
    if (r == 0)
        r = write_all(fd, padded, room, sizeof(h));
    free(padded);
    if (r == 0 && lseek(fd, (off_t)(sizeof(h) + room), SEEK_SET) < 0)
        r = -errno;
    if (r == 0)
        return fd;
    close(fd);
    unlink(path);
    return vir_fail_errno(e, -r, "failed to write header to domain save file '%s'", path);
}

int save_image_complete(int fd)
{
    if (fdatasync(fd) < 0)
        return -errno;
    int r = write_all(fd, complete_magic, sizeof(((struct header *)0)->magic), 0);
    return r == 0 && fdatasync(fd) < 0 ? -errno : r;
}

bool save_image_there(const char *path)
{
    char magic[sizeof(((struct header *)0)->magic)];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool partial = fd >= 0 && pread(fd, magic, sizeof(magic), 0) == sizeof(magic) &&
                   !memcmp(magic, partial_magic, sizeof(magic));
    if (fd >= 0)
        close(fd);
    return fd >= 0 && !partial;
}

static int read_header(int fd, struct header *h, const char *path, struct vir_error *e)
{
    if (pread(fd, h, sizeof(*h), 0) != sizeof(*h))
        return vir_fail(e, VIR_ERR_OPERATION_FAILED, "failed to read qemu header of '%s'", path);
    if (!memcmp(h->magic, partial_magic, sizeof(h->magic)))
        return vir_fail(e, VIR_ERR_OPERATION_FAILED, "save image '%s' is incomplete", path);
    if (memcmp(h->magic, complete_magic, sizeof(h->magic)))
        return vir_fail(e, VIR_ERR_OPERATION_FAILED,
                        "image magic of '%s' is incorrect: it is no saved domain", path);
    if (h->version > VERSION || h->compressed)
        return vir_fail(e, VIR_ERR_OPERATION_FAILED,
                        "image '%s' is of version %u, compression %u: there are version %d, 0", path,
                        h->version, h->compressed, VERSION);
    return h->xml_size && h->xml_size <= XML_MAX
               ? 0
               : vir_fail(e, VIR_ERR_OPERATION_FAILED, "invalid header data length of '%s': %u", path,
                          h->xml_size);
}

static int open_with_header(const char *path, int flags, struct header *h, struct vir_error *e)
{
    struct stat st;
    int fd = open(path, flags | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        vir_fail_errno(e, fd < 0 ? errno : EINVAL, "cannot read domain image '%s'", path);
        if (fd >= 0)
            close(fd);
        return -1;
    }
    if (read_header(fd, h, path, e) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

int save_image_open(struct save_image *s, const char *path, struct vir_error *e)
{
    struct header h;
    *s = (struct save_image){.fd = open_with_header(path, O_RDONLY, &h, e)};
    if (s->fd < 0)
        return -1;
    s->was_running = h.was_running;
    s->xml = calloc(1, h.xml_size + 1u);
    ASSERT(s->xml);
    if (pread(s->fd, s->xml, h.xml_size, sizeof(h)) == (ssize_t)h.xml_size &&
        lseek(s->fd, (off_t)(sizeof(h) + h.xml_size), SEEK_SET) >= 0)
        return 0;
    save_image_close(s);
    return vir_fail(e, VIR_ERR_OPERATION_FAILED, "failed to read domain XML of '%s'", path);
}

void save_image_close(struct save_image *s)
{
    if (s->fd >= 0)
        close(s->fd);
    free(s->xml);
    *s = (struct save_image){.fd = -1};
}

int save_image_change(const char *path, const char *xml, int running, struct vir_error *e)
{
    struct header h;
    int fd = open_with_header(path, O_RDWR, &h, e);
    if (fd < 0)
        return -1;
    int r = strlen(xml) < h.xml_size
                ? 0
                : vir_fail(e, VIR_ERR_OPERATION_FAILED, "new xml too large to fit in file");
    char *padded = calloc(1, h.xml_size);
    ASSERT(padded);
    if (r == 0) {
        memcpy(padded, xml, strlen(xml));
        if (running >= 0)
            h.was_running = (u32)running;
        int error = write_all(fd, padded, h.xml_size, sizeof(h));
        if (error == 0)
            error = write_all(fd, &h, sizeof(h), 0);
        if (error == 0 && fdatasync(fd) < 0)
            error = -errno;
        r = error < 0 ? vir_fail_errno(e, -error, "failed to write xml to '%s'", path) : 0;
    }
    free(padded);
    close(fd);
    return r;
}
