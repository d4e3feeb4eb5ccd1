/* chardev_config.c - what a character device is connected to, as -serial says it */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "machine/chardev_config.h"

/* One form of the option: what stands in front of the first comma, and the properties that may follow. */
struct form {
    const char *prefix;
    bool path; /* the prefix is followed by a path */
    const char *properties[3];
    struct chardev_config defaults; /* as QEMU's */
};

static const struct form forms[] = {
    {"stdio", false, {"signal"}, {.backend = CHARDEV_STDIO, .signal = true}},
    {"file:", true, {"append"}, {.backend = CHARDEV_FILE}},
    {"unix:", true, {"server", "wait"}, {.backend = CHARDEV_UNIX, .wait = true}},
    {"null", false, {NULL}, {.backend = CHARDEV_NULL}},
};

static const struct {
    const char *name;
    size_t offset; /* of a bool in struct chardev_config */
} properties[] = {
    {"signal", offsetof(struct chardev_config, signal)},
    {"append", offsetof(struct chardev_config, append)},
    {"server", offsetof(struct chardev_config, server)},
    {"wait", offsetof(struct chardev_config, wait)},
};

static const struct form *find_form(const char *text, size_t len)
{
    for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
        size_t n = strlen(forms[i].prefix);
        if (len >= n && !strncmp(text, forms[i].prefix, n) && (forms[i].path || len == n))
            return &forms[i];
    }
    return NULL;
}

static bool form_has(const struct form *f, const char *property)
{
    for (size_t i = 0; i < ARRAY_SIZE(f->properties) && f->properties[i]; i++)
        if (!strcmp(f->properties[i], property))
            return true;
    return false;
}

static bool parse_bool(const char *value, bool *out)
{
    *out = !strcmp(value, "on") || !strcmp(value, "yes");
    return *out || !strcmp(value, "off") || !strcmp(value, "no");
}

/* text: NAME=on|off, or QEMU's short forms NAME and noNAME. */
static int parse_property(struct chardev_config *c, const struct form *f, const char *text, struct error *e)
{
    char name[32];
    const char *value = strchr(text, '=');
    size_t len = value ? (size_t)(value - text) : strlen(text);
    bool on = true;
    snprintf(name, sizeof(name), "%.*s", (int)min(len, sizeof(name) - 1), text);
    if (!value && !strncmp(name, "no", 2)) {
        memmove(name, name + 2, sizeof(name) - 2);
        on = false;
    }
    if (value && !parse_bool(value + 1, &on))
        return error_set(e, EINVAL, "-serial: '%s' must be %s=on or %s=off", text, name, name);
    for (size_t i = 0; i < ARRAY_SIZE(properties); i++)
        if (!strcmp(name, properties[i].name) && form_has(f, name)) {
            *(bool *)((char *)c + properties[i].offset) = on;
            return 0;
        }
    return error_set(e, EINVAL, "-serial: %s does not take '%s'", f->prefix, text);
}

static int parse_path(struct chardev_config *c, const struct form *f, const char *text, size_t len,
                      struct error *e)
{
    size_t prefix = strlen(f->prefix);
    if (len == prefix)
        return error_set(e, EINVAL, "-serial %s needs a path: %sPATH", f->prefix, f->prefix);
    if (len - prefix >= sizeof(c->path))
        return error_set(e, EINVAL, "-serial: the path is longer than %zu bytes: use a shorter one",
                         sizeof(c->path) - 1);
    memcpy(c->path, text + prefix, len - prefix);
    return 0;
}

static int parse_properties(struct chardev_config *c, const struct form *f, const char *text, struct error *e)
{
    int r = 0;
    while (*text == ',' && !r) {
        char property[64];
        size_t len = strcspn(text + 1, ",");
        snprintf(property, sizeof(property), "%.*s", (int)min(len, sizeof(property) - 1), text + 1);
        r = parse_property(c, f, property, e);
        text += 1 + len;
    }
    return r;
}

int chardev_config_parse(struct chardev_config *c, const char *text, struct error *e)
{
    bool mux = !strncmp(text, "mon:", 4);
    const char *rest = mux ? text + 4 : text;
    size_t len = strcspn(rest, ",");
    const struct form *f = find_form(rest, len);
    if (!f)
        return error_set(e, EINVAL,
                         "-serial '%s' is not supported: use stdio, mon:stdio, file:PATH, null, or "
                         "unix:PATH,server=on,wait=off",
                         text);
    *c = f->defaults;
    c->mux = mux;
    c->signal = f->defaults.signal && !mux; /* as QEMU's mon:stdio: Ctrl-C is the guest's */
    int r = f->path ? parse_path(c, f, rest, len, e) : 0;
    return r ? r : parse_properties(c, f, rest + len, e);
}
