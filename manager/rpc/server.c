/* server.c - the sockets that clients connect to */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "manager/rpc/server.h"

void server_init(struct server *s, struct loop *loop, struct tasks *tasks, struct manager *m,
                 unsigned client_max)
{
    *s = (struct server){.loop = loop, .tasks = tasks, .manager = m, .client_max = client_max};
}

/* With all places taken, connections wait in the kernel's queue. */
static void update_listeners(struct server *s)
{
    for (unsigned i = 0; i < s->listener_count; i++)
        loop_set_events(s->loop, &s->listeners[i].watch, s->client_count < s->client_max ? POLLIN : 0);
}

static void accept_client(struct loop_watch *w, short revents)
{
    (void)revents;
    struct listener *l = container_of(w, struct listener, watch);
    if (l->server->client_count >= l->server->client_max)
        return;
    int fd = accept4(w->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return; /* it went away again, or there are no descriptors: the next round tries again */
    l->server->client_count++;
    client_new(l->server, fd, l->read_only);
    update_listeners(l->server);
}

static struct listener *add_listener(struct server *s, int fd, bool read_only, char *path)
{
    ASSERT(s->listener_count < LISTENERS_MAX);
    struct listener *l = &s->listeners[s->listener_count++];
    *l = (struct listener){.watch = {.fd = fd, .events = POLLIN, .ready = accept_client},
                           .server = s,
                           .read_only = read_only,
                           .path = path};
    loop_add(s->loop, &l->watch);
    return l;
}

void server_listen_fd(struct server *s, int fd, bool read_only)
{
    add_listener(s, fd, read_only, NULL);
}

/* -EADDRINUSE: another daemon answers there. */
static int remove_stale(const struct sockaddr_un *at)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int r = connect(fd, (const struct sockaddr *)at, sizeof(*at)) == 0 ? -EADDRINUSE : 0;
    if (r == 0 && errno == ECONNREFUSED)
        unlink(at->sun_path);
    close(fd);
    return r;
}

static int bind_at(const struct sockaddr_un *at, unsigned mode)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int r = fd < 0 ? -errno : remove_stale(at);
    mode_t mask = umask(0777 & ~mode);
    if (r == 0 && bind(fd, (const struct sockaddr *)at, sizeof(*at)) < 0)
        r = -errno;
    umask(mask);
    if (r == 0 && listen(fd, SOMAXCONN) < 0)
        r = -errno;
    if (r < 0 && fd >= 0)
        close(fd);
    return r < 0 ? r : fd;
}

int server_listen(struct server *s, const char *path, unsigned mode, bool read_only, struct error *e)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(at.sun_path))
        return error_set(e, ENAMETOOLONG,
                         "the socket's path '%s' is longer than the %zu bytes of a UNIX socket: "
                         "use a --root with a shorter name",
                         path, sizeof(at.sun_path) - 1);
    strcpy(at.sun_path, path);
    int fd = bind_at(&at, mode);
    if (fd == -EADDRINUSE)
        return error_set(e, EADDRINUSE,
                         "another lodged listens on '%s': stop it first, or use another --root", path);
    if (fd < 0)
        return error_set(e, -fd, "cannot listen on '%s': %s", path, strerror(-fd));
    add_listener(s, fd, read_only, strdup(path));
    return 0;
}

void server_forget(struct server *s, struct client *c)
{
    struct client **at = &s->clients;
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    s->client_count--;
    update_listeners(s);
}

void server_free(struct server *s)
{
    while (s->clients)
        client_close(s->clients, NULL);
    for (unsigned i = 0; i < s->listener_count; i++) {
        struct listener *l = &s->listeners[i];
        loop_remove(s->loop, &l->watch);
        close(l->watch.fd);
        if (l->path)
            unlink(l->path);
        free(l->path);
    }
    s->listener_count = 0;
}
