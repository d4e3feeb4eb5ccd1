/* balloon.h - the balloon, for who inflates it */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MACHINE_VIRTIO_BALLOON_H
#define MACHINE_VIRTIO_BALLOON_H

#include "machine/pci/pci.h"

/* The one on the bus, or NULL. */
struct pci_device *balloon_find(struct pci_bus *b);

/* What the guest has left to it, and is to have left, in bytes. */
u64 balloon_actual(const struct pci_device *d);
void balloon_set_target(struct pci_device *d, u64 bytes);

#endif
