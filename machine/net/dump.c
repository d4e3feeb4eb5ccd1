/* dump.c - a network's packets as a file for tcpdump and Wireshark (libpcap's savefile format) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "machine/net/net.h"
#include "machine/object.h"

enum { MAGIC = 0xa1b2c3d4, LINK_ETHERNET = 1, MAX_LENGTH = NET_MAX_PACKET };

struct file_header {
    u32 magic;
    u16 major, minor;
    u32 zone, accuracy, max_length, link;
};

struct packet_header {
    u32 seconds, microseconds, kept, length;
};

struct dump {
    struct object object;
    struct net_watcher watcher;
    struct net_backend *backend;
    int fd;
    u32 max_length;
    const char *netdev, *file; /* while it is created */
};

/* A disk that is full ends the file, at the end of a packet as far as possible. */
static void see(struct net_watcher *w, const u8 *packet, size_t len)
{
    struct dump *d = container_of(w, struct dump, watcher);
    struct timespec t;
    size_t kept = min(len, (size_t)d->max_length);
    clock_gettime(CLOCK_REALTIME, &t);
    struct packet_header h = {(u32)t.tv_sec, (u32)(t.tv_nsec / 1000), (u32)kept, (u32)len};
    struct iovec v[] = {{&h, sizeof(h)}, {(void *)packet, kept}};
    if (d->fd < 0 || writev(d->fd, v, 2) == (ssize_t)(sizeof(h) + kept))
        return;
    report("filter-dump '%s': cannot write: %s: the rest is lost", d->object.id, strerror(errno));
    close(d->fd);
    d->fd = -1;
}

static int start(struct dump *d, struct net_set *s, struct error *e)
{
    const struct file_header h = {MAGIC, 2, 4, 0, 0, d->max_length, LINK_ETHERNET};
    d->backend = d->netdev ? net_find(s, d->netdev) : NULL;
    if (!d->backend)
        return error_set(e, ENODEV, "filter-dump: netdev '%s' does not exist: name one with -netdev",
                         d->netdev ? d->netdev : "");
    if (!d->file)
        return error_set(e, EINVAL, "filter-dump: file is missing");
    d->fd = open(d->file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (d->fd < 0 || write(d->fd, &h, sizeof(h)) != sizeof(h))
        return error_set(e, errno,
                         "filter-dump: cannot write '%s': %s: name a file in a directory you may write to",
                         d->file, strerror(errno));
    d->watcher.see = see;
    d->watcher.next = d->backend->watchers;
    d->backend->watchers = &d->watcher;
    return 0;
}

static void dump_destroy(struct object *o)
{
    struct dump *d = container_of(o, struct dump, object);
    struct net_watcher **at = d->backend ? &d->backend->watchers : NULL;
    while (at && *at && *at != &d->watcher)
        at = &(*at)->next;
    if (at && *at)
        *at = d->watcher.next;
    if (d->fd >= 0)
        close(d->fd);
    free(d);
}

static const struct property_row dump_rows[] = {
    {"netdev", PROPERTY_TEXT, offsetof(struct dump, netdev), .help = "the network's back end"},
    {"file", PROPERTY_TEXT, offsetof(struct dump, file), .help = "where to write"},
    {"maxlen", PROPERTY_U32, offsetof(struct dump, max_length), "65536", "bytes of each packet", 1,
     MAX_LENGTH},
    {0}};

static struct object *dump_create(const struct object_place *place, const struct properties *p,
                                  struct error *e)
{
    struct dump *d = calloc(1, sizeof(*d));
    if (!d) {
        error_set(e, ENOMEM, "filter-dump: no memory");
        return NULL;
    }
    d->fd = -1;
    if (properties_read(p, dump_rows, d, "filter-dump", e) < 0 || start(d, place->nets, e) < 0) {
        dump_destroy(&d->object);
        return NULL;
    }
    d->netdev = d->file = NULL; /* they were the property list's */
    return &d->object;
}

const struct object_type filter_dump = {.name = "filter-dump",
                                        .help = "a network's packets in a file, as tcpdump writes them",
                                        .rows = dump_rows,
                                        .late = true,
                                        .create = dump_create,
                                        .destroy = dump_destroy};
