/* machine_state.h - all parts of a machine, saved and loaded */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MACHINE_STATE_MACHINE_STATE_H
#define MACHINE_STATE_MACHINE_STATE_H

#include "machine/machine.h"
#include "machine/state/channel.h"
#include "machine/state/state.h"

/* All with the machine's lock, and its processors parked. 0 or -errno with e. */

/* Waits, the lock being free meanwhile, until the devices have done what is under way. */
void machine_state_settle(struct machine *m);

/* Everything but memory. The clocks stand still (m->frozen). running: the guest was, before. */
int machine_state_save(struct machine *m, bool running, struct state_buffer *b, struct error *e);

/* The same; the machine is as after its creation. */
int machine_state_load(struct machine *m, struct state_parts *p, struct error *e);

/* stream.c: the stream's beginning and end, and what is between them on the reading side: memory goes where
 * it belongs (memory false: it is passed over, where the channel's end can do so), parts are kept. Without
 * the lock. */
int stream_write_header(struct channel *c, const struct machine *m);
int stream_write_parts(struct channel *c, const struct state_buffer *b);
int stream_read(struct channel *c, struct machine *m, bool memory, struct state_parts *p, struct error *e);

#endif
