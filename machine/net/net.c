/* net.c - network back ends: made from options, named, lent to devices, removed */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine/net/net.h"

static const struct net_type *const types[] = {&net_bridge, &net_socket, &net_tap, &net_user};

static const struct net_type *find_type(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(types); i++)
        if (!strcmp(types[i]->name, name))
            return types[i];
    return NULL;
}

void net_help(const char *name)
{
    const struct net_type *one = name ? find_type(name) : NULL;
    for (size_t i = 0; i < ARRAY_SIZE(types) && !one; i++)
        printf("  %-18s %s\n", types[i]->name, types[i]->help);
    if (one)
        properties_help(one->rows);
}

static struct net_backend *find(const struct net_set *s, const char *id)
{
    struct net_backend *b = s->first;
    while (b && strcmp(b->id, id))
        b = b->next;
    return b;
}

static int create(struct net_set *s, const struct net_type *type, const char *id, struct properties *rest,
                  struct error *e)
{
    properties_remove(rest, "type");
    properties_remove(rest, "id");
    char *name = strdup(id);
    struct net_backend *b = name ? type->create(s, rest, e) : NULL;
    if (!b) {
        free(name);
        return name ? -EINVAL : error_set(e, ENOMEM, "-netdev: no memory");
    }
    b->type = type;
    b->id = name;
    b->next = s->first;
    s->first = b;
    return 0;
}

int net_add(struct net_set *s, const struct properties *p, struct error *e)
{
    const char *name = properties_get(p, "type"), *id = properties_get(p, "id");
    const struct net_type *type = name ? find_type(name) : NULL;
    struct properties rest;
    if (!type)
        return error_set(e, EINVAL, "-netdev '%s' is not supported: -netdev help lists what is",
                         name ? name : "");
    if (!id || !*id)
        return error_set(e, EINVAL, "-netdev %s: 'id' is missing", name);
    if (find(s, id))
        return error_set(e, EEXIST, "-netdev: id '%s' is taken: use another", id);
    if (properties_copy(&rest, p) < 0)
        return error_set(e, ENOMEM, "-netdev: no memory");
    int r = create(s, type, id, &rest, e);
    properties_free(&rest);
    return r;
}

static void destroy(struct net_set *s, struct net_backend *b)
{
    struct net_backend **at = &s->first;
    while (*at != b)
        at = &(*at)->next;
    *at = b->next;
    free(b->id);
    b->type->destroy(b);
}

int net_remove(struct net_set *s, const char *id, struct error *e)
{
    struct net_backend *b = find(s, id);
    if (!b)
        return error_set(e, ENODEV, "there is no network back end '%s'", id);
    if (b->client.receive || b->watchers)
        return error_set(e, EBUSY, "the network back end '%s' is in use by '%s'", id,
                         b->client.receive ? b->client.model : "filter-dump");
    destroy(s, b);
    return 0;
}

struct net_backend *net_attach(struct net_set *s, const char *id, const struct net_client *c, struct error *e)
{
    struct net_backend *b = find(s, id);
    if (!b)
        error_set(e, ENODEV, "there is no network back end '%s': name one with -netdev", id);
    else if (b->client.receive)
        error_set(e, EBUSY, "the network back end '%s' is in use by '%s'", id, b->client.model);
    if (!b || b->client.receive)
        return NULL;
    b->client = *c;
    return b;
}

void net_detach(struct net_backend *b)
{
    b->client = (struct net_client){0};
    net_client_takes(b, 0);
}

void net_client_takes(struct net_backend *b, unsigned takes)
{
    b->client_takes = takes;
    if (b->type->taken)
        b->type->taken(b);
}

struct net_backend *net_find(const struct net_set *s, const char *id)
{
    for (struct net_backend *b = s->first; b; b = b->next) {
        const char *card = b->client.id ? b->client.id(b->client.opaque) : NULL;
        if (!strcmp(b->id, id) || (card && !strcmp(card, id)))
            return b;
    }
    return NULL;
}

void net_set_link(struct net_backend *b, bool up)
{
    b->link_down = !up;
    if (b->client.set_link)
        b->client.set_link(b->client.opaque, up);
}

static void show(const struct net_backend *b, const u8 *packet, size_t len)
{
    for (struct net_watcher *t = b->watchers; t; t = t->next)
        t->see(t, packet, len);
}

static void count(struct net_traffic *t, size_t len, bool passed)
{
    t->packets += passed;
    t->bytes += passed ? len : 0;
    t->dropped += !passed;
}

static void to_type(void *opaque, const struct net_header *h, const u8 *packet, size_t len)
{
    struct net_backend *b = opaque;
    show(b, packet, len);
    b->type->send(b, h, packet, len);
}

void net_send(struct net_backend *b, const struct net_header *h, u8 *packet, size_t len)
{
    count(&b->sent, len, !b->link_down);
    if (!b->link_down)
        net_resolve(h, packet, len, b->takes, to_type, b);
}

static void to_client(void *opaque, const struct net_header *h, const u8 *packet, size_t len)
{
    struct net_backend *b = opaque;
    show(b, packet, len);
    count(&b->received, len, b->client.receive(b->client.opaque, h, packet, len));
}

void net_deliver(struct net_backend *b, const struct net_header *h, u8 *packet, size_t len)
{
    if (b->client.receive && !b->link_down && len <= NET_MAX_PACKET)
        net_resolve(h, packet, len, b->client_takes, to_client, b);
    else
        b->received.dropped++;
}

void net_close_all(struct net_set *s)
{
    while (s->first)
        destroy(s, s->first);
}
