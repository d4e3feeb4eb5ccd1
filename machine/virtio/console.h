/* console.h - ports of virtio console devices, which come and go on their own */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MACHINE_VIRTIO_CONSOLE_H
#define MACHINE_VIRTIO_CONSOLE_H

#include "machine/pci/pci.h"

struct chardevs;

/* Whether -device DRIVER is a port: virtserialport, virtconsole. */
bool console_port_is(const char *driver);
void console_port_help(const char *driver);

/* Adds the port that p describes (-device virtserialport,...) to the console device that its bus names, or to
 * the first one. 0, or -errno with e. */
int console_port_add(struct pci_bus *b, struct chardevs *s, const struct properties *p, struct error *e);

/* false: there is no port of that id. */
bool console_port_remove(struct pci_bus *b, const char *id);

/* Calls fn for each port that has an id. */
void console_ports_each(struct pci_bus *b, void (*fn)(void *opaque, const char *driver, const char *id),
                        void *opaque);

#endif
