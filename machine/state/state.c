/* state.c - parts of a machine's state: fields by name, written and read by one table */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "machine/state/state.h"

/* A part's body is a row of fields: length of the name, name, 32-bit size, bytes. */

void state_put(struct state_buffer *b, const void *data, size_t n)
{
    if (b->size + n > b->room && !b->failed) {
        size_t room = max(2 * b->room, b->size + n + 4096);
        u8 *p = realloc(b->data, room);
        b->failed = !p;
        b->data = p ? p : b->data;
        b->room = p ? room : b->room;
    }
    if (b->failed)
        return;
    memcpy(b->data + b->size, data, n);
    b->size += n;
}

static void put8(struct state_buffer *b, size_t v)
{
    const u8 byte = (u8)v;
    state_put(b, &byte, 1);
}

static void put32(struct state_buffer *b, size_t v)
{
    const u32 word = (u32)v;
    state_put(b, &word, 4);
}

static void put_name(struct state_buffer *b, const char *name)
{
    ASSERT(strlen(name) < STATE_NAME_MAX);
    put8(b, strlen(name));
    state_put(b, name, strlen(name));
}

void state_buffer_free(struct state_buffer *b)
{
    free(b->data);
    *b = (struct state_buffer){0};
}

size_t state_begin(struct state_buffer *b, const char *name, const char *instance, u32 version)
{
    put8(b, 'P');
    put_name(b, name);
    put_name(b, instance);
    put32(b, version);
    put32(b, 0); /* the body's size, when it is known */
    return b->size;
}

void state_save_field(struct state_buffer *b, const char *name, const void *data, size_t size)
{
    put_name(b, name);
    put32(b, size);
    state_put(b, data, size);
}

void state_end(struct state_buffer *b, size_t begin)
{
    u32 size = (u32)(b->size - begin);
    if (!b->failed)
        memcpy(b->data + begin - 4, &size, 4);
}

void state_save(struct state_buffer *b, const struct state_table *t, const char *instance, void *object)
{
    if (t->saving)
        t->saving(object);
    size_t begin = state_begin(b, t->name, instance, t->version);
    for (const struct state_field *f = t->fields; f->name; f++)
        state_save_field(b, f->name, (const u8 *)object + f->offset, f->size);
    state_end(b, begin);
}

/* ---- reading ---- */

struct state_part *state_find(struct state_parts *p, const char *name, const char *instance, u32 version,
                              struct error *e)
{
    for (unsigned i = 0; i < p->count; i++) {
        struct state_part *part = &p->part[i];
        if (strcmp(part->name, name) || strcmp(part->instance, instance))
            continue;
        part->used = true;
        if (part->version == version)
            return part;
        error_set(e, EINVAL, "the saved state of '%s %s' is of version %u, and this program has version %u",
                  name, instance, part->version, version);
        return NULL;
    }
    error_set(e, EINVAL, "the saved state has no '%s %s': start the machine with the devices that were saved",
              name, instance);
    return NULL;
}

/* One field of a part's body. */
struct view {
    const char *name;
    u8 name_length;
    u32 size;
    const u8 *data;
};

/* The field at *at, which moves behind it; false: there is no whole one. */
static bool next_field(const struct state_part *p, size_t *at, struct view *v)
{
    size_t left = p->size - *at;
    const u8 *d = p->data + *at;
    if (left < 5 || left - 5 < d[0])
        return false;
    v->name = (const char *)d + 1;
    v->name_length = d[0];
    memcpy(&v->size, d + 1 + d[0], 4);
    v->data = d + 5 + d[0];
    if (left - 5 - d[0] < v->size)
        return false;
    *at += 5 + (size_t)d[0] + v->size;
    return true;
}

static bool is_named(const struct view *v, const char *name)
{
    return v->name_length == strlen(name) && !memcmp(v->name, name, v->name_length);
}

const u8 *state_field(const struct state_part *p, const char *name, size_t want, size_t *size,
                      struct error *e)
{
    struct view v;
    for (size_t at = 0; next_field(p, &at, &v);) {
        if (!is_named(&v, name))
            continue;
        if (size)
            *size = v.size;
        else if (v.size != want)
            break;
        return v.data;
    }
    error_set(e, EINVAL, "the saved state of '%s %s' is damaged: field '%s' is missing or has another size",
              p->name, p->instance, name);
    return NULL;
}

static unsigned count_fields(const struct state_part *p, bool *whole)
{
    struct view v;
    size_t at = 0;
    unsigned n = 0;
    while (next_field(p, &at, &v))
        n++;
    *whole = at == p->size;
    return n;
}

static int load_field(const struct state_part *p, const struct state_field *f, void *object, struct error *e)
{
    const u8 *data = state_field(p, f->name, f->size, NULL, e);
    if (!data)
        return -EINVAL;
    for (size_t i = 0; i < f->size && f->is_bool; i++)
        if (data[i] > 1)
            return error_set(e, EINVAL, "the saved state of '%s %s' is damaged: field '%s' has the value %u",
                             p->name, p->instance, f->name, data[i]);
    memcpy((u8 *)object + f->offset, data, f->size);
    return 0;
}

int state_load(struct state_parts *parts, const struct state_table *t, const char *instance, void *object,
               struct error *e)
{
    const struct state_part *p = state_find(parts, t->name, instance, t->version, e);
    unsigned fields = 0;
    bool whole;
    int r = 0;
    if (!p)
        return -EINVAL;
    for (const struct state_field *f = t->fields; f->name && r == 0; f++, fields++)
        r = load_field(p, f, object, e);
    if (r == 0 && (count_fields(p, &whole) != fields || !whole))
        return error_set(e, EINVAL, "the saved state of '%s %s' is damaged: it has fields that are not known",
                         t->name, instance);
    return r;
}

int state_all_used(const struct state_parts *p, struct error *e)
{
    for (unsigned i = 0; i < p->count; i++)
        if (!p->part[i].used)
            return error_set(
                e, EINVAL,
                "the saved state has a '%s %s', which this machine has not: start the machine with the "
                "devices that were saved",
                p->part[i].name, p->part[i].instance);
    return 0;
}

void state_parts_free(struct state_parts *p)
{
    for (unsigned i = 0; i < p->count; i++)
        free(p->part[i].data);
    p->count = 0;
}
