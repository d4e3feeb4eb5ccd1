/* eventfd.c - eventfd(2) descriptors that a client hands over */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "hypervisor/api/eventfd.h"

/* All anonymous files share one inode, so that fstat(2) tells eventfds neither from others nor apart; their
 * text in proc(5) does. */
static int read_fdinfo(int fd, char *text, size_t size)
{
    char path[40];

    snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
    int info = open(path, O_RDONLY | O_CLOEXEC);
    if (info < 0)
        return -errno;
    ssize_t n = read(info, text, size - 1);
    close(info);
    text[max(n, (ssize_t)0)] = 0;
    return n < 0 ? -EIO : 0;
}

/* Kernels before 5.2 do not tell the id: there a descriptor's number has to do. */
static int identify(int fd, int client_fd, u64 *id)
{
    static const char kind[] = "eventfd-count:", name[] = "eventfd-id:";
    char text[512];

    int r = read_fdinfo(fd, text, sizeof(text));
    if (r)
        return r;
    if (!strstr(text, kind))
        return -EINVAL;
    const char *found = strstr(text, name);
    *id = found ? strtoull(found + sizeof(name) - 1, NULL, 10) : BIT(63) | (u32)client_fd;
    return 0;
}

int eventfd_hold(int client_fd, struct eventfd *e)
{
    e->fd = fcntl(client_fd, F_DUPFD_CLOEXEC, 0);
    if (e->fd < 0)
        return -errno;
    int r = identify(e->fd, client_fd, &e->id);
    if (r)
        eventfd_drop(e);
    return r;
}

void eventfd_drop(struct eventfd *e)
{
    close(e->fd);
    e->fd = -1;
}

void eventfd_signal(const struct eventfd *e)
{
    u64 one = 1;
    ssize_t n = write(e->fd, &one, sizeof(one));
    (void)n; /* only a client that fills its own counter makes it fail */
}

/* The descriptor's O_NONBLOCK is the client's, and another reader may have been faster. */
bool eventfd_take(const struct eventfd *e)
{
    u64 count;
    struct iovec data = {&count, sizeof(count)};

    return preadv2(e->fd, &data, 1, -1, RWF_NOWAIT) == sizeof(count);
}
