/* arguments.c - the words behind a verb: options by a table, and the rest */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "manager/cli/verb.h"

static const struct argument *find(const struct argument *table, const char *word, size_t len)
{
    for (; table->name; table++)
        if (strlen(table->name) == len && !strncmp(table->name, word, len))
            return table;
    return NULL;
}

static int set_number(u64 *field, const char *verb, const char *option, const char *value, struct error *e)
{
    char *end;
    errno = 0;
    *field = strtoull(value, &end, 10);
    return errno || *end || *value < '0' || *value > '9'
               ? error_set(e, EINVAL, "%s: --%s wants a number, not '%s'", verb, option, value)
               : 0;
}

static int set(const struct argument *a, void *field, const char *verb, const char *value, struct error *e)
{
    struct argument_texts *texts = field;
    switch (a->type) {
    case ARGUMENT_FLAG: *(bool *)field = true; return 0;
    case ARGUMENT_TEXT: *(const char **)field = value; return 0;
    case ARGUMENT_NUMBER: return set_number(field, verb, a->name, value, e);
    default:
        if (texts->count == ARGUMENT_TEXTS_MAX)
            return error_set(e, E2BIG, "%s: --%s can be given %d times", verb, a->name, ARGUMENT_TEXTS_MAX);
        texts->at[texts->count++] = value;
        return 0;
    }
}

/* *i moves on to the last word used. */
static int option(int argc, char **argv, int *i, const struct argument *table, void *into, struct error *e)
{
    const char *word = argv[*i] + 2, *verb = argv[0];
    size_t len = strcspn(word, "=");
    const struct argument *a = find(table, word, len);
    if (!a)
        return error_set(e, EINVAL, "%s: unknown option '%s': lodge help %s lists the options", verb,
                         argv[*i], verb);
    bool flag = a->type == ARGUMENT_FLAG;
    if (flag && word[len])
        return error_set(e, EINVAL, "%s: option '--%s' has no value", verb, a->name);
    if (!flag && !word[len] && *i + 1 == argc)
        return error_set(e, EINVAL, "%s: option '--%s' needs a value", verb, a->name);
    const char *value = flag ? NULL : word[len] ? word + len + 1 : argv[++*i];
    return set(a, (char *)into + a->offset, verb, value, e);
}

/* The next name in `wanted`, which moves behind it. */
static size_t next_name(const char **wanted)
{
    *wanted += strspn(*wanted, " ");
    return strcspn(*wanted, " ");
}

int arguments_parse(int argc, char **argv, const struct verb *v, void *into, const char **words,
                    struct error *e)
{
    const char *wanted = v->words;
    unsigned count = 0;
    size_t n;
    for (int i = 1; i < argc; i++) {
        if (!strncmp(argv[i], "--", 2) && argv[i][2]) {
            int r = option(argc, argv, &i, v->table, into, e);
            if (r < 0)
                return r;
        } else if (!(n = next_name(&wanted)))
            return error_set(e, EINVAL, "%s: '%s' is one word too many: lodge help %s tells what there is",
                             argv[0], argv[i], argv[0]);
        else {
            words[count++] = argv[i];
            wanted += n;
        }
    }
    n = next_name(&wanted);
    if (n && *wanted != '[')
        return error_set(e, EINVAL, "%s: %.*s is missing: lodge help %s tells what there is", argv[0], (int)n,
                         wanted, argv[0]);
    return 0;
}

void arguments_usage(const struct verb *v, char *text, size_t size)
{
    size_t n = (size_t)snprintf(text, size, "%s", v->words);
    for (const struct argument *a = v->table; a && a->name && n < size; a++)
        n +=
            (size_t)snprintf(text + n, size - n, "%s[--%s%s%s]%s", n ? " " : "", a->name, a->value ? " " : "",
                             a->value ? a->value : "", a->type == ARGUMENT_TEXTS ? "..." : "");
}
