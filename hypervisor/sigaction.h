/* sigaction.h - libc's sigaction(2), by the name of it that the shim leaves alone: this library's own calls
 * go there */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HYPERVISOR_SIGACTION_H
#define HYPERVISOR_SIGACTION_H

#include <signal.h>

int __sigaction(int number, const struct sigaction *action, struct sigaction *old);

#endif
