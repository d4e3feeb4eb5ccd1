/* stack.h - pushes and pops of several items, which happen all or not at all (SDM 1 6.2) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CPU_STACK_H
#define CPU_STACK_H

#include "hypervisor/cpu/vcpu.h"

/* A stack in use by one instruction or delivery: the vcpu's own, or one that it is about to switch to.
 * Nothing of the vcpu changes until stack_commit. */
struct stack {
    struct segment ss;
    u64 sp;
    u64 mask;  /* of the stack pointer: 16, 32 or 64 bits */
    bool flat; /* 64-bit: no base and limit, canonical addresses */
    enum access_as as;
    u32 fault_code; /* of #SS */
};

/* The current stack, with #SS(0). */
void stack_current(struct vcpu *v, struct stack *s);
/* The stack for a switch to privilege dpl (< CPL), from the TSS (SDM 3A 5.8.5; 6.14.4). ist: 1 to 7, or 0 for
 * none; with one, dpl may be the CPL. ext: EXT of the error codes. */
void stack_from_tss(struct vcpu *v, unsigned dpl, unsigned ist, u32 ext, struct stack *s);
/* A stack at sp in ss; flat: 64-bit. */
void stack_set(struct stack *s, const struct segment *ss, u64 sp, bool flat);

/* Raises #SS or #PF if count pushes of size bytes would. */
void stack_probe(struct vcpu *v, const struct stack *s, unsigned count, unsigned size);
/* stack_probe has shown that there is room. */
void stack_push(struct vcpu *v, struct stack *s, unsigned size, u64 value);
/* Reads the one of count words of size bytes that lies highest, for its faults only. */
void stack_touch(struct vcpu *v, const struct stack *s, unsigned count, unsigned size);
/* Faults by itself; pops take effect at stack_commit only, as all else. */
u64 stack_pop(struct vcpu *v, struct stack *s, unsigned size);
void stack_skip(struct stack *s, u64 bytes);
/* Writes the stack pointer, by the width that s has. */
void stack_commit(struct vcpu *v, const struct stack *s);

#endif
