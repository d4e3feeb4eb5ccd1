/* chardev_config.c - what a character device is connected to, as -chardev and -serial say it */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "machine/chardev_config.h"

#define FIELD(f) offsetof(struct chardev_config, f)

/* What every back end has; id is the list's own business. */
#define COMMON                                                                                            \
    {"backend", PROPERTY_MANY}, {"id", PROPERTY_MANY},                                                    \
        {"mux", PROPERTY_BOOL, FIELD(mux), "off", "several share it, and Ctrl-a c changes between them"}, \
        {"logfile", PROPERTY_TEXT, FIELD(logfile), .help = "a file that gets all that is written, too"},  \
    {                                                                                                     \
        "logappend", PROPERTY_BOOL, FIELD(logappend), "off", "keep what is there"                         \
    }

static const struct property_row null_rows[] = {COMMON, {0}};
static const struct property_row stdio_rows[] = {
    COMMON, {"signal", PROPERTY_BOOL, FIELD(signal), "on", "Ctrl-C is a signal, not input"}, {0}};
static const struct property_row file_rows[] = {
    COMMON,
    {"path", PROPERTY_TEXT, FIELD(path), .help = "the file"},
    {"append", PROPERTY_BOOL, FIELD(append), "off", "keep what is there"},
    {0}};
static const struct property_row socket_rows[] = {
    COMMON,
    {"path", PROPERTY_TEXT, FIELD(path), .help = "a UNIX socket"},
    {"host", PROPERTY_TEXT, FIELD(host), .help = "TCP: the host, or the address to listen on"},
    {"port", PROPERTY_TEXT, FIELD(port), .help = "TCP: the port"},
    {"fd", PROPERTY_TEXT, FIELD(fd), .help = "the descriptor of a socket that listens already"},
    {"server", PROPERTY_BOOL, FIELD(server), "off", "listen"},
    {"wait", PROPERTY_BOOL, FIELD(wait), "on", "the guest starts when a client has connected"},
    {"nodelay", PROPERTY_BOOL, FIELD(nodelay), "off", "TCP: small packets at once"},
    {0}};

static const struct backend {
    const char *name;
    enum chardev_backend backend;
    const struct property_row *rows;
} backends[] = {
    {"null", CHARDEV_NULL, null_rows}, {"stdio", CHARDEV_STDIO, stdio_rows},
    {"file", CHARDEV_FILE, file_rows}, {"socket", CHARDEV_UNIX, socket_rows},
    {"pty", CHARDEV_PTY, null_rows},   {"serial", CHARDEV_PTY, NULL},
};

/* What belongs together, and what is too much. */
static int check(struct chardev_config *c, const char *what, struct error *e)
{
    bool socket = c->backend == CHARDEV_UNIX;
    if (c->backend == CHARDEV_FILE && (!c->path || !*c->path))
        return error_set(e, EINVAL, "%s: file needs a path", what);
    if (socket && !c->path + !c->port + !c->fd != 2)
        return error_set(e, EINVAL, "%s: a socket needs either path, or host and port, or fd", what);
    if (socket && ((c->path && !*c->path) || (c->port && !*c->port)))
        return error_set(e, EINVAL, "%s: the %s is empty", what, c->path ? "path" : "port");
    if (socket && c->port)
        c->backend = CHARDEV_TCP;
    if (socket && c->fd && !c->server)
        return error_set(e, EINVAL, "%s: fd is for server=on", what);
    c->wait &= socket && c->server;
    return 0;
}

int chardev_config_read(struct chardev_config *c, const struct properties *p, const char *what,
                        struct error *e)
{
    const char *name = properties_get(p, "backend");
    *c = (struct chardev_config){0};
    for (size_t i = 0; name && i < ARRAY_SIZE(backends); i++) {
        if (strcmp(backends[i].name, name))
            continue;
        int r = properties_read(p, backends[i].rows, c, what, e);
        c->backend = backends[i].backend;
        return r < 0 ? r : check(c, what, e);
    }
    return error_set(e, EINVAL,
                     "%s: back end '%s' is not supported: use one of: null, stdio, file, socket, pty", what,
                     name ? name : "");
}

/* The short spelling: what stands in front of the first comma or of the value, and the properties that it
 * means. */
static const struct form {
    const char *prefix, *backend, *value; /* value: the property that what follows is, or NULL */
} forms[] = {
    {"stdio", "stdio", NULL},  {"null", "null", NULL},      {"pty", "pty", NULL},
    {"file:", "file", "path"}, {"unix:", "socket", "path"}, {"tcp:", "socket", "port"},
};

static const struct form *find_form(const char *text, size_t len)
{
    for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
        size_t n = strlen(forms[i].prefix);
        if (len >= n && !strncmp(text, forms[i].prefix, n) && (forms[i].value || len == n))
            return &forms[i];
    }
    return NULL;
}

/* HOST:PORT as two properties. The last colon counts: HOST may be an IPv6 address in brackets. */
static int split_address(struct properties *p)
{
    char text[300];
    const char *address = properties_get(p, "port");
    snprintf(text, sizeof(text), "%s", address);
    char *colon = strrchr(text, ':');
    if (!colon)
        return -EINVAL;
    *colon = 0;
    properties_remove(p, "port");
    bool brackets = text[0] == '[' && colon > text && colon[-1] == ']';
    if (brackets)
        colon[-1] = 0;
    int r = properties_add(p, "host", text + brackets);
    return r < 0 ? r : properties_add(p, "port", colon + 1);
}

static int parse_form(struct properties *p, const struct form *f, const char *rest, bool mux,
                      const char *what, struct error *e)
{
    int r = properties_parse(p, rest, f->value ? f->value : "backend", what, e);
    if (r == 0 && f->value && !strcmp(f->value, "port") && (r = split_address(p)) < 0)
        error_set(e, EINVAL, "%s: '%s' is not HOST:PORT", what, rest);
    if (r == 0 && f->value && properties_add(p, "backend", f->backend) < 0)
        r = error_set(e, ENOMEM, "%s: no memory", what);
    /* As QEMU's mon:stdio: Ctrl-C is the guest's. */
    if (r == 0 && mux &&
        (properties_add(p, "mux", "on") < 0 ||
         (!strcmp(f->backend, "stdio") && !properties_get(p, "signal") &&
          properties_add(p, "signal", "off") < 0)))
        r = error_set(e, ENOMEM, "%s: no memory", what);
    if (r < 0)
        properties_free(p);
    return r;
}

int chardev_config_parse(struct properties *p, const char *text, const char *what, struct error *e)
{
    bool mux = !strncmp(text, "mon:", 4);
    const char *rest = mux ? text + 4 : text;
    const struct form *f = find_form(rest, strcspn(rest, ","));
    *p = (struct properties){0};
    if (f)
        return parse_form(p, f, rest + (f->value ? strlen(f->prefix) : 0), mux, what, e);
    return error_set(e, EINVAL,
                     "%s '%s' is not supported: use stdio, mon:stdio, null, none, pty, file:PATH, "
                     "unix:PATH,server=on,wait=off, tcp:HOST:PORT or chardev:ID",
                     what, text);
}
