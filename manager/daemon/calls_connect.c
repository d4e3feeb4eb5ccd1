/* calls_connect.c - procedures of the connection itself */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/version.h"
#include "manager/daemon/manager.h"
#include "manager/daemon/text.h"

enum { OPEN_READ_ONLY = 1, OPEN_NO_ALIASES = 2 };

/* What of it clients ask for, and whether it is there. */
enum feature {
    FEATURE_MIGRATION_P2P = 4,
    FEATURE_MIGRATION_V3 = 6,
    FEATURE_MIGRATE_CHANGE_PROTECTION = 7,
    FEATURE_TYPED_PARAM_STRING = 9,
    FEATURE_PROGRAM_KEEPALIVE = 10,
    FEATURE_XML_MIGRATABLE = 11,
    FEATURE_MIGRATION_OFFLINE = 12,
    FEATURE_MIGRATION_PARAMS = 13,
    FEATURE_REMOTE_EVENT_CALLBACK = 14,
    FEATURE_REMOTE_CLOSE_CALLBACK = 15,
    FEATURE_NETWORK_UPDATE_HAS_CORRECT_ORDER = 16,
};

int handle_auth_list(struct call *call, struct remote_auth_list_ret *ret)
{
    ret->types =
        arena_array(&call->arena, s32, 1); /* one, which is "none": the socket's permissions decide */
    ret->types_count = 1;
    return 0;
}

int handle_connect_supports_feature(struct call *call,
                                    const struct remote_connect_supports_feature_args *args,
                                    struct remote_connect_supports_feature_ret *ret)
{
    switch (args->feature) {
    case FEATURE_PROGRAM_KEEPALIVE: call->client->keepalive = true; __attribute__((fallthrough));
    case FEATURE_MIGRATION_P2P:
    case FEATURE_MIGRATION_V3:
    case FEATURE_MIGRATE_CHANGE_PROTECTION:
    case FEATURE_TYPED_PARAM_STRING:
    case FEATURE_XML_MIGRATABLE:
    case FEATURE_MIGRATION_OFFLINE:
    case FEATURE_MIGRATION_PARAMS:
    case FEATURE_REMOTE_EVENT_CALLBACK:
    case FEATURE_REMOTE_CLOSE_CALLBACK:
    case FEATURE_NETWORK_UPDATE_HAS_CORRECT_ORDER: ret->supported = 1; break;
    default: ret->supported = 0;
    }
    return 0;
}

/* qemu:///system, qemu:///session, or nothing; what comes behind '?' is the client's. */
static bool is_our_uri(const char *uri)
{
    size_t n = strcspn(uri, "?");
    return n == 0 || (n == strlen("qemu:///system") && !strncmp(uri, "qemu:///system", n)) ||
           (n == strlen("qemu:///session") && !strncmp(uri, "qemu:///session", n));
}

int handle_connect_open(struct call *call, const struct remote_connect_open_args *args)
{
    struct client *c = call->client;
    if (c->open)
        return vir_fail(&call->error, VIR_ERR_INTERNAL_ERROR, "connection already open");
    if (vir_check_flags(&call->error, args->flags, OPEN_READ_ONLY | OPEN_NO_ALIASES, "virConnectOpen") < 0)
        return -1;
    const char *name = args->name ? args->name : "";
    if (!is_our_uri(name))
        return vir_fail(&call->error, VIR_ERR_NO_CONNECT, "%s", name);
    c->uri = text_copy(*name ? name : "qemu:///system");
    c->read_only |= (args->flags & OPEN_READ_ONLY) != 0;
    c->open = true;
    return 0;
}

int handle_connect_close(struct call *call)
{
    call->client->close_after_output = true;
    return 0;
}

int handle_connect_register_close_callback(struct call *call)
{
    (void)call; /* the event would say that the hypervisor's connection broke: there is none that could */
    return 0;
}

int handle_connect_unregister_close_callback(struct call *call)
{
    (void)call;
    return 0;
}

int handle_connect_get_uri(struct call *call, struct remote_connect_get_uri_ret *ret)
{
    ret->uri = call->client->uri;
    return 0;
}

int handle_connect_is_secure(struct call *call, struct remote_connect_is_secure_ret *ret)
{
    (void)call;
    ret->secure = 1; /* UNIX sockets alone */
    return 0;
}

int handle_connect_get_type(struct call *call, struct remote_connect_get_type_ret *ret)
{
    ret->type = arena_strdup(&call->arena, "QEMU");
    return 0;
}

int handle_connect_get_version(struct call *call, struct remote_connect_get_version_ret *ret)
{
    const struct emulator *em = emulator_find(call->manager, call->manager->settings.emulator, &call->error);
    if (!em)
        return -1;
    ret->hv_ver = em->version;
    return 0;
}

/* Of the protocol that is spoken: clients choose what they ask for by it. */
int handle_connect_get_lib_version(struct call *call, struct remote_connect_get_lib_version_ret *ret)
{
    (void)call;
    ret->lib_ver = 9000000;
    return 0;
}

int handle_connect_get_hostname(struct call *call, struct remote_connect_get_hostname_ret *ret)
{
    char name[256] = "";
    gethostname(name, sizeof(name) - 1);
    ret->hostname = arena_strdup(&call->arena, name);
    return 0;
}
