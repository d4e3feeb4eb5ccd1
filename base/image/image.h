/* image.h - disk images: raw and qcow2 files, read, written, made, checked, without any device around them */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef IMAGE_IMAGE_H
#define IMAGE_IMAGE_H

#include <sys/types.h>
#include <sys/uio.h>

#include "base/base.h"
#include "base/error.h"

/*
 * Calls block, and one image belongs to one thread at a time. Offsets and counts are bytes, of any alignment.
 * Results are 0 or -errno; where there is an `e`, it has the line for the user.
 */

struct image_options {
    const char *filename;
    const char *format; /* NULL: found out from the first bytes */
    bool read_only;
    bool direct;                          /* past the host's page cache */
    bool no_flush;                        /* a flush is nothing: fast, and lost with the host */
    bool no_lock;                         /* others may have it open for writing */
    bool check;                           /* for image_check: a damaged image opens as well */
    const char *backing, *backing_format; /* instead of what the image says; "": none. NULL: as it says */
};

struct disk_image;

/* What stands behind a part of the guest's disk. */
enum extent_kind {
    EXTENT_DATA, /* in the file `fd`, from `host` on */
    EXTENT_ZERO,
    EXTENT_CODED, /* compressed: image_read unpacks it */
};
struct image_extent {
    enum extent_kind kind;
    u64 bytes;             /* how far from the offset that was asked for */
    struct disk_image *at; /* DATA: whose file */
    u64 host;
    bool in_place;  /* a write may go there directly */
    unsigned depth; /* 0: the image itself has it; 1: its backing image, ... */
    bool allocated; /* by any of them */
};

struct image_info {
    const char *format, *filename;
    u64 size, allocated;                  /* the guest's bytes; those that the file occupies on the host */
    u64 cluster_size;                     /* 0: none */
    const char *backing, *backing_format; /* NULL: none, not told */
    const char *compat, *compression;     /* qcow2's; NULL elsewhere */
    unsigned refcount_bits, snapshots;
    bool dirty, corrupt, lazy_refcounts;
};

/* A state of the past that an image keeps inside. */
struct image_snapshot {
    const char *id, *name;
    u32 date_sec, date_nsec;
    u64 clock, vm_state_size, disk_size, icount; /* icount ~0: not told */
};

enum image_fix { IMAGE_FIX_NONE, IMAGE_FIX_LEAKS, IMAGE_FIX_ALL };

/* What a check has found. Clusters that are taken and that nobody has are leaks: room is lost, and nothing
 * else.
 */
struct image_check {
    enum image_fix fix;
    void (*tell)(void *opaque, const char *line); /* each fault; NULL: nobody listens */
    void *opaque;
    u64 corruptions, leaks, errors, corruptions_fixed, leaks_fixed;
    u64 total_clusters, allocated_clusters, fragmented_clusters, compressed_clusters, image_end;
};

enum image_preallocation { PREALLOCATE_OFF, PREALLOCATE_METADATA, PREALLOCATE_FALLOC, PREALLOCATE_FULL };

struct image_create {
    const char *filename, *format;
    u64 size;
    const char *backing, *backing_format; /* NULL: none */
    unsigned preallocation;
    u64 cluster_size; /* from here: qcow2's */
    unsigned version, compression;
    u32 refcount_bits;
    bool lazy_refcounts;
};

struct image_format {
    const char *name;
    bool (*probe)(const u8 *head, size_t len);
    int (*open)(struct disk_image *i, const struct image_options *o, struct error *e);
    void (*close)(struct disk_image *i);
    int (*map)(struct disk_image *i, u64 offset, u64 bytes, struct image_extent *x);
    /* Reads EXTENT_CODED bytes, all of one such extent. */
    int (*read_coded)(struct disk_image *i, u64 offset, void *to, size_t bytes);
    /* Writes where map gave nothing in place; how many bytes, or -errno. */
    ssize_t (*write_new)(struct disk_image *i, u64 offset, const struct iovec *iov, unsigned count,
                         size_t bytes);
    /* How many bytes now read as zeros, and perhaps take no room (0: the caller has to write zeros), or
     * -errno. */
    ssize_t (*zero)(struct disk_image *i, u64 offset, u64 bytes, bool unmap);
    int (*discard)(struct disk_image *i, u64 offset, u64 bytes);
    int (*flush)(struct disk_image *i);
    int (*resize)(struct disk_image *i, u64 size, struct error *e);
    void (*info)(struct disk_image *i, struct image_info *info);
    const struct image_snapshot *(*snapshot)(struct disk_image *i, unsigned n); /* NULL: it has none */
    /* Of `shown`, the name and the times count. instead: of another one, which goes; UINT32_MAX: none. */
    int (*snapshot_create)(struct disk_image *i, const struct image_snapshot *shown, unsigned instead);
    int (*snapshot_apply)(struct disk_image *i, unsigned n);
    int (*snapshot_delete)(struct disk_image *i, unsigned n);
    int (*vm_state_write)(struct disk_image *i, const void *from, size_t bytes);
    int (*vm_state_drop)(struct disk_image *i);
    int (*vm_state_read)(struct disk_image *i, unsigned n, u64 offset, void *to, size_t bytes);
    int (*check)(struct disk_image *i, struct image_check *c,
                 struct error *e); /* NULL: there is nothing to check */
    /* Writes a whole cluster (the image's last one may be shorter) in fewer bytes. NULL: it cannot. */
    int (*write_coded)(struct disk_image *i, u64 offset, const void *from, size_t bytes);
    /* An empty file becomes an image without size, so that `open` opens it. NULL: it is one. */
    int (*create)(struct disk_image *i, const struct image_create *c, struct error *e);
    int (*preallocate)(struct disk_image *i, unsigned mode);
};
extern const struct image_format image_raw, image_qcow2;

struct disk_image {
    const struct image_format *format;
    char *filename;
    int fd;
    bool read_only, direct, no_flush;
    size_t align; /* of offsets, counts and memory with `direct`; else 1 */
    u64 size;
    struct disk_image *backing;
    bool guessed_raw; /* nobody said so: what is written must not make it look like something else */
    bool corrupt;     /* nothing more is written */
    const char *backing_file, *backing_format; /* as the image says; NULL: it does not */
    void *state;                               /* the format's own */
};

/* The image, or NULL with e. */
struct disk_image *image_open(const struct image_options *o, struct error *e);
/* Writes what is still to be written. */
void image_close(struct disk_image *i);

/* The range must be within the image: -EINVAL. */
int image_read(struct disk_image *i, u64 offset, const struct iovec *iov, unsigned count);
int image_write(struct disk_image *i, u64 offset, const struct iovec *iov, unsigned count);
int image_zero(struct disk_image *i, u64 offset, u64 bytes, bool unmap);
/* As bytes, whatever the format could do instead. */
int image_write_zeros(struct disk_image *i, u64 offset, u64 bytes);
int image_discard(struct disk_image *i, u64 offset, u64 bytes);
int image_flush(struct disk_image *i);
int image_map(struct disk_image *i, u64 offset, u64 bytes, struct image_extent *x);

/* Shrinking needs `shrink`, for it loses what is beyond. */
int image_resize(struct disk_image *i, u64 size, bool shrink, struct error *e);
void image_get_info(struct disk_image *i, struct image_info *info);
/* A snapshot inside the image: made of what is there now; gone back to, what is there now being lost;
 * removed. By its name, or its id. 0 or -errno with e. */
int image_snapshot_create(struct disk_image *i, const char *name, struct error *e);
/* The same with the times of s; instead: of one with that name, if there is one. */
int image_snapshot_create_at(struct disk_image *i, const struct image_snapshot *s, bool instead,
                             struct error *e);
int image_snapshot_apply(struct disk_image *i, const char *name, struct error *e);
int image_snapshot_delete(struct disk_image *i, const char *name, struct error *e);
/* By its name alone; NULL: there is none. It stays until snapshots change. */
const struct image_snapshot *image_snapshot_find(struct disk_image *i, const char *name);
bool image_keeps_snapshots(const struct disk_image *i);
/* The state of the machine that has the disk: written bit by bit, it goes into the next snapshot that is
 * made, or is dropped; and read of a snapshot: -ENODATA behind its end, -EINVAL where it is damaged. */
int image_vm_state_write(struct disk_image *i, const void *from, size_t bytes);
int image_vm_state_drop(struct disk_image *i);
int image_vm_state_read(struct disk_image *i, const char *name, u64 offset, void *to, size_t bytes);
int image_check(struct disk_image *i, struct image_check *c, struct error *e);
/* Makes the file, or empties one that nobody else has open. */
int image_create(const struct image_create *c, struct error *e);
/* By its place in the list; NULL behind the last. */
const struct image_format *image_format_at(unsigned n);
const struct image_format *image_format_find(const char *name);

/* For the formats. */
ssize_t image_pread(struct disk_image *i, u64 host, void *to,
                    size_t bytes); /* short only at the end of the file */
int image_pread_all(struct disk_image *i, u64 host, void *to, size_t bytes); /* zeros behind the end */
int image_pwrite_all(struct disk_image *i, u64 host, const void *from, size_t bytes);
int image_preadv_all(struct disk_image *i, u64 host, const struct iovec *iov, unsigned count, size_t bytes);
int image_pwritev_all(struct disk_image *i, u64 host, const struct iovec *iov, unsigned count, size_t bytes);
/* fdatasync, if flushes are wanted at all. */
int image_sync(struct disk_image *i);
/* A path within an image is relative to the image's own folder. To be freed; NULL: no memory. */
char *image_relative_path(const char *of, const char *path);

#endif
