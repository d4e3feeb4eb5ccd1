/* emulator.c - what the programs that run machines can do, by asking them */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "manager/daemon/manager.h"
#include "manager/daemon/process.h"
#include "manager/daemon/text.h"
#include "manager/domains/emulator.h"

enum { ASK_SECONDS = 20 };

static void emulator_free(struct emulator *em)
{
    for (unsigned i = 0; i < em->machine_count; i++) {
        free(em->machines[i].name);
        free(em->machines[i].canonical);
    }
    free(em->machines);
    free(em->path);
    free(em);
}

/* "NAME  description (alias of CANONICAL)", "NAME  description (default)". */
static void add_machine(struct emulator *em, const char *line)
{
    size_t n = strcspn(line, " ");
    if (!n || line[n] != ' ' || strstr(line, "(deprecated)"))
        return;
    em->machines = realloc(em->machines, (em->machine_count + 1) * sizeof(*em->machines));
    ASSERT(em->machines);
    struct emulator_machine *m = &em->machines[em->machine_count++];
    const char *alias = strstr(line, "(alias of ");
    *m = (struct emulator_machine){.name = text_printf("%.*s", (int)n, line),
                                   .is_default = strstr(line, "(default)")};
    if (alias) {
        alias += strlen("(alias of ");
        m->canonical = text_printf("%.*s", (int)strcspn(alias, ")"), alias);
    }
}

static int ask_machines(struct manager *m, struct emulator *em, struct vir_error *e)
{
    const char *argv[] = {em->path, "-machine", "help", NULL};
    char *text;
    if (process_run(&m->tasks, argv, ASK_SECONDS, &text, e) < 0)
        return -1;
    char *rest = text, *line = strsep(&rest, "\n"); /* the first line is a heading */
    while ((line = strsep(&rest, "\n")))
        add_machine(em, line);
    free(text);
    return 0;
}

static int ask_version(struct manager *m, struct emulator *em, struct vir_error *e)
{
    const char *argv[] = {em->path, "-version", NULL};
    char *text;
    if (process_run(&m->tasks, argv, ASK_SECONDS, &text, e) < 0)
        return -1;
    unsigned major = 0, minor = 0, micro = 0;
    const char *digits = text + strcspn(text, "0123456789");
    int n = sscanf(digits, "%u.%u.%u", &major, &minor, &micro);
    free(text);
    if (n < 2)
        return vir_fail(e, VIR_ERR_INTERNAL_ERROR, "'%s' does not say its version", em->path);
    em->version = major * 1000000ull + minor * 1000 + micro;
    return 0;
}

static struct emulator *ask(struct manager *m, const char *path, const struct stat *st, struct vir_error *e)
{
    struct emulator *em = calloc(1, sizeof(*em));
    ASSERT(em);
    em->path = text_copy(path);
    em->changed = st->st_mtim;
    if (ask_version(m, em, e) == 0 && ask_machines(m, em, e) == 0)
        return em;
    emulator_free(em);
    return NULL;
}

static bool is_fresh(const struct emulator *em, const char *path, const struct stat *st)
{
    return !strcmp(em->path, path) && em->changed.tv_sec == st->st_mtim.tv_sec &&
           em->changed.tv_nsec == st->st_mtim.tv_nsec;
}

/* Answers of a program's older file stay in the list: someone may hold them. They are few. */
const struct emulator *emulator_find(struct manager *m, const char *path, struct vir_error *e)
{
    struct stat st;
    if (path[0] != '/' || stat(path, &st) < 0 || !S_ISREG(st.st_mode) || access(path, X_OK) < 0) {
        vir_fail(e, VIR_ERR_INVALID_ARG, "Cannot check QEMU binary %s: %s", path,
                 path[0] != '/' ? "it is not an absolute path" : "no such program");
        return NULL;
    }
    for (struct emulator *em = m->emulators; em; em = em->next)
        if (is_fresh(em, path, &st))
            return em;
    struct emulator *em = ask(m, path, &st, e);
    if (!em)
        return NULL;
    em->next = m->emulators;
    return m->emulators = em;
}

const char *emulator_machine(const struct emulator *em, const char *name)
{
    for (unsigned i = 0; i < em->machine_count; i++) {
        const struct emulator_machine *m = &em->machines[i];
        if (name ? !strcmp(m->name, name) : m->is_default)
            return m->canonical ? m->canonical : m->name;
    }
    return name || !em->machine_count ? NULL : em->machines[0].name;
}

void emulators_free(struct manager *m)
{
    while (m->emulators) {
        struct emulator *em = m->emulators;
        m->emulators = em->next;
        emulator_free(em);
    }
}
