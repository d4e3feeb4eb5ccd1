/* ibtc.h - the indirect-branch target cache of a vcpu: guest pc to host code, probed by translated code */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One table for each class of modes (mode.h), so that a kernel entry does not evict user code. A table
 * belongs to one exact mode; when another mode of the class runs, it is emptied. Entries hold while the
 * mapping through which they were found holds: tlb.c flushes them together with the mappings.
 *
 * The vcpu's own thread alone inserts, with the engine's lock, and flushes, without it. Whoever invalidates a
 * block has all vcpus forget it (ibtc_forget), with the lock, by compare-exchange: so no entry comes back
 * that a flush has taken out.
 */
#ifndef TRANSLATE_IBTC_H
#define TRANSLATE_IBTC_H

#include "hypervisor/translate/cache.h"

struct space;

const u8 *ibtc_find(const struct vcpu *v, u32 mode, u64 pc);
void ibtc_insert(struct vcpu *v, u32 mode, u64 pc, const u8 *code);
/* No branch of v leads to block b, whose code (as executed) is code, any more. */
void ibtc_forget(struct vcpu *v, const struct block *b, const u8 *code);
/* The link's branch goes to code, of a block of its own mode. With the engine's lock. */
void crossing_set(struct vcpu *v, const struct link *l, const u8 *code);
void ibtc_flush(struct vcpu *v, enum mode_class class);
void ibtc_flush_all(struct vcpu *v);
/* The branches of CLASS_USER, for when their address space comes back. false: they do not hold any more, and
 * there are none. */
void ibtc_keep(struct vcpu *v, struct space *s);
bool ibtc_return(struct vcpu *v, const struct space *s);
void ibtc_init(struct vcpu *v);

#endif
