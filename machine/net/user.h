/* user.h - what a monitor changes of a user-mode network */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MACHINE_NET_USER_H
#define MACHINE_NET_USER_H

#include "machine/net/net.h"

/* b->type is &net_user. text: as hostfwd= has it. */
int net_user_forward(struct net_backend *b, const char *text, struct error *e);
/* false: there is no such forward. */
bool net_user_remove_forward(struct net_backend *b, const char *text);
/* A table, to be freed with g_free, which is free. */
char *net_user_connections(struct net_backend *b);

#endif
