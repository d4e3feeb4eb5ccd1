/* channel.h - where a machine's state goes to or comes from: QEMU's URIs exec:, unix:, tcp:, fd: */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MACHINE_STATE_CHANNEL_H
#define MACHINE_STATE_CHANNEL_H

#include <sys/types.h>

#include "base/base.h"
#include "base/error.h"
#include "machine/state/state.h"

/* Who has the bytes where no descriptor does. 0 or -errno; data NULL: they are passed over. */
struct channel_end {
    int (*write)(void *to, const void *data, size_t n);
    int (*read)(void *from, void *data, size_t n);
};
extern const struct channel_end channel_buffer; /* a state_buffer */

/* A descriptor on its way somewhere; all calls may wait, and are made without the machine's lock. */
struct channel {
    int fd;       /* -1: not open */
    bool listens; /* somebody has to connect first */
    pid_t child;  /* of exec:; 0: none */
    const _Atomic bool *cancelled;
    u64 bytes;                     /* so far */
    u64 limit, since;              /* bytes in a second, from loop_now() `since` on; 0: as fast as may be */
    const struct channel_end *end; /* NULL: fd */
    void *opaque;
};

/* fd: the name's or number's, which the caller has found; -1: uri is of another kind. 0 or -errno with e. */
int channel_open_write(struct channel *c, const char *uri, int fd, struct error *e);
int channel_open_read(struct channel *c, const char *uri, int fd, struct error *e);
bool channel_is_known(const char *uri);
/* If uri is fd:NAME: the name; else NULL. */
const char *channel_fd_name(const char *uri);

/* All n bytes. -ECANCELED, -EPIPE, ...; reading: -ENODATA where the stream ends before. */
int channel_write(struct channel *c, const void *data, size_t n);
int channel_read(struct channel *c, void *data, size_t n);

/* Closes it; of exec:, -EIO where the command has failed. */
int channel_close(struct channel *c);

#endif
