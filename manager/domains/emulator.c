/* emulator.c - what the programs that run machines can do, by asking them */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/config/vm_config.h"
#include "base/kvm_probe.h"
#include "manager/daemon/manager.h"
#include "manager/daemon/process.h"
#include "manager/daemon/text.h"
#include "manager/daemon/work.h"
#include "manager/domains/emulator.h"

enum { ASK_SECONDS = 20, QEMU_CPU_MAX = 255 };

static void emulator_free(struct emulator *em)
{
    for (unsigned i = 0; i < em->machine_count; i++) {
        free(em->machines[i].name);
        free(em->machines[i].canonical);
    }
    free(em->machines);
    free(em->devices);
    free(em->objects);
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

/* What "-OPTION help" prints, to be freed; or NULL with e. */
static char *ask_help(struct manager *m, struct emulator *em, const char *option, struct vir_error *e)
{
    const char *argv[] = {em->path, option, "help", NULL};
    char *text;
    return process_run(&m->tasks, argv, ASK_SECONDS, &text, e) < 0 ? NULL : text;
}

static int ask_machines(struct manager *m, struct emulator *em, struct vir_error *e)
{
    char *text = ask_help(m, em, "-machine", e);
    if (!text)
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
    em->lodge = emulator_is_lodge(path);
    em->cpu_max = em->lodge ? VM_MAX_VCPUS : QEMU_CPU_MAX;
    if (ask_version(m, em, e) == 0 && ask_machines(m, em, e) == 0 &&
        (em->devices = ask_help(m, em, "-device", e)) && (em->objects = ask_help(m, em, "-object", e)))
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

static bool is_name_byte(char c)
{
    return isalnum((unsigned char)c) || c == '-' || c == '_' || c == '.';
}

/* Is the name in the text, as a word of its own? */
static bool has_word(const char *text, const char *name)
{
    size_t n = strlen(name);
    for (const char *at = text; (at = strstr(at, name)); at += n)
        if ((at == text || !is_name_byte(at[-1])) && !is_name_byte(at[n]))
            return true;
    return false;
}

bool emulator_has_device(const struct emulator *em, const char *driver)
{
    return has_word(em->devices, driver);
}

bool emulator_has_object(const struct emulator *em, const char *type)
{
    return has_word(em->objects, type);
}

bool emulator_is_lodge(const char *path)
{
    const char *slash = strrchr(path, '/');
    return !strcmp(slash ? slash + 1 : path, "lodge-vm");
}

static int probe(void *arg)
{
    kvm_probe(arg);
    return 0;
}

bool emulator_host_has_kvm(struct manager *m)
{
    if (!m->kvm_known) {
        struct kvm_probe p = {0};
        work_run(&m->tasks, probe, &p);
        m->kvm_hardware = p.hardware;
        m->kvm_known = true;
    }
    return m->kvm_hardware;
}

void emulators_free(struct manager *m)
{
    while (m->emulators) {
        struct emulator *em = m->emulators;
        m->emulators = em->next;
        emulator_free(em);
    }
}
