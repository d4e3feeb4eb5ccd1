/* chardevs.c - all character devices of a machine, by their labels, and who has them */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "machine/chardevs.h"

static unsigned find(const struct chardevs *s, const char *label)
{
    unsigned i = 0;
    while (i < s->count && strcmp(s->all[i]->label, label))
        i++;
    return i;
}

/* Room, a name that is free, and standard input for one alone. */
static int check(struct chardevs *s, const struct chardev_config *config, const char *label, const char *what,
                 struct error *e)
{
    if (s->count == CHARDEVS_MAX)
        return error_set(e, ENOSPC, "%s: more than %d character devices", what, CHARDEVS_MAX);
    if (!*label || strlen(label) >= sizeof(s->all[0]->label))
        return error_set(e, EINVAL, "%s: id '%s' is empty or too long", what, label);
    if (find(s, label) < s->count)
        return error_set(e, EEXIST, "%s: id '%s' is taken: use another", what, label);
    if (config->backend == CHARDEV_STDIO && s->stdio_used)
        return error_set(e, EBUSY, "%s: stdio is in use already: one character device alone can have it",
                         what);
    s->stdio_used |= config->backend == CHARDEV_STDIO;
    return 0;
}

static int open_chardev(struct chardevs *s, struct chardev *c, const char *label, const char *what,
                        struct error *e)
{
    const struct chardev_config config = c->config;
    const struct properties kept = c->kept;
    int r = check(s, &config, label, what, e);
    if (r < 0)
        return r;
    chardev_init(c, &config, s->loop, s->terminal);
    c->kept = kept;
    strcpy(c->label, label);
    c->what = what;
    c->host = s->host;
    r = chardev_open(c, e);
    return r == 0 && config.mux && !mux_create(c) ? error_set(e, ENOMEM, "%s: no memory", what) : r;
}

static int add(struct chardevs *s, const struct properties *p, const char *label, const char *what,
               struct error *e)
{
    struct chardev *c = calloc(1, sizeof(*c));
    if (!c || properties_copy(&c->kept, p) < 0) {
        free(c);
        return error_set(e, ENOMEM, "%s: no memory", what);
    }
    int r = chardev_config_read(&c->config, &c->kept, what, e);
    if (r == 0)
        r = open_chardev(s, c, label, what, e);
    if (r == 0) {
        s->all[s->count++] = c;
        return 0;
    }
    properties_free(&c->kept);
    free(c);
    return r;
}

int chardevs_add(struct chardevs *s, const struct properties *p, const char *what, struct error *e)
{
    const char *id = properties_get(p, "id");
    return id ? add(s, p, id, what, e) : error_set(e, EINVAL, "%s: id is missing", what);
}

struct chardev *chardevs_find(const struct chardevs *s, const char *label)
{
    unsigned i = find(s, label);
    return i < s->count ? s->all[i] : NULL;
}

int chardevs_remove(struct chardevs *s, const char *label, struct error *e)
{
    unsigned i = find(s, label);
    if (i == s->count)
        return error_set(e, ENOENT, "Chardev '%s' not found", label);
    struct chardev *c = s->all[i];
    if (c->used)
        return error_set(e, EBUSY, "Chardev '%s' is busy", label);
    s->stdio_used &= c->config.backend != CHARDEV_STDIO;
    chardev_close(c);
    properties_free(&c->kept);
    free(c);
    s->all[i] = s->all[--s->count];
    return 0;
}

struct chardev *chardevs_take(struct chardevs *s, const char *label, const char *what, struct error *e)
{
    unsigned i = find(s, label);
    struct chardev *c = i < s->count ? s->all[i] : NULL;
    if (c && c->mux)
        c = mux_front(c->mux);
    else if (c && c->used)
        c = NULL;
    if (c)
        c->used = true;
    else
        error_set(e, i < s->count ? EBUSY : ENOENT, "%s: chardev '%s' %s", what, label,
                  i < s->count ? "is in use" : "does not exist: use -chardev ...,id=ID to make it");
    return c;
}

/* -serial, -monitor, -qmp: text as they have it, or chardev:ID. *c NULL: none. */
static int open_text(struct chardevs *s, const char *text, const char *label, const char *what,
                     struct chardev **c, struct error *e)
{
    struct properties p;
    *c = NULL;
    if (!strcmp(text, "none"))
        return 0;
    if (!strncmp(text, "chardev:", 8)) {
        *c = chardevs_take(s, text + 8, what, e);
        return *c ? 0 : -ENOENT;
    }
    int r = chardev_config_parse(&p, text, what, e);
    if (r == 0) {
        r = add(s, &p, label, what, e);
        properties_free(&p);
    }
    if (r == 0)
        *c = chardevs_take(s, label, what, e);
    return r < 0 || *c ? r : -ENOMEM;
}

static int add_monitor(struct chardevs *s, struct chardev *c, bool control, bool pretty, struct error *e)
{
    if (s->monitor_count == MONITOR_MAX)
        return error_set(e, ENOSPC, "more than %d monitors", MONITOR_MAX);
    s->monitor[s->monitor_count++] = (struct monitor_place){c, control, pretty};
    return 0;
}

int chardevs_add_serial(struct chardevs *s, struct chardev *c, struct error *e)
{
    if (s->serial_count == SERIAL_MAX)
        return error_set(e, ENOSPC, "more than %d serial ports", SERIAL_MAX);
    s->serial[s->serial_count++] = c;
    return 0;
}

/* mon: in front is a monitor behind the same keys. */
static int open_serial(struct chardevs *s, const char *text, unsigned number, struct error *e)
{
    char label[16];
    struct chardev *c, *monitor;
    snprintf(label, sizeof(label), "serial%u", number);
    int r = open_text(s, text, label, "-serial", &c, e);
    if (r < 0 || !c)
        return r;
    if (strncmp(text, "mon:", 4))
        return chardevs_add_serial(s, c, e);
    monitor = chardevs_take(s, label, "-serial", e);
    if (!monitor)
        return -ENOMEM;
    r = add_monitor(s, monitor, false, false, e);
    return r < 0 ? r : chardevs_add_serial(s, c, e);
}

static int open_monitors(struct chardevs *s, const struct texts *texts, const char *what, bool control,
                         bool pretty, struct error *e)
{
    int r = 0;
    for (unsigned i = 0; i < texts->count && r == 0; i++) {
        struct chardev *c;
        char label[40];
        snprintf(label, sizeof(label), "compat_monitor%u", s->monitor_count);
        r = open_text(s, texts->at[i], label, what, &c, e);
        if (r == 0 && c)
            r = add_monitor(s, c, control, pretty, e);
    }
    return r;
}

struct mon_config {
    const char *chardev;
    unsigned mode;
    bool pretty;
};

static const char *const modes[] = {"readline", "control", NULL};
static const struct property_row mon_rows[] = {
    {"chardev", PROPERTY_TEXT, offsetof(struct mon_config, chardev), .help = "where it is"},
    {"mode", PROPERTY_CHOICE, offsetof(struct mon_config, mode), "readline", "for people, or QMP",
     .choices = modes},
    {"pretty", PROPERTY_BOOL, offsetof(struct mon_config, pretty), "off", "answers laid out for reading"},
    {"id", PROPERTY_MANY},
    {0}};

static int open_mon(struct chardevs *s, const struct properties *p, struct error *e)
{
    struct mon_config m = {0};
    int r = properties_read(p, mon_rows, &m, "-mon", e);
    if (r == 0 && !m.chardev)
        r = error_set(e, EINVAL, "-mon: chardev is missing");
    struct chardev *c = r == 0 ? chardevs_take(s, m.chardev, "-mon", e) : NULL;
    return r < 0 || !c ? -EINVAL : add_monitor(s, c, m.mode, m.pretty, e);
}

struct isa_serial {
    const char *driver, *id, *chardev;
    u32 index;
};

static const struct property_row isa_serial_rows[] = {
    {"driver", PROPERTY_TEXT, offsetof(struct isa_serial, driver)},
    {"id", PROPERTY_TEXT, offsetof(struct isa_serial, id)},
    {"chardev", PROPERTY_TEXT, offsetof(struct isa_serial, chardev), .help = "the host's end"},
    {"index", PROPERTY_U32, offsetof(struct isa_serial, index), "4294967295", "COM1 is 0"},
    {0}};

/* The places are the board's, in their order. */
static int open_isa_serial(struct chardevs *s, const struct properties *p, struct error *e)
{
    struct isa_serial i = {0};
    int r = properties_read(p, isa_serial_rows, &i, "isa-serial", e);
    if (r == 0 && !i.chardev)
        r = error_set(e, EINVAL, "isa-serial: chardev is missing");
    if (r == 0 && i.index != UINT32_MAX && i.index != s->serial_count)
        r = error_set(e, EINVAL, "isa-serial: index %u out of order: this one is number %u", i.index,
                      s->serial_count);
    struct chardev *c = r == 0 ? chardevs_take(s, i.chardev, "isa-serial", e) : NULL;
    return c ? chardevs_add_serial(s, c, e) : -EINVAL;
}

static int open_isa_serials(struct chardevs *s, const struct objects *devices, struct error *e)
{
    int r = 0;
    for (unsigned i = 0; i < devices->count && r == 0; i++) {
        const char *driver = properties_get(&devices->at[i], "driver");
        if (driver && !strcmp(driver, "isa-serial"))
            r = open_isa_serial(s, &devices->at[i], e);
    }
    return r;
}

/* Without a word on serial ports there is one, on the terminal unless something else is there. */
static bool wants_default_serial(const struct vm_config *c)
{
    for (unsigned i = 0; i < c->devices.count; i++) {
        const char *driver = properties_get(&c->devices.at[i], "driver");
        if (driver && !strcmp(driver, "isa-serial"))
            return false;
    }
    return !c->serials.count && !c->nodefaults;
}

int chardevs_create(struct chardevs *s, const struct vm_config *c, struct error *e)
{
    int r = 0;
    for (unsigned i = 0; i < c->chardevs.count && r == 0; i++)
        r = chardevs_add(s, &c->chardevs.at[i], "-chardev", e);
    for (unsigned i = 0; i < c->serials.count && r == 0; i++)
        r = open_serial(s, c->serials.at[i], i, e);
    if (r == 0)
        r = open_isa_serials(s, &c->devices, e);
    if (r < 0 || (r = open_monitors(s, &c->monitors, "-monitor", false, false, e)) < 0 ||
        (r = open_monitors(s, &c->qmps, "-qmp", true, false, e)) < 0 ||
        (r = open_monitors(s, &c->qmps_pretty, "-qmp-pretty", true, true, e)) < 0)
        return r;
    for (unsigned i = 0; i < c->mons.count && r == 0; i++)
        r = open_mon(s, &c->mons.at[i], e);
    if (r == 0 && wants_default_serial(c))
        r = open_serial(s, s->stdio_used || c->daemonize ? "null" : "mon:stdio", 0, e);
    return r;
}

void chardevs_start(struct chardevs *s)
{
    for (unsigned i = 0; i < s->count; i++)
        chardev_start(s->all[i]);
}

bool chardevs_waiting(const struct chardevs *s)
{
    for (unsigned i = 0; i < s->count; i++)
        if (chardev_waiting(s->all[i]))
            return true;
    return false;
}

void chardevs_finish(struct chardevs *s, int ms)
{
    for (unsigned i = 0; i < s->count; i++)
        chardev_finish(s->all[i], ms);
}
