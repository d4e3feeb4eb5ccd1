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
    unsigned machine_count, cpu_max;
    char *devices, *objects; /* what it says to -device help and -object help */
    bool lodge;              /* it is lodge-vm */
};

/* NULL with e: there is no such program, or it is none. In a task. */
const struct emulator *emulator_find(struct manager *m, const char *path, struct vir_error *e);

/* The canonical name of a machine type; NULL given: of the default. NULL: it does not have it. */
const char *emulator_machine(const struct emulator *em, const char *name);
bool emulator_has_device(const struct emulator *em, const char *driver);
bool emulator_has_object(const struct emulator *em, const char *type);

/* Of that path: lodge-vm, by its name. */
bool emulator_is_lodge(const char *path);

/* Whether the kernel's KVM runs guests on hardware. In a task, as the first answer may take a moment. */
bool emulator_host_has_kvm(struct manager *m);

void emulators_free(struct manager *m);

#endif
