/* console.h - a machine's console on this terminal */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MANAGER_CLI_CONSOLE_H
#define MANAGER_CLI_CONSOLE_H

#include "manager/rpc/connection.h"

/* Until Ctrl-], the end of the input, or the machine's. 0 or -errno with e. */
int console_attach(struct connection *c, const struct remote_domain *d, struct error *e);

#endif
