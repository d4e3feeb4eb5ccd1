/* calls_event.c - procedures by which clients ask for events */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "manager/daemon/manager.h"
#include "manager/rpc/event.h"

enum { DOMAIN_EVENT_LAST = 27 };

int handle_connect_domain_event_callback_register_any(
    struct call *call, const struct remote_connect_domain_event_callback_register_any_args *args,
    struct remote_connect_domain_event_callback_register_any_ret *ret)
{
    if (args->eventID < 0 || args->eventID >= DOMAIN_EVENT_LAST)
        return vir_fail(&call->error, VIR_ERR_INTERNAL_ERROR, "unsupported event ID %d", args->eventID);
    ret->callbackID =
        registration_add(call->client, EVENT_DOMAIN, args->eventID, args->dom ? args->dom->uuid : NULL, NULL);
    return 0;
}

static int deregister(struct call *call, enum event_class class, s32 callback)
{
    if (registration_remove(call->client, class, callback) == 0)
        return 0;
    return vir_fail(&call->error, VIR_ERR_INTERNAL_ERROR, "event callback ID %d not found", callback);
}

int handle_connect_domain_event_callback_deregister_any(
    struct call *call, const struct remote_connect_domain_event_callback_deregister_any_args *args)
{
    return deregister(call, EVENT_DOMAIN, args->callbackID);
}

/* Networks have one event, pools two. */
int handle_connect_network_event_register_any(
    struct call *call, const struct remote_connect_network_event_register_any_args *args,
    struct remote_connect_network_event_register_any_ret *ret)
{
    if (args->eventID != 0)
        return vir_fail(&call->error, VIR_ERR_INTERNAL_ERROR, "unsupported event ID %d", args->eventID);
    ret->callbackID =
        registration_add(call->client, EVENT_NETWORK, 0, args->net ? args->net->uuid : NULL, NULL);
    return 0;
}

int handle_connect_network_event_deregister_any(
    struct call *call, const struct remote_connect_network_event_deregister_any_args *args)
{
    return deregister(call, EVENT_NETWORK, args->callbackID);
}

int handle_connect_storage_pool_event_register_any(
    struct call *call, const struct remote_connect_storage_pool_event_register_any_args *args,
    struct remote_connect_storage_pool_event_register_any_ret *ret)
{
    if (args->eventID < 0 || args->eventID > 1)
        return vir_fail(&call->error, VIR_ERR_INTERNAL_ERROR, "unsupported event ID %d", args->eventID);
    ret->callbackID =
        registration_add(call->client, EVENT_POOL, args->eventID, args->pool ? args->pool->uuid : NULL, NULL);
    return 0;
}

int handle_connect_storage_pool_event_deregister_any(
    struct call *call, const struct remote_connect_storage_pool_event_deregister_any_args *args)
{
    return deregister(call, EVENT_POOL, args->callbackID);
}

/* There are no secrets and no devices of the host, and so no events of them: but who asks may wait. */
static int register_silent(struct call *call, enum event_class class, s32 event, s32 *callback)
{
    if (event < 0 || event > 1)
        return vir_fail(&call->error, VIR_ERR_INTERNAL_ERROR, "unsupported event ID %d", event);
    *callback = registration_add(call->client, class, event, NULL, NULL);
    return 0;
}

int handle_connect_node_device_event_register_any(
    struct call *call, const struct remote_connect_node_device_event_register_any_args *args,
    struct remote_connect_node_device_event_register_any_ret *ret)
{
    return register_silent(call, EVENT_NODE_DEVICE, args->eventID, &ret->callbackID);
}

int handle_connect_node_device_event_deregister_any(
    struct call *call, const struct remote_connect_node_device_event_deregister_any_args *args)
{
    return deregister(call, EVENT_NODE_DEVICE, args->callbackID);
}

int handle_connect_secret_event_register_any(struct call *call,
                                             const struct remote_connect_secret_event_register_any_args *args,
                                             struct remote_connect_secret_event_register_any_ret *ret)
{
    return register_silent(call, EVENT_SECRET, args->eventID, &ret->callbackID);
}

int handle_connect_secret_event_deregister_any(
    struct call *call, const struct remote_connect_secret_event_deregister_any_args *args)
{
    return deregister(call, EVENT_SECRET, args->callbackID);
}

int handle_qemu_connect_domain_monitor_event_register(
    struct call *call, const struct remote_qemu_connect_domain_monitor_event_register_args *args,
    struct remote_qemu_connect_domain_monitor_event_register_ret *ret)
{
    if (args->flags)
        return vir_fail(&call->error, VIR_ERR_ARGUMENT_UNSUPPORTED,
                        "event names as patterns are not supported");
    ret->callbackID =
        registration_add(call->client, EVENT_MONITOR, 0, args->dom ? args->dom->uuid : NULL, args->event);
    return 0;
}

int handle_qemu_connect_domain_monitor_event_deregister(
    struct call *call, const struct remote_qemu_connect_domain_monitor_event_deregister_args *args)
{
    return deregister(call, EVENT_MONITOR, args->callbackID);
}
