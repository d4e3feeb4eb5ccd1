/* chardevs.h - all character devices of a machine, by their labels, and who has them */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MACHINE_CHARDEVS_H
#define MACHINE_CHARDEVS_H

#include "base/config/vm_config.h"
#include "machine/chardev.h"

enum { CHARDEVS_MAX = 32, SERIAL_MAX = 4, MONITOR_MAX = 16 };

/* A monitor that the configuration asks for. */
struct monitor_place {
    struct chardev *chardev;
    bool control; /* QMP; else for people */
    bool pretty;
};

struct chardevs {
    struct loop *loop;
    struct terminal *terminal;
    struct chardev_host host;
    struct chardev *all[CHARDEVS_MAX];
    unsigned count;
    bool stdio_used;
    struct chardev *serial[SERIAL_MAX]; /* the serial ports' */
    unsigned serial_count;
    struct monitor_place monitor[MONITOR_MAX];
    unsigned monitor_count;
};

/* Opens all that c names. 0, or -errno with e. s->loop, terminal and host are set. */
int chardevs_create(struct chardevs *s, const struct vm_config *c, struct error *e);

/* One more, from its properties; what: the option. */
int chardevs_add(struct chardevs *s, const struct properties *p, const char *what, struct error *e);
/* By its label, or NULL. */
struct chardev *chardevs_find(const struct chardevs *s, const char *label);
/* -ENOENT, -EBUSY. */
int chardevs_remove(struct chardevs *s, const char *label, struct error *e);

/* The one of that label for a new user; with mux=on, there may be several. NULL with e. */
struct chardev *chardevs_take(struct chardevs *s, const char *label, const char *what, struct error *e);

/* One more serial port (-serial, or -device isa-serial with that chardev). */
int chardevs_add_serial(struct chardevs *s, struct chardev *c, struct error *e);

void chardevs_start(struct chardevs *s);
bool chardevs_waiting(const struct chardevs *s);
void chardevs_finish(struct chardevs *s, int ms);

#endif
