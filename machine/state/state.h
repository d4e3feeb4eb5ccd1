/* state.h - the state of a machine as a stream: parts with named fields, each declared once */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MACHINE_STATE_STATE_H
#define MACHINE_STATE_STATE_H

#include "base/base.h"
#include "base/error.h"

/*
 * A device, a queue, a processor is a part. It has one table of its fields; saving and loading both follow
 * it, so that neither can forget what the other has. What is not in the table is constant, or follows from
 * what is: `loaded` makes that again, and refuses values that the object cannot have, for a stream may come
 * from anybody.
 *
 * The stream, little-endian: a header; records of memory and of parts; an end. See stream.c.
 */

struct state_field {
    const char *name;
    size_t offset, size;
    bool is_bool; /* of each byte: 0 or 1 */
};

struct state_table {
    const char *name;
    u32 version;                      /* of the fields: another one is refused */
    const struct state_field *fields; /* the last has no name */
    void (*saving)(void *object);     /* brings the fields up to date; NULL: they are */
    /* -EINVAL with e. NULL: any values will do. Called when all parts of the machine have their fields. */
    int (*loaded)(void *object, struct error *e);
};

#define STATE(type, f)                                       \
    {                                                        \
#f, offsetof(type, f), sizeof(((type *)0)->f), false \
    }
#define STATE_BOOL(type, f)                                 \
    {                                                       \
#f, offsetof(type, f), sizeof(((type *)0)->f), true \
    }

/* Each part has an instance, "slot 3", which with the table's name is its own. A visitor is called for each
 * part of a machine, in an order that is always the same. */
typedef int state_visit(void *opaque, const struct state_table *t, const char *instance, void *object);

/* ---- writing ---- */

/* Grows; `failed`: there was no memory. */
struct state_buffer {
    u8 *data;
    size_t size, room;
    size_t taken; /* by who reads it */
    bool failed;
};
void state_put(struct state_buffer *b, const void *data, size_t n);
void state_buffer_free(struct state_buffer *b);

/* A part with the fields of its table. Or: begin, fields, end. */
void state_save(struct state_buffer *b, const struct state_table *t, const char *instance, void *object);
size_t state_begin(struct state_buffer *b, const char *name, const char *instance, u32 version);
void state_save_field(struct state_buffer *b, const char *name, const void *data, size_t size);
void state_end(struct state_buffer *b, size_t begin);

/* ---- reading ---- */

enum { STATE_NAME_MAX = 64, STATE_PART_MAX = 1 << 20, STATE_PARTS_MAX = 1024 };

/* As it came. */
struct state_part {
    char name[STATE_NAME_MAX], instance[STATE_NAME_MAX];
    u32 version, size;
    u8 *data;
    bool used;
};

struct state_parts {
    struct state_part part[STATE_PARTS_MAX];
    unsigned count;
};

/* The part, or NULL with e: the stream does not have it, or has it in another version. */
struct state_part *state_find(struct state_parts *p, const char *name, const char *instance, u32 version,
                              struct error *e);
/* The field's bytes, or NULL with e. size NULL: it must have `want` bytes. */
const u8 *state_field(const struct state_part *p, const char *name, size_t want, size_t *size,
                      struct error *e);
/* All fields of the table, and no others. */
int state_load(struct state_parts *p, const struct state_table *t, const char *instance, void *object,
               struct error *e);
/* A part that nobody has asked for: -EINVAL with e. */
int state_all_used(const struct state_parts *p, struct error *e);
void state_parts_free(struct state_parts *p);

#endif
