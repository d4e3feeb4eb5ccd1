/* sync_regs.h - registers that travel in kvm_run, without ioctls of their own (KVM_CAP_SYNC_REGS) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef API_SYNC_REGS_H
#define API_SYNC_REGS_H

#include "hypervisor/cpu/vcpu.h"

/* Whether run asks only for sets of registers that there are. */
bool sync_regs_are_known(const struct kvm_run *run);
/* Before KVM_RUN: takes the sets that run->kvm_dirty_regs names, and clears their bits. 0, or -EINVAL for
 * state that no processor can be in. */
int sync_regs_load(struct vcpu *v);
/* After it: hands out those that run->kvm_valid_regs names. */
void sync_regs_store(struct vcpu *v);

#endif
