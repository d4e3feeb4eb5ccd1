/* xdr.c - XDR (RFC 4506) as libvirt's RPC uses it */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdlib.h>
#include <string.h>

#include "manager/rpc/xdr.h"

/* Its fields depend on the value of `type`, so the walkers know it by address. */
const struct xdr_struct xdr_remote_typed_param = {.size = sizeof(struct remote_typed_param)};

/* ---- bytes ---- */

void buffer_append(struct buffer *b, const void *data, size_t size)
{
    if (b->capacity - b->size < size) {
        b->capacity = max(b->capacity * 2, ALIGN_UP(b->size + size, 256));
        b->data = realloc(b->data, b->capacity);
        ASSERT(b->data);
    }
    if (size)
        memcpy(b->data + b->size, data, size);
    b->size += size;
}

void buffer_free(struct buffer *b)
{
    free(b->data);
    *b = (struct buffer){0};
}

void put_u32(struct buffer *b, u32 v)
{
    u32 big = __builtin_bswap32(v);
    buffer_append(b, &big, sizeof(big));
}

void put_u64(struct buffer *b, u64 v)
{
    u64 big = __builtin_bswap64(v);
    buffer_append(b, &big, sizeof(big));
}

u32 get_u32(const u8 *at)
{
    u32 big;
    memcpy(&big, at, sizeof(big));
    return __builtin_bswap32(big);
}

u64 get_u64(const u8 *at)
{
    u64 big;
    memcpy(&big, at, sizeof(big));
    return __builtin_bswap64(big);
}

/* ---- encoding ---- */

static void put_padded(struct buffer *b, const void *data, size_t size)
{
    static const u8 zero[4];
    buffer_append(b, data, size);
    buffer_append(b, zero, -size & 3);
}

static void put_string(struct buffer *b, const char *s)
{
    size_t size = s ? strnlen(s, XDR_STRING_MAX) : 0;
    put_u32(b, (u32)size);
    put_padded(b, s, size);
}

static void put_chars(struct buffer *b, const char *s, u32 size)
{
    for (u32 i = 0; i < size; i++)
        put_u32(b, (u32)s[i]);
}

static void put_param(struct buffer *b, const struct remote_typed_param *p)
{
    put_string(b, p->field);
    put_u32(b, (u32)p->type);
    switch ((enum param_type)p->type) {
    case PARAM_INT:
    case PARAM_UINT:
    case PARAM_BOOLEAN: put_u32(b, p->u); break;
    case PARAM_LLONG:
    case PARAM_ULLONG:
    case PARAM_DOUBLE: put_u64(b, p->ul); break;
    case PARAM_STRING: put_string(b, p->s); break;
    }
}

static void put_value(struct buffer *b, const struct xdr_field *f, const void *at, u32 bytes)
{
    switch (f->kind) {
    case XDR_I32:
    case XDR_U32: put_u32(b, *(const u32 *)at); break;
    case XDR_I64:
    case XDR_U64:
    case XDR_F64: put_u64(b, *(const u64 *)at); break;
    case XDR_STRING: put_string(b, *(char *const *)at); break;
    case XDR_STRING_OR_NULL:
        put_u32(b, *(char *const *)at != NULL);
        if (*(char *const *)at)
            put_string(b, *(char *const *)at);
        break;
    case XDR_UUID: buffer_append(b, at, 16); break;
    case XDR_BYTES:
        put_u32(b, bytes);
        put_padded(b, *(const void *const *)at, bytes);
        break;
    case XDR_CHARS: put_chars(b, at, f->limit); break;
    case XDR_STRUCT: xdr_encode(b, f->type, at); break;
    }
}

static size_t element_size(const struct xdr_field *f)
{
    switch (f->kind) {
    case XDR_I32:
    case XDR_U32: return 4;
    case XDR_STRUCT: return f->type->size;
    default: return 8;
    }
}

static void put_many(struct buffer *b, const struct xdr_field *f, const u8 *first, u32 count)
{
    put_u32(b, count);
    for (u32 i = 0; i < count; i++)
        put_value(b, f, first + i * element_size(f), 0);
}

void xdr_encode(struct buffer *b, const struct xdr_struct *t, const void *from)
{
    if (t == &xdr_remote_typed_param) {
        put_param(b, from);
        return;
    }
    for (const struct xdr_field *f = t->fields; f < t->fields + t->count; f++) {
        const u8 *at = (const u8 *)from + f->offset;
        u32 count = f->count_offset ? *(const u32 *)((const u8 *)from + f->count_offset) : 0;
        const void *pointer = f->form == XDR_ONE ? NULL : *(const void *const *)at;
        if (f->form == XDR_MANY)
            put_many(b, f, pointer, count);
        else if (f->form == XDR_ONE)
            put_value(b, f, at, count);
        else {
            put_u32(b, pointer != NULL);
            if (pointer)
                put_value(b, f, pointer, 0);
        }
    }
}

/* ---- decoding ---- */

struct reader {
    const u8 *at, *end;
    struct arena *arena;
};

/* NULL: there is not so much left. */
static const u8 *take(struct reader *r, size_t size)
{
    if ((size_t)(r->end - r->at) < size)
        return NULL;
    const u8 *p = r->at;
    r->at += size;
    return p;
}

static bool take_u32(struct reader *r, u32 *v)
{
    const u8 *p = take(r, 4);
    if (p)
        *v = get_u32(p);
    return p;
}

static bool take_u64(struct reader *r, u64 *v)
{
    const u8 *p = take(r, 8);
    if (p)
        *v = get_u64(p);
    return p;
}

static const u8 *take_counted(struct reader *r, u32 limit, u32 *size)
{
    if (!take_u32(r, size) || *size > limit)
        return NULL;
    return take(r, ALIGN_UP((size_t)*size, 4));
}

static bool take_string(struct reader *r, char **s)
{
    u32 size;
    const u8 *p = take_counted(r, XDR_STRING_MAX, &size);
    if (!p || memchr(p, 0, size))
        return false;
    *s = arena_alloc(r->arena, size + 1);
    memcpy(*s, p, size);
    return true;
}

static bool take_bytes(struct reader *r, u32 limit, u8 **bytes, u32 *count)
{
    const u8 *p = take_counted(r, limit, count);
    if (!p)
        return false;
    *bytes = arena_alloc(r->arena, *count);
    memcpy(*bytes, p, *count);
    return true;
}

static bool take_chars(struct reader *r, char *into, u32 count)
{
    const u8 *p = take(r, (size_t)count * 4);
    for (u32 i = 0; p && i < count; i++)
        into[i] = (char)get_u32(p + i * 4);
    return p;
}

static bool take_param(struct reader *r, struct remote_typed_param *p)
{
    if (!take_string(r, &p->field) || !take_u32(r, (u32 *)&p->type))
        return false;
    switch ((enum param_type)p->type) {
    case PARAM_INT:
    case PARAM_UINT:
    case PARAM_BOOLEAN: return take_u32(r, &p->u);
    case PARAM_LLONG:
    case PARAM_ULLONG:
    case PARAM_DOUBLE: return take_u64(r, &p->ul);
    case PARAM_STRING: return take_string(r, &p->s);
    }
    return false;
}

static bool take_struct(struct reader *r, const struct xdr_struct *t, void *into);

static bool take_value(struct reader *r, const struct xdr_field *f, void *at, u32 *count)
{
    u32 present;
    switch (f->kind) {
    case XDR_I32:
    case XDR_U32: return take_u32(r, at);
    case XDR_I64:
    case XDR_U64:
    case XDR_F64: return take_u64(r, at);
    case XDR_STRING: return take_string(r, at);
    case XDR_STRING_OR_NULL: return take_u32(r, &present) && (!present || take_string(r, at));
    case XDR_UUID: {
        const u8 *p = take(r, 16);
        return p && memcpy(at, p, 16);
    }
    case XDR_BYTES: return take_bytes(r, f->limit, at, count);
    case XDR_CHARS: return take_chars(r, at, f->limit);
    case XDR_STRUCT: return take_struct(r, f->type, at);
    }
    return false;
}

/* Each element takes four bytes of the message at least, so a count that the message cannot hold costs no
 * memory. */
static bool take_many(struct reader *r, const struct xdr_field *f, void **at, u32 *count)
{
    if (!take_u32(r, count) || *count > f->limit || *count > (size_t)(r->end - r->at) / 4)
        return false;
    size_t size = element_size(f);
    *at = arena_alloc(r->arena, *count * size);
    for (u32 i = 0; i < *count; i++)
        if (!take_value(r, f, (u8 *)*at + i * size, NULL))
            return false;
    return true;
}

static bool take_optional(struct reader *r, const struct xdr_field *f, void **at)
{
    u32 present;
    if (!take_u32(r, &present))
        return false;
    if (!present)
        return true;
    *at = arena_alloc(r->arena, element_size(f));
    return take_value(r, f, *at, NULL);
}

static bool take_struct(struct reader *r, const struct xdr_struct *t, void *into)
{
    if (t == &xdr_remote_typed_param)
        return take_param(r, into);
    for (const struct xdr_field *f = t->fields; f < t->fields + t->count; f++) {
        void *at = (u8 *)into + f->offset;
        u32 *count = f->count_offset ? (u32 *)((u8 *)into + f->count_offset) : NULL;
        bool good = f->form == XDR_MANY       ? take_many(r, f, at, count)
                    : f->form == XDR_OPTIONAL ? take_optional(r, f, at)
                                              : take_value(r, f, at, count);
        if (!good)
            return false;
    }
    return true;
}

bool xdr_decode(const u8 *data, size_t size, const struct xdr_struct *t, void *into, struct arena *a)
{
    struct reader r = {data, data + size, a};
    return take_struct(&r, t, into);
}
