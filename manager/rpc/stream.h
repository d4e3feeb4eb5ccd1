/* stream.h - a stream of bytes beside the calls of a connection: a console, a volume's contents */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef RPC_STREAM_H
#define RPC_STREAM_H

#include "manager/rpc/client.h"

struct stream;

struct stream_ops {
    /* Data from the client. 0, or -1 with e: the stream ends with that error. */
    int (*data)(struct stream *s, const u8 *data, size_t size, struct vir_error *e);
    /* A hole of that many bytes; NULL: holes are refused. */
    int (*hole)(struct stream *s, u64 size, struct vir_error *e);
    /* The client has sent everything. 0: confirmed; -1 with e. */
    int (*finish)(struct stream *s, struct vir_error *e);
    /* The client reads again after stream_is_slow. */
    void (*resume)(struct stream *s);
    /* The stream is over, however it ended; frees what opaque stands for. Called once. */
    void (*closed)(struct stream *s);
};

struct stream {
    struct stream *next;
    struct client *client;
    const struct stream_ops *ops;
    void *opaque;
    struct wire_header header; /* of its packets; the status differs */
};

/* In a handler that will succeed: from its answer on, the stream is there. */
struct stream *stream_open(struct call *call, const struct stream_ops *ops, void *opaque);

void stream_send(struct stream *s, const u8 *data, size_t size);
void stream_send_hole(struct stream *s, u64 size);
void stream_send_end(struct stream *s); /* no more data; the client will finish the stream */
bool stream_is_slow(const struct stream *s);

/* Ends it with an error; s is gone then. */
void stream_fail(struct stream *s, const struct vir_error *e);

/* A packet from the client. */
void stream_receive(struct client *c, const struct wire_header *h, const u8 *payload, size_t size);

void streams_resume(struct client *c);
void streams_close(struct client *c);

#endif
