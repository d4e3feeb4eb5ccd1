/* object.c - what devices use and -object makes: by their ids, added and removed */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine/object.h"

static const struct object_type *const types[] = {&filter_dump, &rng_builtin, &rng_random};

static const struct object_type *find_type(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(types); i++)
        if (!strcmp(types[i]->name, name))
            return types[i];
    return NULL;
}

bool object_is_late(const char *name)
{
    const struct object_type *t = find_type(name);
    return t && t->late;
}

const char *object_type_name(unsigned i)
{
    return i < ARRAY_SIZE(types) ? types[i]->name : NULL;
}

void object_help(const char *name)
{
    const struct object_type *one = name ? find_type(name) : NULL;
    for (size_t i = 0; i < ARRAY_SIZE(types) && !one; i++)
        printf("  %-18s %s\n", types[i]->name, types[i]->help);
    if (one)
        properties_help(one->rows);
}

struct object *object_find(const struct object_set *s, const char *id)
{
    struct object *o = s->first;
    while (o && strcmp(o->id, id))
        o = o->next;
    return o;
}

static struct object **end_of(struct object_set *s)
{
    struct object **at = &s->first;
    while (*at)
        at = &(*at)->next;
    return at;
}

static int create(struct object_set *s, const struct object_type *type, const char *id,
                  struct properties *rest, struct error *e)
{
    char *name = strdup(id);
    properties_remove(rest, "qom-type");
    properties_remove(rest, "id");
    struct object *o = name ? type->create(&s->place, rest, e) : NULL;
    if (!o) {
        free(name);
        return name ? -EINVAL : error_set(e, ENOMEM, "-object: no memory");
    }
    o->type = type;
    o->id = name;
    *end_of(s) = o;
    return 0;
}

int object_add(struct object_set *s, const struct properties *p, struct error *e)
{
    const char *name = properties_get(p, "qom-type"), *id = properties_get(p, "id");
    const struct object_type *type = name ? find_type(name) : NULL;
    struct properties rest;
    if (!type)
        return error_set(e, EINVAL, "-object '%s' is not supported: -object help lists what is",
                         name ? name : "");
    if (!id || !*id)
        return error_set(e, EINVAL, "-object %s: 'id' is missing", name);
    if (object_find(s, id))
        return error_set(e, EEXIST, "attempt to add duplicate property '%s' to object (type 'container')",
                         id);
    if (properties_copy(&rest, p) < 0)
        return error_set(e, ENOMEM, "-object: no memory");
    int r = create(s, type, id, &rest, e);
    properties_free(&rest);
    return r;
}

int object_remove(struct object_set *s, const char *id, struct error *e)
{
    struct object **at = &s->first;
    while (*at && strcmp((*at)->id, id))
        at = &(*at)->next;
    struct object *o = *at;
    if (!o)
        return error_set(e, ENODEV, "object '%s' not found", id);
    if (o->users)
        return error_set(e, EBUSY, "object '%s' is in use, can not be deleted", id);
    *at = o->next;
    free(o->id);
    o->type->destroy(o);
    return 0;
}
