/* ram.h - guest memory: one host mapping, in the guest below PC_LOW_RAM_END and from 4 GiB on */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MACHINE_RAM_H
#define MACHINE_RAM_H

#include "base/error.h"
#include "machine/pc.h"

struct lodge_kvm_writes;

struct ram {
    u8 *host;
    u64 size;
    u64 low;    /* bytes from guest address 0 */
    u64 high;   /* bytes from PC_HIGH_RAM, which follow the low ones in the host */
    u64 *dirty; /* a bit for each page of the host's mapping that has been written, by us or, when that has
                 * been collected, by the processors; NULL: nobody asks */
    void (*wrote)(struct lodge_kvm_writes *w, const void *host, size_t len); /* kvm_api.wrote, for writes */
    struct lodge_kvm_writes *writes;                                         /* NULL: it is not told */
};

/* size: bytes, a multiple of 4 KiB. 0 or -errno with e. */
int ram_create(struct ram *r, u64 size, struct error *e);
void ram_destroy(struct ram *r);

/* All zeros again; the host gets the memory back. The processors stand still. */
void ram_clear(struct ram *r);

/* The same for a part, while they run: the guest has no use for it. host: from ram_at. */
void ram_discard(const struct ram *r, void *host, u64 len);

/* For the next copy of memory that is sent somewhere, these are to be sent again. */
void ram_mark_dirty(const struct ram *r, const void *host, u64 len);

/* A device has written there, and the guest does not know yet. host: from ram_at. */
static inline void ram_mark(const struct ram *r, const void *host, u64 len)
{
    if (r->dirty)
        ram_mark_dirty(r, host, len);
    if (r->writes)
        r->wrote(r->writes, host, len);
}

/* The host's view of [gpa, gpa + len), or NULL where that is not all one piece of memory. */
void *ram_at(const struct ram *r, u64 gpa, u64 len);

#endif
