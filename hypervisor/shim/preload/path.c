/* path.c - what libc has for asking what a name stands for: readlink, realpath and their kin */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hypervisor/shim/preload/preload.h"

/* Not declared by libc's headers: what a program calls that was compiled with _FORTIFY_SOURCE. */
ssize_t __readlink_chk(const char *path, char *buffer, size_t size, size_t room);
ssize_t __readlinkat_chk(int dirfd, const char *path, char *buffer, size_t size, size_t room);
char *__realpath_chk(const char *path, char *resolved, size_t room);

/* No file that is served is a symbolic link. */
static ssize_t served_readlink(const struct served *s)
{
    errno = s->mode ? EINVAL : ENOENT;
    return -1;
}

static char *served_realpath(const struct served *s, char *resolved)
{
    if (!s->mode) {
        errno = ENOENT;
        return NULL;
    }
    return resolved ? strcpy(resolved, s->path) : strdup(s->path);
}

EXPORT ssize_t readlink(const char *path, char *buffer, size_t size)
{
    const struct served *s = served_find(AT_FDCWD, path);
    return s ? served_readlink(s) : NEXT(readlink)(path, buffer, size);
}

EXPORT ssize_t readlinkat(int dirfd, const char *path, char *buffer, size_t size)
{
    const struct served *s = served_find(dirfd, path);
    return s ? served_readlink(s) : NEXT(readlinkat)(dirfd, path, buffer, size);
}

EXPORT ssize_t __readlink_chk(const char *path, char *buffer, size_t size, size_t room)
{
    const struct served *s = served_find(AT_FDCWD, path);
    return s ? served_readlink(s) : NEXT(__readlink_chk)(path, buffer, size, room);
}

EXPORT ssize_t __readlinkat_chk(int dirfd, const char *path, char *buffer, size_t size, size_t room)
{
    const struct served *s = served_find(dirfd, path);
    return s ? served_readlink(s) : NEXT(__readlinkat_chk)(dirfd, path, buffer, size, room);
}

EXPORT char *realpath(const char *path, char *resolved)
{
    const struct served *s = served_find(AT_FDCWD, path);
    return s ? served_realpath(s, resolved) : NEXT(realpath)(path, resolved);
}

EXPORT char *__realpath_chk(const char *path, char *resolved, size_t room)
{
    const struct served *s = served_find(AT_FDCWD, path);
    return s ? served_realpath(s, resolved) : NEXT(__realpath_chk)(path, resolved, room);
}

EXPORT char *canonicalize_file_name(const char *path)
{
    return realpath(path, NULL);
}
