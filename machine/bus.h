/* bus.h - the address spaces of ports and of memory-mapped registers */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MACHINE_BUS_H
#define MACHINE_BUS_H

#include "base/base.h"

/* offset: from the start of the range; size: 1, 2, 4 or 8, at most width. */
struct bus_ops {
    u64 (*read)(void *opaque, u64 offset, unsigned size);
    void (*write)(void *opaque, u64 offset, unsigned size, u64 value);
    unsigned
        width; /* the widest access that the device takes; wider ones arrive in pieces, low bytes first */
};

struct bus_range {
    u64 base, size;
    const struct bus_ops *ops;
    void *opaque;
};

enum { BUS_MAX_RANGES = 64 };

struct bus {
    struct bus_range range[BUS_MAX_RANGES]; /* by base, not overlapping */
    unsigned count;
};

/* Ranges are the board's own choice: an overlap is a bug. */
void bus_add(struct bus *b, u64 base, u64 size, const struct bus_ops *ops, void *opaque);

/* Whether a range could be added: no other is there, and there is room. */
bool bus_is_free(const struct bus *b, u64 base, u64 size);

/* Whether accesses at base are those of the range that begins there and was added with opaque. */
bool bus_has(const struct bus *b, u64 base, const void *opaque);

/* Guest accesses of 1 to 8 bytes, anywhere. What no range covers reads as all ones and ignores writes,
 * silently and cheaply, for a guest may do it for ever. */
u64 bus_read(const struct bus *b, u64 a, unsigned size);
void bus_write(const struct bus *b, u64 a, unsigned size, u64 value);

#endif
