/* chardev_config.h - what a character device is connected to, as -serial says it */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MACHINE_CHARDEV_CONFIG_H
#define MACHINE_CHARDEV_CONFIG_H

#include "base/base.h"
#include "base/error.h"

enum chardev_backend { CHARDEV_NULL, CHARDEV_STDIO, CHARDEV_FILE, CHARDEV_UNIX };

struct chardev_config {
    enum chardev_backend backend;
    char path[256];
    bool mux;    /* mon: in front: Ctrl-a is the program's own key */
    bool signal; /* stdio: Ctrl-C and its like are signals to the program, not input */
    bool append; /* file */
    bool server; /* unix: listen; else connect */
    bool wait;   /* unix server: the guest starts when a client has connected */
};

/* Reads QEMU's spelling: [mon:]stdio[,signal=on|off], [mon:]unix:PATH[,server=on|off][,wait=on|off],
 * file:PATH, null. 0, or -EINVAL with e. */
int chardev_config_parse(struct chardev_config *c, const char *text, struct error *e);

#endif
