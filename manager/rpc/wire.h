/* wire.h - libvirt's framing: length, header of six words, payload */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef RPC_WIRE_H
#define RPC_WIRE_H

#include "manager/rpc/xdr.h"

enum wire_type {
    WIRE_CALL = 0,
    WIRE_REPLY = 1,
    WIRE_MESSAGE = 2,
    WIRE_STREAM = 3,
    WIRE_CALL_WITH_FDS = 4,
    WIRE_REPLY_WITH_FDS = 5,
    WIRE_STREAM_HOLE = 6,
};

enum wire_status { WIRE_OK = 0, WIRE_ERROR = 1, WIRE_CONTINUE = 2 };

enum {
    WIRE_HEADER_SIZE = 28, /* with the length word, which counts itself */
    WIRE_MESSAGE_MAX = 4 + 33554432,
    WIRE_STREAM_CHUNK = 262120, /* payload bytes of a packet of stream data */
    WIRE_VERSION = 1,           /* of every program */
    PROGRAM_KEEPALIVE = 0x6b656570,
    KEEPALIVE_PING = 1,
    KEEPALIVE_PONG = 2,
};

struct wire_header {
    u32 program, version;
    s32 procedure;
    u32 type, serial, status;
};

static inline struct wire_header wire_read_header(const u8 *message)
{
    return (struct wire_header){
        .program = get_u32(message + 4),
        .version = get_u32(message + 8),
        .procedure = (s32)get_u32(message + 12),
        .type = get_u32(message + 16),
        .serial = get_u32(message + 20),
        .status = get_u32(message + 24),
    };
}

/* Appends a message's head with the length open; wire_end closes it. Returns where the message begins. */
static inline size_t wire_begin(struct buffer *b, const struct wire_header *h)
{
    size_t start = b->size;
    put_u32(b, 0);
    put_u32(b, h->program);
    put_u32(b, h->version);
    put_u32(b, (u32)h->procedure);
    put_u32(b, h->type);
    put_u32(b, h->serial);
    put_u32(b, h->status);
    return start;
}

static inline void wire_end(struct buffer *b, size_t start)
{
    u32 big = __builtin_bswap32((u32)(b->size - start));
    __builtin_memcpy(b->data + start, &big, sizeof(big));
}

#endif
