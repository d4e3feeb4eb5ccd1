/* qmp.c - QEMU's machine protocol: greeting, negotiation, requests and answers (docs/interop/qmp-spec.txt) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "machine/machine.h"
#include "machine/monitor/monitor.h"

static const char generic[] = "GenericError", not_found[] = "CommandNotFound";

json_t *qmp_fail(struct qmp_call *call, const char *class, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(call->e.text, sizeof(call->e.text), fmt, ap);
    va_end(ap);
    call->class = class;
    return NULL;
}

const char *qmp_string(const struct qmp_call *call, const char *name, const char *otherwise)
{
    const json_t *v = json_object_get(call->arguments, name);
    return v ? json_string_value(v) : otherwise;
}

s64 qmp_integer(const struct qmp_call *call, const char *name, s64 otherwise)
{
    const json_t *v = json_object_get(call->arguments, name);
    return v ? json_integer_value(v) : otherwise;
}

bool qmp_bool(const struct qmp_call *call, const char *name, bool otherwise)
{
    const json_t *v = json_object_get(call->arguments, name);
    return v ? json_is_true(v) : otherwise;
}

/* ---- arguments ---- */

static const struct {
    char letter;
    const char *name;
} types[] = {{'s', "string"}, {'i', "integer"}, {'b', "boolean"}, {'o', "object"}, {'a', "array"}};

static bool has_type(const json_t *v, char letter)
{
    switch (letter) {
    case 's': return json_is_string(v);
    case 'i': return json_is_integer(v);
    case 'b': return json_is_boolean(v);
    case 'o': return json_is_object(v);
    case 'a': return json_is_array(v);
    default: return true;
    }
}

static const char *type_name(char letter)
{
    for (size_t i = 0; i < ARRAY_SIZE(types); i++)
        if (types[i].letter == letter)
            return types[i].name;
    return "value";
}

bool qmp_next_parameter(const char **text, struct qmp_parameter *p)
{
    size_t length = strcspn(*text, ":");
    if (!(*text)[length])
        return false;
    snprintf(p->name, sizeof(p->name), "%.*s", (int)length, *text);
    p->type = (*text)[length + 1];
    *text += length + 2;
    p->optional = **text == '?';
    *text += p->optional;
    *text += **text == ' ';
    return true;
}

static bool check_given(struct qmp_call *call, const char *text)
{
    struct qmp_parameter p;
    while (qmp_next_parameter(&text, &p)) {
        const json_t *v = json_object_get(call->arguments, p.name);
        if (!v && !p.optional)
            qmp_fail(call, generic, "Parameter '%s' is missing", p.name);
        else if (v && !has_type(v, p.type))
            qmp_fail(call, generic, "Invalid parameter type for '%s', expected: %s", p.name,
                     type_name(p.type));
        else
            continue;
        return false;
    }
    return true;
}

static bool check_known(struct qmp_call *call, const char *text)
{
    const char *key, *at;
    json_t *value;
    struct qmp_parameter p = {0};
    bool others = strchr(text, '*');
    json_object_foreach((json_t *)call->arguments, key, value)
    {
        bool known = others;
        for (at = text; !known && qmp_next_parameter(&at, &p);)
            known = !strcmp(p.name, key);
        if (!known) {
            qmp_fail(call, generic, "Parameter '%.100s' is unexpected", key);
            return false;
        }
    }
    return true;
}

json_t *qmp_run(struct qmp_call *call, const char *name)
{
    for (unsigned i = 0; i < qmp_command_count; i++) {
        const struct qmp_command *c = &qmp_commands[i];
        if (strcmp(c->name, name))
            continue;
        if (!check_given(call, c->arguments) || !check_known(call, c->arguments))
            return NULL;
        call->class = generic;
        return c->run(call);
    }
    return qmp_fail(call, not_found, "The command %.100s has not been found", name);
}

/* ---- requests ---- */

/* Takes the value. */
static void send(struct monitor *mon, json_t *value)
{
    char *text = value ? json_dumps(value, mon->pretty ? JSON_INDENT(4) : 0) : NULL;
    json_decref(value);
    if (!text)
        return;
    monitor_write(mon, text, strlen(text));
    monitor_write(mon, "\r\n", 2);
    free(text);
}

/* Takes result; NULL: the error in call. */
static void answer(struct monitor *mon, const struct qmp_call *call, json_t *result, json_t *id)
{
    json_t *reply = result ? json_pack("{s:o}", "return", result)
                           : json_pack("{s:{s:s,s:s}}", "error", "class", call->class, "desc", call->e.text);
    if (!reply) /* the text is not UTF-8: a name that a client gave was cut in the middle of a letter */
        reply = json_pack("{s:{s:s,s:s}}", "error", "class", call->class, "desc", "the request failed");
    if (id)
        json_object_set(reply, "id", id);
    send(mon, reply);
}

static json_t *negotiate(struct monitor *mon, struct qmp_call *call, const char *name)
{
    const json_t *capability;
    size_t i;
    if (strcmp(name, "qmp_capabilities"))
        return qmp_fail(call, not_found, "Expecting capabilities negotiation with 'qmp_capabilities'");
    if (!check_given(call, "enable:a?") || !check_known(call, "enable:a?"))
        return NULL;
    json_array_foreach(json_object_get(call->arguments, "enable"), i, capability)
    {
        const char *text = json_string_value(capability);
        return qmp_fail(call, generic, "Capability %.40s not available", text ? text : "of another type");
    }
    mon->negotiated = true;
    return json_object();
}

/* What is wrong with the request as such: false with the error in call. */
static bool check_request(struct qmp_call *call, const json_t *request)
{
    const char *key;
    json_t *value;
    const json_t *execute = json_object_get(request, "execute"),
                 *arguments = json_object_get(request, "arguments");
    if (!json_is_object(request))
        qmp_fail(call, generic, "QMP input must be a JSON object");
    else if (!execute)
        qmp_fail(call, generic, "QMP input lacks member 'execute'");
    else if (!json_is_string(execute))
        qmp_fail(call, generic, "QMP input member 'execute' must be a string");
    else if (arguments && !json_is_object(arguments))
        qmp_fail(call, generic, "QMP input member 'arguments' must be an object");
    json_object_foreach((json_t *)request, key, value) if (!*call->e.text && strcmp(key, "execute") &&
                                                           strcmp(key, "arguments") && strcmp(key, "id"))
        qmp_fail(call, generic, "QMP input member '%.100s' is unexpected", key);
    return !*call->e.text;
}

static void serve(struct monitor *mon, const json_t *request)
{
    json_t *none = json_object();
    const json_t *arguments = json_object_get(request, "arguments");
    struct qmp_call call = {mon->machine, mon, arguments ? arguments : none, generic, {""}};
    json_t *result = NULL;
    if (check_request(&call, request)) {
        const char *name = json_string_value(json_object_get(request, "execute"));
        result = mon->negotiated ? qmp_run(&call, name) : negotiate(mon, &call, name);
    }
    answer(mon, &call, result, json_object_get(request, "id"));
    json_decref(none);
}

static void refuse(struct monitor *mon, const char *why)
{
    struct qmp_call call = {.class = generic};
    qmp_fail(&call, generic, "JSON parse error, %s", why);
    answer(mon, &call, NULL, NULL);
}

void qmp_byte(struct monitor *mon, u8 byte)
{
    json_error_t why;
    bool was_large = mon->in.length > 1;
    switch (json_stream_put(&mon->in, byte)) {
    case JSON_STREAM_MORE: return;
    case JSON_STREAM_BAD:
        refuse(mon, was_large ? "too large or nested too deeply" : "invalid syntax");
        return;
    case JSON_STREAM_VALUE: {
        json_t *request = json_loadb(mon->in.text, mon->in.length, 0, &why);
        if (request)
            serve(mon, request);
        else
            refuse(mon, why.text);
        json_decref(request);
    }
    }
    json_stream_reset(&mon->in);
}

void qmp_opened(struct monitor *mon)
{
    struct qmp_call call = {.machine = mon->machine, .arguments = NULL};
    json_t *version = qmp_run(&call, "query-version");
    send(mon, json_pack("{s:{s:o,s:[]}}", "QMP", "version", version, "capabilities"));
}
