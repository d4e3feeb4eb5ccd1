/* guest_debug.c - KVM_SET_GUEST_DEBUG and KVM_EXIT_DEBUG: steps, breakpoints, injection (api.rst 4.87) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/api/api.h"

enum { CODE = 0x1000, IDT = 0x2000, GDT = 0x2800, HANDLER = 0x3000, DATA = 0x4000, RAM_PAGES = 16 };
enum { EXC_DB = 1, EXC_BP = 3, DR6_FIXED = 0xffff0ff0, DR6_BS = 0x4000 };
enum { TF = 0x100, IF = 0x200 };

static struct machine m;

static const uint8_t code[] = {
    0xb8, 0x01, 0x00, 0x00, 0x00, /* 1000 mov eax, 1 */
    0x40,                         /* 1005 inc eax */
    0xa3, 0x00, 0x40, 0x00, 0x00, /* 1006 mov [4000], eax */
    0xcc,                         /* 100b int3 */
    0xe6, 0x80,                   /* 100c out 0x80, al */
    0x40,                         /* 100e inc eax */
    0xf4,                         /* 100f hlt */
};

static void start(void)
{
    struct kvm_sregs s;
    static const uint64_t gdt[] = {0, 0x00cf9b000000ffff, 0x00cf93000000ffff};

    memcpy(m.ram + CODE, code, sizeof(code));
    memcpy(m.ram + GDT, gdt, sizeof(gdt));
    memset(m.ram + HANDLER, 0xf4, 64);
    for (unsigned i = 0; i < 32; i++) { /* interrupt gates to HANDLER + vector */
        uint64_t gate = (HANDLER + i) | 8ull << 16 | 0x8eull << 40;
        memcpy(m.ram + IDT + i * 8, &gate, 8);
    }
    enter_protected_mode(&m, CODE);
    CHECK_OK(m.vcpu, KVM_GET_SREGS, &s);
    s.gdt.base = GDT;
    s.gdt.limit = sizeof(gdt) - 1;
    s.idt.base = IDT;
    s.idt.limit = 32 * 8 - 1;
    CHECK_OK(m.vcpu, KVM_SET_SREGS, &s);
}

static void set_debug(uint32_t control, uint64_t dr0, uint64_t dr7)
{
    struct kvm_guest_debug d = {.control = control};

    d.arch.debugreg[0] = dr0;
    d.arch.debugreg[7] = dr7;
    CHECK_OK(m.vcpu, KVM_SET_GUEST_DEBUG, &d);
}

static struct kvm_regs registers(void)
{
    struct kvm_regs r;

    CHECK_OK(m.vcpu, KVM_GET_REGS, &r);
    return r;
}

/* Runs to KVM_EXIT_DEBUG at pc. */
static void check_debug(uint32_t exception, uint64_t pc)
{
    CHECK_OK(m.vcpu, KVM_RUN, 0);
    CHECK_EQ(m.run->exit_reason, KVM_EXIT_DEBUG);
    CHECK_EQ(m.run->debug.arch.exception, exception);
    CHECK_EQ(m.run->debug.arch.pc, pc);
    CHECK_EQ(registers().rip, pc);
}

static void check_exit(uint32_t reason, uint64_t rip)
{
    CHECK_OK(m.vcpu, KVM_RUN, 0);
    CHECK_EQ(m.run->exit_reason, reason);
    CHECK_EQ(registers().rip, rip);
}

static void capabilities(int kvm)
{
    int mask = KVM(kvm, KVM_CHECK_EXTENSION, KVM_CAP_SET_GUEST_DEBUG2);
    int want = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_USE_SW_BP |
               KVM_GUESTDBG_USE_HW_BP | KVM_GUESTDBG_INJECT_DB | KVM_GUESTDBG_INJECT_BP |
               KVM_GUESTDBG_BLOCKIRQ;

    CHECK_EQ(KVM(kvm, KVM_CHECK_EXTENSION, KVM_CAP_SET_GUEST_DEBUG), 1);
    CHECK_EQ(KVM(kvm, KVM_CHECK_EXTENSION, KVM_CAP_X86_ROBUST_SINGLESTEP), 1);
    CHECK_EQ(KVM(kvm, KVM_CHECK_EXTENSION, KVM_CAP_GUEST_DEBUG_HW_BPS), 0);
    CHECK_EQ(mask & want, want);
}

static void single_step(void)
{
    start();
    set_debug(KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP, 0, 0);
    check_debug(EXC_DB, CODE + 5);
    CHECK_EQ(m.run->debug.arch.dr6 & 0xf00f, DR6_BS);
    CHECK_EQ(registers().rax, 1);
    CHECK_EQ(registers().rflags & TF, 0);
    check_debug(EXC_DB, CODE + 6);
    CHECK_EQ(registers().rax, 2);
    check_debug(EXC_DB, CODE + 11);
    CHECK_EQ(m.ram[DATA], 2);
    set_debug(0, 0, 0);
    if (!api_is_kernel)
        check_exit(KVM_EXIT_HLT, HANDLER + EXC_BP + 1);
}

/* The step over an instruction that user space completes ends in a debug exit of its own. */
static void step_over_io(void)
{
    start();
    struct kvm_regs r = registers();
    r.rip = CODE + 12;
    CHECK_OK(m.vcpu, KVM_SET_REGS, &r);
    set_debug(KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP, 0, 0);
    CHECK_OK(m.vcpu, KVM_RUN, 0);
    CHECK_EQ(m.run->exit_reason, KVM_EXIT_IO);
    check_debug(EXC_DB, CODE + 14);
    check_debug(EXC_DB, CODE + 15);
    set_debug(0, 0, 0);
    check_exit(KVM_EXIT_HLT, CODE + 16);
}

static void software_breakpoint(void)
{
    start();
    set_debug(KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP, 0, 0);
    check_debug(EXC_BP, CODE + 11);
    check_debug(EXC_BP, CODE + 11); /* the client takes it away before it goes on, or injects it */
    set_debug(KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_INJECT_BP, 0, 0);
    check_exit(KVM_EXIT_HLT, HANDLER + EXC_BP + 1);
    uint32_t saved;
    memcpy(&saved, m.ram + 0x8000 - 12, 4);
    CHECK_EQ(saved, CODE + 12);
}

static void hardware_breakpoint(void)
{
    start();
    set_debug(KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP, CODE + 6, 0x402);
    check_debug(EXC_DB, CODE + 6);
    CHECK_EQ(m.run->debug.arch.dr6 & 0xf00f, 1);
    if (!api_is_kernel)
        CHECK_EQ(m.run->debug.arch.dr7, 0x402);
    CHECK_EQ(registers().rax, 2);
    set_debug(KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP, 0, 0); /* as a debugger goes on */
    check_debug(EXC_DB, CODE + 11);
    set_debug(0, 0, 0);
}

static void watchpoint(void)
{
    struct kvm_debugregs dr;

    start();
    set_debug(KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP, DATA, 0xd0402); /* 4 bytes, writes */
    check_debug(EXC_DB, CODE + 11);
    CHECK_EQ(m.run->debug.arch.dr6 & 0xf00f, 1);
    CHECK_EQ(m.ram[DATA], 2);
    CHECK_OK(m.vcpu, KVM_GET_DEBUGREGS, &dr);
    CHECK_EQ(dr.db[0], 0); /* the guest's own are as they were */
    CHECK_EQ(dr.dr7, 0x400);
    set_debug(0, 0, 0);
}

/* A debugger that does not want the guest's own #DB gives it back. */
static void injection(void)
{
    start();
    set_debug(KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_INJECT_DB, 0, 0);
    struct kvm_guest_debug again = {.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_INJECT_DB};
    CHECK_FAILS(m.vcpu, KVM_SET_GUEST_DEBUG, &again, EBUSY);
    check_exit(KVM_EXIT_HLT, HANDLER + EXC_DB + 1);
    set_debug(0, 0, 0);
}

/* The guest's breakpoints, with no debugger. */
static void guest_breakpoint(void)
{
    struct kvm_debugregs dr = {.db = {CODE + 5}, .dr6 = DR6_FIXED, .dr7 = 0x402};

    start();
    CHECK_OK(m.vcpu, KVM_SET_DEBUGREGS, &dr);
    check_exit(KVM_EXIT_HLT, HANDLER + EXC_DB + 1);
    CHECK_OK(m.vcpu, KVM_GET_DEBUGREGS, &dr);
    CHECK_EQ(dr.dr6, DR6_FIXED | 1);
    dr.dr6 = DR6_FIXED;
    dr.dr7 = 0x400;
    dr.db[0] = 0;
    CHECK_OK(m.vcpu, KVM_SET_DEBUGREGS, &dr);
}

int main(int argc, char **argv)
{
    int kvm = api_start(argc, argv);

    capabilities(kvm);
    m = machine_create(kvm, false, RAM_PAGES);
    set_supported_cpuid(kvm, m.vcpu);
    single_step();
    hardware_breakpoint();
    injection();
    guest_breakpoint();
    if (!api_is_kernel) { /* KVMs without hardware behind them do not know INT3, and step otherwise */
        step_over_io();
        software_breakpoint();
        watchpoint();
    }
    return TEST_DONE();
}
