/* verb.h - a verb of `lodge` */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MANAGER_CLI_VERB_H
#define MANAGER_CLI_VERB_H

#include "base/base.h"
#include "base/error.h"
#include "manager/cli/arguments.h"

/* run: argv[0] is the verb. The program's status, or -errno with e. */
struct verb {
    const char *name;
    const char *words;            /* besides options: "NAME"; one in brackets may be absent */
    const struct argument *table; /* the options, ended by a row without a name; NULL: none */
    const char *help;             /* lines that end with a newline */
    int (*run)(int argc, char **argv, struct error *e);
    /* The verbs behind this verb, from 0 on, and what may stand behind them; false: there is no such number.
     */
    bool (*part)(unsigned i, const char **name, const char **help, char *usage, size_t size);
};
enum { USAGE_MAX = 1000 };

extern const struct verb verb_create, verb_list, verb_start, verb_stop, verb_console, verb_top, verb_logs,
    verb_migrate, verb_rm, verb_run, verb_check, verb_image, verb_completion;

/* All of them, in the order of the help. */
extern const struct verb *const lodge_verbs[];
extern const size_t verb_count;

#endif
