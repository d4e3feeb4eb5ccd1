/* options.h - a VM's configuration as a command line, in QEMU's spelling */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CONFIG_OPTIONS_H
#define CONFIG_OPTIONS_H

#include "base/config/vm_config.h"

/* Fills c with the defaults and what argv says. Strings in c are argv's own, or c's.
 * 0: run the machine; 1: -help or the like has been printed; -errno with e. vm_config_free in every case. */
int options_parse(struct vm_config *c, int argc, char **argv, struct error *e);

/* The command line that options_parse reads as c, without the program's name: a list that ends with NULL, it
 * and its words to be freed. NULL: no memory. */
char **options_write(const struct vm_config *c);

/* One line for each option: name, argument and help, as -help, the man page (roff) and the shell's completion
 * want them. */
enum options_form { OPTIONS_HELP, OPTIONS_MAN, OPTIONS_COMPLETION };
void options_print(enum options_form form);

#endif
