/* vm_config.c - the one model of a VM's configuration: its lists */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/config/vm_config.h"

struct properties *objects_add(struct objects *o)
{
    struct properties *at = realloc(o->at, (o->count + 1) * sizeof(*at));
    if (!at)
        return NULL;
    o->at = at;
    at[o->count] = (struct properties){0};
    return &at[o->count++];
}

void objects_remove(struct objects *o, unsigned i)
{
    properties_free(&o->at[i]);
    memmove(&o->at[i], &o->at[i + 1], (o->count - i - 1) * sizeof(o->at[0]));
    o->count--;
}

struct properties *objects_find(const struct objects *o, const char *id)
{
    for (unsigned i = 0; i < o->count; i++) {
        const char *own = properties_get(&o->at[i], "id");
        if (own && !strcmp(own, id))
            return &o->at[i];
    }
    return NULL;
}

int texts_add(struct texts *t, const char *text)
{
    const char **at = realloc(t->at, (t->count + 1) * sizeof(*at));
    if (!at)
        return -ENOMEM;
    t->at = at;
    at[t->count++] = text;
    return 0;
}

static void objects_free(struct objects *o)
{
    for (unsigned i = 0; i < o->count; i++)
        properties_free(&o->at[i]);
    free(o->at);
    *o = (struct objects){0};
}

void vm_config_free(struct vm_config *c)
{
    struct objects *const lists[] = {&c->smbios,   &c->drives,  &c->blockdevs, &c->devices, &c->netdevs,
                                     &c->chardevs, &c->objects, &c->mons,      &c->globals, &c->kept};
    struct texts *const texts[] = {&c->serials, &c->monitors, &c->qmps, &c->qmps_pretty};
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
        objects_free(lists[i]);
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        free(texts[i]->at);
    *c = (struct vm_config){0};
}
