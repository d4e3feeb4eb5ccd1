/* eventfd.h - eventfd(2) descriptors that a client hands over: kept while it may close its own */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef API_EVENTFD_H
#define API_EVENTFD_H

#include "base/base.h"

struct eventfd {
    int fd; /* the library's own */
    u64 id; /* the same for all descriptors of one eventfd */
};

/* Takes hold of the eventfd behind the client's descriptor. 0, -EBADF, -EINVAL (something else), -EMFILE. */
int eventfd_hold(int client_fd, struct eventfd *e);
void eventfd_drop(struct eventfd *e);
/* Adds one. With a guest's vector state live, too. */
void eventfd_signal(const struct eventfd *e);
/* Takes all that was added. false: there was nothing. Never waits. */
bool eventfd_take(const struct eventfd *e);

#endif
