/* event.c - who wants to hear of what, and telling them */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdlib.h>
#include <string.h>

#include "manager/rpc/event.h"
#include "manager/rpc/server.h"

s32 registration_add(struct client *c, enum event_class class, s32 event, const u8 *uuid, const char *name)
{
    struct registration *r = calloc(1, sizeof(*r));
    ASSERT(r);
    *r = (struct registration){.next = c->registrations,
                               .callback = c->next_callback++,
                               .class = class,
                               .event = event,
                               .filtered = uuid};
    if (uuid)
        memcpy(r->uuid, uuid, sizeof(r->uuid));
    r->name = name ? strdup(name) : NULL;
    c->registrations = r;
    return r->callback;
}

static void registration_free(struct registration *r)
{
    free(r->name);
    free(r);
}

int registration_remove(struct client *c, enum event_class class, s32 callback)
{
    for (struct registration **at = &c->registrations, *r; (r = *at); at = &r->next)
        if (r->class == class && r->callback == callback) {
            *at = r->next;
            registration_free(r);
            return 0;
        }
    return -1;
}

void registrations_free(struct client *c)
{
    while (c->registrations) {
        struct registration *r = c->registrations;
        c->registrations = r->next;
        registration_free(r);
    }
}

static bool wants(const struct registration *r, const struct event *e)
{
    return r->class == e->class && r->event == e->number && (!r->filtered || !memcmp(r->uuid, e->uuid, 16)) &&
           (!r->name || !e->name || !strcmp(r->name, e->name));
}

static void send_to(struct client *c, const struct event *e)
{
    struct wire_header h = {.program = e->class == EVENT_MONITOR ? PROGRAM_QEMU : PROGRAM_REMOTE,
                            .version = WIRE_VERSION,
                            .procedure = e->procedure,
                            .type = WIRE_MESSAGE,
                            .serial = 1};
    for (struct registration *r = c->registrations; r && !c->closed; r = r->next)
        if (wants(r, e)) {
            *(s32 *)e->message = r->callback;
            client_send(c, &h, e->type, e->message);
        }
}

void event_send(struct server *s, const struct event *e)
{
    for (struct client *c = s->clients, *next; c; c = next) {
        next = c->next;
        send_to(c, e);
    }
}
