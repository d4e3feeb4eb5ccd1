/* chardev.h - character devices: bytes between a device or monitor and a terminal, a file, a socket */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MACHINE_CHARDEV_H
#define MACHINE_CHARDEV_H

#include "base/error.h"
#include "base/loop.h"
#include "machine/chardev_config.h"
#include "machine/terminal.h"

/* Bytes on their way, so that neither the guest nor the host has to keep up with the other. */
enum { CHARDEV_BACKLOG = 65536, CHARDEV_FDS = 16, CHARDEV_LOG = 1024 };

struct ring {
    u8 data[CHARDEV_BACKLOG];
    u32 head, tail; /* run freely; head - tail bytes are there */
};

enum chardev_event { CHARDEV_OPENED, CHARDEV_CLOSED }; /* a client has come; has gone */

/* The device or monitor at its one end. All may be NULL. */
struct chardev_user {
    void *opaque;
    void (*input)(void *opaque);        /* chardev_read has something */
    void (*output_ready)(void *opaque); /* chardev_write accepts again */
    void (*send_break)(void *opaque);   /* Ctrl-a b */
    void (*event)(void *opaque, enum chardev_event event);
};

/* The program around it. All may be NULL. */
struct chardev_host {
    void *opaque;
    void (*quit)(void *opaque);      /* Ctrl-a x */
    void (*connected)(void *opaque); /* a client has come */
};

struct mux;

struct chardev {
    char label[64];
    const char *what; /* the option, for messages; set after chardev_init */
    struct chardev_config config;
    struct properties kept; /* the memory behind its strings */
    struct loop *loop;
    struct terminal *terminal;
    struct chardev_user user;
    struct chardev_host host;
    bool used;         /* somebody has it */
    bool front_closed; /* and does not listen: a guest that has not opened its port */
    struct ring in, out;
    struct loop_watch read_watch, write_watch, listen_watch; /* fd -1: not there */
    struct loop_timer look;                                  /* pty: whether somebody has opened it */
    bool started;
    bool reading;     /* read_watch is in the loop */
    bool output_full; /* the user waits for output_ready */
    bool connected;   /* a client is there, or none is needed */
    u8 last_output;
    char peer[128];      /* what it is connected to, as query-chardev says it */
    int fd[CHARDEV_FDS]; /* that came with the input */
    unsigned fd_count;
    int log_fd; /* -1: no log is kept */
    u8 log[CHARDEV_LOG];
    u32 log_used;
    bool log_failed;
    struct loop_timer log_soon; /* what has come together is written */
    struct mux *mux;            /* CHARDEV_FRONT: what it is one end of; others: what shares it; NULL: none */
};

/* Not yet open. The strings in config must live on. */
void chardev_init(struct chardev *c, const struct chardev_config *config, struct loop *l, struct terminal *t);

/* chardev_backend.c: opens what config says. 0, or -errno with e. */
int chardev_open(struct chardev *c, struct error *e);

/* From here on input is read, and the terminal is raw. */
void chardev_start(struct chardev *c);

/* A server with wait=on that has no client yet. */
bool chardev_waiting(const struct chardev *c);

/* The next byte of input. */
bool chardev_read(struct chardev *c, u8 *byte);

/* Whether chardev_read has something. */
bool chardev_available(const struct chardev *c);

/* How many bytes chardev_write takes now. */
u32 chardev_room(const struct chardev *c);

/* false: no room; output_ready will be called. With nobody at the other end, bytes vanish. */
bool chardev_write(struct chardev *c, u8 byte);

/* Its user has gone: another may come. */
void chardev_release(struct chardev *c);

/* The next descriptor that a client has sent, or -1. */
int chardev_take_fd(struct chardev *c);

/* Ends the connection with the client. */
void chardev_disconnect(struct chardev *c);

/* Writes what is left, for at most ms milliseconds, and ends the line on a terminal. */
void chardev_finish(struct chardev *c, int ms);

/* All of it, before it is freed. Its user is gone. */
void chardev_close(struct chardev *c);

/* chardev_backend.c: what it is, as query-chardev says it. */
void chardev_describe(const struct chardev *c, char *text, size_t size);

/* ---- mux.c: several share one, and Ctrl-a changes between them ---- */

/* below has mux=on. */
struct mux *mux_create(struct chardev *below);
/* One more that shares it, or NULL: no memory, or there are too many. */
struct chardev *mux_front(struct mux *x);
/* With its fronts, whose users are gone. */
void mux_destroy(struct mux *x);
/* For chardev.c: a front has written, has read, wants to know. */
bool mux_write(struct chardev *front, u8 byte);
void mux_refill(struct chardev *front);

/* For mux.c. */
u32 ring_used(const struct ring *r);
bool ring_put(struct ring *r, u8 byte);

#endif
