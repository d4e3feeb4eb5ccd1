/* console.c - a guest's serial port as a stream */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include "manager/daemon/manager.h"
#include "manager/domains/console.h"
#include "manager/domains/device.h"
#include "manager/rpc/stream.h"

enum { CONSOLE_FORCE = 1, CONSOLE_SAFE = 2, QUEUE_MAX = 1 << 20 };

struct console {
    struct console *next;
    struct domain *domain;
    struct stream *stream;
    struct loop_watch watch;
    struct buffer out; /* typed, and not yet taken by the guest */
    char *alias;
    bool ended;
};

static void update_events(struct console *c)
{
    loop_set_events(&c->domain->manager->loop, &c->watch,
                    (stream_is_slow(c->stream) ? 0 : POLLIN) | (c->out.size ? POLLOUT : 0));
}

static void end(struct console *c)
{
    if (c->ended)
        return;
    c->ended = true;
    loop_remove(&c->domain->manager->loop, &c->watch);
    close(c->watch.fd);
    stream_send_end(c->stream);
}

static bool write_out(struct console *c)
{
    ssize_t n = c->out.size ? write(c->watch.fd, c->out.data, c->out.size) : 0;
    if (n > 0) {
        c->out.size -= (size_t)n;
        memmove(c->out.data, c->out.data + n, c->out.size);
    }
    return n >= 0 || errno == EAGAIN || errno == EINTR;
}

static void console_ready(struct loop_watch *w, short revents)
{
    struct console *c = container_of(w, struct console, watch);
    u8 data[16384];
    ssize_t n = revents & (POLLIN | POLLHUP) ? read(w->fd, data, sizeof(data)) : -1;
    bool good = n > 0 || !(revents & (POLLIN | POLLHUP)) || (n < 0 && errno == EAGAIN);
    if (good && revents & POLLOUT)
        good = write_out(c);
    if (!good) {
        end(c);
        return;
    }
    update_events(c);
    if (n > 0)
        stream_send(c->stream, data, (size_t)n); /* last: a client that fails takes the console with it */
}

static int console_data(struct stream *s, const u8 *data, size_t size, struct vir_error *e)
{
    struct console *c = s->opaque;
    if (c->ended)
        return 0;
    if (c->out.size + size > QUEUE_MAX)
        return vir_fail(e, VIR_ERR_OPERATION_FAILED, "the guest does not read its console");
    buffer_append(&c->out, data, size);
    write_out(c);
    update_events(c);
    return 0;
}

static void console_resume(struct stream *s)
{
    struct console *c = s->opaque;
    if (!c->ended)
        update_events(c);
}

static void console_closed(struct stream *s)
{
    struct console *c = s->opaque, **at = &c->domain->consoles;
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    if (!c->ended) {
        loop_remove(&c->domain->manager->loop, &c->watch);
        close(c->watch.fd);
    }
    domain_put(c->domain);
    buffer_free(&c->out);
    free(c->alias);
    free(c);
}

static const struct stream_ops console_ops = {
    .data = console_data, .resume = console_resume, .closed = console_closed};

void consoles_close(struct domain *d)
{
    for (struct console *c = d->consoles, *next; c; c = next) {
        next = c->next;
        end(c);
    }
}

/* The machine has told its name: what else it may name is not opened, as that alone could do something. */
static int open_if_pty(const char *path)
{
    enum { UNIX98_FIRST = 136, UNIX98_LAST = 143 };
    struct stat st;
    char same[32];
    int named = open(path, O_PATH | O_CLOEXEC), fd = -1;
    bool good = named >= 0 && fstat(named, &st) == 0;
    if (good && (!S_ISCHR(st.st_mode) || major(st.st_rdev) < UNIX98_FIRST || major(st.st_rdev) > UNIX98_LAST))
        errno = ENOTTY;
    else if (good) {
        snprintf(same, sizeof(same), "/proc/self/fd/%d", named);
        fd = open(same, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    }
    const int why = errno;
    if (named >= 0)
        close(named);
    errno = why;
    return fd;
}

static int open_pty(const char *path)
{
    int fd = open_if_pty(path);
    struct termios t;
    if (fd >= 0 && tcgetattr(fd, &t) == 0) {
        cfmakeraw(&t);
        tcsetattr(fd, TCSANOW, &t);
    }
    return fd < 0 ? -errno : fd;
}

static int open_socket(const char *path)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(at.sun_path))
        return -ENAMETOOLONG;
    strcpy(at.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0)
        return fd < 0 ? -errno : fd;
    int r = -errno;
    close(fd);
    return r;
}

/* The one of that alias; without a name the first console, or serial port. */
static xmlNode *find_device(struct domain *d, const char *name, struct vir_error *e)
{
    xmlNode *devices = xml_node(d->live, "devices"), *found;
    if (name)
        found = device_find_alias(d->live, name);
    else if (!(found = xml_next(devices, NULL, "console")))
        found = xml_next(devices, NULL, "serial");
    if (!found)
        vir_fail(e, VIR_ERR_INTERNAL_ERROR, "cannot find character device %s", name ? name : "<default>");
    return found;
}

/* A second user would take every other byte from the first: one at a time. */
static int make_room(struct domain *d, const char *alias, u32 flags, struct vir_error *e)
{
    for (struct console *c = d->consoles, *next; c; c = next) {
        next = c->next;
        if (c->ended || strcmp(c->alias, alias))
            continue;
        if (!(flags & CONSOLE_FORCE))
            return vir_fail(e, VIR_ERR_OPERATION_FAILED, "Active console session exists for this domain");
        end(c);
    }
    return 0;
}

/* A channel by the name that the guest knows it by; without one the first. */
static xmlNode *find_channel(struct domain *d, const char *name, struct vir_error *e)
{
    xml_each(channel, xml_node(d->live, "devices"),
             "channel") if (!name || xml_is(channel, "target/@name", name)) return channel;
    vir_fail(e, VIR_ERR_INTERNAL_ERROR, "cannot find channel %s", name ? name : "<default>");
    return NULL;
}

static int open_device(struct call *call, struct domain *d, xmlNode *device, u32 flags)
{
    struct vir_error *e = &call->error;
    const char *path = xml_get(device, "source/@path"), *alias = xml_get_or(device, "alias/@name", "");
    bool pty = xml_is(device, "@type", "pty");
    if (!path || (!pty && !xml_is(device, "@type", "unix")))
        return vir_fail(e, VIR_ERR_INTERNAL_ERROR, "character device %s is not using a PTY or UNIX socket",
                        alias);
    if (make_room(d, alias, flags, e) < 0)
        return -1;
    int fd = pty ? open_pty(path) : open_socket(path);
    if (fd < 0)
        return vir_fail_errno(e, -fd, "Cannot open '%s'", path);
    struct console *c = calloc(1, sizeof(*c));
    ASSERT(c);
    *c = (struct console){.next = d->consoles,
                          .domain = d,
                          .watch = {.fd = fd, .events = POLLIN, .ready = console_ready},
                          .alias = strdup(alias)};
    d->consoles = c;
    domain_get(d);
    c->stream = stream_open(call, &console_ops, c);
    loop_add(&d->manager->loop, &c->watch);
    return 0;
}

int handle_domain_open_console(struct call *call, const struct remote_domain_open_console_args *args)
{
    struct domain *d = domain_find_active(call, &args->dom);
    if (!d ||
        vir_check_flags(&call->error, args->flags, CONSOLE_FORCE | CONSOLE_SAFE, "virDomainOpenConsole") < 0)
        return -1;
    xmlNode *device = find_device(d, args->dev_name, &call->error);
    return device ? open_device(call, d, device, args->flags) : -1;
}

int handle_domain_open_channel(struct call *call, const struct remote_domain_open_channel_args *args)
{
    struct domain *d = domain_find_active(call, &args->dom);
    if (!d || vir_check_flags(&call->error, args->flags, CONSOLE_FORCE, "virDomainOpenChannel") < 0)
        return -1;
    xmlNode *device = find_channel(d, args->name, &call->error);
    return device ? open_device(call, d, device, args->flags) : -1;
}
