/* address.c - where the GDB stub listens: -gdb */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "machine/gdbstub/address.h"

/* Copies len characters; false: they do not fit, or there are none. */
static bool copy(char *to, size_t size, const char *from, size_t len)
{
    if (!len || len >= size)
        return false;
    memcpy(to, from, len);
    to[len] = 0;
    return true;
}

/* text: [HOST]:PORT. The last colon counts: HOST may be an IPv6 address. */
static bool parse_tcp(struct gdb_address *a, const char *text, size_t len)
{
    size_t colon = len;
    while (colon > 0 && text[colon - 1] != ':')
        colon--;
    if (!colon || (colon > 1 && !copy(a->host, sizeof(a->host), text, colon - 1)))
        return false;
    a->transport = GDB_TCP;
    return copy(a->port, sizeof(a->port), text + colon, len - colon) &&
           strspn(a->port, "0123456789") == strlen(a->port);
}

static bool parse_unix(struct gdb_address *a, const char *text, size_t len)
{
    a->transport = GDB_UNIX;
    return copy(a->path, sizeof(a->path), text, len);
}

static bool parse_properties(const char *text)
{
    static const char *const known[] = {",server=on", ",server", ",wait=off", ",nowait"};
    while (*text) {
        size_t len = 1 + strcspn(text + 1, ","), i = 0;
        while (i < ARRAY_SIZE(known) && (strlen(known[i]) != len || strncmp(known[i], text, len)))
            i++;
        if (i == ARRAY_SIZE(known))
            return false;
        text += len;
    }
    return true;
}

int gdb_address_parse(struct gdb_address *a, const char *text, struct error *e)
{
    size_t len = strcspn(text, ",");
    bool good = parse_properties(text + len);
    *a = (struct gdb_address){.transport = GDB_NONE};
    if (!strncmp(text, "tcp:", 4))
        good &= parse_tcp(a, text + 4, len - 4);
    else if (!strncmp(text, "unix:", 5))
        good &= parse_unix(a, text + 5, len - 5);
    else
        good &= !strcmp(text, "none");
    return good ? 0
                : error_set(e, EINVAL,
                            "-gdb '%s' is not an address: use tcp::PORT, tcp:HOST:PORT or unix:PATH", text);
}

static int listen_tcp(const struct gdb_address *a, const char **why)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found;
    const int on = 1;
    int r = getaddrinfo(*a->host ? a->host : "127.0.0.1", a->port, &hints, &found);
    if (r) {
        *why = gai_strerror(r);
        return -1;
    }
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (fd >= 0 && (bind(fd, found->ai_addr, found->ai_addrlen) < 0 || listen(fd, 1) < 0)) {
        *why = strerror(errno);
        close(fd);
        fd = -1;
    }
    freeaddrinfo(found);
    return fd;
}

static int listen_unix(const struct gdb_address *a, const char **why)
{
    struct sockaddr_un u = {.sun_family = AF_UNIX};
    memcpy(u.sun_path, a->path, sizeof(a->path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    unlink(a->path); /* left by an earlier run, as QEMU does */
    if (fd >= 0 && (bind(fd, (struct sockaddr *)&u, sizeof(u)) < 0 || listen(fd, 1) < 0)) {
        *why = strerror(errno);
        close(fd);
        fd = -1;
    }
    return fd;
}

int gdb_address_listen(const struct gdb_address *a, struct error *e)
{
    const char *why = "no socket";
    int fd = a->transport == GDB_TCP ? listen_tcp(a, &why) : listen_unix(a, &why);
    if (fd >= 0)
        return fd;
    return error_set(e, EADDRNOTAVAIL, "-gdb: cannot listen on '%s%s%s': %s: use another port or path",
                     a->transport == GDB_TCP ? a->host : a->path, a->transport == GDB_TCP ? ":" : "", a->port,
                     why);
}
