/* calls_network.c - procedures of networks */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdlib.h>
#include <string.h>

#include "manager/daemon/manager.h"
#include "manager/networks/network.h"

static struct remote_network remote(struct call *call, const struct resource *r)
{
    struct remote_network n = {.name = arena_strdup(&call->arena, r->name)};
    memcpy(n.uuid, r->uuid, sizeof(n.uuid));
    return n;
}

static struct resource *find(struct call *call, const struct remote_network *n)
{
    return resource_find(call, &call->manager->networks, n->uuid, n->name);
}

/* ---- lists ---- */

int handle_connect_list_all_networks(struct call *call,
                                     const struct remote_connect_list_all_networks_args *args,
                                     struct remote_connect_list_all_networks_ret *ret)
{
    enum { KNOWN = 63 };
    const struct resources *rs = &call->manager->networks;
    if (vir_check_flags(&call->error, args->flags, KNOWN, "virConnectListAllNetworks") < 0)
        return -1;
    ret->nets = arena_array(&call->arena, struct remote_network, rs->count);
    for (unsigned i = 0; i < rs->count; i++)
        if (resource_matches(rs->at[i], args->flags)) {
            if (args->need_results)
                ret->nets[ret->nets_count++] = remote(call, rs->at[i]);
            ret->ret++;
        }
    return 0;
}

int handle_connect_num_of_networks(struct call *call, struct remote_connect_num_of_networks_ret *ret)
{
    ret->num = resources_count(&call->manager->networks, true);
    return 0;
}

int handle_connect_num_of_defined_networks(struct call *call,
                                           struct remote_connect_num_of_defined_networks_ret *ret)
{
    ret->num = resources_count(&call->manager->networks, false);
    return 0;
}

int handle_connect_list_networks(struct call *call, const struct remote_connect_list_networks_args *args,
                                 struct remote_connect_list_networks_ret *ret)
{
    ret->names = resources_names(call, &call->manager->networks, true, args->maxnames, &ret->names_count);
    return 0;
}

int handle_connect_list_defined_networks(struct call *call,
                                         const struct remote_connect_list_defined_networks_args *args,
                                         struct remote_connect_list_defined_networks_ret *ret)
{
    ret->names = resources_names(call, &call->manager->networks, false, args->maxnames, &ret->names_count);
    return 0;
}

int handle_network_lookup_by_name(struct call *call, const struct remote_network_lookup_by_name_args *args,
                                  struct remote_network_lookup_by_name_ret *ret)
{
    struct resource *r = resource_find_name(call, &call->manager->networks, args->name);
    if (r)
        ret->net = remote(call, r);
    return r ? 0 : -1;
}

int handle_network_lookup_by_uuid(struct call *call, const struct remote_network_lookup_by_uuid_args *args,
                                  struct remote_network_lookup_by_uuid_ret *ret)
{
    struct resource *r = resource_find(call, &call->manager->networks, args->uuid, NULL);
    if (r)
        ret->net = remote(call, r);
    return r ? 0 : -1;
}

/* ---- life ---- */

enum { VALIDATE = 1 };

static int made(struct call *call, const char *xml, u32 flags,
                struct resource *(*make)(struct resources *rs, const char *xml, struct vir_error *e),
                struct remote_network *net)
{
    if (vir_check_flags(&call->error, flags, VALIDATE, call->procedure->name) < 0)
        return -1;
    struct resource *r = make(&call->manager->networks, xml, &call->error);
    if (r)
        *net = remote(call, r);
    return r ? 0 : -1;
}

int handle_network_create_xml(struct call *call, const struct remote_network_create_xml_args *args,
                              struct remote_network_create_xml_ret *ret)
{
    return made(call, args->xml, 0, resource_create, &ret->net);
}

int handle_network_create_xml_flags(struct call *call,
                                    const struct remote_network_create_xml_flags_args *args,
                                    struct remote_network_create_xml_flags_ret *ret)
{
    return made(call, args->xml, args->flags, resource_create, &ret->net);
}

int handle_network_define_xml(struct call *call, const struct remote_network_define_xml_args *args,
                              struct remote_network_define_xml_ret *ret)
{
    return made(call, args->xml, 0, resource_define, &ret->net);
}

int handle_network_define_xml_flags(struct call *call,
                                    const struct remote_network_define_xml_flags_args *args,
                                    struct remote_network_define_xml_flags_ret *ret)
{
    return made(call, args->xml, args->flags, resource_define, &ret->net);
}

int handle_network_create(struct call *call, const struct remote_network_create_args *args)
{
    struct resource *r = find(call, &args->net);
    return r ? resource_start(r, &call->error) : -1;
}

int handle_network_destroy(struct call *call, const struct remote_network_destroy_args *args)
{
    struct resource *r = find(call, &args->net);
    return r ? resource_stop(r, &call->error) : -1;
}

int handle_network_undefine(struct call *call, const struct remote_network_undefine_args *args)
{
    struct resource *r = find(call, &args->net);
    return r ? resource_undefine(r, &call->error) : -1;
}

/* ---- how it is ---- */

int handle_network_get_xml_desc(struct call *call, const struct remote_network_get_xml_desc_args *args,
                                struct remote_network_get_xml_desc_ret *ret)
{
    enum { INACTIVE = 1 };
    struct resource *r = find(call, &args->net);
    if (!r || vir_check_flags(&call->error, args->flags, INACTIVE, "virNetworkGetXMLDesc") < 0)
        return -1;
    char *text = xml_write(args->flags & INACTIVE && r->config ? r->config : resource_xml(r));
    ret->xml = arena_strdup(&call->arena, text);
    free(text);
    return 0;
}

int handle_network_get_autostart(struct call *call, const struct remote_network_get_autostart_args *args,
                                 struct remote_network_get_autostart_ret *ret)
{
    struct resource *r = find(call, &args->net);
    if (r)
        ret->autostart = r->autostart;
    return r ? 0 : -1;
}

int handle_network_set_autostart(struct call *call, const struct remote_network_set_autostart_args *args)
{
    struct resource *r = find(call, &args->net);
    return r ? resource_set_autostart(r, args->autostart, &call->error) : -1;
}

int handle_network_get_bridge_name(struct call *call, const struct remote_network_get_bridge_name_args *args,
                                   struct remote_network_get_bridge_name_ret *ret)
{
    struct resource *r = find(call, &args->net);
    const char *bridge = r ? network_bridge(r) : NULL;
    if (r && !bridge)
        vir_fail(&call->error, VIR_ERR_INTERNAL_ERROR, "network '%s' does not have a bridge name.", r->name);
    ret->name = bridge ? arena_strdup(&call->arena, bridge) : NULL;
    return bridge ? 0 : -1;
}

int handle_network_is_active(struct call *call, const struct remote_network_is_active_args *args,
                             struct remote_network_is_active_ret *ret)
{
    struct resource *r = find(call, &args->net);
    if (r)
        ret->active = r->active;
    return r ? 0 : -1;
}

int handle_network_is_persistent(struct call *call, const struct remote_network_is_persistent_args *args,
                                 struct remote_network_is_persistent_ret *ret)
{
    struct resource *r = find(call, &args->net);
    if (r)
        ret->persistent = resource_persistent(r);
    return r ? 0 : -1;
}

/* Addresses are given inside each machine, which tells nobody. */
int handle_network_get_dhcp_leases(struct call *call, const struct remote_network_get_dhcp_leases_args *args,
                                   struct remote_network_get_dhcp_leases_ret *ret)
{
    struct resource *r = find(call, &args->net);
    (void)ret;
    if (!r || vir_check_flags(&call->error, args->flags, 0, "virNetworkGetDHCPLeases") < 0)
        return -1;
    return resource_need_active(r, &call->error);
}
