/* main.c - lodge: the command line of the manager */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/version.h"
#include "manager/cli/verb.h"

static const struct verb *const verbs[] = {&verb_run, &verb_check, &verb_image};

static void print_help(void)
{
    puts("usage: lodge VERB [arguments]\n");
    for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
        printf("  lodge %s %s\n%s", verbs[i]->name, verbs[i]->arguments, verbs[i]->help);
    puts("  lodge help\n  lodge version");
}

static const struct verb *find_verb(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
        if (!strcmp(verbs[i]->name, name))
            return verbs[i];
    return NULL;
}

/* `lodge help`, `lodge --help`, `lodge -h` alike. */
static bool is(const char *arg, const char *word)
{
    const char *bare = arg + strspn(arg, "-");
    return !strcmp(bare, word) || (arg[0] == '-' && bare[0] == word[0] && !bare[1]);
}

int main(int argc, char **argv)
{
    struct error e;
    const char *name = argc > 1 ? argv[1] : "";
    if (is(name, "help")) {
        print_help();
        return EXIT_SUCCESS;
    }
    if (is(name, "version")) {
        puts("lodge " LODGE_VERSION);
        return EXIT_SUCCESS;
    }
    const struct verb *v = find_verb(name);
    int r = v ? v->run(argc - 1, argv + 1, &e)
              : error_set(&e, EINVAL, "%s'%s': lodge help lists the verbs",
                          *name ? "unknown verb " : "no verb ", name);
    if (r >= 0)
        return r;
    report("%s", e.text);
    return EXIT_FAILURE;
}
