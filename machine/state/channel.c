/* channel.c - where a machine's state goes to or comes from: QEMU's URIs exec:, unix:, tcp:, fd: */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/loop.h"
#include "machine/state/channel.h"

enum { LOOK_MS = 100 /* so often, whoever waits looks whether it is cancelled */ };

static const char *after(const char *uri, const char *scheme)
{
    size_t n = strlen(scheme);
    return strncmp(uri, scheme, n) ? NULL : uri + n;
}

const char *channel_fd_name(const char *uri)
{
    return after(uri, "fd:");
}

bool channel_is_known(const char *uri)
{
    return after(uri, "fd:") || after(uri, "exec:") || after(uri, "unix:") || after(uri, "tcp:");
}

/* sh -c COMMAND, with one end of a pipe as its standard input or output. */
static int open_exec(struct channel *c, const char *command, bool write, struct error *e)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return error_set(e, errno, "exec: no pipe: %s", strerror(errno));
    pid_t child = fork();
    if (child == 0) {
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        dup2(ends[write ? 0 : 1], write ? STDIN_FILENO : STDOUT_FILENO);
        execl("/bin/sh", "sh", "-c", command, NULL);
        _exit(127);
    }
    int err = errno;
    close(ends[write ? 0 : 1]);
    if (child < 0) {
        close(ends[write ? 1 : 0]);
        return error_set(e, err, "exec: cannot start '%s': %s%s", command, strerror(err),
                         err == EPERM ? ": programs are refused: use -sandbox off, or fd: or unix:" : "");
    }
    c->fd = ends[write ? 1 : 0];
    c->child = child;
    return 0;
}

static int open_unix(struct channel *c, const char *path, bool listens, struct error *e)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(a.sun_path))
        return error_set(e, ENAMETOOLONG, "unix:%s: the path is too long", path);
    strcpy(a.sun_path, path);
    c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listens)
        unlink(path);
    if (c->fd < 0 || (listens ? bind(c->fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(c->fd, 1) < 0
                              : connect(c->fd, (struct sockaddr *)&a, sizeof(a)) < 0))
        return error_set(e, errno, "unix:%s: cannot %s: %s", path, listens ? "listen" : "connect",
                         strerror(errno));
    c->listens = listens;
    return 0;
}

static int open_tcp(struct channel *c, const char *address, bool listens, struct error *e)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = listens ? AI_PASSIVE : 0};
    const char *colon = strrchr(address, ':');
    struct addrinfo *found;
    char host[256];
    int one = 1;
    if (!colon || snprintf(host, sizeof(host), "%.*s", (int)(colon - address), address) >= (int)sizeof(host))
        return error_set(e, EINVAL, "tcp:%s: use tcp:HOST:PORT", address);
    int r = getaddrinfo(*host ? host : NULL, colon + 1, &hints, &found);
    if (r)
        return error_set(e, EINVAL, "tcp:%s: %s", address, gai_strerror(r));
    c->fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(c->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    bool good =
        c->fd >= 0 && (listens ? bind(c->fd, found->ai_addr, found->ai_addrlen) == 0 && listen(c->fd, 1) == 0
                               : connect(c->fd, found->ai_addr, found->ai_addrlen) == 0);
    int err = errno;
    freeaddrinfo(found);
    c->listens = listens;
    return good ? 0
                : error_set(e, err, "tcp:%s: cannot %s: %s", address, listens ? "listen" : "connect",
                            strerror(err));
}

static int open_channel(struct channel *c, const char *uri, int fd, bool write, struct error *e)
{
    const char *rest;
    int r;
    c->fd = fd;
    if (channel_fd_name(uri))
        r = fd >= 0 ? 0
                    : error_set(e, EBADF, "%s: there is no such descriptor: hand it over with getfd", uri);
    else if ((rest = after(uri, "exec:")))
        r = open_exec(c, rest, write, e);
    else if ((rest = after(uri, "unix:")))
        r = open_unix(c, rest, !write, e);
    else if ((rest = after(uri, "tcp:")))
        r = open_tcp(c, rest, !write, e);
    else
        r = error_set(e, EINVAL, "unknown migration protocol: %s: use exec:, unix:, tcp: or fd:", uri);
    if (r == 0)
        fcntl(c->fd, F_SETFL, fcntl(c->fd, F_GETFL) | O_NONBLOCK);
    else
        channel_close(c);
    return r;
}

int channel_open_write(struct channel *c, const char *uri, int fd, struct error *e)
{
    return open_channel(c, uri, fd, true, e);
}

int channel_open_read(struct channel *c, const char *uri, int fd, struct error *e)
{
    return open_channel(c, uri, fd, false, e);
}

static int wait_for(struct channel *c, short events)
{
    struct pollfd p = {.fd = c->fd, .events = events};
    while (!(c->cancelled && *c->cancelled)) {
        int n = poll(&p, 1, LOOK_MS);
        if (n > 0)
            return 0;
        if (n < 0 && errno != EINTR)
            return -errno;
    }
    return -ECANCELED;
}

static int accept_first(struct channel *c)
{
    int r = wait_for(c, POLLIN);
    int fd = r == 0 ? accept4(c->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK) : -1;
    if (fd < 0)
        return r < 0 ? r : -errno;
    close(c->fd);
    c->fd = fd;
    c->listens = false;
    return 0;
}

/* Done: 0. Not yet, and may be asked again: 1. */
static int again(struct channel *c, ssize_t n, short events)
{
    if (n > 0) {
        c->bytes += (u64)n;
        return 1;
    }
    if (n == 0)
        return -ENODATA;
    if (errno == EINTR)
        return 1;
    if (errno != EAGAIN)
        return -errno;
    int r = wait_for(c, events);
    return r < 0 ? r : 1;
}

static bool is_cancelled(const struct channel *c)
{
    return c->cancelled && *c->cancelled;
}

static void hold_back(const struct channel *c)
{
    while (c->limit && !is_cancelled(c) &&
           (unsigned __int128)(loop_now() - c->since) * c->limit < (unsigned __int128)c->bytes * 1000000000)
        usleep(1000);
}

static int buffer_write(void *to, const void *data, size_t n)
{
    struct state_buffer *b = to;
    state_put(b, data, n);
    return b->failed ? -ENOMEM : 0;
}

static int buffer_read(void *from, void *data, size_t n)
{
    struct state_buffer *b = from;
    if (n > b->size - b->taken)
        return -ENODATA;
    if (data && n)
        memcpy(data, b->data + b->taken, n);
    b->taken += n;
    return 0;
}

const struct channel_end channel_buffer = {buffer_write, buffer_read};

int channel_write(struct channel *c, const void *data, size_t n)
{
    if (c->end) {
        c->bytes += n;
        return c->end->write(c->opaque, data, n);
    }
    hold_back(c);
    for (const u8 *p = data, *end = p + n; p < end;) {
        ssize_t done = write(c->fd, p, (size_t)(end - p));
        int r = again(c, done, POLLOUT);
        if (r < 0)
            return r;
        p += max(done, (ssize_t)0);
    }
    return is_cancelled(c) ? -ECANCELED : 0;
}

int channel_read(struct channel *c, void *data, size_t n)
{
    if (c->end) {
        c->bytes += n;
        return c->end->read(c->opaque, data, n);
    }
    int r = c->listens ? accept_first(c) : 0;
    for (u8 *p = data, *end = p + n; p < end && r >= 0;) {
        ssize_t done = read(c->fd, p, (size_t)(end - p));
        r = again(c, done, POLLIN);
        p += max(done, (ssize_t)0);
    }
    return r < 0 ? r : 0;
}

int channel_close(struct channel *c)
{
    int status = 0;
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    if (c->child && waitpid(c->child, &status, 0) == c->child && status)
        status = -EIO;
    c->child = 0;
    return status;
}
