/* client.h - a connection to the daemon: messages in and out, keepalive, limits */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef RPC_CLIENT_H
#define RPC_CLIENT_H

#include <sys/types.h>

#include "manager/daemon/task.h"
#include "manager/rpc/procedure.h"
#include "manager/rpc/wire.h"

/*
 * How a call goes through: client_receive collects bytes until a message is complete; dispatch_message reads
 * its header and finds the row in the table of procedures; the arguments are decoded; a task runs the
 * handler; the answer is encoded behind what the client has not read yet, and written as the socket takes it.
 *
 * What one client may cost: CALLS_MAX calls in work at a time (the rest stays in the socket); input memory
 * only for what has really arrived, and all clients together at most SERVER_INPUT_MAX; a client that does not
 * read its answers is not read from, either, and dropped at OUTPUT_MAX.
 */
enum {
    CALLS_MAX = 5,
    OUTPUT_SLOW = 1 << 20,        /* unread answers from which on nothing more is read from the client */
    OUTPUT_MAX = 64 << 20,        /* unread answers and events at which it is dropped */
    SERVER_INPUT_MAX = 256 << 20, /* unfinished messages of all clients */
    KEEPALIVE_SECONDS = 5,
    KEEPALIVE_TRIES = 5,
};

/* Somebody who must know when the client goes: told once, and forgotten. */
struct client_end {
    struct client_end *next;
    struct client *client; /* NULL: nothing is waited for */
    void (*gone)(struct client_end *end);
};

struct server;
struct stream;
struct registration;

struct client {
    struct client *next;
    struct server *server;
    struct loop_watch watch;
    struct loop_timer idle; /* armed once the client has asked for keepalive */
    pid_t pid;
    uid_t uid;
    unsigned references; /* the connection itself, and each call in work */
    bool read_only_socket, read_only, open, keepalive, closed;
    bool close_after_output, receiving;
    unsigned calls, unanswered_pings;
    char *uri;
    struct buffer in, out;
    size_t in_used, out_sent;
    struct stream *streams;
    struct registration *registrations;
    struct client_end *ends;
    s32 next_callback;
};

/* Takes the connected socket over. */
void client_new(struct server *s, int fd, bool read_only_socket);

/* Ends the connection now: calls in work go on, their answers go nowhere. */
void client_close(struct client *c, const char *why);
void client_put(struct client *c);

/* The caller owns `end`. client_end_cancel: nothing if it is not waited for. */
void client_end_add(struct client *c, struct client_end *end, void (*gone)(struct client_end *end));
void client_end_cancel(struct client_end *end);

/* Begins a message to the client in its output; client_send_end sends what was appended in between. */
size_t client_send_begin(struct client *c, const struct wire_header *h);
void client_send_end(struct client *c, size_t start);
bool client_is_slow(const struct client *c);

/* A message with the struct as its payload. */
void client_send(struct client *c, const struct wire_header *h, const struct xdr_struct *t,
                 const void *payload);
void client_send_error(struct client *c, const struct wire_header *request, u32 type,
                       const struct vir_error *e);

/* Goes on with what is in the input: after a call has ended, after output was read. */
void client_resume(struct client *c);

/* dispatch.c: a whole message. */
void dispatch_message(struct client *c, const u8 *message, size_t size);

#endif
