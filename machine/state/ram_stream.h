/* ram_stream.h - guest memory in the stream: the pages that were written since they were sent last */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MACHINE_STATE_RAM_STREAM_H
#define MACHINE_STATE_RAM_STREAM_H

#include "machine/slots.h"
#include "machine/state/channel.h"

struct ram_stream {
    struct slots *slots;
    struct ram *ram;
    u64 *dirty; /* ram->dirty, while this lasts */
    u64 *round; /* pages to send in this round */
    bool first;
    /* As query-migrate tells: pages. */
    u64 normal, zero, remaining, rounds, dirtied;
};

/* Notes what is written from now on; all pages are to be sent. With the machine's lock. */
int ram_stream_begin(struct ram_stream *s, struct slots *slots, struct ram *ram, struct error *e);
/* What has been written since the last call is to be sent. With the lock. */
int ram_stream_collect(struct ram_stream *s, struct error *e);
/* Sends that. The lock may be free: what changes meanwhile is sent again. */
int ram_stream_send(struct ram_stream *s, struct channel *c);
/* With the lock. */
void ram_stream_end(struct ram_stream *s);

/* The other side: one record of pages, behind its letter. take false: they are passed over. 0, or -errno with
 * e. */
int ram_stream_receive(struct ram *ram, bool take, struct channel *c, struct error *e);

#endif
