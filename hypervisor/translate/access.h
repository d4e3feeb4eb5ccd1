/* access.h - guest memory accesses that are not a TLB hit */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TRANSLATE_ACCESS_H
#define TRANSLATE_ACCESS_H

#include "hypervisor/cpu/vcpu.h"

/* KVM_RUN is entered after KVM_EXIT_MMIO for a read: takes the answer. */
void mmio_complete(struct vcpu *v);
/* Hands out the next MMIO write to user space: true if there was one, with kvm_run filled. */
bool mmio_next_write(struct vcpu *v);
/* v->rip and v->cc from the host pc in exit_host_pc, inside translated code: of the instruction, or of the
 * next one. */
void engine_sync_rip(struct vcpu *v, bool next);

#endif
