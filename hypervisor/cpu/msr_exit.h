/* msr_exit.h - RDMSR and WRMSR that are user space's to answer: the filter, the exits
 * (api.rst, KVM_X86_SET_MSR_FILTER, KVM_CAP_X86_USER_SPACE_MSR) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CPU_MSR_EXIT_H
#define CPU_MSR_EXIT_H

#include "hypervisor/cpu/vcpu.h"

struct msr_filter {
    bool allow; /* what is in no range */
    struct msr_range {
        u32 flags; /* KVM_MSR_FILTER_*; 0: unused */
        u32 base, count;
        u8 *bitmap; /* set: allowed */
    } range[KVM_MSR_FILTER_MAX_RANGES];
};

/* Whether there is such a register at all, whatever its value may be. */
bool msr_exists(u32 index);
/* At the start of KVM_RUN: ends the instruction that user space has answered. May raise #GP and unwind. */
void msr_complete(struct vcpu *v);

#endif
