/* calls_native.c - a domain as the command line that would run it */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "manager/daemon/manager.h"
#include "manager/domains/command.h"
#include "manager/domains/definition.h"
#include "manager/domains/device.h"
#include "manager/domains/life.h"

/* A word as a shell takes it. */
static void write_word(FILE *f, const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=.,:/@%";
    if (*word && !word[strspn(word, plain)]) {
        fputs(word, f);
        return;
    }
    putc('\'', f);
    for (; *word; word++)
        *word == '\'' ? fputs("'\\''", f) : putc(*word, f);
    putc('\'', f);
}

static char *join(struct arena *a, char *const *argv)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    ASSERT(f);
    for (char *const *word = argv; *word; word++) {
        if (word != argv)
            putc(' ', f);
        write_word(f, *word);
    }
    fclose(f);
    char *copy = arena_strdup(a, text);
    free(text);
    return copy;
}

static char **words_of(struct call *call, xmlNode *domain)
{
    struct manager *m = call->manager;
    struct launch l;
    device_set_all_live(domain);
    if (life_launch(m, domain, &l, &call->error) < 0)
        return NULL;
    l.monitor =
        arena_printf(&call->arena, "%s/domains/%s.monitor", m->settings.run_dir, xml_get(domain, "name"));
    return command_line(domain, &l, &call->error);
}

int handle_connect_domain_xml_to_native(struct call *call,
                                        const struct remote_connect_domain_xml_to_native_args *args,
                                        struct remote_connect_domain_xml_to_native_ret *ret)
{
    struct vir_error *e = &call->error;
    if (vir_check_flags(e, args->flags, 0, "virConnectDomainXMLToNative") < 0)
        return -1;
    if (strcmp(args->nativeFormat, "qemu-argv"))
        return vir_fail(e, VIR_ERR_INVALID_ARG, "unsupported config type %s", args->nativeFormat);
    xmlNode *domain = definition_parse(call->manager, args->domainXml, e);
    char **argv = domain ? words_of(call, domain) : NULL;
    if (argv)
        ret->nativeConfig = join(&call->arena, argv);
    command_free(argv);
    xml_free(domain);
    return argv ? 0 : -1;
}
