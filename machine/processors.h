/* processors.h - the machine's processors, and those that come and go while it runs */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MACHINE_PROCESSORS_H
#define MACHINE_PROCESSORS_H

#include "base/config/properties.h"
#include "machine/device.h"

struct machine;

/* The kind of device that a processor is (-device, device_add). */
#define PROCESSOR_DRIVER "host-x86_64-cpu"

/* Where the processor of that number is, as -smp has it. */
struct processor_place {
    u32 socket, die, core, thread;
};
struct processor_place processor_place(const struct machine *m, unsigned number);
/* Its place in the tree of objects. */
void processor_path(const struct machine *m, unsigned number, char *path, size_t size);

/* Those that the machine begins with. 0 or -errno with e. */
int processors_create(struct machine *m, struct error *e);
/* With the lock held: threads of all that have none. */
int processors_start(struct machine *m, struct error *e);

/* With the lock held. One more, which a guest that runs hears of; its number is the next one. */
int processors_add(struct machine *m, const struct properties *p, struct error *e);
/* Asks the guest to let the last one go. -ENODEV: none of that id. */
int processors_remove(struct machine *m, const char *id, struct error *e);
void processor_help(void);

/* What the device of ACPI's hot-plug gets. */
struct cpu_sink processor_sink(struct machine *m);

#endif
