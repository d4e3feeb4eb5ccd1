/* tap.c - networks of the host's: a tap interface, alone or on a bridge (Linux's networking/tuntap.rst) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "machine/net/net.h"

/* With IFF_VNET_HDR each packet has a struct net_header in front, in the guest's own form. */
struct tap {
    struct net_backend backend;
    struct loop *loop;
    struct loop_watch watch;
    bool has_header;
    char name[IFNAMSIZ];
    u8 packet[NET_MAX_PACKET];
    /* options; the strings only while it is created */
    const char *ifname, *fd, *script, *downscript, *bridge;
    bool vnet_hdr, vhost;
    u32 queues;
};

static void packet_arrived(struct loop_watch *w, short revents)
{
    struct tap *t = container_of(w, struct tap, watch);
    struct net_header h = {0};
    enum { AT_ONCE = 64 };
    (void)revents;
    for (unsigned i = 0; i < AT_ONCE; i++) { /* the loop has others to serve, too */
        struct iovec v[] = {{&h, sizeof(h)}, {t->packet, sizeof(t->packet)}};
        ssize_t n = readv(t->watch.fd, t->has_header ? v : v + 1, t->has_header ? 2 : 1);
        ssize_t front = t->has_header ? (ssize_t)sizeof(h) : 0;
        if (n <= front)
            return;
        net_deliver(&t->backend, &h, t->packet, (size_t)(n - front));
    }
}

/* What the host has no room for is lost, as networks do. */
static void tap_send(struct net_backend *b, const struct net_header *h, const u8 *packet, size_t len)
{
    struct tap *t = container_of(b, struct tap, backend);
    struct iovec v[] = {{(void *)h, sizeof(*h)}, {(void *)packet, len}};
    ssize_t n = writev(t->watch.fd, t->has_header ? v : v + 1, t->has_header ? 2 : 1);
    (void)n;
}

static void tap_taken(struct net_backend *b)
{
    const struct tap *t = container_of(b, struct tap, backend);
    static const struct {
        unsigned takes, flag;
    } rows[] = {{NET_TAKES_CSUM, TUN_F_CSUM},
                {NET_TAKES_TSO4, TUN_F_TSO4},
                {NET_TAKES_TSO6, TUN_F_TSO6},
                {NET_TAKES_ECN, TUN_F_TSO_ECN}};
    unsigned flags = 0;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (b->client_takes & NET_TAKES_CSUM && b->client_takes & rows[i].takes)
            flags |= rows[i].flag;
    if (t->has_header)
        ioctl(t->watch.fd, TUNSETOFFLOAD, flags);
}

static int open_device(struct tap *t, const char *what, struct error *e)
{
    struct ifreq r = {.ifr_flags = IFF_TAP | IFF_NO_PI};
    if (t->ifname && strlen(t->ifname) >= IFNAMSIZ)
        return error_set(e, EINVAL, "%s: ifname '%s' is longer than %d letters", what, t->ifname,
                         IFNAMSIZ - 1);
    t->watch.fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (t->watch.fd < 0)
        return error_set(e, errno,
                         "%s: cannot open /dev/net/tun: %s: load the module tun, or use -netdev user", what,
                         strerror(errno));
    unsigned features = 0;
    ioctl(t->watch.fd, TUNGETFEATURES, &features);
    if (t->vnet_hdr && features & IFF_VNET_HDR)
        r.ifr_flags |= IFF_VNET_HDR;
    if (t->ifname)
        strcpy(r.ifr_name, t->ifname);
    if (ioctl(t->watch.fd, TUNSETIFF, &r) < 0)
        return error_set(
            e, errno, "%s: cannot have the interface '%s': %s%s", what, t->ifname ? t->ifname : "tap%d",
            strerror(errno),
            errno == EPERM ? ": run as root, or make it before: ip tuntap add NAME mode tap user NAME" : "");
    return 0;
}

static int open_fd(struct tap *t, struct error *e)
{
    char *end;
    unsigned long fd = strtoul(t->fd, &end, 10);
    struct ifreq r = {0};
    if (!isdigit((unsigned char)*t->fd) || *end || fd > INT32_MAX || ioctl((int)fd, TUNGETIFF, &r) < 0)
        return error_set(e, EBADF, "-netdev tap: fd '%s' is no tap interface", t->fd);
    t->watch.fd = (int)fd;
    fcntl(t->watch.fd, F_SETFD, FD_CLOEXEC);
    fcntl(t->watch.fd, F_SETFL, fcntl(t->watch.fd, F_GETFL) | O_NONBLOCK);
    return 0;
}

/* Puts the interface on the bridge, and both up. */
static int join_bridge(struct tap *t, struct error *e)
{
    struct ifreq r = {0};
    int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool good = s >= 0 && strlen(t->bridge) < IFNAMSIZ;
    if (good) {
        strcpy(r.ifr_name, t->bridge);
        r.ifr_ifindex = (int)if_nametoindex(t->name);
        good = ioctl(s, SIOCBRADDIF, &r) == 0;
    }
    if (good) {
        strcpy(r.ifr_name, t->name);
        good = ioctl(s, SIOCGIFFLAGS, &r) == 0;
        r.ifr_flags |= IFF_UP;
        good = good && ioctl(s, SIOCSIFFLAGS, &r) == 0;
    }
    int why = errno;
    if (s >= 0)
        close(s);
    return good ? 0
                : error_set(
                      e, why,
                      "-netdev bridge: cannot put '%s' on the bridge '%s': %s: run as root, and make the "
                      "bridge before",
                      t->name, t->bridge, strerror(why));
}

static int finish_open(struct tap *t, const char *what, struct error *e)
{
    struct ifreq r = {0};
    int size = sizeof(struct net_header);
    if (ioctl(t->watch.fd, TUNGETIFF, &r) < 0)
        return error_set(e, errno, "%s: TUNGETIFF failed: %s", what, strerror(errno));
    memcpy(t->name, r.ifr_name, sizeof(t->name));
    t->name[IFNAMSIZ - 1] = 0;
    t->has_header = r.ifr_flags & IFF_VNET_HDR && ioctl(t->watch.fd, TUNSETVNETHDRSZ, &size) == 0;
    if (r.ifr_flags & IFF_VNET_HDR && !t->has_header)
        return error_set(e, errno, "%s: TUNSETVNETHDRSZ failed: %s", what, strerror(errno));
    if (t->has_header)
        t->backend.takes = NET_TAKES_CSUM | NET_TAKES_TSO4 | NET_TAKES_TSO6 | NET_TAKES_ECN;
    return t->bridge ? join_bridge(t, e) : 0;
}

static bool is_no(const char *script)
{
    return !script || !*script || !strcmp(script, "no");
}

static int check(const struct tap *t, struct error *e)
{
    if (!is_no(t->script) || !is_no(t->downscript))
        return error_set(e, ENOTSUP,
                         "-netdev tap: scripts are not run: use script=no,downscript=no, and set the "
                         "interface up yourself");
    if (t->vhost)
        return error_set(e, ENOTSUP, "-netdev tap: vhost=on is not supported: leave it out");
    if (t->queues > 1)
        return error_set(e, ENOTSUP, "-netdev tap: queues=%u is not supported: use 1", t->queues);
    if (t->fd && t->ifname)
        return error_set(e, EINVAL, "-netdev tap: ifname is not for fd=");
    return 0;
}

static void tap_destroy(struct net_backend *b)
{
    struct tap *t = container_of(b, struct tap, backend);
    loop_remove(t->loop, &t->watch);
    if (t->watch.fd >= 0)
        close(t->watch.fd);
    free(t);
}

static struct net_backend *create(const struct net_set *s, const struct properties *p,
                                  const struct property_row *rows, const char *what, struct error *e)
{
    struct tap *t = calloc(1, sizeof(*t));
    if (!t) {
        error_set(e, ENOMEM, "%s: no memory", what);
        return NULL;
    }
    t->loop = s->loop;
    t->watch = (struct loop_watch){-1, POLLIN, packet_arrived};
    t->vnet_hdr = true;
    int r = properties_read(p, rows, t, what, e);
    if (r < 0 || (r = check(t, e)) < 0 || (r = t->fd ? open_fd(t, e) : open_device(t, what, e)) < 0 ||
        (r = finish_open(t, what, e)) < 0) {
        tap_destroy(&t->backend);
        return NULL;
    }
    t->ifname = t->fd = t->script = t->downscript = t->bridge = NULL; /* they were the property list's */
    loop_add(s->loop, &t->watch);
    return &t->backend;
}

static const struct property_row tap_rows[] = {
    {"ifname", PROPERTY_TEXT, offsetof(struct tap, ifname),
     .help = "the interface; default: a new one, tapN"},
    {"fd", PROPERTY_TEXT, offsetof(struct tap, fd), .help = "the descriptor of one that is open already"},
    {"script", PROPERTY_TEXT, offsetof(struct tap, script), .help = "no: none is run"},
    {"downscript", PROPERTY_TEXT, offsetof(struct tap, downscript), .help = "no: none is run"},
    {"vnet_hdr", PROPERTY_BOOL, offsetof(struct tap, vnet_hdr), "on",
     "checksums and long packets are left to the host"},
    {"vhost", PROPERTY_BOOL, offsetof(struct tap, vhost), "off",
     "off: the host's kernel does not serve the card"},
    {"queues", PROPERTY_U32, offsetof(struct tap, queues), "1", "1"},
    {0}};

static const struct property_row bridge_rows[] = {
    {"br", PROPERTY_TEXT, offsetof(struct tap, bridge), "br0", "the bridge that the interface is put on"},
    {0}};

static struct net_backend *tap_create(const struct net_set *s, const struct properties *p, struct error *e)
{
    return create(s, p, tap_rows, "-netdev tap", e);
}

static struct net_backend *bridge_create(const struct net_set *s, const struct properties *p, struct error *e)
{
    return create(s, p, bridge_rows, "-netdev bridge", e);
}

static void tap_describe(const struct net_backend *b, char *text, size_t size)
{
    snprintf(text, size, "type=tap,ifname=%s", container_of(b, struct tap, backend)->name);
}

#define TAP(name_, help_, rows_, create_)                                                       \
    {                                                                                           \
        .name = name_, .help = help_, .rows = rows_, .create = create_, .destroy = tap_destroy, \
        .send = tap_send, .taken = tap_taken, .describe = tap_describe                          \
    }
const struct net_type net_tap = TAP("tap", "a tap interface of the host's", tap_rows, tap_create);
const struct net_type net_bridge =
    TAP("bridge", "a tap interface on a bridge of the host's", bridge_rows, bridge_create);
