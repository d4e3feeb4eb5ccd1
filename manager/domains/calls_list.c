/* calls_list.c - procedures that list domains and look them up */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "manager/daemon/manager.h"
#include "manager/daemon/text.h"
#include "manager/domains/snapshot.h"
#include "manager/domains/store.h"

/* virConnectListAllDomainsFlags: of a group, what is asked for is or-ed; the groups are and-ed. */
enum {
    LIST_ACTIVE = 1,
    LIST_INACTIVE = 2,
    LIST_PERSISTENT = 4,
    LIST_TRANSIENT = 8,
    LIST_RUNNING = 16,
    LIST_PAUSED = 32,
    LIST_SHUTOFF = 64,
    LIST_OTHER = 128,
    LIST_MANAGEDSAVE = 256,
    LIST_NO_MANAGEDSAVE = 512,
    LIST_AUTOSTART = 1024,
    LIST_NO_AUTOSTART = 2048,
    LIST_HAS_SNAPSHOT = 4096,
    LIST_NO_SNAPSHOT = 8192,
    LIST_HAS_CHECKPOINT = 16384,
    LIST_NO_CHECKPOINT = 32768,
    LIST_ALL = 65535,
};

static const u32 groups[] = {LIST_ACTIVE | LIST_INACTIVE,
                             LIST_PERSISTENT | LIST_TRANSIENT,
                             LIST_RUNNING | LIST_PAUSED | LIST_SHUTOFF | LIST_OTHER,
                             LIST_MANAGEDSAVE | LIST_NO_MANAGEDSAVE,
                             LIST_AUTOSTART | LIST_NO_AUTOSTART,
                             LIST_HAS_SNAPSHOT | LIST_NO_SNAPSHOT,
                             LIST_HAS_CHECKPOINT | LIST_NO_CHECKPOINT};

/* The one flag of each group that is true of the domain. */
static u32 properties_of(const struct domain *d)
{
    u32 is = (domain_active(d) ? LIST_ACTIVE : LIST_INACTIVE) |
             (d->persistent ? LIST_PERSISTENT : LIST_TRANSIENT) |
             (d->autostart ? LIST_AUTOSTART : LIST_NO_AUTOSTART) | LIST_NO_CHECKPOINT;
    is |= d->state == DOMAIN_RUNNING   ? LIST_RUNNING
          : d->state == DOMAIN_PAUSED  ? LIST_PAUSED
          : d->state == DOMAIN_SHUTOFF ? LIST_SHUTOFF
                                       : LIST_OTHER;
    return is;
}

static bool has_snapshot(const struct domain *d)
{
    struct snapshots s = snapshots_read(d);
    bool any = s.count;
    snapshots_free(&s);
    return any;
}

bool domain_matches(const struct domain *d, u32 flags)
{
    u32 is = properties_of(d);
    if (flags & (LIST_MANAGEDSAVE | LIST_NO_MANAGEDSAVE))
        is |= store_has_save(d) ? LIST_MANAGEDSAVE : LIST_NO_MANAGEDSAVE;
    if (flags & (LIST_HAS_SNAPSHOT | LIST_NO_SNAPSHOT))
        is |= has_snapshot(d) ? LIST_HAS_SNAPSHOT : LIST_NO_SNAPSHOT;
    for (size_t i = 0; i < ARRAY_SIZE(groups); i++)
        if ((flags & groups[i]) && !(flags & groups[i] & is))
            return false;
    return true;
}

int handle_connect_list_all_domains(struct call *call,
                                    const struct remote_connect_list_all_domains_args *args,
                                    struct remote_connect_list_all_domains_ret *ret)
{
    struct domains *ds = &call->manager->domains;
    if (vir_check_flags(&call->error, args->flags, LIST_ALL, "virConnectListAllDomains") < 0)
        return -1;
    ret->domains = args->need_results ? arena_array(&call->arena, struct remote_domain, ds->count) : NULL;
    for (unsigned i = 0; i < ds->count; i++)
        if (domain_matches(ds->at[i], args->flags)) {
            if (ret->domains) {
                ret->domains[ret->ret] = domain_remote(ds->at[i]);
                ret->domains_count++;
            }
            ret->ret++;
        }
    if (ret->domains_count > 16384)
        return vir_fail(&call->error, VIR_ERR_RPC, "Too many domains '%u' for limit '16384'",
                        ret->domains_count);
    return 0;
}

static s32 count(const struct domains *ds, bool active)
{
    s32 n = 0;
    for (unsigned i = 0; i < ds->count; i++)
        n += domain_active(ds->at[i]) == active;
    return n;
}

int handle_connect_num_of_domains(struct call *call, struct remote_connect_num_of_domains_ret *ret)
{
    ret->num = count(&call->manager->domains, true);
    return 0;
}

int handle_connect_num_of_defined_domains(struct call *call,
                                          struct remote_connect_num_of_defined_domains_ret *ret)
{
    ret->num = count(&call->manager->domains, false);
    return 0;
}

int handle_connect_list_domains(struct call *call, const struct remote_connect_list_domains_args *args,
                                struct remote_connect_list_domains_ret *ret)
{
    struct domains *ds = &call->manager->domains;
    ret->ids = arena_array(&call->arena, s32, ds->count);
    for (unsigned i = 0; i < ds->count && (s32)ret->ids_count < args->maxids; i++)
        if (domain_active(ds->at[i]))
            ret->ids[ret->ids_count++] = ds->at[i]->id;
    return 0;
}

int handle_connect_list_defined_domains(struct call *call,
                                        const struct remote_connect_list_defined_domains_args *args,
                                        struct remote_connect_list_defined_domains_ret *ret)
{
    struct domains *ds = &call->manager->domains;
    ret->names = arena_array(&call->arena, char *, ds->count);
    for (unsigned i = 0; i < ds->count && (s32)ret->names_count < args->maxnames; i++)
        if (!domain_active(ds->at[i]))
            ret->names[ret->names_count++] = arena_strdup(&call->arena, ds->at[i]->name);
    return 0;
}

int handle_domain_lookup_by_id(struct call *call, const struct remote_domain_lookup_by_id_args *args,
                               struct remote_domain_lookup_by_id_ret *ret)
{
    struct domain *d = domains_by_id(&call->manager->domains, args->id);
    if (!d)
        return vir_fail(&call->error, VIR_ERR_NO_DOMAIN, "no domain with matching id %d", args->id);
    ret->dom = domain_remote(d);
    return 0;
}

int handle_domain_lookup_by_name(struct call *call, const struct remote_domain_lookup_by_name_args *args,
                                 struct remote_domain_lookup_by_name_ret *ret)
{
    struct domain *d = domains_by_name(&call->manager->domains, args->name);
    if (!d)
        return vir_fail(&call->error, VIR_ERR_NO_DOMAIN, "no domain with matching name '%s'", args->name);
    ret->dom = domain_remote(d);
    return 0;
}

int handle_domain_lookup_by_uuid(struct call *call, const struct remote_domain_lookup_by_uuid_args *args,
                                 struct remote_domain_lookup_by_uuid_ret *ret)
{
    struct domain *d = domains_by_uuid(&call->manager->domains, args->uuid);
    char text[UUID_TEXT];
    if (!d)
        return vir_fail(&call->error, VIR_ERR_NO_DOMAIN, "no domain with matching uuid '%s'",
                        uuid_format(args->uuid, text));
    ret->dom = domain_remote(d);
    return 0;
}
