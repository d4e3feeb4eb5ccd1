/* smm.h - system management mode (SDM 3C ch. 31; APM vol. 2 ch. 10) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CPU_SMM_H
#define CPU_SMM_H

#include "hypervisor/cpu/vcpu.h"

/* An SMI has come. Any thread. */
void smi_raise(struct vcpu *v);

/* It is to be taken before the next instruction. In the mode itself, it waits for RSM. */
static inline bool smi_is_due(const struct vcpu *v)
{
    return v->smm.pending && !v->smm.active;
}

/* Takes it, between two instructions: the registers are saved, and the handler begins. Called by the run loop
 * only. */
void smm_enter(struct vcpu *v);

/* Only changes what memory the vcpu sees. */
void smm_switch(struct vcpu *v, bool active);

/* Power-up, or INIT, which leaves SMBASE. */
void smm_reset(struct vcpu *v, bool init);

#endif
