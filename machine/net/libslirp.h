/* libslirp.h - libslirp's functions, loaded when a user-mode network is made */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MACHINE_NET_LIBSLIRP_H
#define MACHINE_NET_LIBSLIRP_H

#include <slirp/libslirp.h>

#include "base/error.h"

/* It needs glib, which nothing else does: with what glib needs, three times as large as lodge-vm. */
#define LIBSLIRP_FUNCTIONS(F) \
    F(new)                    \
    F(cleanup)                \
    F(input)                  \
    F(pollfds_fill)           \
    F(pollfds_poll)           \
    F(add_hostfwd)            \
    F(remove_hostfwd)         \
    F(add_guestfwd)           \
    F(socket_can_recv)        \
    F(socket_recv)            \
    F(connection_info)

struct libslirp {
#define FUNCTION(name) __typeof__(slirp_##name) *name;
    LIBSLIRP_FUNCTIONS(FUNCTION)
#undef FUNCTION
};

/* For the rest of the program's life. -ENOENT with e: the host has no libslirp, or one without these. */
int libslirp_load(struct libslirp *l, struct error *e);

#endif
