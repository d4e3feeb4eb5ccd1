/* calls_none.c - kinds of objects of which this daemon has none: looking one up */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "manager/daemon/manager.h"
#include "manager/daemon/text.h"

/* Devices and interfaces of the host, network filters, secrets: their lists are rows of protocol.def alone.
 */

int handle_node_device_lookup_by_name(struct call *call,
                                      const struct remote_node_device_lookup_by_name_args *args)
{
    return vir_fail(&call->error, VIR_ERR_NO_NODE_DEVICE, "no node device with matching name '%s'",
                    args->name);
}

int handle_interface_lookup_by_name(struct call *call,
                                    const struct remote_interface_lookup_by_name_args *args)
{
    return vir_fail(&call->error, VIR_ERR_NO_INTERFACE, "couldn't find interface named '%s'", args->name);
}

int handle_interface_lookup_by_mac_string(struct call *call,
                                          const struct remote_interface_lookup_by_mac_string_args *args)
{
    return vir_fail(&call->error, VIR_ERR_NO_INTERFACE, "couldn't find interface with MAC address '%s'",
                    args->mac);
}

int handle_nwfilter_lookup_by_name(struct call *call, const struct remote_nwfilter_lookup_by_name_args *args)
{
    return vir_fail(&call->error, VIR_ERR_NO_NWFILTER, "no nwfilter with matching name '%s'", args->name);
}

int handle_nwfilter_lookup_by_uuid(struct call *call, const struct remote_nwfilter_lookup_by_uuid_args *args)
{
    char uuid[UUID_TEXT];
    return vir_fail(&call->error, VIR_ERR_NO_NWFILTER, "no nwfilter with matching uuid '%s'",
                    uuid_format(args->uuid, uuid));
}

int handle_secret_lookup_by_uuid(struct call *call, const struct remote_secret_lookup_by_uuid_args *args)
{
    char uuid[UUID_TEXT];
    return vir_fail(&call->error, VIR_ERR_NO_SECRET, "no secret with matching uuid '%s'",
                    uuid_format(args->uuid, uuid));
}

int handle_secret_lookup_by_usage(struct call *call, const struct remote_secret_lookup_by_usage_args *args)
{
    return vir_fail(&call->error, VIR_ERR_NO_SECRET, "no secret with matching usage '%s'", args->usageID);
}
