/* completion.c - lodge completion: what bash wants to know of the verbs and their options */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>
#include <string.h>

#include "manager/cli/verb.h"

static void put_options(const struct verb *v)
{
    for (const char *at = v->arguments; (at = strstr(at, "--")); at += 2)
        printf(" %.*s", (int)strcspn(at, " ]|="), at);
}

/* The first word behind these is a machine. */
static bool takes_name(const struct verb *v)
{
    return !strncmp(v->arguments, "NAME", 4) && strcmp(v->name, "create");
}

static int run(int argc, char **argv, struct error *e)
{
    (void)argc, (void)argv, (void)e;
    puts("# bash completion of lodge; made by: lodge completion\n"
         "_lodge()\n{\n    local word=${COMP_WORDS[COMP_CWORD]} options names\n"
         "    if [ \"$COMP_CWORD\" = 1 ]; then");
    printf("        COMPREPLY=($(compgen -W 'help version");
    for (size_t i = 0; i < verb_count; i++)
        printf(" %s", lodge_verbs[i]->name);
    puts("' -- \"$word\"))\n        return\n    fi\n    case ${COMP_WORDS[1]} in");
    for (size_t i = 0; i < verb_count; i++) {
        printf("    %s) options='", lodge_verbs[i]->name);
        put_options(lodge_verbs[i]);
        printf("'");
        if (takes_name(lodge_verbs[i]))
            printf(" names=$(lodge list --all --names 2>/dev/null)");
        puts(" ;;");
    }
    puts(
        "    esac\n    case $word in\n    -*) COMPREPLY=($(compgen -W \"$options\" -- \"$word\")) ;;\n"
        "    *) COMPREPLY=($(compgen -W \"$names\" -- \"$word\") $(compgen -f -- \"$word\")) ;;\n    esac\n}\n"
        "complete -o filenames -F _lodge lodge");
    return 0;
}

const struct verb verb_completion = {
    "completion",
    "",
    "      print what bash completes: lodge completion >/etc/bash_completion.d/lodge\n",
    run,
};
