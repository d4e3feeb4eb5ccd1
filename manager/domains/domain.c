/* domain.c - one virtual machine as the manager knows it, and all of them */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdlib.h>
#include <string.h>

#include "manager/daemon/manager.h"
#include "manager/daemon/text.h"
#include "manager/domains/domain.h"
#include "manager/domains/notify.h"
#include "manager/domains/snapshot.h"
#include "manager/domains/store.h"

static struct domain **alike(struct domains *ds, const u8 uuid[16])
{
    return &ds->by_uuid[(uuid[14] << 8 | uuid[15]) % UUID_LISTS];
}

struct domain *domain_new(struct manager *m, xmlNode *config)
{
    struct domains *ds = &m->domains;
    if (ds->count == ds->room) {
        ds->room = max(ds->room * 2, 16u);
        ds->at = realloc(ds->at, ds->room * sizeof(*ds->at));
        ASSERT(ds->at);
    }
    struct domain *d = calloc(1, sizeof(*d));
    ASSERT(d);
    *d = (struct domain){.manager = m,
                         .references = 1,
                         .name = text_copy(xml_get(config, "name")),
                         .id = -1,
                         .listed = true,
                         .config = config,
                         .state = DOMAIN_SHUTOFF,
                         .migration = {.port = {.fd = -1}},
                         .migration_speed = MIGRATION_SPEED_MAX,
                         .machine = {.exit = {.fd = -1}}};
    ASSERT(uuid_parse(xml_get(config, "uuid"), d->uuid));
    d->job.waiters_end = &d->job.waiters;
    ds->at[ds->count++] = d;
    d->next_alike = *alike(ds, d->uuid);
    *alike(ds, d->uuid) = d;
    return d;
}

struct domain *domain_new_transient(struct manager *m, xmlNode *live)
{
    struct domain *d = domain_new(m, live);
    d->config = NULL;
    return d;
}

void domain_get(struct domain *d)
{
    d->references++;
}

void domain_put(struct domain *d)
{
    if (--d->references)
        return;
    xml_free(d->config);
    xml_free(d->live);
    free(d->name);
    free(d);
}

void domain_unlist(struct domain *d)
{
    struct domains *ds = &d->manager->domains;
    struct domain **link = alike(ds, d->uuid);
    unsigned i = 0;
    if (!d->listed)
        return;
    while (*link != d)
        link = &(*link)->next_alike;
    *link = d->next_alike;
    while (ds->at[i] != d)
        i++;
    memmove(&ds->at[i], &ds->at[i + 1], (--ds->count - i) * sizeof(*ds->at));
    d->listed = false;
    domain_put(d);
}

struct domain *domains_by_uuid(struct domains *ds, const u8 uuid[16])
{
    struct domain *d = *alike(ds, uuid);
    while (d && memcmp(d->uuid, uuid, 16))
        d = d->next_alike;
    return d;
}

struct domain *domains_by_name(struct domains *ds, const char *name)
{
    for (unsigned i = 0; i < ds->count; i++)
        if (!strcmp(ds->at[i]->name, name))
            return ds->at[i];
    return NULL;
}

int domains_find_same(struct manager *m, xmlNode *config, struct domain **found, struct vir_error *e)
{
    u8 uuid[16];
    char text[UUID_TEXT];
    const char *name = xml_get(config, "name");
    uuid_parse(xml_get(config, "uuid"), uuid);
    struct domain *by_uuid = domains_by_uuid(&m->domains, uuid),
                  *by_name = domains_by_name(&m->domains, name);
    if (by_uuid && by_uuid != by_name)
        return vir_fail(e, VIR_ERR_OPERATION_FAILED, "domain '%s' is already defined with uuid %s",
                        by_uuid->name, uuid_format(uuid, text));
    if (by_name && !by_uuid)
        return vir_fail(e, VIR_ERR_OPERATION_FAILED, "domain '%s' already exists with uuid %s", name,
                        uuid_format(by_name->uuid, text));
    *found = by_uuid;
    return 0;
}

struct domain *domains_by_id(struct domains *ds, s32 id)
{
    for (unsigned i = 0; i < ds->count; i++)
        if (ds->at[i]->id == id && id >= 0)
            return ds->at[i];
    return NULL;
}

static void put_held(void *object)
{
    domain_put(object);
}

void domain_keep(struct call *call, struct domain *d)
{
    domain_get(d);
    call_hold(call, d, put_held);
}

struct domain *domain_find(struct call *call, const struct remote_domain *name)
{
    struct domain *d = domains_by_uuid(&call->manager->domains, name->uuid);
    char text[UUID_TEXT];
    if (!d)
        vir_fail(&call->error, VIR_ERR_NO_DOMAIN, "no domain with matching uuid '%s' (%s)",
                 uuid_format(name->uuid, text), name->name);
    else
        domain_keep(call, d);
    return d;
}

int domain_not_running(struct vir_error *e)
{
    return vir_fail(e, VIR_ERR_OPERATION_INVALID, "domain is not running");
}

struct domain *domain_find_active(struct call *call, const struct remote_domain *name)
{
    struct domain *d = domain_find(call, name);
    if (!d || domain_active(d))
        return d;
    domain_not_running(&call->error);
    return NULL;
}

int domain_affect(const struct domain *d, u32 flags, struct affect *a, struct vir_error *e)
{
    bool current = !(flags & (AFFECT_LIVE | AFFECT_CONFIG));
    a->live = flags & AFFECT_LIVE || (current && domain_active(d));
    a->config = flags & AFFECT_CONFIG || (current && !domain_active(d));
    if (a->live && !domain_active(d))
        return domain_not_running(e);
    if (a->config && !d->persistent)
        return vir_fail(e, VIR_ERR_OPERATION_INVALID, "transient domains do not have any persistent config");
    return 0;
}

int domain_replace_config(struct domain *d, xmlNode *config, struct vir_error *e)
{
    xmlNode *old = d->config;
    d->config = config;
    if (store_config(d, e) < 0) {
        d->config = old;
        xml_free(config);
        return -1;
    }
    xml_free(old);
    return 0;
}

void domain_undefine(struct domain *d)
{
    snapshots_forget(d);
    store_forget_save(d);
    store_forget_config(d);
    d->persistent = d->autostart = false;
    notify_lifecycle(d, EV_UNDEFINED, UNDEFINED_REMOVED);
    if (!domain_active(d))
        domain_unlist(d);
}

struct remote_domain domain_remote(const struct domain *d)
{
    struct remote_domain r = {.name = d->name, .id = d->id};
    memcpy(r.uuid, d->uuid, sizeof(r.uuid));
    return r;
}

void domain_set_state(struct domain *d, enum domain_state state, int reason)
{
    d->state = state;
    d->reason = reason;
    d->state_since = loop_now();
    if (domain_active(d))
        store_state(d);
}
