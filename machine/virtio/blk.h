/* blk.h - virtio disks, as the monitor sees them */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MACHINE_VIRTIO_BLK_H
#define MACHINE_VIRTIO_BLK_H

#include "machine/pci/pci.h"

struct block_node;

/* The device that has the node, or NULL. */
struct pci_device *virtio_blk_find(const struct pci_bus *b, const struct block_node *n);
/* The node has another size: the guest is told. */
void virtio_blk_resized(struct pci_device *d);

#endif
