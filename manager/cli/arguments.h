/* arguments.h - the words behind a verb: options by a table, and the rest */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MANAGER_CLI_ARGUMENTS_H
#define MANAGER_CLI_ARGUMENTS_H

#include "base/base.h"
#include "base/error.h"

enum argument_type { ARGUMENT_FLAG, ARGUMENT_TEXT, ARGUMENT_NUMBER, ARGUMENT_TEXTS };

enum { ARGUMENT_TEXTS_MAX = 16 };
struct argument_texts {
    const char *at[ARGUMENT_TEXTS_MAX];
    unsigned count;
};

/* --NAME, into the field at the offset: bool, const char *, u64, struct argument_texts. The table of a verb
 * is what is read, what help and man page tell, and what bash completes. */
struct argument {
    const char *name;
    enum argument_type type;
    size_t offset;
    const char *
        value; /* what the value is called: "FILE", or all that it may be: "raw|qcow2"; NULL: there is none */
};

struct verb;

/* Reads --NAME VALUE and --NAME=VALUE by the verb's table; the other words, of which there must be as many as
 * the verb's own `words` names, go into words in order. 0, or -EINVAL with e. */
int arguments_parse(int argc, char **argv, const struct verb *v, void *into, const char **words,
                    struct error *e);

/* All that may stand behind the verb, on one line. */
void arguments_usage(const struct verb *v, char *text, size_t size);

#endif
