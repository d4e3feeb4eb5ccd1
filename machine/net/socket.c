/* socket.c - a network that leads to another machine: frames in a TCP stream, or in datagrams */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "machine/net/net.h"

/* In a stream each frame has its length in front, as QEMU's -netdev socket has it. Whoever is at the other
 * end is not trusted: a length that no frame has ends the connection. */
enum { LENGTH = 4, ETHERNET_HEADER = 14, AT_ONCE = 64 };
enum { IN_SIZE = LENGTH + NET_MAX_PACKET, OUT_SIZE = 4 * IN_SIZE };

struct net_socket {
    struct net_backend backend;
    struct loop *loop;
    struct loop_watch watch;     /* the other end; fd -1: nobody is there */
    struct loop_watch listening; /* fd -1: it does not listen */
    bool connecting;
    u8 in[IN_SIZE], out[OUT_SIZE];
    size_t in_used, out_from, out_to; /* of `out`: what waits */
    struct sockaddr_in group;         /* mcast */
    char where[160];
    /* options, only while it is created */
    const char *listen, *connect, *mcast, *udp, *localaddr, *fd;
};

/* ---- frames ---- */

static void deliver(struct net_socket *s, u8 *frame, size_t len)
{
    const struct net_header whole = {0};
    if (len >= ETHERNET_HEADER)
        net_deliver(&s->backend, &whole, frame, len);
}

static void datagrams_arrived(struct loop_watch *w, short revents)
{
    struct net_socket *s = container_of(w, struct net_socket, watch);
    (void)revents;
    for (unsigned i = 0; i < AT_ONCE; i++) { /* the loop has others to serve, too */
        ssize_t n = recv(w->fd, s->in, NET_MAX_PACKET, 0);
        if (n >= 0)
            deliver(s, s->in, (size_t)n);
        else if (errno == EAGAIN)
            return;
    }
}

static void hang_up(struct net_socket *s)
{
    loop_remove(s->loop, &s->watch);
    if (s->watch.fd >= 0)
        close(s->watch.fd);
    s->watch.fd = -1;
    s->connecting = false;
    s->in_used = s->out_from = s->out_to = 0;
    if (s->listening.fd >= 0)
        loop_add(s->loop, &s->listening); /* one at a time */
}

/* Delivers what has come whole. false: no such stream. */
static bool take_frames(struct net_socket *s)
{
    size_t at = 0;
    while (s->in_used - at >= LENGTH) {
        u32 len;
        memcpy(&len, s->in + at, sizeof(len));
        len = ntohl(len);
        if (len > NET_MAX_PACKET)
            return false;
        if (s->in_used - at - LENGTH < len)
            break;
        deliver(s, s->in + at + LENGTH, len);
        at += LENGTH + len;
    }
    s->in_used -= at;
    memmove(s->in, s->in + at, s->in_used);
    return true;
}

static void read_stream(struct net_socket *s)
{
    for (unsigned i = 0; i < AT_ONCE; i++) {
        ssize_t n = read(s->watch.fd, s->in + s->in_used, sizeof(s->in) - s->in_used);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        s->in_used += n > 0 ? (size_t)n : 0;
        if (n <= 0 || !take_frames(s)) {
            hang_up(s);
            return;
        }
    }
}

static void flush(struct net_socket *s)
{
    while (s->out_from < s->out_to) {
        ssize_t n = send(s->watch.fd, s->out + s->out_from, s->out_to - s->out_from, MSG_NOSIGNAL);
        if (n < 0)
            break; /* if the other end is gone, reading tells */
        s->out_from += (size_t)n;
    }
    if (s->out_from == s->out_to)
        s->out_from = s->out_to = 0;
    loop_set_events(s->loop, &s->watch, s->out_to ? POLLIN | POLLOUT : POLLIN);
}

static void connected(struct net_socket *s)
{
    int why = 0;
    socklen_t size = sizeof(why);
    getsockopt(s->watch.fd, SOL_SOCKET, SO_ERROR, &why, &size);
    if (why) {
        report("-netdev socket: %s: %s", s->where, strerror(why));
        hang_up(s);
    }
    s->connecting = false;
}

static void stream_ready(struct loop_watch *w, short revents)
{
    struct net_socket *s = container_of(w, struct net_socket, watch);
    if (s->connecting)
        connected(s);
    if (s->watch.fd >= 0 && revents & POLLOUT)
        flush(s);
    if (s->watch.fd >= 0 && revents & ~POLLOUT)
        read_stream(s);
}

/* What there is no room for is lost, as networks do; but half a frame is none. */
static void send_stream(struct net_socket *s, const u8 *frame, size_t len)
{
    const u32 length = htonl((u32)len);
    if (OUT_SIZE - s->out_to < LENGTH + len) {
        memmove(s->out, s->out + s->out_from, s->out_to - s->out_from);
        s->out_to -= s->out_from;
        s->out_from = 0;
    }
    if (OUT_SIZE - s->out_to < LENGTH + len)
        return;
    bool waited = s->out_to;
    memcpy(s->out + s->out_to, &length, LENGTH);
    memcpy(s->out + s->out_to + LENGTH, frame, len);
    s->out_to += LENGTH + len;
    if (!waited)
        flush(s);
}

static void socket_send(struct net_backend *b, const struct net_header *h, const u8 *frame, size_t len)
{
    struct net_socket *s = container_of(b, struct net_socket, backend);
    (void)h;
    if (s->watch.fd < 0 || s->connecting)
        return;
    if (s->watch.ready == stream_ready)
        send_stream(s, frame, len);
    else if (s->group.sin_port)
        sendto(s->watch.fd, frame, len, MSG_NOSIGNAL, (struct sockaddr *)&s->group, sizeof(s->group));
    else
        send(s->watch.fd, frame, len, MSG_NOSIGNAL);
}

static void have_stream(struct net_socket *s, int fd)
{
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    s->watch = (struct loop_watch){fd, POLLIN, stream_ready};
}

static void client_arrived(struct loop_watch *w, short revents)
{
    struct net_socket *s = container_of(w, struct net_socket, listening);
    (void)revents;
    int fd = accept4(w->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return;
    loop_remove(s->loop, w);
    have_stream(s, fd);
    loop_add(s->loop, &s->watch);
}

/* ---- how it is opened ---- */

/* HOST:PORT; without a host: any of this computer's, or (to connect) this computer. The caller frees it. */
static struct addrinfo *address_of(const char *text, int type, int flags, struct error *e)
{
    char host[128];
    const struct addrinfo hints = {.ai_socktype = type, .ai_flags = flags | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    const char *colon = strrchr(text, ':');
    size_t n = colon ? (size_t)(colon - text) : sizeof(host);
    if (n >= sizeof(host)) {
        error_set(e, EINVAL, "-netdev socket: '%s' is not HOST:PORT", text);
        return NULL;
    }
    bool brackets = n > 1 && text[0] == '[' && text[n - 1] == ']';
    snprintf(host, sizeof(host), "%.*s", (int)(n - 2u * brackets), text + brackets);
    int r = getaddrinfo(*host ? host : NULL, colon + 1, &hints, &found);
    if (!r)
        return found;
    error_set(e, EINVAL, "-netdev socket: %s: %s", text, gai_strerror(r));
    return NULL;
}

static int failed(const char *what, const char *where, struct error *e)
{
    return error_set(e, errno, "-netdev socket: cannot %s %s: %s", what, where, strerror(errno));
}

static int open_listen(struct net_socket *s, struct error *e)
{
    struct addrinfo *a = address_of(s->listen, SOCK_STREAM, AI_PASSIVE, e);
    if (!a)
        return -EINVAL;
    int fd = s->listening.fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    int r =
        bind(fd, a->ai_addr, a->ai_addrlen) < 0 || listen(fd, 1) < 0 ? failed("listen on", s->listen, e) : 0;
    freeaddrinfo(a);
    return r;
}

static int open_connect(struct net_socket *s, struct error *e)
{
    struct addrinfo *a = address_of(s->connect, SOCK_STREAM, 0, e);
    if (!a)
        return -EINVAL;
    have_stream(s, socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    int r = connect(s->watch.fd, a->ai_addr, a->ai_addrlen);
    s->connecting = r < 0 && errno == EINPROGRESS;
    if (s->connecting)
        s->watch.events = POLLOUT;
    else if (r < 0)
        r = failed("connect to", s->connect, e);
    freeaddrinfo(a);
    return s->connecting ? 0 : r;
}

/* A socket for datagrams, bound to an address of this computer's. */
static int open_datagrams(struct net_socket *s, const char *at, struct error *e)
{
    struct addrinfo *a = address_of(at, SOCK_DGRAM, AI_PASSIVE, e);
    if (!a)
        return -EINVAL;
    int fd = socket(a->ai_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    s->watch = (struct loop_watch){fd, POLLIN, datagrams_arrived};
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    int r = bind(fd, a->ai_addr, a->ai_addrlen) < 0 ? failed("have", at, e) : 0;
    freeaddrinfo(a);
    return r;
}

static int send_to(struct net_socket *s, const char *to, struct error *e)
{
    struct addrinfo *a = address_of(to, SOCK_DGRAM, 0, e);
    int r = !a ? -EINVAL : connect(s->watch.fd, a->ai_addr, a->ai_addrlen) < 0 ? failed("send to", to, e) : 0;
    if (a)
        freeaddrinfo(a);
    return r;
}

static int open_udp(struct net_socket *s, struct error *e)
{
    int r = open_datagrams(s, s->localaddr, e);
    return r < 0 ? r : send_to(s, s->udp, e);
}

/* Everybody of a group hears everybody: what is sent comes back to the sender, too, as it does in QEMU. */
static int open_mcast(struct net_socket *s, struct error *e)
{
    struct ip_mreqn m = {0};
    socklen_t size = sizeof(s->group);
    int r = open_datagrams(s, s->mcast, e), fd = s->watch.fd;
    if (r < 0)
        return r;
    getsockname(fd, (struct sockaddr *)&s->group, &size);
    m.imr_multiaddr = s->group.sin_addr;
    if (s->group.sin_family != AF_INET || !IN_MULTICAST(ntohl(s->group.sin_addr.s_addr)) ||
        (s->localaddr && !inet_aton(s->localaddr, &m.imr_address)))
        return error_set(e, EINVAL, "-netdev socket: mcast=%s%s%s: no group's address, or none of the host's",
                         s->mcast, s->localaddr ? ",localaddr=" : "", s->localaddr ? s->localaddr : "");
    if (setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &m, sizeof(m)) < 0 ||
        (s->localaddr && setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &m, sizeof(m)) < 0) ||
        setsockopt(fd, IPPROTO_IP, IP_MULTICAST_LOOP, &(int){1}, sizeof(int)) < 0)
        return failed("join", s->mcast, e);
    return 0;
}

/* A connection, or a socket for datagrams that has a peer. */
static int open_fd(struct net_socket *s, struct error *e)
{
    char *end;
    int type = 0;
    socklen_t size = sizeof(type);
    unsigned long fd = strtoul(s->fd, &end, 10);
    if (!isdigit((unsigned char)*s->fd) || *end || fd > INT32_MAX ||
        getsockopt((int)fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0)
        return error_set(e, EBADF, "-netdev socket: fd '%s' is no socket", s->fd);
    if (type == SOCK_STREAM)
        have_stream(s, (int)fd);
    else
        s->watch = (struct loop_watch){(int)fd, POLLIN, datagrams_arrived};
    fcntl((int)fd, F_SETFD, FD_CLOEXEC);
    fcntl((int)fd, F_SETFL, fcntl((int)fd, F_GETFL) | O_NONBLOCK);
    return 0;
}

#define FIELD(f) offsetof(struct net_socket, f)
static const struct property_row socket_rows[] = {
    {"listen", PROPERTY_TEXT, FIELD(listen), .help = "[HOST]:PORT: waits for another machine's connection"},
    {"connect", PROPERTY_TEXT, FIELD(connect), .help = "HOST:PORT: connects to one that waits"},
    {"udp", PROPERTY_TEXT, FIELD(udp), .help = "HOST:PORT: sends datagrams there"},
    {"mcast", PROPERTY_TEXT, FIELD(mcast), .help = "GROUP:PORT: all that join the group are one network"},
    {"localaddr", PROPERTY_TEXT, FIELD(localaddr),
     .help = "udp: HOST:PORT, where they arrive; mcast: the address of the host's that joins"},
    {"fd", PROPERTY_TEXT, FIELD(fd), .help = "the descriptor of a socket that is connected"},
    {0}};

static int open_socket(struct net_socket *s, struct error *e)
{
    const struct {
        const char *name, *value;
        int (*open)(struct net_socket *s, struct error *e);
    } forms[] = {{"listen", s->listen, open_listen},
                 {"connect", s->connect, open_connect},
                 {"udp", s->udp, open_udp},
                 {"mcast", s->mcast, open_mcast},
                 {"fd", s->fd, open_fd}};
    unsigned given = 0, which = 0;
    for (unsigned i = 0; i < ARRAY_SIZE(forms); i++)
        if (forms[i].value) {
            given++;
            which = i;
        }
    if (given != 1)
        return error_set(
            e, EINVAL, "-netdev socket: exactly one of listen=, connect=, mcast=, udp= and fd= is required");
    if (s->udp && !s->localaddr)
        return error_set(e, EINVAL, "-netdev socket: localaddr= is required with udp=");
    if (s->localaddr && !s->udp && !s->mcast)
        return error_set(e, EINVAL, "-netdev socket: localaddr= is for udp= and mcast=");
    snprintf(s->where, sizeof(s->where), "%s=%s", forms[which].name, forms[which].value);
    return forms[which].open(s, e);
}

static void socket_destroy(struct net_backend *b)
{
    struct net_socket *s = container_of(b, struct net_socket, backend);
    loop_remove(s->loop, &s->watch);
    loop_remove(s->loop, &s->listening);
    if (s->watch.fd >= 0)
        close(s->watch.fd);
    if (s->listening.fd >= 0)
        close(s->listening.fd);
    free(s);
}

static struct net_backend *socket_create(const struct net_set *set, const struct properties *p,
                                         struct error *e)
{
    struct net_socket *s = calloc(1, sizeof(*s));
    if (!s) {
        error_set(e, ENOMEM, "-netdev socket: no memory");
        return NULL;
    }
    s->loop = set->loop;
    s->watch = (struct loop_watch){-1, POLLIN, stream_ready};
    s->listening = (struct loop_watch){-1, POLLIN, client_arrived};
    if (properties_read(p, socket_rows, s, "-netdev socket", e) < 0 || open_socket(s, e) < 0) {
        socket_destroy(&s->backend);
        return NULL;
    }
    s->listen = s->connect = s->mcast = s->udp = s->localaddr = s->fd =
        NULL; /* they were the property list's */
    loop_add(s->loop, s->listening.fd >= 0 ? &s->listening : &s->watch);
    return &s->backend;
}

static void socket_describe(const struct net_backend *b, char *text, size_t size)
{
    const struct net_socket *s = container_of(b, struct net_socket, backend);
    snprintf(text, size, "type=socket,%s%s", s->where, s->watch.fd < 0 ? ", not connected" : "");
}

const struct net_type net_socket = {.name = "socket",
                                    .help = "another machine's network, over TCP or datagrams",
                                    .rows = socket_rows,
                                    .create = socket_create,
                                    .destroy = socket_destroy,
                                    .send = socket_send,
                                    .describe = socket_describe};
