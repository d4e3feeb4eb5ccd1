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

/* --NAME, into the field at the offset: bool, const char *, u64, struct argument_texts. */
struct argument {
    const char *name;
    enum argument_type type;
    size_t offset;
};

/* Reads --NAME VALUE and --NAME=VALUE by the table, which ends with a row without a name; the other words, of
 * which there must be as many as `words` has places named in `wanted` ("NAME"; a word in brackets may be
 * absent), go into words in order. argv[0] is the verb. 0, or -EINVAL with e. */
int arguments_parse(int argc, char **argv, const struct argument *table, void *into, const char *wanted,
                    const char **words, struct error *e);

#endif
