/* chardev_backend.c - what a character device is connected to: opens terminals, files and sockets */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "machine/chardev.h"

static void attach(struct chardev *c, int in, int out)
{
    c->read_watch.fd = in;
    c->write_watch.fd = out;
}

/* Standard output as a description of our own, so that O_NONBLOCK does not reach the programs that share it.
 * What cannot be opened again (a socket) or has a position (a file) never keeps us waiting long. */
static int open_stdout(void)
{
    struct stat st;
    if (fstat(STDOUT_FILENO, &st) == 0 && (S_ISCHR(st.st_mode) || S_ISFIFO(st.st_mode))) {
        int fd = open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (fd >= 0)
            return fd;
    }
    return STDOUT_FILENO;
}

static int open_null(struct chardev *c, struct error *e)
{
    (void)c, (void)e;
    return 0;
}

static int open_stdio(struct chardev *c, struct error *e)
{
    if ((fcntl(STDOUT_FILENO, F_GETFL) & O_ACCMODE) == O_RDONLY)
        return error_set(e, EBADF, "%s stdio: standard output is closed: use file:PATH or null", c->what);
    attach(c, STDIN_FILENO, open_stdout());
    return 0;
}

static int open_file(struct chardev *c, struct error *e)
{
    int fd =
        open(c->config.path, O_WRONLY | O_CREAT | O_CLOEXEC | (c->config.append ? O_APPEND : O_TRUNC), 0666);
    if (fd < 0)
        return error_set(e, errno, "%s: cannot write '%s': %s: name a file in a directory you may write to",
                         c->what, c->config.path, strerror(errno));
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    attach(c, -1, fd);
    return 0;
}

/* A socket that listens waits for clients; one that is connected is the client. */
static void have_socket(struct chardev *c, int fd)
{
    fcntl(fd, F_SETFL, O_NONBLOCK);
    if (c->config.server)
        c->listen_watch.fd = fd;
    else
        attach(c, fd, fd);
}

static int open_fd(struct chardev *c, struct error *e)
{
    char *end;
    int listening = 0;
    socklen_t size = sizeof(listening);
    unsigned long fd = strtoul(c->config.fd, &end, 10);
    if (!isdigit((unsigned char)*c->config.fd) || *end || fd > INT32_MAX ||
        getsockopt((int)fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) < 0 || !listening)
        return error_set(e, EBADF, "%s: fd '%s' is no socket that listens", c->what, c->config.fd);
    fcntl((int)fd, F_SETFD, FD_CLOEXEC);
    have_socket(c, (int)fd);
    return 0;
}

static int listen_on(int fd, const struct sockaddr_un *a)
{
    struct stat st;
    if (stat(a->sun_path, &st) == 0 && S_ISSOCK(st.st_mode))
        unlink(a->sun_path); /* left by an earlier run, as QEMU does */
    return bind(fd, (const struct sockaddr *)a, sizeof(*a)) < 0 || listen(fd, 1) < 0 ? -1 : 0;
}

static int open_unix(struct chardev *c, struct error *e)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    const char *verb = c->config.server ? "listen on" : "connect to";
    if (c->config.fd)
        return open_fd(c, e);
    if (strlen(c->config.path) >= sizeof(a.sun_path))
        return error_set(e, ENAMETOOLONG,
                         "%s: the socket's path '%s' is longer than %zu bytes: use a shorter one", c->what,
                         c->config.path, sizeof(a.sun_path) - 1);
    strcpy(a.sun_path, c->config.path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int r = fd < 0 || (c->config.server ? listen_on(fd, &a) : connect(fd, (struct sockaddr *)&a, sizeof(a)));
    if (r) {
        r = error_set(e, errno, "%s: cannot %s '%s': %s%s", c->what, verb, a.sun_path, strerror(errno),
                      c->config.server ? ": name a path in a directory you may write to"
                                       : ": start the listening program first, or use server=on");
        close(fd);
        return r;
    }
    have_socket(c, fd);
    return 0;
}

/* 0, or what went wrong. */
static const char *try_address(struct chardev *c, const struct addrinfo *a)
{
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    int r = fd < 0 || (c->config.server ? bind(fd, a->ai_addr, a->ai_addrlen) < 0 || listen(fd, 1) < 0
                                        : connect(fd, a->ai_addr, a->ai_addrlen) < 0);
    const char *why = r ? strerror(errno) : NULL;
    if (why)
        close(fd);
    else
        have_socket(c, fd);
    return why;
}

/* Without a host, this computer alone: whoever connects to a monitor owns the machine. */
static int open_tcp(struct chardev *c, struct error *e)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    const char *host = c->config.host && *c->config.host ? c->config.host : "127.0.0.1";
    int r = getaddrinfo(host, c->config.port, &hints, &found);
    const char *why = r ? gai_strerror(r) : NULL;
    for (const struct addrinfo *a = found; a; a = a->ai_next)
        if (!(why = try_address(c, a)))
            break;
    if (found)
        freeaddrinfo(found);
    return why ? error_set(e, ECONNREFUSED, "%s: cannot %s %s:%s: %s", c->what,
                           c->config.server ? "listen on" : "connect to", host, c->config.port, why)
               : 0;
}

static int open_pty(struct chardev *c, struct error *e)
{
    int fd, other;
    struct termios raw;
    char name[64];
    if (openpty(&fd, &other, name, NULL, NULL) < 0)
        return error_set(e, errno, "%s: cannot open a pseudo-terminal: %s", c->what, strerror(errno));
    if (tcgetattr(other, &raw) == 0) {
        cfmakeraw(&raw);
        tcsetattr(other, TCSANOW, &raw);
    }
    close(other);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    c->listen_watch.fd = fd; /* until somebody opens the other end */
    snprintf(c->peer, sizeof(c->peer), "%s", name);
    report("char device redirected to %s (label %s)", name, c->label);
    return 0;
}

static int (*const open_backend[])(struct chardev *c, struct error *e) = {
    [CHARDEV_NULL] = open_null, [CHARDEV_STDIO] = open_stdio, [CHARDEV_FILE] = open_file,
    [CHARDEV_UNIX] = open_unix, [CHARDEV_TCP] = open_tcp,     [CHARDEV_PTY] = open_pty,
    [CHARDEV_FRONT] = open_null};

static int open_log(struct chardev *c, struct error *e)
{
    const char *path = c->config.logfile;
    int how = c->config.logappend ? O_APPEND : O_TRUNC;
    if (!path)
        return 0;
    c->log_fd = open(path, O_WRONLY | O_CREAT | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | how, 0666);
    return c->log_fd >= 0
               ? 0
               : error_set(e, errno, "%s: cannot write the log '%s': %s", c->what, path, strerror(errno));
}

int chardev_open(struct chardev *c, struct error *e)
{
    int r = open_log(c, e);
    if (r == 0 && (r = open_backend[c->config.backend](c, e)) < 0 && c->log_fd >= 0)
        close(c->log_fd);
    return r;
}

void chardev_describe(const struct chardev *c, char *text, size_t size)
{
    const char *gone = c->config.server && !c->connected ? "disconnected:" : "";
    const char *server = c->config.server ? ",server=on" : "";
    switch (c->config.backend) {
    case CHARDEV_UNIX:
        snprintf(text, size, "%sunix:%s%s", gone, c->config.path ? c->config.path : "", server);
        break;
    case CHARDEV_TCP:
        snprintf(text, size, "%stcp:%s:%s%s", gone, c->config.host ? c->config.host : "", c->config.port,
                 server);
        break;
    case CHARDEV_PTY: snprintf(text, size, "pty:%s", c->peer); break;
    case CHARDEV_STDIO: snprintf(text, size, "stdio"); break;
    case CHARDEV_FILE: snprintf(text, size, "file"); break;
    case CHARDEV_FRONT: snprintf(text, size, "mux"); break;
    default: snprintf(text, size, "null"); break;
    }
}
