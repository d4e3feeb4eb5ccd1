/* schema.c - query-qmp-schema: the commands with their arguments and the events, from their
 * tables (QEMU's qapi/introspect.json) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>

#include "machine/monitor/commands.h"

/* The types that the table tells apart. Objects, arrays and answers are `any`: what they hold, it does not
 * say. */
static const struct {
    const char *name, *json;
} builtins[] = {{"str", "string"}, {"int", "int"}, {"bool", "boolean"}, {"any", "value"}};

static const char *type_of(char letter)
{
    switch (letter) {
    case 's': return "str";
    case 'i': return "int";
    case 'b': return "bool";
    default: return "any";
    }
}

static json_t *members(const char *text)
{
    struct qmp_parameter p;
    json_t *list = json_array();
    while (qmp_next_parameter(&text, &p)) {
        json_t *member = json_pack("{s:s,s:s}", "name", p.name, "type", type_of(p.type));
        if (p.optional)
            json_object_set_new(member, "default", json_null());
        json_array_append_new(list, member);
    }
    return list;
}

/* A command or an event, and the type of what comes with it, which has a number for a name. */
static void add(json_t *list, const char *kind, const char *name, const char *parameters)
{
    char arguments[16];
    snprintf(arguments, sizeof(arguments), "%zu", json_array_size(list));
    json_array_append_new(list,
                          json_pack("{s:s,s:s,s:s}", "name", name, "meta-type", kind, "arg-type", arguments));
    json_array_append_new(list, json_pack("{s:s,s:s,s:o}", "name", arguments, "meta-type", "object",
                                          "members", members(parameters)));
}

json_t *query_qmp_schema(struct qmp_call *call)
{
    json_t *list = json_array();
    (void)call;
    for (size_t i = 0; i < ARRAY_SIZE(builtins); i++)
        json_array_append_new(list, json_pack("{s:s,s:s,s:s}", "name", builtins[i].name, "meta-type",
                                              "builtin", "json-type", builtins[i].json));
    for (unsigned i = 0; i < qmp_command_count; i++) {
        const size_t at = json_array_size(list);
        add(list, "command", qmp_commands[i].name, qmp_commands[i].arguments);
        json_object_set_new(json_array_get(list, at), "ret-type", json_string("any"));
    }
    for (unsigned i = 0; i < qmp_event_count; i++)
        add(list, "event", qmp_events[i].name, qmp_events[i].data);
    return list;
}
