/* client.c - a connection to the daemon: messages in and out, keepalive, limits */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "manager/rpc/event.h"
#include "manager/rpc/server.h"
#include "manager/rpc/stream.h"

enum { READ_SIZE = 64 << 10, NS_PER_S = 1000000000 };

static void client_ready(struct loop_watch *w, short revents);
static void client_idle(struct loop_timer *t);

void client_new(struct server *s, int fd, bool read_only_socket)
{
    struct client *c = calloc(1, sizeof(*c));
    ASSERT(c);
    *c = (struct client){.next = s->clients,
                         .server = s,
                         .watch = {.fd = fd, .events = POLLIN, .ready = client_ready},
                         .idle = {.expired = client_idle},
                         .references = 1,
                         .read_only_socket = read_only_socket,
                         .read_only = read_only_socket};
    struct ucred peer = {.uid = (uid_t)-1};
    socklen_t size = sizeof(peer);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0) {
        c->pid = peer.pid;
        c->uid = peer.uid;
    }
    s->clients = c;
    loop_add(s->loop, &c->watch);
}

void client_put(struct client *c)
{
    if (--c->references)
        return;
    free(c->uri);
    free(c);
}

void client_end_add(struct client *c, struct client_end *end, void (*gone)(struct client_end *end))
{
    client_end_cancel(end);
    *end = (struct client_end){c->ends, c, gone};
    c->ends = end;
}

void client_end_cancel(struct client_end *end)
{
    if (!end->client)
        return;
    struct client_end **at = &end->client->ends;
    while (*at != end)
        at = &(*at)->next;
    *at = end->next;
    end->client = NULL;
}

static void tell_ends(struct client *c)
{
    while (c->ends) {
        struct client_end *end = c->ends;
        client_end_cancel(end);
        end->gone(end);
    }
}

void client_close(struct client *c, const char *why)
{
    if (c->closed)
        return;
    if (why)
        report("client (pid %d, uid %d) dropped: %s", (int)c->pid, (int)c->uid, why);
    c->closed = true;
    loop_remove(c->server->loop, &c->watch);
    loop_cancel(c->server->loop, &c->idle);
    streams_close(c);
    registrations_free(c);
    tell_ends(c);
    close(c->watch.fd);
    c->server->input_bytes -= c->in.size;
    buffer_free(&c->in);
    buffer_free(&c->out);
    server_forget(c->server, c);
    client_put(c);
}

static size_t unread_output(const struct client *c)
{
    return c->out.size - c->out_sent;
}

bool client_is_slow(const struct client *c)
{
    return unread_output(c) > OUTPUT_SLOW;
}

static void update_events(struct client *c)
{
    if (c->closed)
        return;
    bool read = c->calls < CALLS_MAX && !client_is_slow(c) && !c->close_after_output;
    loop_set_events(c->server->loop, &c->watch, (read ? POLLIN : 0) | (unread_output(c) ? POLLOUT : 0));
}

/* ---- output ---- */

/* Writes what the socket takes. */
static void flush(struct client *c)
{
    while (unread_output(c)) {
        ssize_t n = send(c->watch.fd, c->out.data + c->out_sent, unread_output(c), MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n <= 0) {
            client_close(c, NULL);
            return;
        }
        c->out_sent += (size_t)n;
    }
    if (!unread_output(c)) {
        c->out.size = c->out_sent = 0;
        if (c->out.capacity > OUTPUT_SLOW)
            buffer_free(&c->out);
        if (c->close_after_output) {
            client_close(c, NULL);
            return;
        }
    } else if (c->out_sent > OUTPUT_SLOW) {
        memmove(c->out.data, c->out.data + c->out_sent, unread_output(c));
        c->out.size -= c->out_sent;
        c->out_sent = 0;
    }
    if (unread_output(c) > OUTPUT_MAX)
        client_close(c, "it does not read its answers");
    update_events(c);
}

size_t client_send_begin(struct client *c, const struct wire_header *h)
{
    return wire_begin(&c->out, h);
}

void client_send_end(struct client *c, size_t start)
{
    wire_end(&c->out, start);
    if (c->out.size - start > WIRE_MESSAGE_MAX) {
        client_close(c, "its answer is larger than a message can be");
        return;
    }
    flush(c);
}

void client_send(struct client *c, const struct wire_header *h, const struct xdr_struct *t,
                 const void *payload)
{
    if (c->closed)
        return;
    size_t start = client_send_begin(c, h);
    if (t)
        xdr_encode(&c->out, t, payload);
    client_send_end(c, start);
}

static void put_optional_text(struct buffer *b, const char *s)
{
    static const struct xdr_field field = {.kind = XDR_STRING_OR_NULL};
    static const struct xdr_struct text = {&field, 1, sizeof(char *)};
    xdr_encode(b, &text, &s);
}

/* The error struct, with the objects that it could name left out. */
void client_send_error(struct client *c, const struct wire_header *request, u32 type,
                       const struct vir_error *e)
{
    if (c->closed)
        return;
    struct wire_header h = *request;
    h.type = type;
    h.status = WIRE_ERROR;
    size_t start = client_send_begin(c, &h);
    put_u32(&c->out, e->code);
    put_u32(&c->out, e->domain);
    put_optional_text(&c->out, e->text);
    put_u32(&c->out, 2); /* VIR_ERR_ERROR */
    put_u32(&c->out, 0); /* no domain */
    put_optional_text(&c->out, "%s");
    put_optional_text(&c->out, e->text);
    put_optional_text(&c->out, NULL);
    put_u32(&c->out, (u32)-1);
    put_u32(&c->out, (u32)-1);
    put_u32(&c->out, 0); /* no network */
    client_send_end(c, start);
}

/* ---- input ---- */

/* Size of the message that the input begins with; 0: not known yet; -1: it cannot be one. */
static s64 message_size(const struct client *c)
{
    if (c->in.size - c->in_used < 4)
        return 0;
    u32 size = get_u32(c->in.data + c->in_used);
    return size < WIRE_HEADER_SIZE || size > WIRE_MESSAGE_MAX ? -1 : (s64)size;
}

/* Works on the complete messages that have come, as far as the client's share of calls goes. */
static void consume(struct client *c)
{
    while (!c->closed && c->calls < CALLS_MAX && !client_is_slow(c) && !c->close_after_output) {
        s64 size = message_size(c);
        if (size < 0) {
            client_close(c, "it sent a message of an impossible length");
            return;
        }
        if (size == 0 || c->in.size - c->in_used < (size_t)size)
            break;
        const u8 *message = c->in.data + c->in_used;
        c->in_used += (size_t)size;
        dispatch_message(c, message, (size_t)size);
    }
    if (c->closed || !c->in_used)
        return;
    c->server->input_bytes -= c->in_used;
    c->in.size -= c->in_used;
    memmove(c->in.data, c->in.data + c->in_used, c->in.size);
    c->in_used = 0;
    if (!c->in.size && c->in.capacity > 4 * READ_SIZE)
        buffer_free(&c->in);
}

void client_resume(struct client *c)
{
    if (c->closed || c->receiving)
        return;
    c->references++;
    c->receiving = true;
    consume(c);
    c->receiving = false;
    update_events(c);
    client_put(c);
}

static void client_receive(struct client *c)
{
    u8 data[READ_SIZE];
    ssize_t n = recv(c->watch.fd, data, sizeof(data), 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        client_close(c, NULL);
        return;
    }
    c->unanswered_pings = 0;
    if (c->keepalive)
        loop_arm(c->server->loop, &c->idle, loop_now() + KEEPALIVE_SECONDS * (u64)NS_PER_S);
    buffer_append(&c->in, data, (size_t)n);
    c->server->input_bytes += (size_t)n;
    if (c->server->input_bytes > SERVER_INPUT_MAX && c->in.size > READ_SIZE) {
        client_close(c, "unfinished messages of all clients take too much memory, and it has a large one");
        return;
    }
    client_resume(c);
}

static void client_ready(struct loop_watch *w, short revents)
{
    struct client *c = container_of(w, struct client, watch);
    c->references++;
    if (revents & POLLOUT) {
        flush(c);
        if (!c->closed && !client_is_slow(c)) {
            streams_resume(c);
            client_resume(c);
        }
    }
    if (!c->closed && (revents & (POLLIN | POLLHUP | POLLERR))) {
        /* Without POLLIN asked for, a hang-up still ends it: nobody is there to hear the answers. */
        if (w->events & POLLIN)
            client_receive(c);
        else if (revents & (POLLHUP | POLLERR))
            client_close(c, NULL);
    }
    client_put(c);
}

/* ---- keepalive ---- */

static void client_idle(struct loop_timer *t)
{
    struct client *c = container_of(t, struct client, idle);
    if (c->unanswered_pings == KEEPALIVE_TRIES) {
        client_close(c, "it does not answer keepalive messages");
        return;
    }
    c->unanswered_pings++;
    struct wire_header ping = {
        .program = PROGRAM_KEEPALIVE, .version = 1, .procedure = KEEPALIVE_PING, .type = WIRE_MESSAGE};
    loop_arm(c->server->loop, &c->idle, loop_now() + KEEPALIVE_SECONDS * (u64)NS_PER_S);
    client_send(c, &ping, NULL, NULL);
}
