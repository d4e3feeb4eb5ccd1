/* option_help.c - the option table as -help, as a man page, as bash completion */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>
#include <string.h>

#include "base/config/option_table.h"
#include "base/config/options.h"
#include "base/version.h"

static bool is_listed(const struct option *o)
{
    return o->help && *o->help;
}

/* Help of several lines goes on below its first. */
static void print_indented(const char *text)
{
    for (; *text; text++) {
        putchar(*text);
        if (*text == '\n')
            printf("%22s", "");
    }
    putchar('\n');
}

static void print_help(void)
{
    puts("usage: lodge-vm -kernel FILE [options]\n"
         "Runs one virtual machine, a PC, until its guest powers off. Options (-x and --x are the same):\n");
    for (unsigned i = 0; i < option_count; i++) {
        const struct option *o = &options[i];
        char head[48];
        if (!is_listed(o))
            continue;
        snprintf(head, sizeof(head), "-%s %s", o->name, o->argument ? o->argument : "");
        printf("  %-19s ", head);
        print_indented(o->help);
    }
}

/* Text that roff leaves alone. */
static void print_roff(const char *text)
{
    for (; *text; text++)
        if (*text == '-' || *text == '\\')
            printf("\\%c", *text);
        else
            putchar(*text);
    putchar('\n');
}

static void print_properties(const struct property_row *row)
{
    for (; row && row->name; row++) {
        printf(".RS\n.TP\n.BI ");
        printf("\"%s=\" \"", row->name);
        for (unsigned i = 0; row->type == PROPERTY_CHOICE && row->choices[i]; i++)
            printf("%s%s", i ? "|" : "", row->choices[i]);
        puts(row->type == PROPERTY_CHOICE ? "\"" : row->type == PROPERTY_BOOL ? "on|off\"" : "VALUE\"");
        print_roff(row->help ? row->help : "");
        puts(".RE");
    }
}

static void print_man(void)
{
    puts(
        ".TH LODGE\\-VM 1 \"\" \"Lodge " LODGE_VERSION "\" \"User Commands\"\n"
        ".SH NAME\nlodge\\-vm \\- run one virtual machine\n"
        ".SH SYNOPSIS\n.B lodge\\-vm\n.RI [ options ]\n"
        ".SH DESCRIPTION\nOne process is one virtual PC. It runs until its guest powers off. Options have QEMU's "
        "spelling and meaning;\n.BI \\- x\nand\n.BI \\-\\- x\nare the same. What of QEMU is not supported is refused "
        "by its name.\n.SH OPTIONS");
    for (unsigned i = 0; i < option_count; i++) {
        const struct option *o = &options[i];
        if (!is_listed(o))
            continue;
        printf(".TP\n.BI \"\\-%s\" \" %s\"\n", o->name, o->argument ? o->argument : "");
        print_roff(o->help);
        print_properties(o->rows);
    }
    puts(
        ".SH EXIT STATUS\n0: the guest powered off, or was ended by a monitor or by Ctrl\\-a x. 1: the guest died, or "
        "could not be started; the last line says why. 128 + N: ended by signal N.\n"
        ".SH SEE ALSO\n.BR lodge (1)");
}

static void print_completion(void)
{
    puts("# bash completion for lodge-vm\n"
         "# SPDX-License-Identifier: GPL-2.0-or-later\n"
         "_lodge_vm()\n{\n"
         "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}\n"
         "    case $before in");
    for (unsigned i = 0; i < option_count; i++) {
        const struct property_row *row = options[i].rows;
        if (!row || !is_listed(&options[i]) || row->type != PROPERTY_CHOICE || !options[i].implied)
            continue;
        printf("    -%s) COMPREPLY=($(compgen -W '", options[i].name);
        for (unsigned k = 0; row->choices[k]; k++)
            printf("%s%s", k ? " " : "", row->choices[k]);
        puts("' -- \"$word\")); return ;;");
    }
    printf("    esac\n    case $word in\n    -*) COMPREPLY=($(compgen -W '");
    for (unsigned i = 0; i < option_count; i++)
        if (is_listed(&options[i]))
            printf("%s-%s", i ? " " : "", options[i].name);
    puts("' -- \"$word\")) ;;\n    *) COMPREPLY=($(compgen -f -- \"$word\")) ;;\n    esac\n}\n"
         "complete -o filenames -F _lodge_vm lodge-vm");
}

/* As QEMU prints machines: a heading, and a line for each, of which one is the default. */
void option_print_values(const struct option *o)
{
    const struct property_row *row = o->rows;
    printf("-%s can have:\n", o->name);
    if (row->type != PROPERTY_CHOICE || !o->implied) {
        properties_help(row);
        return;
    }
    for (unsigned i = 0; row->choices[i]; i++)
        printf("%-20s %s\n", row->choices[i],
               row->fallback && !strcmp(row->fallback, row->choices[i]) ? "(default)" : "");
}

void options_print(enum options_form form)
{
    static void (*const print[])(void) = {
        [OPTIONS_HELP] = print_help, [OPTIONS_MAN] = print_man, [OPTIONS_COMPLETION] = print_completion};
    print[form]();
}
