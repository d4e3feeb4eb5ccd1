/* ram.h - guest memory: one host mapping, in the guest below PC_LOW_RAM_END and from 4 GiB on */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MACHINE_RAM_H
#define MACHINE_RAM_H

#include "base/error.h"
#include "machine/pc.h"

struct ram {
    u8 *host;
    u64 size;
    u64 low;    /* bytes from guest address 0 */
    u64 high;   /* bytes from PC_HIGH_RAM, which follow the low ones in the host */
    u64 *dirty; /* a bit for each page of the host's mapping that has been written, by us or, when that has
                 * been collected, by the processors; NULL: nobody asks */
};

/* size: bytes, a multiple of 4 KiB. 0 or -errno with e. */
int ram_create(struct ram *r, u64 size, struct error *e);
void ram_destroy(struct ram *r);

/* All zeros again; the host gets the memory back. */
void ram_clear(struct ram *r);

/* A device has written there, or is about to before it frees the loop's lock. host: from ram_at. */
void ram_mark_pages(const struct ram *r, const void *host, u64 len);
static inline void ram_mark(const struct ram *r, const void *host, u64 len)
{
    if (r->dirty)
        ram_mark_pages(r, host, len);
}

/* The host's view of [gpa, gpa + len), or NULL where that is not all one piece of memory. */
void *ram_at(const struct ram *r, u64 gpa, u64 len);

#endif
