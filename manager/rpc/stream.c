/* stream.c - a stream of bytes beside the calls of a connection */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdlib.h>

#include "manager/rpc/stream.h"

struct stream *stream_open(struct call *call, const struct stream_ops *ops, void *opaque)
{
    struct stream *s = calloc(1, sizeof(*s));
    ASSERT(s);
    *s = (struct stream){.next = call->client->streams,
                         .client = call->client,
                         .ops = ops,
                         .opaque = opaque,
                         .header = {.program = call->program,
                                    .version = WIRE_VERSION,
                                    .procedure = call->number,
                                    .type = WIRE_STREAM,
                                    .serial = call->serial}};
    call->client->streams = s;
    return s;
}

static void stream_close(struct stream *s)
{
    struct stream **at = &s->client->streams;
    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
    s->ops->closed(s);
    free(s);
}

static struct wire_header header(const struct stream *s, u32 type, u32 status)
{
    struct wire_header h = s->header;
    h.type = type;
    h.status = status;
    return h;
}

void stream_send(struct stream *s, const u8 *data, size_t size)
{
    struct wire_header h = header(s, WIRE_STREAM, WIRE_CONTINUE);
    struct client *c = s->client;
    while (size && !c->closed) {
        size_t n = min(size, (size_t)WIRE_STREAM_CHUNK);
        size_t start = client_send_begin(c, &h);
        buffer_append(&c->out, data, n);
        client_send_end(c, start);
        data += n;
        size -= n;
    }
}

void stream_send_hole(struct stream *s, u64 size)
{
    struct wire_header h = header(s, WIRE_STREAM_HOLE, WIRE_CONTINUE);
    size_t start = client_send_begin(s->client, &h);
    put_u64(&s->client->out, size);
    put_u32(&s->client->out, 0);
    client_send_end(s->client, start);
}

/* Not status OK, which a client that has not asked for the end takes for a broken connection. */
void stream_send_end(struct stream *s)
{
    struct wire_header h = header(s, WIRE_STREAM, WIRE_CONTINUE);
    client_send(s->client, &h, NULL, NULL);
}

bool stream_is_slow(const struct stream *s)
{
    return client_is_slow(s->client);
}

void stream_fail(struct stream *s, const struct vir_error *e)
{
    struct client *c = s->client;
    struct wire_header h = s->header;
    stream_close(s);
    client_send_error(c, &h, WIRE_STREAM, e);
}

static int receive_hole(struct stream *s, const u8 *payload, size_t size, struct vir_error *e)
{
    if (!s->ops->hole)
        return vir_fail(e, VIR_ERR_RPC, "Unexpected stream hole");
    if (size < 12 || (s64)get_u64(payload) < 0)
        return vir_fail(e, VIR_ERR_RPC, "Unable to decode message payload");
    return s->ops->hole(s, get_u64(payload), e);
}

/* Both ways to end it, by finish and by abort, are confirmed with OK. */
static void end_by_client(struct stream *s, const struct wire_header *h)
{
    struct vir_error e;
    if (h->status == WIRE_OK && s->ops->finish && s->ops->finish(s, &e) < 0) {
        stream_fail(s, &e);
        return;
    }
    struct client *c = s->client;
    struct wire_header ok = header(s, WIRE_STREAM, WIRE_OK);
    stream_close(s);
    client_send(c, &ok, NULL, NULL);
}

void stream_receive(struct client *c, const struct wire_header *h, const u8 *payload, size_t size)
{
    struct stream *s = c->streams;
    while (s && (s->header.serial != h->serial || s->header.procedure != h->procedure ||
                 s->header.program != h->program))
        s = s->next;
    if (!s)
        return; /* closed already: both ends may do so at the same time */
    if (h->type == WIRE_STREAM && h->status != WIRE_CONTINUE) {
        end_by_client(s, h);
        return;
    }
    struct vir_error e;
    int r = h->type == WIRE_STREAM_HOLE ? receive_hole(s, payload, size, &e)
            : s->ops->data              ? s->ops->data(s, payload, size, &e)
                                        : vir_fail(&e, VIR_ERR_RPC, "This stream takes no data");
    if (r < 0)
        stream_fail(s, &e);
}

void streams_resume(struct client *c)
{
    for (struct stream *s = c->streams, *next; s; s = next) {
        next = s->next;
        if (s->ops->resume)
            s->ops->resume(s);
    }
}

void streams_close(struct client *c)
{
    while (c->streams)
        stream_close(c->streams);
}
