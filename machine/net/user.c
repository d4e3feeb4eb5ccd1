/* user.c - the user-mode network: libslirp, a router with DHCP and DNS that needs no privileges */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <slirp/libslirp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "machine/net/net.h"

enum { MAX_FDS = 4096, NS_PER_MS = 1000000 };

/* libslirp wants its descriptors polled, ever different ones. They are in an epoll descriptor of their own,
 * which is one watch of the loop. */
struct user {
    struct net_backend backend;
    struct loop *loop;
    Slirp *slirp;
    struct loop_watch watch;
    struct loop_timer timeout;
    struct pollfd fds[MAX_FDS];
    unsigned count;
    bool busy; /* in libslirp */
    /* options */
    const char *hostname, *domainname;
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

/* The epoll descriptor watches what libslirp wants now; what it has closed has left by itself. The poll and
 * epoll event bits are the same. */
static void watch_fds(struct user *u)
{
    u32 timeout = UINT32_MAX;
    int old[MAX_FDS];
    unsigned old_count = u->count;
    for (unsigned i = 0; i < old_count; i++)
        old[i] = u->fds[i].fd;
    u->count = 0;
    slirp_pollfds_fill(u->slirp, &timeout, add_fd, u);
    for (unsigned i = 0; i < old_count; i++) {
        bool kept = false;
        for (unsigned k = 0; k < u->count && !kept; k++)
            kept = u->fds[k].fd == old[i];
        if (!kept)
            epoll_ctl(u->watch.fd, EPOLL_CTL_DEL, old[i], NULL);
    }
    for (unsigned i = 0; i < u->count; i++) {
        struct epoll_event ev = {.events = (u32)u->fds[i].events};
        if (epoll_ctl(u->watch.fd, EPOLL_CTL_MOD, u->fds[i].fd, &ev) < 0)
            epoll_ctl(u->watch.fd, EPOLL_CTL_ADD, u->fds[i].fd, &ev);
    }
    loop_cancel(u->loop, &u->timeout);
    if (timeout != UINT32_MAX)
        loop_arm(u->loop, &u->timeout, loop_now() + (u64)timeout * NS_PER_MS);
}

static void run(struct user *u)
{
    u->busy = true;
    int r = poll(u->fds, u->count, 0);
    slirp_pollfds_poll(u->slirp, r < 0, events_of, u);
    u->busy = false;
    watch_fds(u);
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
    net_deliver(&u->backend, packet, len);
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
    (void)opaque; /* the set is filled again after each packet */
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
    if (slirp_add_hostfwd(u->slirp, udp, host, host_port, guest, guest_port) < 0)
        return error_set(e, errno ? errno : EIO,
                         "-netdev user: hostfwd '%s': cannot listen there: %s: use another port", value,
                         strerror(errno));
    return 0;
malformed:
    return error_set(e, EINVAL, "-netdev user: hostfwd '%s' is not tcp|udp:[HOSTADDR]:PORT-[GUESTADDR]:PORT",
                     value);
}

static const struct property_row user_rows[] = {
    {"hostname", PROPERTY_TEXT, offsetof(struct user, hostname), .help = "what DHCP calls the guest"},
    {"domainname", PROPERTY_TEXT, offsetof(struct user, domainname), .help = "its domain"},
    {"restrict", PROPERTY_BOOL, offsetof(struct user, restricted), "off",
     "the guest reaches only what is forwarded"},
    {"ipv4", PROPERTY_BOOL, offsetof(struct user, ipv4), "on", "IPv4: 10.0.2.0/24"},
    {"ipv6", PROPERTY_BOOL, offsetof(struct user, ipv6), "on", "IPv6: fec0::/64"},
    {"hostfwd", PROPERTY_MANY, 0,
     .help = "tcp|udp:[HOSTADDR]:PORT-[GUESTADDR]:PORT: the host's port leads to the guest's"},
    {0}};

/* QEMU's addresses. */
static SlirpConfig configuration(const struct user *u)
{
    SlirpConfig c = {.version = 3,
                     .restricted = u->restricted,
                     .in_enabled = u->ipv4,
                     .in6_enabled = u->ipv6,
                     .vprefix_len = 64,
                     .vhostname = u->hostname,
                     .vdomainname = u->domainname};
    inet_aton("10.0.2.0", &c.vnetwork);
    inet_aton("255.255.255.0", &c.vnetmask);
    inet_aton("10.0.2.2", &c.vhost);
    inet_aton("10.0.2.15", &c.vdhcp_start);
    inet_aton("10.0.2.3", &c.vnameserver);
    inet_pton(AF_INET6, "fec0::", &c.vprefix_addr6);
    inet_pton(AF_INET6, "fec0::2", &c.vhost6);
    inet_pton(AF_INET6, "fec0::3", &c.vnameserver6);
    return c;
}

static void user_destroy(struct net_backend *b)
{
    struct user *u = container_of(b, struct user, backend);
    loop_cancel(u->loop, &u->timeout);
    loop_remove(u->loop, &u->watch);
    if (u->slirp)
        slirp_cleanup(u->slirp);
    if (u->watch.fd >= 0)
        close(u->watch.fd);
    free(u);
}

static int start(struct user *u, const struct properties *p, struct error *e)
{
    int r = properties_read(p, user_rows, u, "-netdev user", e);
    if (r < 0)
        return r;
    const SlirpConfig c = configuration(u);
    u->watch = (struct loop_watch){epoll_create1(EPOLL_CLOEXEC), POLLIN, fds_ready};
    u->slirp = u->watch.fd >= 0 ? slirp_new(&c, &callbacks, u) : NULL;
    if (!u->slirp)
        return error_set(e, EIO, "-netdev user: libslirp does not start: %s", strerror(errno));
    for (unsigned i = 0; i < p->count && r == 0; i++)
        if (!strcmp(p->at[i].name, "hostfwd"))
            r = forward(u, p->at[i].value, e);
    return r;
}

static struct net_backend *user_create(struct loop *loop, const struct properties *p, struct error *e)
{
    struct user *u = calloc(1, sizeof(*u));
    if (!u) {
        error_set(e, ENOMEM, "-netdev user: no memory");
        return NULL;
    }
    u->loop = loop;
    u->watch.fd = -1;
    u->timeout.expired = timed_out;
    if (start(u, p, e) < 0) {
        user_destroy(&u->backend);
        return NULL;
    }
    loop_add(loop, &u->watch);
    watch_fds(u);
    return &u->backend;
}

static void user_send(struct net_backend *b, const u8 *packet, size_t len)
{
    struct user *u = container_of(b, struct user, backend);
    slirp_input(u->slirp, packet, (int)len);
    if (!u->busy)
        watch_fds(u);
}

const struct net_type net_user = {"user",       "a router in the program itself, with DHCP and DNS",
                                  user_rows,    user_create,
                                  user_destroy, user_send};
