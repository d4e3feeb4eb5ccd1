/* rng.h - sources of random numbers, as -object makes them */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MACHINE_VIRTIO_RNG_H
#define MACHINE_VIRTIO_RNG_H

#include "machine/object.h"

/* Up to `size` random bytes: how many, 0 where there are none now. Never waits. */
size_t rng_bytes(const struct object *source, u8 *bytes, size_t size);

#endif
