/* options.h - lodge-vm's command line, in QEMU's spelling */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MACHINE_OPTIONS_H
#define MACHINE_OPTIONS_H

#include "base/error.h"
#include "machine/config.h"

/* Fills c with the defaults and what argv says. Strings in c are argv's own.
 * 0: run the machine; 1: -help or the like has been printed; -errno with e. */
int options_parse(struct vm_config *c, int argc, char **argv, struct error *e);

/* QEMU's sizes: a number, with a fraction if one likes, and one of B K M G T P E; a bare number counts `unit`
 * bytes. 0, -EINVAL (malformed) or -ERANGE (does not fit 64 bits). */
int parse_size(const char *text, u64 unit, u64 *bytes);

#endif
