/* completion.c - lodge completion: what bash wants to know of the verbs and their options */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "manager/cli/verb.h"

/* The options of a text as "[-f FORMAT] [--json]", which is what a usage is. */
static void put_options(const char *usage)
{
    printf(" options='");
    for (const char *at = usage; (at = strstr(at, "[-")); at++)
        if (isalpha((unsigned char)at[2]) || at[2] == '-')
            printf(" %.*s", (int)strcspn(at + 1, " ]="), at + 1);
    printf("'");
}

/* The first word behind these is a machine. */
static bool takes_name(const struct verb *v)
{
    return !strncmp(v->words, "NAME", 4) && strcmp(v->name, "create");
}

static void put_parts(const struct verb *v)
{
    const char *name, *help;
    char usage[USAGE_MAX];
    printf("\n        [ \"$COMP_CWORD\" = 2 ] && words='");
    for (unsigned i = 0; v->part(i, &name, &help, usage, sizeof(usage)); i++)
        printf(" %s", name);
    puts("'\n        case ${COMP_WORDS[2]} in");
    for (unsigned i = 0; v->part(i, &name, &help, usage, sizeof(usage)); i++) {
        printf("        %s)", name);
        put_options(usage);
        puts(" ;;");
    }
    puts("        esac ;;");
}

static void put_verb(const struct verb *v)
{
    char usage[USAGE_MAX];
    printf("    %s)", v->name);
    if (v->part) {
        put_parts(v);
        return;
    }
    arguments_usage(v, usage, sizeof(usage));
    put_options(usage);
    if (takes_name(v))
        printf(" words=$(lodge list --all --names 2>/dev/null)");
    puts(" ;;");
}

/* Of "user|none|NAME", what is to be typed as it is. */
static void put_words(const char *value)
{
    for (size_t n; *value; value += n + (value[n] == '|')) {
        n = strcspn(value, "|");
        if (islower((unsigned char)*value))
            printf(" %.*s", (int)n, value);
    }
}

/* What an option may have for a value, where that is listed. */
static void put_values(const struct verb *v)
{
    for (const struct argument *a = v->table; a && a->name; a++) {
        if (!a->value || !strchr(a->value, '|'))
            continue;
        printf("    '%s --%s') values='", v->name, a->name);
        put_words(a->value);
        puts("' ;;");
    }
}

static const struct argument table[] = {{0}};

static int run(int argc, char **argv, struct error *e)
{
    int r = arguments_parse(argc, argv, &verb_completion, NULL, NULL, e);
    if (r < 0)
        return r;
    puts(
        "# bash completion of lodge; made by: lodge completion\n"
        "_lodge()\n{\n    local word=${COMP_WORDS[COMP_CWORD]} last=${COMP_WORDS[COMP_CWORD-1]} options words values\n"
        "    if [ \"$COMP_CWORD\" = 1 ]; then");
    printf("        COMPREPLY=($(compgen -W 'help version");
    for (size_t i = 0; i < verb_count; i++)
        printf(" %s", lodge_verbs[i]->name);
    puts("' -- \"$word\"))\n        return\n    fi\n    case ${COMP_WORDS[1]} in");
    for (size_t i = 0; i < verb_count; i++)
        put_verb(lodge_verbs[i]);
    puts("    esac\n    case \"${COMP_WORDS[1]} $last\" in");
    for (size_t i = 0; i < verb_count; i++)
        put_values(lodge_verbs[i]);
    puts(
        "    esac\n    if [ -n \"$values\" ]; then\n"
        "        COMPREPLY=($(compgen -W \"$values\" -- \"$word\"))\n        return\n    fi\n"
        "    case $word in\n    -*) COMPREPLY=($(compgen -W \"$options\" -- \"$word\")) ;;\n"
        "    *) COMPREPLY=($(compgen -W \"$words\" -- \"$word\") $(compgen -f -- \"$word\")) ;;\n    esac\n}\n"
        "complete -o filenames -F _lodge lodge");
    return 0;
}

const struct verb verb_completion = {
    .name = "completion",
    .words = "",
    .table = table,
    .help = "      print what bash completes: lodge completion >/etc/bash_completion.d/lodge\n",
    .run = run,
};
