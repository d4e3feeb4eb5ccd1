/* main.c - lodge: the command line of the manager */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/version.h"
#include "manager/cli/verb.h"

const struct verb *const lodge_verbs[] = {&verb_create,  &verb_list,  &verb_start, &verb_stop,
                                          &verb_console, &verb_top,   &verb_logs,  &verb_rm,
                                          &verb_run,     &verb_image, &verb_check, &verb_completion};
const size_t verb_count = ARRAY_SIZE(lodge_verbs);

static void print_verb(const struct verb *v)
{
    printf("  lodge %s%s%s\n%s", v->name, *v->arguments ? " " : "", v->arguments, v->help);
}

static void print_help(void)
{
    puts("usage: lodge VERB [arguments]\n");
    for (size_t i = 0; i < verb_count; i++)
        print_verb(lodge_verbs[i]);
    puts(
        "  lodge help [VERB]\n  lodge version\n\n"
        "Machines are those of the system's lodged, of a lodged with a folder of its own (--root DIR, or LODGE_ROOT in the\n"
        "environment), or of a libvirtd (--connect /run/libvirt/libvirt-sock). --json: answers for programs.");
}

static const struct verb *find_verb(const char *name)
{
    for (size_t i = 0; i < verb_count; i++)
        if (!strcmp(lodge_verbs[i]->name, name))
            return lodge_verbs[i];
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
    const struct verb *about = argc > 2 ? find_verb(argv[is(name, "help") ? 2 : 1]) : NULL;
    if (about && (is(name, "help") || !strcmp(argv[2], "--help"))) {
        print_verb(about);
        return EXIT_SUCCESS;
    }
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
