/* migrate_place.h - where a machine's state goes to when it moves: tcp://HOST:PORT or unix:///PATH */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DOMAINS_MIGRATE_PLACE_H
#define DOMAINS_MIGRATE_PLACE_H

#include "manager/daemon/settings.h"
#include "manager/daemon/task.h"
#include "manager/rpc/vir_error.h"

struct place {
    bool local;     /* a UNIX socket, at path */
    bool old;       /* written as tcp:HOST:PORT */
    char host[256]; /* without the brackets of an IPv6 address */
    unsigned port;  /* 0: any */
    char path[108];
};

/* What a migration URI says. 0, or -1 with e. */
int place_parse(struct place *p, const char *uri, struct vir_error *e);
/* The URI; to be freed. */
char *place_uri(const struct place *p);

/* In a task. A socket that is connected to it, or -1 with e. */
int place_connect(struct tasks *t, const struct place *p, struct vir_error *e);

/* A socket that listens there, or -1 with e; a port that was 0 is chosen. address: at which of the computer's
 * addresses; NULL: at all, or, where the host of the place is this computer's own loopback, only there. */
int place_listen(struct place *p, const char *address, const struct settings *s, struct vir_error *e);

#endif
