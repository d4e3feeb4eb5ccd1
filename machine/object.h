/* object.h - what devices use and -object makes: sources of randomness, dumps of networks; by their ids */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MACHINE_OBJECT_H
#define MACHINE_OBJECT_H

#include "base/config/properties.h"

struct net_set;

/* What an object gets from the machine. */
struct object_place {
    struct net_set *nets;
};

/* A kind of object: one const descriptor in its file and one line in object.c. Its struct begins with a
 * struct object. */
struct object_type {
    const char *name, *help;
    const struct property_row *rows;
    bool late; /* it refers to a network: made after those */
    /* NULL with e. p: without qom-type and id. */
    struct object *(*create)(const struct object_place *place, const struct properties *p, struct error *e);
    void (*destroy)(struct object *o);
};
extern const struct object_type filter_dump, rng_builtin, rng_random;

struct object {
    const struct object_type *type;
    char *id;
    unsigned users; /* it stays while there are any */
    struct object *next;
};

struct object_set {
    struct object_place place;
    struct object *first; /* in the order in which they came */
};

/* -object and object-add. 0 or -errno with e. */
int object_add(struct object_set *s, const struct properties *p, struct error *e);
/* -ENODEV; -EBUSY while something uses it. */
int object_remove(struct object_set *s, const char *id, struct error *e);
struct object *object_find(const struct object_set *s, const char *id);
/* The i-th kind, or NULL. */
const char *object_type_name(unsigned i);
bool object_is_late(const char *type);
void object_help(const char *type);

#endif
