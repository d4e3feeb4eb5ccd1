/* types.h - the virtio devices that there are */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MACHINE_VIRTIO_TYPES_H
#define MACHINE_VIRTIO_TYPES_H

#include "machine/virtio/virtio.h"

extern const struct virtio_type virtio_balloon, virtio_blk, virtio_net, virtio_rng, virtio_serial;

#endif
