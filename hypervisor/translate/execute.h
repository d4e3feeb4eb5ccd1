/* execute.h - what the run loop asks of the engine */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TRANSLATE_EXECUTE_H
#define TRANSLATE_EXECUTE_H

#include "hypervisor/cpu/vcpu.h"

struct engine;

/* Runs guest code at v's state until something must be looked at in C; may unwind with a fault. */
void engine_execute(struct vcpu *v);
/* The breakpoints have changed (debug.changed). */
void engine_debug_changed(struct vcpu *v);
/* An instruction alone in its block is complete: it may be a single step. */
void engine_step_done(struct vcpu *v);
/* If others may have written guest memory since the vcpu last looked: has translations compared before use.
 * Called whenever the vcpu passes through the run loop, and for a page that it fetches from anew. */
void engine_check_generation(struct vcpu *v);
/* This thread runs v from now on, and no longer: host faults are v's meanwhile. */
void engine_attach(struct vcpu *v);
void engine_detach(struct vcpu *v);
/* trim.c: v is about to wait. If the guest idles, and has many translations, they go. */
void engine_trim(struct vcpu *v);
/* Values of vcpu.poll: branch.c emit_poll. */
u64 *engine_poll_quiet(const struct engine *e);
u64 *engine_poll_armed(const struct engine *e);

#endif
