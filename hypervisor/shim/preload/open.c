/* open.c - what libc has for opening a file */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "hypervisor/shim/preload/preload.h"

/* Not declared by libc's headers: what a program calls that was compiled with _FORTIFY_SOURCE. */
int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int dirfd, const char *path, int flags);
int __openat64_2(int dirfd, const char *path, int flags);

/* The mode is there only with these flags. */
#define MODE(flags)                              \
    ({                                           \
        mode_t m = 0;                            \
        if ((flags) & (O_CREAT | __O_TMPFILE)) { \
            va_list ap;                          \
            va_start(ap, flags);                 \
            m = va_arg(ap, mode_t);              \
            va_end(ap);                          \
        }                                        \
        m;                                       \
    })

#define OPEN(name)                                                        \
    EXPORT int name(const char *path, int flags, ...)                     \
    {                                                                     \
        mode_t mode = MODE(flags);                                        \
        const struct served *s = served_find(AT_FDCWD, path);             \
        return s ? served_open(s, flags) : NEXT(name)(path, flags, mode); \
    }

#define OPENAT(name)                                                             \
    EXPORT int name(int dirfd, const char *path, int flags, ...)                 \
    {                                                                            \
        mode_t mode = MODE(flags);                                               \
        const struct served *s = served_find(dirfd, path);                       \
        return s ? served_open(s, flags) : NEXT(name)(dirfd, path, flags, mode); \
    }

#define OPEN_2(name)                                                \
    EXPORT int name(const char *path, int flags)                    \
    {                                                               \
        const struct served *s = served_find(AT_FDCWD, path);       \
        return s ? served_open(s, flags) : NEXT(name)(path, flags); \
    }

#define OPENAT_2(name)                                                     \
    EXPORT int name(int dirfd, const char *path, int flags)                \
    {                                                                      \
        const struct served *s = served_find(dirfd, path);                 \
        return s ? served_open(s, flags) : NEXT(name)(dirfd, path, flags); \
    }

OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)
OPEN_2(__open_2)
OPEN_2(__open64_2)
OPENAT_2(__openat_2)
OPENAT_2(__openat64_2)

/* The flags of fopen(3)'s mode, or -1. */
static int stream_flags(const char *mode)
{
    bool both = strchr(mode, '+'), close_on_exec = strchr(mode, 'e'), exclusive = strchr(mode, 'x');
    int more = (close_on_exec ? O_CLOEXEC : 0) | (exclusive ? O_EXCL : 0);

    switch (mode[0]) {
    case 'r': return more | (both ? O_RDWR : O_RDONLY);
    case 'w': return more | O_CREAT | O_TRUNC | (both ? O_RDWR : O_WRONLY);
    case 'a': return more | O_CREAT | O_APPEND | (both ? O_RDWR : O_WRONLY);
    default: return -1;
    }
}

static FILE *served_fopen(const struct served *s, const char *mode)
{
    int flags = stream_flags(mode);

    if (flags < 0) {
        errno = EINVAL;
        return NULL;
    }
    int fd = served_open(s, flags);
    if (fd < 0)
        return NULL;
    FILE *f = fdopen(fd, mode);
    if (!f)
        close(fd);
    return f;
}

#define FOPEN(name)                                                \
    EXPORT FILE *name(const char *path, const char *mode)          \
    {                                                              \
        const struct served *s = served_find(AT_FDCWD, path);      \
        return s ? served_fopen(s, mode) : NEXT(name)(path, mode); \
    }

FOPEN(fopen)
FOPEN(fopen64)

#define CREAT(name)                                                                       \
    EXPORT int name(const char *path, mode_t mode)                                        \
    {                                                                                     \
        const struct served *s = served_find(AT_FDCWD, path);                             \
        return s ? served_open(s, O_CREAT | O_WRONLY | O_TRUNC) : NEXT(name)(path, mode); \
    }

CREAT(creat)
CREAT(creat64)

/* The stream gets its mode from another file, and then the descriptor. */
static FILE *served_freopen(const struct served *s, const char *mode, FILE *stream)
{
    FILE *f = served_fopen(s, mode);

    if (!f) {
        int e = errno;
        fclose(stream);
        errno = e;
        return NULL;
    }
    stream = NEXT(freopen)("/dev/null", mode, stream);
    if (stream)
        dup2(fileno(f), fileno(stream));
    fclose(f);
    return stream;
}

/* Without a path it is about the file that the stream has. */
#define FREOPEN(name)                                                                \
    EXPORT FILE *name(const char *path, const char *mode, FILE *stream)              \
    {                                                                                \
        const struct served *s = served_find(AT_FDCWD, path);                        \
        return s ? served_freopen(s, mode, stream) : NEXT(name)(path, mode, stream); \
    }

FREOPEN(freopen)
FREOPEN(freopen64)
