/* probe.c - what managers ask before they know a machine: models, options, and what this one does not have */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/config/option_table.h"
#include "machine/machine.h"
#include "machine/monitor/commands.h"

json_t *query_nothing(struct qmp_call *call)
{
    (void)call;
    return json_array();
}

json_t *query_not_enabled(struct qmp_call *call)
{
    (void)call;
    return json_pack("{s:b}", "enabled", 0);
}

json_t *query_current_machine(struct qmp_call *call)
{
    (void)call;
    return json_pack("{s:b}", "wakeup-suspend-support", 0);
}

json_t *query_display_options(struct qmp_call *call)
{
    (void)call;
    return json_pack("{s:s}", "type", "none");
}

json_t *query_memdev(struct qmp_call *call)
{
    return json_pack("[{s:s,s:I,s:b,s:b,s:b,s:b,s:b,s:[],s:s}]", "id", "pc.ram", "size",
                     (json_int_t)call->machine->ram.size, "merge", 0, "dump", 0, "prealloc", 0, "share", 0,
                     "reserve", 1, "host-nodes", "policy", "default");
}

/* ---- processors ---- */

json_t *query_cpu_definitions(struct qmp_call *call)
{
    struct kvm_cpuid2 *c = cpuid_supported(call->machine, &call->e);
    json_t *list = c ? cpu_model_definitions(c) : NULL;
    free(c);
    return list;
}

/* The model's name, and the properties that the request has, as -cpu has them. */
static int read_model(struct qmp_call *call, const json_t *model, struct cpu_model *m)
{
    char text[1000];
    const char *name = json_string_value(json_object_get(model, "name")), *key;
    json_t *value;
    int n = snprintf(text, sizeof(text), "%s", name ? name : "");
    json_object_foreach(json_object_get(model, "props"), key, value)
    {
        bool on = json_is_true(value);
        if (n < (int)sizeof(text) && !strpbrk(key, ",="))
            n += snprintf(text + n, sizeof(text) - (size_t)n, ",%s=%s", key,
                          json_is_string(value) ? json_string_value(value)
                          : on                  ? "on"
                                                : "off");
    }
    return n < (int)sizeof(text) ? cpu_model_parse(m, text, &call->e)
                                 : error_set(&call->e, E2BIG, "too many properties");
}

json_t *query_cpu_model_expansion(struct qmp_call *call)
{
    const char *type = qmp_string(call, "type", "");
    const json_t *model = json_object_get(call->arguments, "model");
    struct cpu_model m;
    if (strcmp(type, "full") && strcmp(type, "static"))
        return qmp_fail(call, "GenericError", "Parameter 'type' does not accept value '%.60s'", type);
    struct kvm_cpuid2 *c = read_model(call, model, &m) < 0 ? NULL : cpuid_supported(call->machine, &call->e);
    if (!c)
        return NULL;
    json_t *answer = json_pack("{s:{s:O,s:o}}", "model", "name", json_object_get(model, "name"), "props",
                               cpu_model_properties(&m, c));
    free(c);
    return answer;
}

/* ---- options ---- */

static const char *parameter_type(const struct property_row *r)
{
    switch (r->type) {
    case PROPERTY_BOOL: return "boolean";
    case PROPERTY_U32:
    case PROPERTY_U64: return "number";
    case PROPERTY_SIZE: return "size";
    default: return "string";
    }
}

static json_t *describe_option(const struct option *o)
{
    json_t *parameters = json_array();
    for (const struct property_row *r = o->rows; r && r->name; r++)
        json_array_append_new(parameters, json_pack("{s:s,s:s,s:s*}", "name", r->name, "type",
                                                    parameter_type(r), "help", r->help));
    return json_pack("{s:s,s:o}", "option", o->name, "parameters", parameters);
}

/* Those that have parameters of their own. */
json_t *query_command_line_options(struct qmp_call *call)
{
    const char *wanted = qmp_string(call, "option", NULL);
    json_t *list = json_array();
    for (unsigned i = 0; i < option_count; i++) {
        bool listed =
            options[i].help && (options[i].kind == OPTION_TABLE || options[i].kind == OPTION_OBJECT ||
                                options[i].expand == expand_drive);
        if (listed && (!wanted || !strcmp(wanted, options[i].name)))
            json_array_append_new(list, describe_option(&options[i]));
    }
    if (json_array_size(list) || !wanted)
        return list;
    json_decref(list);
    return qmp_fail(call, "GenericError", "invalid option name: %.60s", wanted);
}
