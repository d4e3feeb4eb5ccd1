/* bus.c - the address spaces of ports and of memory-mapped registers */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "machine/bus.h"

/* The first range that ends after a; all before it lie below a. */
static unsigned lower_bound(const struct bus *b, u64 a)
{
    unsigned low = 0, high = b->count;
    while (low < high) {
        unsigned mid = (low + high) / 2;
        if (b->range[mid].base + (b->range[mid].size - 1) < a)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

bool bus_is_free(const struct bus *b, u64 base, u64 size)
{
    unsigned at = lower_bound(b, base);
    return base + (size - 1) >= base && b->count < BUS_MAX_RANGES &&
           (at == b->count || base + (size - 1) < b->range[at].base);
}

void bus_add(struct bus *b, u64 base, u64 size, const struct bus_ops *ops, void *opaque)
{
    unsigned at = lower_bound(b, base);
    ASSERT(size && bus_is_free(b, base, size));
    memmove(&b->range[at + 1], &b->range[at], (b->count - at) * sizeof(b->range[0]));
    b->range[at] = (struct bus_range){base, size, ops, opaque};
    b->count++;
}

bool bus_has(const struct bus *b, u64 base, const void *opaque)
{
    unsigned at = lower_bound(b, base);
    return at < b->count && b->range[at].base == base && b->range[at].opaque == opaque;
}

/* The range that takes `size` bytes at a in one access, or NULL. */
static const struct bus_range *find(const struct bus *b, u64 a, unsigned size)
{
    unsigned at = lower_bound(b, a);
    const struct bus_range *r = &b->range[at];
    if (at == b->count || a < r->base || size > min(r->ops->width, r->size) || a - r->base > r->size - size)
        return NULL;
    return r;
}

static u64 all_ones(unsigned size)
{
    return ~0ull >> (64 - 8 * size);
}

u64 bus_read(const struct bus *b, u64 a, unsigned size)
{
    const struct bus_range *r = find(b, a, size);
    if (r)
        return r->ops->read(r->opaque, a - r->base, size) & all_ones(size);
    if (size == 1)
        return 0xff;
    unsigned half = size / 2; /* pieces of an odd size end in bytes */
    return bus_read(b, a, half) | bus_read(b, a + half, size - half) << (8 * half);
}

void bus_write(const struct bus *b, u64 a, unsigned size, u64 value)
{
    const struct bus_range *r = find(b, a, size);
    if (r) {
        r->ops->write(r->opaque, a - r->base, size, value & all_ones(size));
    } else if (size > 1) {
        unsigned half = size / 2;
        bus_write(b, a, half, value);
        bus_write(b, a + half, size - half, value >> (8 * half));
    }
}
