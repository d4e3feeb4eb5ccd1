/* user.c - the user-mode network: libslirp, a router with DHCP and DNS that needs no privileges */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "machine/chardevs.h"
#include "machine/net/coalesce.h"
#include "machine/net/libslirp.h"
#include "machine/net/user.h"

enum { MAX_FDS = 4096, NS_PER_MS = 1000000, MAX_FORWARDS = 16, MAX_SEARCH = 8 };

/* A port of the guest's network that leads to a character device. */
struct guest_forward {
    struct user *user;
    struct chardev *chardev;
    struct in_addr address;
    int port;
};

/* libslirp wants its descriptors polled, ever different ones. They are in an epoll descriptor of their own,
 * which is one watch of the loop. */
struct user {
    struct net_backend backend;
    struct loop *loop;
    struct libslirp lib;
    Slirp *slirp;
    struct loop_watch watch;
    struct loop_timer timeout;
    struct pollfd fds[MAX_FDS];
    unsigned count;
    struct coalesce burst; /* what libslirp has sent in one go */
    struct guest_forward forward[MAX_FORWARDS];
    unsigned forward_count;
    /* options; the strings are libslirp's own copies later */
    const char *hostname, *domainname, *net, *host, *dhcpstart, *dns, *tftp, *bootfile, *tftp_name;
    const char *prefix6, *host6, *dns6;
    u32 prefix6_len;
    bool restricted, ipv4, ipv6;
};

struct timer {
    struct loop_timer timer;
    struct user *user;
    SlirpTimerCb callback;
    void *opaque;
};

static int add_fd(int fd, int events, void *opaque)
{
    struct user *u = opaque;
    short p = (short)((events & SLIRP_POLL_IN ? POLLIN : 0) | (events & SLIRP_POLL_OUT ? POLLOUT : 0) |
                      (events & SLIRP_POLL_PRI ? POLLPRI : 0));
    if (u->count == MAX_FDS)
        return -1;
    u->fds[u->count] = (struct pollfd){.fd = fd, .events = p};
    return (int)u->count++;
}

static int events_of(int index, void *opaque)
{
    struct user *u = opaque;
    if (index < 0)
        return 0;
    short p = u->fds[index].revents;
    return (p & POLLIN ? SLIRP_POLL_IN : 0) | (p & POLLOUT ? SLIRP_POLL_OUT : 0) |
           (p & POLLPRI ? SLIRP_POLL_PRI : 0) | (p & POLLERR ? SLIRP_POLL_ERR : 0) |
           (p & POLLHUP ? SLIRP_POLL_HUP : 0);
}

/* Whether it was watched already, and for what; -1: not. It most often stands where it stood. */
static int old_place(const struct pollfd *old, unsigned old_count, unsigned guess, int fd)
{
    if (guess < old_count && old[guess].fd == fd)
        return (int)guess;
    for (unsigned i = 0; i < old_count; i++)
        if (old[i].fd == fd)
            return (int)i;
    return -1;
}

static void watch_fd(struct user *u, const struct pollfd *p, const struct pollfd *was)
{
    struct epoll_event ev = {.events = (u32)p->events}; /* the bits of poll and epoll are the same */
    if (was && was->events == p->events && epoll_ctl(u->watch.fd, EPOLL_CTL_MOD, p->fd, &ev) == 0)
        return; /* the number may be that of a new descriptor */
    if (epoll_ctl(u->watch.fd, EPOLL_CTL_MOD, p->fd, &ev) < 0)
        epoll_ctl(u->watch.fd, EPOLL_CTL_ADD, p->fd, &ev);
}

/* The epoll descriptor watches what libslirp wants now; what it has closed has left by itself. */
static void watch_fds(struct user *u)
{
    u32 timeout = UINT32_MAX;
    struct pollfd old[MAX_FDS];
    bool kept[MAX_FDS] = {false};
    unsigned old_count = u->count;
    memcpy(old, u->fds, old_count * sizeof(old[0]));
    u->count = 0;
    u->lib.pollfds_fill(u->slirp, &timeout, add_fd, u);
    for (unsigned i = 0; i < u->count; i++) {
        int at = old_place(old, old_count, i, u->fds[i].fd);
        watch_fd(u, &u->fds[i], at < 0 ? NULL : &old[at]);
        if (at >= 0)
            kept[at] = true;
    }
    for (unsigned i = 0; i < old_count; i++)
        if (!kept[i])
            epoll_ctl(u->watch.fd, EPOLL_CTL_DEL, old[i].fd, NULL);
    loop_cancel(u->loop, &u->timeout);
    if (timeout != UINT32_MAX)
        loop_arm(u->loop, &u->timeout, loop_now() + (u64)timeout * NS_PER_MS);
}

static void flush_burst(struct user *u)
{
    size_t len;
    if (!u->burst.len)
        return;
    const struct net_header h = coalesce_finish(&u->burst, &len);
    net_deliver(&u->backend, &h, u->burst.packet, len);
}

static void run(struct user *u)
{
    int r = poll(u->fds, u->count, 0);
    u->lib.pollfds_poll(u->slirp, r < 0, events_of, u);
    flush_burst(u);
    watch_fds(u);
}

/* libslirp may want other descriptors now: soon, once for all packets that come together. */
static void run_soon(struct user *u)
{
    if (!u->timeout.armed || u->timeout.deadline)
        loop_arm(u->loop, &u->timeout, 0);
}

static void fds_ready(struct loop_watch *w, short revents)
{
    (void)revents;
    run(container_of(w, struct user, watch));
}

static void timed_out(struct loop_timer *t)
{
    run(container_of(t, struct user, timeout));
}

/* ---- what libslirp calls ---- */

static ssize_t send_packet(const void *packet, size_t len, void *opaque)
{
    struct user *u = opaque;
    const struct net_header whole = {.flags = NET_DATA_VALID};
    bool merges = u->backend.client_takes & (NET_TAKES_TSO4 | NET_TAKES_TSO6);
    if (merges && coalesce_add(&u->burst, packet, len))
        return (ssize_t)len;
    flush_burst(u); /* so that nothing overtakes */
    if (!merges || !coalesce_add(&u->burst, packet, len))
        net_deliver(&u->backend, &whole, (u8 *)packet, len);
    return (ssize_t)len;
}

static void guest_error(const char *text, void *opaque)
{
    (void)text, (void)opaque; /* a guest's mistake is no news, and may come without end */
}

static int64_t clock_get_ns(void *opaque)
{
    (void)opaque;
    return (int64_t)loop_now();
}

static void timer_expired(struct loop_timer *l)
{
    struct timer *t = container_of(l, struct timer, timer);
    t->callback(t->opaque);
    flush_burst(t->user);
    run_soon(t->user);
}

static void *timer_new(SlirpTimerCb callback, void *callback_opaque, void *opaque)
{
    struct timer *t = calloc(1, sizeof(*t));
    ASSERT(t); /* libslirp cannot do without; it is small, and made at the start */
    *t = (struct timer){{.expired = timer_expired}, opaque, callback, callback_opaque};
    return t;
}

static void timer_free(void *timer, void *opaque)
{
    struct user *u = opaque;
    loop_cancel(u->loop, &((struct timer *)timer)->timer);
    free(timer);
}

static void timer_mod(void *timer, int64_t expire_ms, void *opaque)
{
    struct user *u = opaque;
    loop_arm(u->loop, &((struct timer *)timer)->timer, (u64)max(expire_ms, (int64_t)0) * NS_PER_MS);
}

static void poll_fd(int fd, void *opaque)
{
    (void)fd, (void)opaque; /* slirp_pollfds_fill tells all of them */
}

static void notify(void *opaque)
{
    run_soon(opaque);
}

static const SlirpCb callbacks = {
    .send_packet = send_packet,
    .guest_error = guest_error,
    .clock_get_ns = clock_get_ns,
    .timer_new = timer_new,
    .timer_free = timer_free,
    .timer_mod = timer_mod,
    .register_poll_fd = poll_fd,
    .unregister_poll_fd = poll_fd,
    .notify = notify,
};

/* ---- options ---- */

static bool parse_port(const char *text, int *port)
{
    char *end;
    long n = strtol(text, &end, 10);
    *port = (int)n;
    return end != text && !*end && n >= 0 && n <= 65535;
}

/* ADDRESS:PORT; an empty address is left as it is. */
static bool parse_address(char *text, struct in_addr *a, int *port)
{
    char *colon = strchr(text, ':');
    if (!colon)
        return false;
    *colon = 0;
    return (!*text || inet_aton(text, a)) && parse_port(colon + 1, port);
}

/* [tcp|udp]:[HOSTADDR]:HOSTPORT-[GUESTADDR]:GUESTPORT */
static int forward(struct user *u, const char *value, struct error *e)
{
    char text[128];
    struct in_addr host = {INADDR_ANY}, guest;
    int host_port, guest_port;
    inet_aton("10.0.2.15", &guest);
    bool fits = snprintf(text, sizeof(text), "%s", value) < (int)sizeof(text);
    char *colon = fits ? strchr(text, ':') : NULL, *dash = fits ? strchr(text, '-') : NULL;
    if (!colon || !dash || dash < colon)
        goto malformed;
    *colon = *dash = 0;
    bool udp = !strcmp(text, "udp");
    if ((!udp && *text && strcmp(text, "tcp")) || !parse_address(colon + 1, &host, &host_port) ||
        !parse_address(dash + 1, &guest, &guest_port) || !guest_port)
        goto malformed;
    if (u->lib.add_hostfwd(u->slirp, udp, host, host_port, guest, guest_port) < 0)
        return error_set(e, errno ? errno : EIO,
                         "-netdev user: hostfwd '%s': cannot listen there: %s: use another port", value,
                         strerror(errno));
    return 0;
malformed:
    return error_set(e, EINVAL, "-netdev user: hostfwd '%s' is not tcp|udp:[HOSTADDR]:PORT-[GUESTADDR]:PORT",
                     value);
}

/* ---- ports of the guest's network that lead to a program of the host's ---- */

static ssize_t to_chardev(const void *bytes, size_t len, void *opaque)
{
    struct guest_forward *f = opaque;
    for (size_t i = 0; i < len; i++)
        chardev_write(f->chardev, ((const u8 *)bytes)[i]);
    return (ssize_t)len;
}

static void from_chardev(void *opaque)
{
    struct guest_forward *f = opaque;
    u8 bytes[4096];
    size_t room, n;
    while ((room = f->user->lib.socket_can_recv(f->user->slirp, f->address, f->port)) &&
           chardev_available(f->chardev)) {
        for (n = 0; n < min(room, sizeof(bytes)) && chardev_read(f->chardev, &bytes[n]);)
            n++;
        f->user->lib.socket_recv(f->user->slirp, f->address, f->port, bytes, (int)n);
    }
    run_soon(f->user);
}

static int open_forward(struct user *u, struct chardevs *s, struct guest_forward *f, const char *where,
                        struct error *e)
{
    struct properties p;
    char label[64];
    snprintf(label, sizeof(label), "guestfwd.%s:%d", inet_ntoa(f->address), f->port);
    if (chardev_config_parse(&p, where, "guestfwd", e) < 0)
        return -EINVAL;
    int r = properties_add(&p, "id", label) < 0 ? error_set(e, ENOMEM, "guestfwd: no memory")
                                                : chardevs_add(s, &p, "guestfwd", e);
    properties_free(&p);
    if (r < 0 || !(f->chardev = chardevs_take(s, label, "guestfwd", e)))
        return -EINVAL;
    f->user = u;
    f->chardev->user = (struct chardev_user){f, from_chardev, NULL, NULL, NULL};
    if (u->lib.add_guestfwd(u->slirp, to_chardev, f, &f->address, f->port) < 0)
        return error_set(e, EINVAL,
                         "-netdev user: guestfwd %s:%d is no address of the guest's network, or is taken",
                         inet_ntoa(f->address), f->port);
    u->forward_count++;
    return 0;
}

/* [tcp]:SERVER:PORT-WHERE, WHERE being as -serial has it. */
static int forward_guest(struct user *u, struct chardevs *s, const char *value, struct error *e)
{
    char text[512];
    struct guest_forward *f = &u->forward[u->forward_count];
    bool fits = snprintf(text, sizeof(text), "%s", value) < (int)sizeof(text);
    char *colon = fits ? strchr(text, ':') : NULL, *dash = colon ? strchr(colon, '-') : NULL;
    if (u->forward_count == MAX_FORWARDS)
        return error_set(e, ENOSPC, "-netdev user: more than %d guestfwd", MAX_FORWARDS);
    if (!dash)
        goto malformed;
    *colon = *dash = 0;
    *f = (struct guest_forward){0};
    if ((*text && strcmp(text, "tcp")) || !parse_address(colon + 1, &f->address, &f->port) || !f->port)
        goto malformed;
    if (!strncmp(dash + 1, "cmd:", 4))
        return error_set(e, ENOTSUP, "-netdev user: guestfwd: cmd: is not supported: connect it to a socket");
    return open_forward(u, s, f, dash + 1, e);
malformed:
    return error_set(e, EINVAL, "-netdev user: guestfwd '%s' is not tcp:SERVER:PORT-unix:PATH or the like",
                     value);
}

/* ---- more options ---- */

static const struct property_row user_rows[] = {
    {"hostname", PROPERTY_TEXT, offsetof(struct user, hostname), .help = "what DHCP calls the guest"},
    {"domainname", PROPERTY_TEXT, offsetof(struct user, domainname), .help = "its domain"},
    {"dnssearch", PROPERTY_MANY, 0, .help = "a domain in which it looks for names"},
    {"restrict", PROPERTY_BOOL, offsetof(struct user, restricted), "off",
     "the guest reaches only what is forwarded"},
    {"ipv4", PROPERTY_BOOL, offsetof(struct user, ipv4), "on", "there is IPv4"},
    {"ipv6", PROPERTY_BOOL, offsetof(struct user, ipv6), "on", "there is IPv6"},
    {"net", PROPERTY_TEXT, offsetof(struct user, net), "10.0.2.0/24", "the network: ADDRESS[/MASK]"},
    {"host", PROPERTY_TEXT, offsetof(struct user, host),
     .help = "the router; default: the network's second address"},
    {"dhcpstart", PROPERTY_TEXT, offsetof(struct user, dhcpstart),
     .help = "what DHCP gives; default: the 15th"},
    {"dns", PROPERTY_TEXT, offsetof(struct user, dns), .help = "the name server; default: the third"},
    {"ipv6-prefix", PROPERTY_TEXT, offsetof(struct user, prefix6), "fec0::", "the network of IPv6"},
    {"ipv6-prefixlen", PROPERTY_U32, offsetof(struct user, prefix6_len), "64", "its bits", 1, 126},
    {"ipv6-host", PROPERTY_TEXT, offsetof(struct user, host6),
     .help = "its router; default: the second address"},
    {"ipv6-dns", PROPERTY_TEXT, offsetof(struct user, dns6), .help = "its name server; default: the third"},
    {"tftp", PROPERTY_TEXT, offsetof(struct user, tftp), .help = "a folder that the guest reads by TFTP"},
    {"bootfile", PROPERTY_TEXT, offsetof(struct user, bootfile), .help = "what DHCP tells a guest to boot"},
    {"tftp-server-name", PROPERTY_TEXT, offsetof(struct user, tftp_name), .help = "and from where"},
    {"hostfwd", PROPERTY_MANY, 0,
     .help = "tcp|udp:[HOSTADDR]:PORT-[GUESTADDR]:PORT: the host's port leads to the guest's"},
    {"guestfwd", PROPERTY_MANY, 0,
     .help = "tcp:SERVER:PORT-unix:PATH: a port of the guest's network leads to a socket"},
    {0}};

static int wrong(const char *name, const char *text, struct error *e)
{
    return error_set(e, EINVAL, "-netdev user: %s '%s' is no address, or not one of the network", name, text);
}

/* "10.0.2.0/24", "10.0.2.0/255.255.255.0", "10.0.2.0": in the host's order. */
static bool parse_net(const char *text, u32 *net, u32 *mask)
{
    char address[64];
    struct in_addr a;
    const char *slash = strchr(text, '/');
    int bits;
    snprintf(address, sizeof(address), "%.*s", (int)(slash ? slash - text : 32), text);
    if (!inet_aton(address, &a))
        return false;
    *net = ntohl(a.s_addr);
    *mask = *net >> 31 == 0 ? 0xff000000 : *net >> 30 == 2 ? 0xffff0000 : 0xffffff00; /* the old classes */
    if (slash && parse_port(slash + 1, &bits) && bits >= 4 && bits <= 30)
        *mask = ~0u << (32 - bits);
    else if (slash && inet_aton(slash + 1, &a) && strchr(slash, '.'))
        *mask = ntohl(a.s_addr);
    else if (slash)
        return false;
    *net &= *mask;
    return ~*mask >= 15;
}

/* An address of the network: what is given, or its `nth`. */
static int own_address(const char *name, const char *text, u32 net, u32 mask, u32 nth, struct in_addr *a,
                       struct error *e)
{
    a->s_addr = htonl(net | nth);
    if (text && (!inet_aton(text, a) || (ntohl(a->s_addr) & mask) != net))
        return wrong(name, text, e);
    return 0;
}

static int configure4(const struct user *u, SlirpConfig *c, struct error *e)
{
    u32 net, mask;
    if (!parse_net(u->net, &net, &mask))
        return error_set(e, EINVAL, "-netdev user: net '%s' is no network: use one as 10.0.2.0/24", u->net);
    c->vnetwork.s_addr = htonl(net);
    c->vnetmask.s_addr = htonl(mask);
    int r = own_address("host", u->host, net, mask, 2, &c->vhost, e);
    if (r < 0 || (r = own_address("dhcpstart", u->dhcpstart, net, mask, 15, &c->vdhcp_start, e)) < 0 ||
        (r = own_address("dns", u->dns, net, mask, 3, &c->vnameserver, e)) < 0)
        return r;
    if (c->vhost.s_addr == c->vnameserver.s_addr || c->vhost.s_addr == c->vdhcp_start.s_addr ||
        c->vnameserver.s_addr == c->vdhcp_start.s_addr)
        return error_set(e, EINVAL, "-netdev user: host, dns and dhcpstart must be different addresses");
    return 0;
}

static int configure6(const struct user *u, SlirpConfig *c, struct error *e)
{
    if (inet_pton(AF_INET6, u->prefix6, &c->vprefix_addr6) != 1)
        return wrong("ipv6-prefix", u->prefix6, e);
    c->vprefix_len = (u8)u->prefix6_len;
    c->vhost6 = c->vnameserver6 = c->vprefix_addr6;
    c->vhost6.s6_addr[15] |= 2;
    c->vnameserver6.s6_addr[15] |= 3;
    if (u->host6 && inet_pton(AF_INET6, u->host6, &c->vhost6) != 1)
        return wrong("ipv6-host", u->host6, e);
    return u->dns6 && inet_pton(AF_INET6, u->dns6, &c->vnameserver6) != 1 ? wrong("ipv6-dns", u->dns6, e) : 0;
}

static int configure(const struct user *u, SlirpConfig *c, struct error *e)
{
    *c = (SlirpConfig){.version = 3,
                       .restricted = u->restricted,
                       .in_enabled = u->ipv4,
                       .in6_enabled = u->ipv6,
                       .vhostname = u->hostname,
                       .vdomainname = u->domainname,
                       .tftp_path = u->tftp,
                       .bootfile = u->bootfile,
                       .tftp_server_name = u->tftp_name};
    int r = configure4(u, c, e);
    return r < 0 ? r : configure6(u, c, e);
}

static void user_destroy(struct net_backend *b)
{
    struct user *u = container_of(b, struct user, backend);
    loop_cancel(u->loop, &u->timeout);
    loop_remove(u->loop, &u->watch);
    for (unsigned i = 0; i < u->forward_count; i++)
        chardev_release(u->forward[i].chardev);
    if (u->slirp)
        u->lib.cleanup(u->slirp);
    if (u->watch.fd >= 0)
        close(u->watch.fd);
    free(u);
}

/* libslirp copies the strings. */
static Slirp *start_slirp(struct user *u, const struct properties *p, SlirpConfig *c)
{
    const char *search[MAX_SEARCH + 1] = {NULL};
    unsigned n = 0;
    for (unsigned i = 0; i < p->count; i++)
        if (!strcmp(p->at[i].name, "dnssearch") && n < MAX_SEARCH)
            search[n++] = p->at[i].value;
    c->vdnssearch = n ? search : NULL;
    return u->lib.new(c, &callbacks, u);
}

static int start_forwards(struct user *u, struct chardevs *s, const struct properties *p, struct error *e)
{
    int r = 0;
    for (unsigned i = 0; i < p->count && r == 0; i++) {
        bool guest = !strncmp(p->at[i].name, "guestfwd", 8);
        if (guest || !strncmp(p->at[i].name, "hostfwd", 7))
            r = guest ? forward_guest(u, s, p->at[i].value, e) : forward(u, p->at[i].value, e);
    }
    return r;
}

static int start(struct user *u, const struct net_set *s, const struct properties *p, struct error *e)
{
    SlirpConfig c;
    int r = properties_read(p, user_rows, u, "-netdev user", e);
    if (r < 0 || (r = configure(u, &c, e)) < 0 || (r = libslirp_load(&u->lib, e)) < 0)
        return r;
    u->watch = (struct loop_watch){epoll_create1(EPOLL_CLOEXEC), POLLIN, fds_ready};
    u->slirp = u->watch.fd >= 0 ? start_slirp(u, p, &c) : NULL;
    if (!u->slirp)
        return error_set(e, EIO, "-netdev user: libslirp does not start: %s", strerror(errno));
    return start_forwards(u, s->chardevs, p, e);
}

static struct net_backend *user_create(const struct net_set *s, const struct properties *p, struct error *e)
{
    struct user *u = calloc(1, sizeof(*u));
    if (!u) {
        error_set(e, ENOMEM, "-netdev user: no memory");
        return NULL;
    }
    u->loop = s->loop;
    u->watch.fd = -1;
    u->timeout.expired = timed_out;
    u->backend.takes =
        NET_TAKES_TSO4 | NET_TAKES_TSO6 | NET_TAKES_ECN; /* libslirp does not mind their length */
    if (start(u, s, p, e) < 0) {
        user_destroy(&u->backend);
        return NULL;
    }
    loop_add(s->loop, &u->watch);
    watch_fds(u);
    return &u->backend;
}

static void user_send(struct net_backend *b, const struct net_header *h, const u8 *packet, size_t len)
{
    struct user *u = container_of(b, struct user, backend);
    (void)h;
    u->lib.input(u->slirp, packet, (int)len);
    flush_burst(u);
    run_soon(u);
}

static void user_describe(const struct net_backend *b, char *text, size_t size)
{
    (void)b;
    snprintf(text, size, "type=user");
}

int net_user_forward(struct net_backend *b, const char *text, struct error *e)
{
    return forward(container_of(b, struct user, backend), text, e);
}

/* [tcp|udp]:[HOSTADDR]:PORT, as `hostfwd_remove` has it. */
bool net_user_remove_forward(struct net_backend *b, const char *value)
{
    struct user *u = container_of(b, struct user, backend);
    char text[128];
    struct in_addr host = {INADDR_ANY};
    int port;
    bool fits = snprintf(text, sizeof(text), "%s", value) < (int)sizeof(text);
    char *colon = fits ? strchr(text, ':') : NULL;
    return colon && parse_address(colon + 1, &host, &port) &&
           u->lib.remove_hostfwd(u->slirp, !strncmp(text, "udp", 3), host, port) == 0;
}

char *net_user_connections(struct net_backend *b)
{
    struct user *u = container_of(b, struct user, backend);
    return u->lib.connection_info(u->slirp);
}

const struct net_type net_user = {.name = "user",
                                  .help = "a router in the program itself, with DHCP and DNS",
                                  .rows = user_rows,
                                  .create = user_create,
                                  .destroy = user_destroy,
                                  .send = user_send,
                                  .describe = user_describe};
