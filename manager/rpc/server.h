/* server.h - the sockets that clients connect to, and the clients */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef RPC_SERVER_H
#define RPC_SERVER_H

#include "base/error.h"
#include "manager/rpc/client.h"

enum { LISTENERS_MAX = 2 };

struct listener {
    struct loop_watch watch;
    struct server *server;
    bool read_only;
    char *path; /* to be unlinked at the end; NULL: the socket is somebody else's (systemd's) */
};

struct server {
    struct loop *loop;
    struct tasks *tasks;
    struct manager *manager;
    struct listener listeners[LISTENERS_MAX];
    unsigned listener_count, client_count, client_max;
    struct client *clients;
    size_t input_bytes;
};

void server_init(struct server *s, struct loop *loop, struct tasks *tasks, struct manager *m,
                 unsigned client_max);

/* Makes the socket. A socket file that nobody listens on any more is replaced. 0 or -errno with e. */
int server_listen(struct server *s, const char *path, unsigned mode, bool read_only, struct error *e);

/* A socket that listens already, from systemd. */
void server_listen_fd(struct server *s, int fd, bool read_only);

/* Drops all clients, and removes the socket files. */
void server_free(struct server *s);

/* client.c calls this when a client is gone: there may be room again for one that waits. */
void server_forget(struct server *s, struct client *c);

#endif
