/* schema.c - query-qmp-schema: the commands with their arguments, from their table (QEMU's
 * qapi/introspect.json) */
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

json_t *query_qmp_schema(struct qmp_call *call)
{
    json_t *list = json_array();
    (void)call;
    for (size_t i = 0; i < ARRAY_SIZE(builtins); i++)
        json_array_append_new(list, json_pack("{s:s,s:s,s:s}", "name", builtins[i].name, "meta-type",
                                              "builtin", "json-type", builtins[i].json));
    for (unsigned i = 0; i < qmp_command_count; i++) {
        const struct qmp_command *c = &qmp_commands[i];
        char arguments[16];
        snprintf(arguments, sizeof(arguments), "%u", i);
        json_array_append_new(list, json_pack("{s:s,s:s,s:s,s:s}", "name", c->name, "meta-type", "command",
                                              "arg-type", arguments, "ret-type", "any"));
        json_array_append_new(list, json_pack("{s:s,s:s,s:o}", "name", arguments, "meta-type", "object",
                                              "members", members(c->arguments)));
    }
    return list;
}
