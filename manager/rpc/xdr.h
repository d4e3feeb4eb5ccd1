/* xdr.h - XDR (RFC 4506) as libvirt's RPC uses it: a table describes a struct, one pair of functions walks
 * tables */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef RPC_XDR_H
#define RPC_XDR_H

#include "manager/rpc/arena.h"

enum xdr_kind {
    XDR_I32, /* also chars and shorts: four bytes on the wire */
    XDR_U32,
    XDR_I64,
    XDR_U64,
    XDR_F64,
    XDR_STRING,
    XDR_STRING_OR_NULL,
    XDR_UUID,
    XDR_BYTES,
    XDR_CHARS, /* char[N]: four bytes on the wire for each */
    XDR_STRUCT,
};

enum xdr_form { XDR_ONE, XDR_OPTIONAL, XDR_MANY };

struct xdr_struct;

struct xdr_field {
    enum xdr_kind kind;
    enum xdr_form form;
    u32 limit; /* of elements (XDR_MANY) or bytes (XDR_BYTES); the size of XDR_CHARS */
    u16 offset, count_offset;
    const struct xdr_struct *type;
};

struct xdr_struct {
    const struct xdr_field *fields;
    u16 count, size;
};

/* The union of the protocol: a named value. */
enum param_type {
    PARAM_INT = 1,
    PARAM_UINT,
    PARAM_LLONG,
    PARAM_ULLONG,
    PARAM_DOUBLE,
    PARAM_BOOLEAN,
    PARAM_STRING
};

struct remote_typed_param {
    char *field;
    s32 type;
    union {
        s32 i;
        u32 u;
        s64 l;
        u64 ul;
        double d;
        char *s;
    };
};

extern const struct xdr_struct xdr_remote_typed_param;

enum { XDR_STRING_MAX = 4194304 };

/* Bytes on their way out. Grows; no memory ends the program. */
struct buffer {
    u8 *data;
    size_t size, capacity;
};

void buffer_append(struct buffer *b, const void *data, size_t size);
void buffer_free(struct buffer *b);
void put_u32(struct buffer *b, u32 v);
void put_u64(struct buffer *b, u64 v);
u32 get_u32(const u8 *at);
u64 get_u64(const u8 *at);

/* from: a struct of the type that t describes; strings that must be there and are NULL go as "". */
void xdr_encode(struct buffer *b, const struct xdr_struct *t, const void *from);

/* Fills `into` from the bytes; pointers lead into the arena. False: too short, or over a limit, or no text
 * where text must be; what lies behind the last field is ignored, as libvirt ignores it. */
bool xdr_decode(const u8 *data, size_t size, const struct xdr_struct *t, void *into, struct arena *a);

#endif
