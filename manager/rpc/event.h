/* event.h - who wants to hear of what, and telling them */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef RPC_EVENT_H
#define RPC_EVENT_H

#include "manager/rpc/client.h"

enum event_class { EVENT_DOMAIN, EVENT_NETWORK, EVENT_POOL, EVENT_MONITOR, EVENT_NODE_DEVICE, EVENT_SECRET };

struct registration {
    struct registration *next;
    s32 callback;
    enum event_class class;
    s32 event;
    bool filtered; /* only of the object with this uuid */
    u8 uuid[16];
    char *name; /* EVENT_MONITOR: the event's name, NULL: every one */
};

/* Returns the callback id, by which it is removed again. uuid NULL: of all objects. */
s32 registration_add(struct client *c, enum event_class class, s32 event, const u8 *uuid, const char *name);
/* 0, or -1: there is none of that id. */
int registration_remove(struct client *c, enum event_class class, s32 callback);
void registrations_free(struct client *c);

/* A message of protocol.def whose first field is the callback id, to whoever has asked for it. */
struct event {
    enum event_class class;
    s32 number;       /* virDomainEventID and the like */
    const u8 *uuid;   /* of the object */
    const char *name; /* EVENT_MONITOR */
    s32 procedure;    /* PROC_... of the message */
    const struct xdr_struct *type;
    void *message; /* of that type; its callbackID is written here */
};

void event_send(struct server *s, const struct event *e);

#endif
