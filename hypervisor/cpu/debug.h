/* debug.h - breakpoints, single steps, and the debugger of KVM_SET_GUEST_DEBUG (SDM 3B ch. 17; api.rst 4.87)
 */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is found while an instruction runs (a data or I/O breakpoint, a step, a task's T bit) gathers in
 * vcpu.debug.trap, as bits of DR6; the run loop makes one #DB of it before the next instruction. A fault
 * instead of the completion drops it. Breakpoints cost only where they are: code in the page of an
 * instruction breakpoint runs in MODE_STEP, and pages with a data breakpoint have no TLB entry, so that
 * access.c sees each access.
 */
#ifndef CPU_DEBUG_H
#define CPU_DEBUG_H

#include "hypervisor/cpu/vcpu.h"

/* 17.2.3, 17.2.4. Bit 16 (RTM) and bit 11 (bus lock) of DR6 read 1, as neither is offered. */
#define DR6_WRITABLE 0xe00full
#define DR6_FIXED    0xffff0ff0ull
#define DR6_B        0xfull
#define DR6_BD       BIT(13)
#define DR6_BS       BIT(14)
#define DR6_BT       BIT(15)
#define DR7_WRITABLE 0xffff2bffull
#define DR7_FIXED    0x400ull
#define DR7_LOCAL    0x155ull /* L0 to L3 and LE: cleared by a task switch */
#define DR7_GD       BIT(13)

/* The debug registers have changed, or who owns them: the guest, or KVM_SET_GUEST_DEBUG. */
void debug_update(struct vcpu *v);
/* The guest's DR7. */
void debug_set_dr7(struct vcpu *v, u64 value);
/* The DR7 in force, and the linear address that breakpoint n watches. */
u64 debug_dr7(const struct vcpu *v);
gva debug_address(const struct vcpu *v, unsigned n);

/* Whether each instruction is to be followed by a #DB. */
static inline bool debug_stepping(const struct vcpu *v)
{
    return (v->rflags & FLAG_TF) || (v->debug.control & KVM_GUESTDBG_SINGLESTEP);
}

/* DR6 bits of the instruction breakpoints at pc; whether there are any in its page. */
u64 debug_match_code(const struct vcpu *v, gva pc);
bool debug_in_code_page(const struct vcpu *v, gva pc);
/* Whether n bytes at a touch a page with a data breakpoint. */
bool debug_watches(const struct vcpu *v, gva a, u64 n);
/* The guest accesses memory, or a port: notes the breakpoints that it hits. */
void debug_data_access(struct vcpu *v, gva a, u64 n, bool write);
void debug_io_access(struct vcpu *v, u16 port, unsigned n);

/* SYSCALL and SYSRET step by the flags that they set, all else by those from before (SDM 2B "SYSCALL"). */
void debug_step_by_new_flags(struct vcpu *v);

/* Whether a #DB is for user space. */
static inline bool debug_is_hosts(const struct vcpu *v)
{
    return v->debug.control & (KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_USE_HW_BP);
}
/* Leaves KVM_RUN with KVM_EXIT_DEBUG. */
_Noreturn void debug_exit(struct vcpu *v, u8 vector, u64 dr6);

#endif
