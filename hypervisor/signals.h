/* signals.h - signals of the program around us, which end KVM_RUN (api.rst 4.10) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HYPERVISOR_SIGNALS_H
#define HYPERVISOR_SIGNALS_H

#include <signal.h>

#include "hypervisor/cpu/vcpu.h"

/* Has all handlers that the program has installed so far end the KVM_RUN that they interrupt. */
void signals_watch(void);

/* A handler of ours for a signal that guest code raises, for as long as the process lives: it hands those
 * that are not the guest's on to the program's, with signals_pass_fault. */
void signals_take_fault(int number, void (*ours)(int number, siginfo_t *info, void *context));
void signals_pass_fault(int number, siginfo_t *info, void *context);

/* KVM_SET_SIGNAL_MASK (api.rst 4.17): of the thread while it is in KVM_RUN, as a sigset of the kernel; NULL:
 * its own one. */
void signals_set_mask(struct vcpu *v, const u64 *mask);
/* Around a KVM_RUN, once signals that come are noted on the vcpu. */
void signals_enter(struct vcpu *v);
void signals_leave(struct vcpu *v);

#endif
