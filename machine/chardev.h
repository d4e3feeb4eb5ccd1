/* chardev.h - the host's end of a serial line: terminal, file, socket or nothing */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MACHINE_CHARDEV_H
#define MACHINE_CHARDEV_H

#include "base/error.h"
#include "base/loop.h"
#include "machine/chardev_config.h"
#include "machine/terminal.h"

/* Bytes on their way, so that neither the guest nor the host has to keep up with the other. */
enum { CHARDEV_BACKLOG = 65536 };

struct ring {
    u8 data[CHARDEV_BACKLOG];
    u32 head, tail; /* run freely; head - tail bytes are there */
};

/* The device at the guest's end. All may be NULL. */
struct chardev_user {
    void *opaque;
    void (*input)(void *opaque);        /* chardev_read has something */
    void (*output_ready)(void *opaque); /* chardev_write accepts again */
    void (*send_break)(void *opaque);   /* Ctrl-a b */
};

/* The program at our end. All may be NULL. */
struct chardev_host {
    void *opaque;
    void (*quit)(void *opaque);      /* Ctrl-a x */
    void (*connected)(void *opaque); /* a client has come */
};

struct chardev {
    struct chardev_config config;
    struct loop *loop;
    struct terminal *terminal;
    struct chardev_user user;
    struct chardev_host host;
    struct ring in, out;
    struct loop_watch read_watch, write_watch, listen_watch; /* fd -1: not there */
    bool started;
    bool reading;     /* read_watch is in the loop */
    bool escaped;     /* Ctrl-a was the last key */
    bool output_full; /* the user waits for output_ready */
    u8 last_output;
};

/* Opens what config says. 0, or -errno with e. */
int chardev_open(struct chardev *c, const struct chardev_config *config, struct loop *l, struct terminal *t,
                 struct error *e);

/* From here on input is read, and the terminal is raw. */
void chardev_start(struct chardev *c);

/* A unix server with wait=on that has no client yet. */
bool chardev_waiting(const struct chardev *c);

/* The next byte of input. */
bool chardev_read(struct chardev *c, u8 *byte);

/* false: no room; output_ready will be called. With nobody at the other end, bytes vanish. */
bool chardev_write(struct chardev *c, u8 byte);

/* Writes what is left, for at most ms milliseconds, and ends the line on a terminal. */
void chardev_finish(struct chardev *c, int ms);

#endif
