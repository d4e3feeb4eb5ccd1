/* chardev_config.h - what a character device is connected to, as -chardev and -serial say it */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MACHINE_CHARDEV_CONFIG_H
#define MACHINE_CHARDEV_CONFIG_H

#include "base/config/properties.h"

enum chardev_backend {
    CHARDEV_NULL,
    CHARDEV_STDIO,
    CHARDEV_FILE,
    CHARDEV_UNIX,
    CHARDEV_TCP,
    CHARDEV_PTY,
    CHARDEV_FRONT, /* one of those that share another one */
};

/* Strings are those of the list it was read from. */
struct chardev_config {
    enum chardev_backend backend;
    const char *path;        /* file, or UNIX socket */
    const char *host, *port; /* TCP */
    const char *fd;          /* of a socket that listens already, or NULL */
    bool mux;                /* several share it; Ctrl-a is the program's own key */
    bool signal;             /* stdio: Ctrl-C and its like are signals to the program, not input */
    bool append;             /* file */
    bool server;             /* socket: listen; else connect */
    bool wait;               /* server: the guest starts when a client has connected */
    bool nodelay;            /* TCP: small packets at once */
    const char *logfile;     /* what is written also goes there; NULL: nowhere */
    bool logappend;
};

/* Reads what -chardev has, by the table of the back end. 0, or -EINVAL with e. what: the option, for e. */
int chardev_config_read(struct chardev_config *c, const struct properties *p, const char *what,
                        struct error *e);

/* The short spelling of -serial and -monitor as properties: [mon:]stdio, null, pty, file:PATH, unix:PATH,
 * tcp:HOST:PORT, and what may follow behind commas. 0, or -errno with e. */
int chardev_config_parse(struct properties *p, const char *text, const char *what, struct error *e);

#endif
