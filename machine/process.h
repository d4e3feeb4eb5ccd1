/* process.h - the program as a process: in the background, named, with less than it began with */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MACHINE_PROCESS_H
#define MACHINE_PROCESS_H

#include "base/config/vm_config.h"
#include "base/error.h"

/* -daemonize: a child goes on, and the parent, which does not return, ends with 0 when the child is ready, or
 * with 1 when it ends before. The descriptor that process_ready wants, or -1: not asked for; less than that
 * with e. */
int process_daemonize(const struct vm_config *c, struct error *e);

/* -chroot, -runas: after everything is open. 0, or -errno with e. */
int process_drop(const struct vm_config *c, struct error *e);

/* The parent may end; what was the terminal's goes nowhere from here on. */
void process_ready(int fd);

/* -name process=: what ps and top show. */
void process_name(const struct vm_config *c);

#endif
