/* address.h - where the GDB stub listens: -gdb */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GDBSTUB_ADDRESS_H
#define GDBSTUB_ADDRESS_H

#include "base/base.h"
#include "base/error.h"

enum gdb_transport { GDB_NONE, GDB_TCP, GDB_UNIX };

struct gdb_address {
    enum gdb_transport transport;
    char host[64], port[8]; /* TCP; no host: the loopback address */
    char path[104];         /* of a socket */
};

/* Reads tcp:[HOST]:PORT, unix:PATH or none; the ,server=on and ,wait=off that QEMU knows may follow. 0, or
 * -EINVAL with e. */
int gdb_address_parse(struct gdb_address *a, const char *text, struct error *e);

/* A listening descriptor that does not block, or -errno with e. */
int gdb_address_listen(const struct gdb_address *a, struct error *e);

#endif
