/* stat.c - what libc has for asking about a file: stat, access and their kin */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/base.h"
#include "hypervisor/shim/preload/preload.h"
#include "lodge/kvm.h"

enum { MISC_MAJOR = 10, KVM_MINOR = 232 }; /* of /dev/kvm (admin-guide/devices.txt) */

static const struct served device = {"/dev/kvm", S_IFCHR | 0666, NULL};

/* struct stat64 is struct stat on this architecture. */
_Static_assert(sizeof(struct stat) == sizeof(struct stat64), "one struct stat");

static int fail(int error)
{
    errno = error;
    return -1;
}

/* Owner and times are those of a file that is always there. */
static int served_stat(const struct served *s, struct stat *st)
{
    if (!s->mode)
        return fail(ENOENT);
    if (NEXT(fstatat)(AT_FDCWD, S_ISCHR(s->mode) ? "/dev/null" : "/proc/version", st, 0))
        return -1;
    st->st_mode = s->mode;
    st->st_rdev = S_ISCHR(s->mode) ? makedev(MISC_MAJOR, KVM_MINOR) : 0;
    st->st_size = S_ISREG(s->mode) ? 4096 : 0; /* as sysfs says of every file */
    st->st_nlink = S_ISDIR(s->mode) ? 2 : 1;
    return 0;
}

static int served_access(const struct served *s, int mode)
{
    if (!s->mode)
        return fail(ENOENT);
    mode_t bits = s->mode & 7;
    return (unsigned)mode & ~bits & 7 ? fail(EACCES) : 0;
}

/* A descriptor of the system object is one of /dev/kvm; those of VMs and vcpus name no file in the kernel
 * either. */
static bool is_device(int fd)
{
    int e = errno;
    bool device = lodge_kvm_kind(fd) == LODGE_KVM_SYSTEM;
    errno = e;
    return device;
}

static const struct served *served_at(int dirfd, const char *path, int flags)
{
    if ((flags & AT_EMPTY_PATH) && (!path || !*path))
        return is_device(dirfd) ? &device : NULL;
    return served_find(dirfd, path);
}

#define STAT(name, type)                                                     \
    EXPORT int name(const char *path, struct type *st)                       \
    {                                                                        \
        const struct served *s = served_find(AT_FDCWD, path);                \
        return s ? served_stat(s, (struct stat *)st) : NEXT(name)(path, st); \
    }

#define FSTAT(name, type)                                                                    \
    EXPORT int name(int fd, struct type *st)                                                 \
    {                                                                                        \
        return is_device(fd) ? served_stat(&device, (struct stat *)st) : NEXT(name)(fd, st); \
    }

#define FSTATAT(name, type)                                                                \
    EXPORT int name(int dirfd, const char *path, struct type *st, int flags)               \
    {                                                                                      \
        const struct served *s = served_at(dirfd, path, flags);                            \
        return s ? served_stat(s, (struct stat *)st) : NEXT(name)(dirfd, path, st, flags); \
    }

STAT(stat, stat)
STAT(stat64, stat64)
STAT(lstat, stat)
STAT(lstat64, stat64)
FSTAT(fstat, stat)
FSTAT(fstat64, stat64)
FSTATAT(fstatat, stat)
FSTATAT(fstatat64, stat64)

/* The same, as programs call them that were linked with glibc before 2.33. */
int __xstat(int version, const char *path, struct stat *st);
int __xstat64(int version, const char *path, struct stat64 *st);
int __lxstat(int version, const char *path, struct stat *st);
int __lxstat64(int version, const char *path, struct stat64 *st);
int __fxstat(int version, int fd, struct stat *st);
int __fxstat64(int version, int fd, struct stat64 *st);
int __fxstatat(int version, int dirfd, const char *path, struct stat *st, int flags);
int __fxstatat64(int version, int dirfd, const char *path, struct stat64 *st, int flags);

#define XSTAT(name, type)                                                             \
    EXPORT int name(int version, const char *path, struct type *st)                   \
    {                                                                                 \
        const struct served *s = served_find(AT_FDCWD, path);                         \
        return s ? served_stat(s, (struct stat *)st) : NEXT(name)(version, path, st); \
    }

#define FXSTAT(name, type)                                                                            \
    EXPORT int name(int version, int fd, struct type *st)                                             \
    {                                                                                                 \
        return is_device(fd) ? served_stat(&device, (struct stat *)st) : NEXT(name)(version, fd, st); \
    }

#define FXSTATAT(name, type)                                                                        \
    EXPORT int name(int version, int dirfd, const char *path, struct type *st, int flags)           \
    {                                                                                               \
        const struct served *s = served_at(dirfd, path, flags);                                     \
        return s ? served_stat(s, (struct stat *)st) : NEXT(name)(version, dirfd, path, st, flags); \
    }

XSTAT(__xstat, stat)
XSTAT(__xstat64, stat64)
XSTAT(__lxstat, stat)
XSTAT(__lxstat64, stat64)
FXSTAT(__fxstat, stat)
FXSTAT(__fxstat64, stat64)
FXSTATAT(__fxstatat, stat)
FXSTATAT(__fxstatat64, stat64)

static struct statx_timestamp stamp(struct timespec t)
{
    return (struct statx_timestamp){.tv_sec = t.tv_sec, .tv_nsec = (u32)t.tv_nsec};
}

static int served_statx(const struct served *s, struct statx *x)
{
    struct stat st;

    if (served_stat(s, &st))
        return -1;
    memset(x, 0, sizeof(*x));
    x->stx_mask = STATX_BASIC_STATS;
    x->stx_blksize = (u32)st.st_blksize;
    x->stx_nlink = (u32)st.st_nlink;
    x->stx_uid = st.st_uid;
    x->stx_gid = st.st_gid;
    x->stx_mode = (u16)st.st_mode;
    x->stx_ino = st.st_ino;
    x->stx_size = (u64)st.st_size;
    x->stx_blocks = (u64)st.st_blocks;
    x->stx_atime = stamp(st.st_atim);
    x->stx_mtime = stamp(st.st_mtim);
    x->stx_ctime = stamp(st.st_ctim);
    x->stx_rdev_major = major(st.st_rdev);
    x->stx_rdev_minor = minor(st.st_rdev);
    x->stx_dev_major = major(st.st_dev);
    x->stx_dev_minor = minor(st.st_dev);
    return 0;
}

EXPORT int statx(int dirfd, const char *path, int flags, unsigned mask, struct statx *x)
{
    const struct served *s = served_at(dirfd, path, flags);
    return s ? served_statx(s, x) : NEXT(statx)(dirfd, path, flags, mask, x);
}

#define ACCESS(name)                                                \
    EXPORT int name(const char *path, int mode)                     \
    {                                                               \
        const struct served *s = served_find(AT_FDCWD, path);       \
        return s ? served_access(s, mode) : NEXT(name)(path, mode); \
    }

ACCESS(access)
ACCESS(eaccess)
ACCESS(euidaccess)

EXPORT int faccessat(int dirfd, const char *path, int mode, int flags)
{
    const struct served *s = served_at(dirfd, path, flags);
    return s ? served_access(s, mode) : NEXT(faccessat)(dirfd, path, mode, flags);
}
