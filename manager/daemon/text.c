/* text.c - strings, file names, UUIDs, whole files */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "manager/daemon/text.h"

enum { FILE_MAX = 64 << 20 };

char *text_printf(const char *fmt, ...)
{
    char *text;
    va_list ap;
    va_start(ap, fmt);
    ASSERT(vasprintf(&text, fmt, ap) >= 0);
    va_end(ap);
    return text;
}

char *text_copy(const char *text)
{
    return text ? text_printf("%s", text) : NULL;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

bool uuid_parse(const char *text, u8 uuid[16])
{
    unsigned n = 0;
    for (; *text; text++) {
        if (*text == '-')
            continue;
        int digit = hex_digit(*text);
        if (digit < 0 || n == 32)
            return false;
        uuid[n / 2] = n % 2 ? (u8)(uuid[n / 2] | digit) : (u8)(digit << 4);
        n++;
    }
    return n == 32;
}

char *uuid_format(const u8 uuid[16], char text[UUID_TEXT])
{
    char *at = text;
    for (unsigned i = 0; i < 16; i++)
        at += sprintf(at, i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x" : "%02x", uuid[i]);
    return text;
}

/* RFC 4122, version 4. */
void uuid_random(u8 uuid[16])
{
    ASSERT(getrandom(uuid, 16, 0) == 16);
    uuid[6] = (u8)((uuid[6] & 0x0f) | 0x40);
    uuid[8] = (u8)((uuid[8] & 0x3f) | 0x80);
}

bool number_parse(const char *text, u64 *value)
{
    if (!text || *text < '0' || *text > '9')
        return false;
    char *end;
    errno = 0;
    *value = strtoull(text, &end, 10);
    return !errno && !*end;
}

static int read_all(int fd, char **text, size_t *size)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode) || st.st_size > FILE_MAX)
        return -EFBIG;
    *text = calloc(1, (size_t)st.st_size + 1);
    ASSERT(*text);
    size_t got = 0;
    ssize_t n;
    while (got < (size_t)st.st_size && (n = read(fd, *text + got, (size_t)st.st_size - got)) > 0)
        got += (size_t)n;
    if (size)
        *size = got;
    return 0;
}

int file_read(const char *path, char **text, size_t *size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int r = read_all(fd, text, size);
    close(fd);
    return r;
}

static int write_all(int fd, const char *text, size_t size)
{
    while (size) {
        ssize_t n = write(fd, text, size);
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0) {
            text += n;
            size -= (size_t)n;
        }
    }
    return fsync(fd) < 0 ? -errno : 0;
}

int file_write_atomic(const char *path, const char *text, size_t size, struct vir_error *e)
{
    char *fresh = text_printf("%s.new", path);
    int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int r = fd < 0 ? -errno : write_all(fd, text, size);
    if (fd >= 0)
        close(fd);
    if (r == 0 && rename(fresh, path) < 0)
        r = -errno;
    if (r < 0) {
        unlink(fresh);
        vir_fail_errno(e, -r, "cannot write '%s'", path);
    }
    free(fresh);
    return r < 0 ? -1 : 0;
}

int folder_make(const char *path, unsigned mode)
{
    char *each = text_copy(path);
    int r = 0;
    for (char *slash = each; slash && r == 0;) {
        slash = strchr(slash + 1, '/');
        if (slash)
            *slash = 0;
        if (mkdir(each, mode) < 0 && errno != EEXIST)
            r = -errno;
        if (slash)
            *slash = '/';
    }
    free(each);
    return r;
}
