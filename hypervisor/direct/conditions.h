/* conditions.h - whether the host's CPU, in a process of the host, does what the guest's would */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DIRECT_CONDITIONS_H
#define DIRECT_CONDITIONS_H

#include "hypervisor/cpu/vcpu.h"

/* The host can do it at all: features that the shadow relies on. */
bool conditions_host(void);
/* v's state now is that of a 64-bit program whose code means the same in a shadow. */
bool conditions_hold(const struct vcpu *v);
/* State components that the host has enabled besides the guest's: PKRU, AMX. None is one that instructions of
 * the guest's processor use. */
u64 conditions_more_xcr0(const struct vcpu *v);
/* Of what a mapping's meaning depends on besides the page tables. */
u64 conditions_paging(const struct vcpu *v);

#endif
