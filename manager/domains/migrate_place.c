/* migrate_place.c - where a machine's state goes to when it moves: sockets */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "manager/daemon/text.h"
#include "manager/daemon/work.h"
#include "manager/domains/migrate_place.h"

enum { CONNECT_MS = 30000, PORT_MAX = 65535 };

/* ---- the URI ---- */

/* HOST, HOST:PORT, [ADDRESS]:PORT */
static int parse_tcp(struct place *p, const char *uri, const char *rest, struct vir_error *e)
{
    u64 port = 0;
    bool bracket = *rest == '[';
    size_t n = bracket ? strcspn(rest + 1, "]") : strcspn(rest, ":/");
    const char *host = rest + bracket, *after = host + n + bracket;
    if (!n || n >= sizeof(p->host) || (bracket && host[n] != ']'))
        return vir_fail(e, VIR_ERR_INVALID_ARG, "missing host in migration URI: %s", uri);
    memcpy(p->host, host, n);
    if (*after && strcmp(after, "/") && (*after != ':' || !number_parse(after + 1, &port) || port > PORT_MAX))
        return vir_fail(e, VIR_ERR_INVALID_ARG, "unable to parse the port in migration URI: %s", uri);
    p->port = (unsigned)port;
    return 0;
}

int place_parse(struct place *p, const char *uri, struct vir_error *e)
{
    size_t n = strcspn(uri, ":");
    *p = (struct place){0};
    if (!uri[n] || !n)
        return vir_fail(e, VIR_ERR_INVALID_ARG, "missing scheme in migration URI: %s", uri);
    bool tcp = n == 3 && !strncmp(uri, "tcp", n);
    p->local = n == 4 && !strncmp(uri, "unix", n);
    if (!tcp && !p->local)
        return vir_fail(e, VIR_ERR_ARGUMENT_UNSUPPORTED, "unsupported scheme %.*s in migration URI %s",
                        (int)n, uri, uri);
    const char *rest = uri + n + 1;
    p->old = strncmp(rest, "//", 2) != 0;
    rest += p->old ? 0 : 2;
    if (tcp)
        return parse_tcp(p, uri, rest, e);
    if (*rest != '/' || strlen(rest) >= sizeof(p->path))
        return vir_fail(e, VIR_ERR_INVALID_ARG, "missing or too long a path in migration URI: %s", uri);
    strcpy(p->path, rest);
    return 0;
}

char *place_uri(const struct place *p)
{
    const char *slashes = p->old ? "" : "//";
    if (p->local)
        return text_printf("unix:%s%s", slashes, p->path);
    bool v6 = strchr(p->host, ':');
    return text_printf("tcp:%s%s%s%s:%u", slashes, v6 ? "[" : "", p->host, v6 ? "]" : "", p->port);
}

static struct sockaddr_un local_address(const struct place *p)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    memcpy(at.sun_path, p->path, sizeof(at.sun_path));
    return at;
}

/* ---- to it ---- */

struct connection_work {
    const struct place *place;
    int fd;
    struct vir_error *error;
};

/* 0 or -errno. The socket is as it was afterwards: it blocks. */
static int connect_in_time(int fd, const struct sockaddr *at, socklen_t size)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    int flags = fcntl(fd, F_GETFL), err = 0;
    socklen_t length = sizeof(err);
    fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    if (connect(fd, at, size) < 0) {
        if (errno != EINPROGRESS)
            return -errno;
        if (poll(&p, 1, CONNECT_MS) <= 0)
            return -ETIMEDOUT;
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &length);
    }
    fcntl(fd, F_SETFL, flags);
    return -err;
}

static int connect_to(struct connection_work *w, int family, const struct sockaddr *at, socklen_t size)
{
    w->fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int r = w->fd < 0 ? -errno : connect_in_time(w->fd, at, size);
    if (r < 0 && w->fd >= 0)
        close(w->fd);
    return r;
}

static int connect_tcp(struct connection_work *w)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    const struct place *p = w->place;
    struct addrinfo *found;
    char port[16];
    snprintf(port, sizeof(port), "%u", p->port);
    int r = getaddrinfo(p->host, port, &hints, &found);
    if (r)
        return vir_fail(w->error, VIR_ERR_SYSTEM_ERROR, "Unable to resolve address '%s' service '%s': %s",
                        p->host, port, gai_strerror(r));
    r = -ENOENT;
    for (struct addrinfo *a = found; a && r < 0; a = a->ai_next)
        r = connect_to(w, a->ai_family, a->ai_addr, a->ai_addrlen);
    freeaddrinfo(found);
    return r == 0 ? 0
                  : vir_fail(w->error, VIR_ERR_SYSTEM_ERROR, "unable to connect to server at '%s:%s': %s",
                             p->host, port, strerror(-r));
}

static int connect_local(struct connection_work *w)
{
    struct sockaddr_un at = local_address(w->place);
    int r = connect_to(w, AF_UNIX, (struct sockaddr *)&at, sizeof(at));
    return r == 0 ? 0
                  : vir_fail(w->error, VIR_ERR_SYSTEM_ERROR, "Failed to connect socket to '%s': %s",
                             w->place->path, strerror(-r));
}

/* On a thread: looking a name up, and connecting, take as long as the network does. */
static int connect_work(void *arg)
{
    struct connection_work *w = arg;
    return w->place->local ? connect_local(w) : connect_tcp(w);
}

int place_connect(struct tasks *t, const struct place *p, struct vir_error *e)
{
    struct connection_work w = {.place = p, .error = e};
    return work_run(t, connect_work, &w) < 0 ? -1 : w.fd;
}

/* ---- from it ---- */

static bool is_loopback(const char *host)
{
    return !strncmp(host, "127.", 4) || !strcmp(host, "localhost") || !strcmp(host, "::1");
}

static int listen_at(const struct sockaddr *at, socklen_t size)
{
    int one = 1, fd = socket(at->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    if (at->sa_family != AF_UNIX)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(fd, at, size) == 0 && listen(fd, 1) == 0)
        return fd;
    int r = -errno;
    close(fd);
    return r;
}

static int listen_local(const struct place *p, struct vir_error *e)
{
    struct sockaddr_un at = local_address(p);
    int fd = listen_at((struct sockaddr *)&at, sizeof(at));
    return fd >= 0 ? fd : vir_fail_errno(e, -fd, "Failed to bind socket to '%s'", p->path);
}

static void set_port(struct sockaddr *at, unsigned port)
{
    if (at->sa_family == AF_INET)
        ((struct sockaddr_in *)(void *)at)->sin_port = htons((u16)port);
    else
        ((struct sockaddr_in6 *)(void *)at)->sin6_port = htons((u16)port);
}

int place_listen(struct place *p, const char *address, const struct settings *s, struct vir_error *e)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICHOST};
    bool v6 = strchr(p->host, ':'), loopback = is_loopback(p->host);
    struct addrinfo *found;
    if (p->local)
        return listen_local(p, e);
    if (!address)
        address = v6 ? (loopback ? "::1" : "::") : loopback ? "127.0.0.1" : "0.0.0.0";
    int r = getaddrinfo(address, NULL, &hints, &found), fd = -1;
    if (r)
        return vir_fail(e, VIR_ERR_INVALID_ARG, "'%s' is no address to listen at: %s", address,
                        gai_strerror(r));
    unsigned first = p->port ? p->port : (unsigned)s->migration_port_min,
             last = p->port ? p->port : (unsigned)s->migration_port_max;
    for (unsigned port = first; fd < 0 && port <= last; port++) {
        set_port(found->ai_addr, port);
        fd = listen_at(found->ai_addr, found->ai_addrlen);
        if (fd >= 0)
            p->port = port;
        else if (fd != -EADDRINUSE && fd != -EACCES)
            break;
    }
    freeaddrinfo(found);
    if (fd >= 0)
        return fd;
    return p->port ? vir_fail_errno(e, -fd, "cannot listen at %s, port %u", address, p->port)
                   : vir_fail(e, VIR_ERR_INTERNAL_ERROR,
                              "Unable to find an unused port in range 'migration' (%u-%u)", first, last);
}
