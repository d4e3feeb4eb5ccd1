/* main.c - lodge: the command line of the manager */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/version.h"
#include "manager/cli/verb.h"

const struct verb *const lodge_verbs[] = {
    &verb_create,  &verb_list, &verb_start, &verb_stop,  &verb_console, &verb_top,       &verb_logs,
    &verb_migrate, &verb_rm,   &verb_run,   &verb_image, &verb_check,   &verb_completion};
const size_t verb_count = ARRAY_SIZE(lodge_verbs);

enum { WIDTH = 110 };

/* Up to the next blank that is not within brackets. */
static size_t usage_word(const char *usage)
{
    size_t n = 0;
    for (bool inside = false; usage[n] && (inside || usage[n] != ' '); n++)
        inside = usage[n] == '[' || (inside && usage[n] != ']');
    return n;
}

/* A usage, broken between options where a line is full. */
static void print_usage(const char *usage, size_t column)
{
    while (*usage) {
        size_t n = usage_word(usage);
        if (column + n >= WIDTH)
            column = (size_t)printf("\n       ") - 1;
        column += (size_t)printf(" %.*s", (int)n, usage);
        usage += n + (usage[n] == ' ');
    }
    putchar('\n');
}

static void print_verb(const struct verb *v)
{
    char usage[USAGE_MAX];
    arguments_usage(v, usage, sizeof(usage));
    print_usage(usage, (size_t)printf("  lodge %s", v->name));
    fputs(v->help, stdout);
}

/* With the verbs behind it. */
static void print_whole_verb(const struct verb *v)
{
    char usage[USAGE_MAX];
    const char *name, *help;
    print_verb(v);
    for (unsigned i = 0; v->part && v->part(i, &name, &help, usage, sizeof(usage)); i++) {
        print_usage(usage, (size_t)printf("  lodge %s %s", v->name, name));
        printf("      %s\n", help);
    }
}

static void print_help(void)
{
    puts("usage: lodge VERB [arguments]\n");
    for (size_t i = 0; i < verb_count; i++)
        print_verb(lodge_verbs[i]);
    puts(
        "  lodge help [VERB]\n  lodge version [--json]\n\n"
        "Machines are those of the system's lodged, of a lodged with a folder of its own (--root DIR, or LODGE_ROOT in the\n"
        "environment), or of a libvirtd (--connect /run/libvirt/libvirt-sock). --json: answers for programs.");
}

/* On one line, whatever it is in the table. */
static void print_roff(const char *text)
{
    for (text += strspn(text, " "); *text; text++) {
        size_t blank = strspn(text, " \n");
        if (blank && text[blank])
            putchar(' ');
        else if (!blank)
            printf(*text == '-' ? "\\%c" : "%c", *text);
        text += blank ? blank - 1 : 0;
    }
    putchar('\n');
}

static void print_man_row(const char *verb, const char *part, const char *usage, const char *help)
{
    printf(".TP\n.B lodge %s %s\n", verb, part);
    if (*usage) {
        print_roff(usage);
        puts(".br");
    }
    print_roff(help);
}

static void print_man_verb(const struct verb *v)
{
    char usage[USAGE_MAX];
    const char *name, *help;
    arguments_usage(v, usage, sizeof(usage));
    print_man_row(v->name, "", usage, v->help);
    for (unsigned i = 0; v->part && v->part(i, &name, &help, usage, sizeof(usage)); i++)
        print_man_row(v->name, name, usage, help);
}

static void print_man(void)
{
    puts(
        ".TH LODGE 1 \"\" \"Lodge " LODGE_VERSION "\" \"User Commands\"\n"
        ".SH NAME\nlodge \\- virtual machines without XML\n.SH SYNOPSIS\n.B lodge\n.I VERB\n.RI [ arguments ]\n"
        ".SH DESCRIPTION\nMachines are those of\n.BR lodged (8):\nthe system's, or one with a folder of its own\n"
        "(\\-\\-root DIR, or LODGE_ROOT in the environment), or those of a libvirtd\n"
        "(\\-\\-connect /run/libvirt/libvirt-sock). \\-\\-json: answers for programs.\n.SH VERBS");
    for (size_t i = 0; i < verb_count; i++)
        print_man_verb(lodge_verbs[i]);
    puts(".SH EXIT STATUS\n0: done. 1: not; the last line says why, and what to do. Others: see the verb.\n"
         ".SH SEE ALSO\n.BR lodged (8),\n.BR lodge\\-vm (1),\n.BR virsh (1)");
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
        print_whole_verb(about);
        return EXIT_SUCCESS;
    }
    if (is(name, "help")) {
        print_help();
        return EXIT_SUCCESS;
    }
    if (is(name, "help-man")) {
        print_man();
        return EXIT_SUCCESS;
    }
    if (is(name, "version")) {
        puts(argc > 2 && !strcmp(argv[2], "--json") ? "{\"version\": \"" LODGE_VERSION "\"}"
                                                    : "lodge " LODGE_VERSION);
        return EXIT_SUCCESS;
    }
    const struct verb *v = find_verb(name);
    int r = v       ? v->run(argc - 1, argv + 1, &e)
            : *name ? error_set(&e, EINVAL, "unknown verb '%s': lodge help lists the verbs", name)
                    : error_set(&e, EINVAL, "what is to be done? lodge help lists the verbs");
    if (r >= 0)
        return r;
    report("%s", e.text);
    return EXIT_FAILURE;
}
