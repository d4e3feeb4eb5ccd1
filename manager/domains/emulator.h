/* emulator.h - what the programs that run machines can do, by asking them */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DOMAINS_EMULATOR_H
#define DOMAINS_EMULATOR_H

#include <sys/stat.h>

#include "manager/rpc/vir_error.h"

struct manager;

struct emulator_machine {
    char *name, *canonical; /* canonical NULL: name is no alias */
    bool is_default;
};

/* One program; asked again when the file has changed. */
struct emulator {
    struct emulator *next;
    char *path;
    struct timespec changed;
    u64 version; /* major * 1000000 + minor * 1000 + micro */
    struct emulator_machine *machines;
    unsigned machine_count;
};

/* NULL with e: there is no such program, or it is none. In a task. */
const struct emulator *emulator_find(struct manager *m, const char *path, struct vir_error *e);

/* The canonical name of a machine type; NULL given: of the default. NULL: it does not have it. */
const char *emulator_machine(const struct emulator *em, const char *name);
void emulators_free(struct manager *m);

#endif
