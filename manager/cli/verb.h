/* verb.h - a verb of `lodge` */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MANAGER_CLI_VERB_H
#define MANAGER_CLI_VERB_H

#include "base/base.h"
#include "base/error.h"

/* run: argv[0] is the verb. The program's status, or -errno with e. */
struct verb {
    const char *name, *arguments, *help;
    int (*run)(int argc, char **argv, struct error *e);
};

extern const struct verb verb_create, verb_list, verb_start, verb_stop, verb_console, verb_top, verb_logs,
    verb_rm, verb_run, verb_check, verb_image, verb_completion;

/* All of them, in the order of the help. */
extern const struct verb *const lodge_verbs[];
extern const size_t verb_count;

#endif
