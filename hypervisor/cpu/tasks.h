/* tasks.h - hardware task switches (SDM 3A ch. 7) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CPU_TASKS_H
#define CPU_TASKS_H

#include "hypervisor/cpu/vcpu.h"

enum task_source { TASK_JMP, TASK_CALL, TASK_EVENT, TASK_IRET };

struct task_switch {
    enum task_source source;
    u16 selector; /* of the new task's TSS; the privilege to name it has been checked */
    u32 ext;      /* EXT of error codes */
    u32 eip;      /* where the old task goes on */
    u32 eflags;   /* the old task's */
};

/* Makes the TSS's task the current one: rip and next_rip are its EIP, not yet checked against CS's limit.
 * Faults before the switch leave all as it was; those of the new task's segments come with the new task
 * current. */
void task_switch(struct vcpu *v, const struct task_switch *s);

#endif
