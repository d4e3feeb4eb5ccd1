/* control.h - what handlers of system instructions share: privilege checks, debug-register and XSAVE feature
 * bits */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CPU_CONTROL_H
#define CPU_CONTROL_H

#include "hypervisor/cpu/debug.h"
#include "hypervisor/cpu/vcpu.h"

/* #GP(0) unless CPL is 0. */
void require_cpl0(struct vcpu *v);
/* #GP(0) where CR4.UMIP keeps user programs from SGDT, SIDT, SLDT, SMSW and STR. */
void require_no_umip(struct vcpu *v);

/* RSM: all of them at once. false: no processor can be in this state, and the registers are a mixture. */
bool controls_restore(struct vcpu *v, u64 cr0, u64 cr3, u64 cr4, u64 efer);

/* Whether XSETBV accepts the value for XCR0 (SDM 1 13.3). */
bool xcr0_is_valid(const struct vcpu *v, u64 value);

/* The instruction is complete, and its handler leaves the run loop on purpose (hlt, an exit to user space):
 * moves rip and ends what lasts for one instruction. */
static inline void instruction_retire(struct vcpu *v)
{
    v->rip = v->next_rip;
    v->interrupt_shadow = 0;
    v->rflags &= ~(u64)FLAG_RF;
    if (debug_stepping(v))
        v->debug.trap |= DR6_BS;
}

#endif
