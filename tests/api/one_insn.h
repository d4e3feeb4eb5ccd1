/* one_insn.h - a guest of one instruction, behind which it halts; #GP leads to a halt elsewhere */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TESTS_API_ONE_INSN_H
#define TESTS_API_ONE_INSN_H

#include "tests/api/api.h"

enum { CODE = 0x1000, HANDLER = 0x1100, IDT = 0x2000, RAM_PAGES = 16, GP = 13 };
enum { RDMSR = 0x320f, WRMSR = 0x300f, CPUID = 0xa20f }; /* two bytes, as they stand in memory */

/* Runs it in protected mode, at CPL 0: until it halts, or leaves for user space. */
static inline void guest(const struct machine *m, uint16_t instruction, uint32_t rcx, uint64_t edx_eax)
{
    struct kvm_regs r;

    enter_protected_mode(m, CODE);
    memcpy(m->ram + CODE, &instruction, sizeof(instruction));
    m->ram[CODE + 2] = m->ram[HANDLER] = 0xf4;
    set_gate(m, IDT, GP, HANDLER);
    use_tables(m, IDT);
    CHECK_OK(m->vcpu, KVM_GET_REGS, &r);
    r.rcx = rcx;
    r.rax = (uint32_t)edx_eax;
    r.rdx = edx_eax >> 32;
    CHECK_OK(m->vcpu, KVM_SET_REGS, &r);
    CHECK_OK(m->vcpu, KVM_RUN, 0);
}

static inline struct kvm_regs registers(const struct machine *m)
{
    struct kvm_regs r;

    CHECK_OK(m->vcpu, KVM_GET_REGS, &r);
    return r;
}

static inline void check_halted(const struct machine *m, uint64_t rip)
{
    CHECK_EQ(m->run->exit_reason, KVM_EXIT_HLT);
    CHECK_EQ(registers(m).rip, rip + 1);
}

#define CHECK_COMPLETES(m) check_halted(m, CODE + 2)
#define CHECK_GP(m)        check_halted(m, HANDLER)

#endif
