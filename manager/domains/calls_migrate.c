/* calls_migrate.c - procedures by which a client moves a domain from one daemon to another */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "manager/daemon/manager.h"
#include "manager/domains/job.h"
#include "manager/domains/life.h"
#include "manager/domains/migrate.h"
#include "manager/domains/save.h"
#include "manager/rpc/params.h"

/* ---- arguments ---- */

/* The parameters that there are, and what they set; offset 0: it is taken, and changes nothing. */
#define NOTHING SIZE_MAX
static const struct {
    const char *name;
    enum param_type type;
    size_t offset;
} known[] = {
#define AT(field) offsetof(struct migrate_args, field)
    {"migrate_uri", PARAM_STRING, AT(uri)},
    {"destination_name", PARAM_STRING, AT(name)},
    {"destination_xml", PARAM_STRING, AT(xml)},
    {"persistent_xml", PARAM_STRING, AT(persistent_xml)},
    {"listen_address", PARAM_STRING, AT(listen_address)},
    {"bandwidth", PARAM_ULLONG, AT(bandwidth)},
    {"graphics_uri", PARAM_STRING, NOTHING}, /* no viewer is moved */
#undef AT
};

static const char *type_name(s32 type)
{
    static const char *const names[] = {"unknown", "int",    "uint",    "llong",
                                        "ullong",  "double", "boolean", "string"};
    return type > 0 && (size_t)type < ARRAY_SIZE(names) ? names[type] : names[0];
}

static int take_param(struct migrate_args *a, const struct remote_typed_param *p, struct vir_error *e)
{
    size_t i = 0;
    while (i < ARRAY_SIZE(known) && strcmp(known[i].name, p->field))
        i++;
    if (i == ARRAY_SIZE(known))
        return vir_fail(e, VIR_ERR_ARGUMENT_UNSUPPORTED, "parameter '%s' not supported", p->field);
    if (p->type != (s32)known[i].type)
        return vir_fail(e, VIR_ERR_INVALID_ARG, "invalid type '%s' for parameter '%s', expected '%s'",
                        type_name(p->type), p->field, type_name((s32)known[i].type));
    if (known[i].offset == NOTHING)
        return 0;
    void *field = (char *)a + known[i].offset;
    if (p->type == PARAM_ULLONG)
        *(u64 *)field = p->ul;
    else
        *(const char **)field = p->s;
    return 0;
}

static int check_bandwidth(u64 bandwidth, struct vir_error *e)
{
    return bandwidth <= MIGRATION_SPEED_MAX
               ? 0
               : vir_fail(e, VIR_ERR_OVERFLOW, "bandwidth must be less than %llu", MIGRATION_SPEED_MAX + 1);
}

static int take_params(struct call *call, struct migrate_args *a, const struct remote_typed_param *at,
                       u32 count, u64 flags)
{
    struct vir_error *e = &call->error;
    for (u32 i = 0; i < count; i++) {
        for (u32 k = 0; k < i; k++)
            if (!strcmp(at[i].field, at[k].field))
                return vir_fail(e, VIR_ERR_INVALID_ARG, "parameter '%s' occurs multiple times", at[i].field);
        if (take_param(a, &at[i], e) < 0)
            return -1;
    }
    a->flags = (u32)flags;
    return migrate_check_flags(flags, call->procedure->name, e) < 0 ? -1 : check_bandwidth(a->bandwidth, e);
}

/* With the NUL behind it, which is part of it. */
static void give_cookie(const struct migrate_answer *answer, u8 **cookie, u32 *size)
{
    *cookie = (u8 *)answer->cookie;
    *size = answer->cookie ? (u32)strlen(answer->cookie) + 1 : 0;
}

/* ---- with parameters ---- */

int handle_domain_migrate_begin3_params(struct call *call,
                                        const struct remote_domain_migrate_begin3_params_args *args,
                                        struct remote_domain_migrate_begin3_params_ret *ret)
{
    struct migrate_args a = {0};
    struct migrate_answer answer = {0};
    struct domain *d = domain_find(call, &args->dom);
    if (!d || take_params(call, &a, args->params, args->params_count, args->flags) < 0 ||
        migrate_begin(call, d, &a, &answer) < 0)
        return -1;
    give_cookie(&answer, &ret->cookie_out, &ret->cookie_out_count);
    ret->xml = answer.xml;
    return 0;
}

int handle_domain_migrate_prepare3_params(struct call *call,
                                          const struct remote_domain_migrate_prepare3_params_args *args,
                                          struct remote_domain_migrate_prepare3_params_ret *ret)
{
    struct migrate_args a = {.cookie = args->cookie_in, .cookie_size = args->cookie_in_count};
    struct migrate_answer answer = {0};
    if (take_params(call, &a, args->params, args->params_count, args->flags) < 0 ||
        migrate_prepare(call, &a, &answer) < 0)
        return -1;
    give_cookie(&answer, &ret->cookie_out, &ret->cookie_out_count);
    ret->uri_out = answer.uri;
    return 0;
}

int handle_domain_migrate_perform3_params(struct call *call,
                                          const struct remote_domain_migrate_perform3_params_args *args,
                                          struct remote_domain_migrate_perform3_params_ret *ret)
{
    struct migrate_args a = {
        .cookie = args->cookie_in, .cookie_size = args->cookie_in_count, .destination = args->dconnuri};
    struct migrate_answer answer = {0};
    struct domain *d = domain_find(call, &args->dom);
    if (!d || take_params(call, &a, args->params, args->params_count, args->flags) < 0 ||
        migrate_perform(call, d, &a, &answer) < 0)
        return -1;
    give_cookie(&answer, &ret->cookie_out, &ret->cookie_out_count);
    return 0;
}

int handle_domain_migrate_finish3_params(struct call *call,
                                         const struct remote_domain_migrate_finish3_params_args *args,
                                         struct remote_domain_migrate_finish3_params_ret *ret)
{
    struct migrate_args a = {.cookie = args->cookie_in, .cookie_size = args->cookie_in_count};
    struct migrate_answer answer = {0};
    struct domain *d;
    if (take_params(call, &a, args->params, args->params_count, args->flags) < 0 ||
        migrate_finish(call, &a, args->cancelled, &d, &answer) < 0)
        return -1;
    give_cookie(&answer, &ret->cookie_out, &ret->cookie_out_count);
    ret->dom = domain_remote(d);
    return 0;
}

int handle_domain_migrate_confirm3_params(struct call *call,
                                          const struct remote_domain_migrate_confirm3_params_args *args)
{
    struct migrate_args a = {.cookie = args->cookie_in, .cookie_size = args->cookie_in_count};
    struct domain *d = domain_find(call, &args->dom);
    if (!d || take_params(call, &a, args->params, args->params_count, args->flags) < 0)
        return -1;
    return migrate_confirm(call, d, &a, args->cancelled);
}

/* ---- and without: the form that was before them ---- */

int handle_domain_migrate_begin3(struct call *call, const struct remote_domain_migrate_begin3_args *args,
                                 struct remote_domain_migrate_begin3_ret *ret)
{
    struct migrate_args a = {.xml = args->xmlin, .name = args->dname, .bandwidth = args->resource};
    struct migrate_answer answer = {0};
    struct domain *d = domain_find(call, &args->dom);
    if (!d || take_params(call, &a, NULL, 0, args->flags) < 0 || migrate_begin(call, d, &a, &answer) < 0)
        return -1;
    give_cookie(&answer, &ret->cookie_out, &ret->cookie_out_count);
    ret->xml = answer.xml;
    return 0;
}

int handle_domain_migrate_prepare3(struct call *call, const struct remote_domain_migrate_prepare3_args *args,
                                   struct remote_domain_migrate_prepare3_ret *ret)
{
    struct migrate_args a = {.cookie = args->cookie_in,
                             .cookie_size = args->cookie_in_count,
                             .uri = args->uri_in,
                             .name = args->dname,
                             .bandwidth = args->resource,
                             .xml = args->dom_xml};
    struct migrate_answer answer = {0};
    if (take_params(call, &a, NULL, 0, args->flags) < 0 || migrate_prepare(call, &a, &answer) < 0)
        return -1;
    give_cookie(&answer, &ret->cookie_out, &ret->cookie_out_count);
    ret->uri_out = answer.uri;
    return 0;
}

int handle_domain_migrate_perform3(struct call *call, const struct remote_domain_migrate_perform3_args *args,
                                   struct remote_domain_migrate_perform3_ret *ret)
{
    struct migrate_args a = {.cookie = args->cookie_in,
                             .cookie_size = args->cookie_in_count,
                             .uri = args->uri,
                             .name = args->dname,
                             .bandwidth = args->resource,
                             .xml = args->xmlin,
                             .destination = args->dconnuri};
    struct migrate_answer answer = {0};
    struct domain *d = domain_find(call, &args->dom);
    if (!d || take_params(call, &a, NULL, 0, args->flags) < 0 || migrate_perform(call, d, &a, &answer) < 0)
        return -1;
    give_cookie(&answer, &ret->cookie_out, &ret->cookie_out_count);
    return 0;
}

int handle_domain_migrate_finish3(struct call *call, const struct remote_domain_migrate_finish3_args *args,
                                  struct remote_domain_migrate_finish3_ret *ret)
{
    struct migrate_args a = {.cookie = args->cookie_in,
                             .cookie_size = args->cookie_in_count,
                             .name = args->dname,
                             .uri = args->uri};
    struct migrate_answer answer = {0};
    struct domain *d;
    if (take_params(call, &a, NULL, 0, args->flags) < 0 ||
        migrate_finish(call, &a, args->cancelled, &d, &answer) < 0)
        return -1;
    give_cookie(&answer, &ret->cookie_out, &ret->cookie_out_count);
    ret->dom = domain_remote(d);
    return 0;
}

int handle_domain_migrate_confirm3(struct call *call, const struct remote_domain_migrate_confirm3_args *args)
{
    struct migrate_args a = {.cookie = args->cookie_in, .cookie_size = args->cookie_in_count};
    struct domain *d = domain_find(call, &args->dom);
    return d && take_params(call, &a, NULL, 0, args->flags) == 0
               ? migrate_confirm(call, d, &a, args->cancelled)
               : -1;
}

/* ---- its speed ---- */

int handle_domain_migrate_set_max_speed(struct call *call,
                                        const struct remote_domain_migrate_set_max_speed_args *args)
{
    struct domain *d = domain_find(call, &args->dom);
    if (!d || vir_check_flags(&call->error, args->flags, 0, "virDomainMigrateSetMaxSpeed") < 0 ||
        check_bandwidth(args->bandwidth, &call->error) < 0)
        return -1;
    if (migrate_is_sending(d) && save_set_speed(d, args->bandwidth, &call->error) < 0)
        return -1;
    d->migration_speed = args->bandwidth;
    return 0;
}

int handle_domain_migrate_get_max_speed(struct call *call,
                                        const struct remote_domain_migrate_get_max_speed_args *args,
                                        struct remote_domain_migrate_get_max_speed_ret *ret)
{
    struct domain *d = domain_find(call, &args->dom);
    if (!d || vir_check_flags(&call->error, args->flags, 0, "virDomainMigrateGetMaxSpeed") < 0)
        return -1;
    ret->bandwidth = d->migration_speed;
    return 0;
}

int handle_domain_migrate_set_max_downtime(struct call *call,
                                           const struct remote_domain_migrate_set_max_downtime_args *args)
{
    struct domain *d = domain_find_active(call, &args->dom);
    if (!d || vir_check_flags(&call->error, args->flags, 0, "virDomainMigrateSetMaxDowntime") < 0)
        return -1;
    return life_command(d, "migrate-set-parameters",
                        json_pack("{s:I}", "downtime-limit", (json_int_t)args->downtime), NULL, &call->error);
}

int handle_domain_migrate_get_max_downtime(struct call *call,
                                           const struct remote_domain_migrate_get_max_downtime_args *args,
                                           struct remote_domain_migrate_get_max_downtime_ret *ret)
{
    json_t *parameters;
    struct domain *d = domain_find_active(call, &args->dom);
    if (!d || vir_check_flags(&call->error, args->flags, 0, "virDomainMigrateGetMaxDowntime") < 0 ||
        life_command(d, "query-migrate-parameters", NULL, &parameters, &call->error) < 0)
        return -1;
    ret->downtime = (u64)json_integer_value(json_object_get(parameters, "downtime-limit"));
    json_decref(parameters);
    return 0;
}
