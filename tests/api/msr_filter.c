/* msr_filter.c - KVM_X86_SET_MSR_FILTER, KVM_CAP_X86_USER_SPACE_MSR: MSRs that user space answers
 * (api.rst 4.97)
 */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/api/api.h"

enum { CODE = 0x1000, HANDLER = 0x1100, IDT = 0x2000, RAM_PAGES = 16, GP = 13 };
enum { MSR_STAR = (int)0xc0000081, MSR_LSTAR, MSR_SYSENTER_CS = 0x174, MSR_NONE = 0x4321 };
enum { RDMSR = 0x320f, WRMSR = 0x300f };

static struct machine m;

/* The instruction at CODE, and behind it hlt; #GP leads to a hlt at HANDLER. */
static void guest(uint16_t instruction, uint32_t msr, uint64_t value)
{
    struct kvm_sregs s;
    struct kvm_regs r;

    enter_protected_mode(&m, CODE);
    memcpy(m.ram + CODE, &instruction, sizeof(instruction));
    m.ram[CODE + 2] = m.ram[HANDLER] = 0xf4;
    memcpy(m.ram + IDT + GP * 8, (uint16_t[]){HANDLER, 8, 0x8e00, 0}, 8);
    memcpy(m.ram + IDT + 0x808, (uint16_t[]){0xffff, 0, 0x9b00, 0xcf}, 8); /* selector 8 */
    CHECK_OK(m.vcpu, KVM_GET_SREGS, &s);
    s.idt.base = IDT;
    s.idt.limit = 0x7ff;
    s.gdt.base = IDT + 0x800;
    s.gdt.limit = 15;
    CHECK_OK(m.vcpu, KVM_SET_SREGS, &s);
    CHECK_OK(m.vcpu, KVM_GET_REGS, &r);
    r.rcx = msr;
    r.rax = (uint32_t)value;
    r.rdx = value >> 32;
    CHECK_OK(m.vcpu, KVM_SET_REGS, &r);
    CHECK_OK(m.vcpu, KVM_RUN, 0);
}

static struct kvm_regs registers(void)
{
    struct kvm_regs r;

    CHECK_OK(m.vcpu, KVM_GET_REGS, &r);
    return r;
}

static void check_halted(uint64_t rip)
{
    CHECK_EQ(m.run->exit_reason, KVM_EXIT_HLT);
    CHECK_EQ(registers().rip, rip + 1);
}

static void check_exit(uint32_t exit_reason, uint32_t reason, uint32_t index)
{
    CHECK_EQ(m.run->exit_reason, exit_reason);
    CHECK_EQ(m.run->msr.reason, reason);
    CHECK_EQ(m.run->msr.index, index);
    CHECK_EQ(m.run->msr.error, 0);
}

static void enable(uint64_t reasons)
{
    struct kvm_enable_cap c = {.cap = KVM_CAP_X86_USER_SPACE_MSR, .args = {reasons}};

    CHECK_OK(m.vm, KVM_ENABLE_CAP, &c);
}

static void not_wanted(void)
{
    struct kvm_enable_cap c = {.cap = KVM_CAP_X86_USER_SPACE_MSR, .args = {1 << 20}};

    CHECK_FAILS(m.vm, KVM_ENABLE_CAP, &c, EINVAL);
    guest(RDMSR, MSR_NONE, 0);
    check_halted(HANDLER);
}

static void unknown(void)
{
    enable(KVM_MSR_EXIT_REASON_UNKNOWN);
    guest(RDMSR, MSR_NONE, 0);
    check_exit(KVM_EXIT_X86_RDMSR, KVM_MSR_EXIT_REASON_UNKNOWN, MSR_NONE);
    CHECK_EQ(registers().rip, CODE);
    m.run->msr.data = 0x1122334455667788;
    CHECK_OK(m.vcpu, KVM_RUN, 0);
    check_halted(CODE + 2);
    CHECK_EQ(registers().rax, 0x55667788);
    CHECK_EQ(registers().rdx, 0x11223344);

    guest(WRMSR, MSR_NONE, 0x99aabbccddeeff00);
    check_exit(KVM_EXIT_X86_WRMSR, KVM_MSR_EXIT_REASON_UNKNOWN, MSR_NONE);
    CHECK_EQ(m.run->msr.data, 0x99aabbccddeeff00);
    CHECK_OK(m.vcpu, KVM_RUN, 0);
    check_halted(CODE + 2);

    guest(RDMSR, MSR_NONE, 0);
    m.run->msr.error = 1;
    CHECK_OK(m.vcpu, KVM_RUN, 0);
    check_halted(HANDLER);
}

/* An answer to an instruction that the vcpu was taken away from is nobody's. */
static void abandoned(void)
{
    struct kvm_regs r;

    guest(RDMSR, MSR_NONE, 0);
    r = registers();
    r.rip = CODE + 2;
    r.rax = 7;
    CHECK_OK(m.vcpu, KVM_SET_REGS, &r);
    m.run->msr.data = 1;
    CHECK_OK(m.vcpu, KVM_RUN, 0);
    CHECK_EQ(m.run->exit_reason, KVM_EXIT_HLT);
    if (!api_is_kernel) /* which completes it all the same */
        CHECK_EQ(registers().rax, 7);
}

static void filtered(void)
{
    uint8_t none[2] = {0}, second[1] = {2};
    struct kvm_msr_filter f = {
        .flags = KVM_MSR_FILTER_DEFAULT_ALLOW,
        .ranges = {{.flags = KVM_MSR_FILTER_READ, .nmsrs = 2, .base = MSR_STAR, .bitmap = second},
                   {.flags = KVM_MSR_FILTER_WRITE, .nmsrs = 16, .base = 0x170, .bitmap = none}},
    };

    enable(KVM_MSR_EXIT_REASON_FILTER);
    CHECK_OK(m.vm, KVM_X86_SET_MSR_FILTER, &f);
    guest(RDMSR, MSR_STAR, 0);
    check_exit(KVM_EXIT_X86_RDMSR, KVM_MSR_EXIT_REASON_FILTER, MSR_STAR);
    m.run->msr.data = 5;
    CHECK_OK(m.vcpu, KVM_RUN, 0);
    check_halted(CODE + 2);
    CHECK_EQ(registers().rax, 5);
    guest(RDMSR, MSR_LSTAR, 0); /* its bit is set */
    check_halted(CODE + 2);
    guest(WRMSR, MSR_STAR, 0x123); /* only reads are filtered */
    check_halted(CODE + 2);
    guest(WRMSR, MSR_SYSENTER_CS, 8);
    check_exit(KVM_EXIT_X86_WRMSR, KVM_MSR_EXIT_REASON_FILTER, MSR_SYSENTER_CS);
    CHECK_OK(m.vcpu, KVM_RUN, 0);
    guest(RDMSR, MSR_SYSENTER_CS, 8);
    check_halted(CODE + 2);
    CHECK_EQ(registers().rax, 0); /* user space has not written it */
    guest(RDMSR, MSR_NONE, 0);    /* unknown, which is no reason any more */
    check_halted(HANDLER);

    enable(0);
    guest(RDMSR, MSR_STAR, 0);
    check_halted(HANDLER);

    f = (struct kvm_msr_filter){.flags = KVM_MSR_FILTER_DEFAULT_ALLOW};
    CHECK_OK(m.vm, KVM_X86_SET_MSR_FILTER, &f);
    guest(RDMSR, MSR_STAR, 0);
    check_halted(CODE + 2);
    CHECK_EQ(registers().rax, 0x123);
}

static void refused(void)
{
    static uint8_t bitmap[0x600];
    struct kvm_msr_filter f = {.flags = KVM_MSR_FILTER_DEFAULT_DENY};

    CHECK_FAILS(m.vm, KVM_X86_SET_MSR_FILTER, &f, EINVAL); /* everything */
    f.flags = 2;
    CHECK_FAILS(m.vm, KVM_X86_SET_MSR_FILTER, &f, EINVAL);
    f.flags = 0;
    f.ranges[3] = (struct kvm_msr_filter_range){.flags = 0, .nmsrs = 1, .bitmap = bitmap};
    CHECK_FAILS(m.vm, KVM_X86_SET_MSR_FILTER, &f, EINVAL);
    f.ranges[3].flags = 4;
    CHECK_FAILS(m.vm, KVM_X86_SET_MSR_FILTER, &f, EINVAL);
    f.ranges[3] = (struct kvm_msr_filter_range){.flags = KVM_MSR_FILTER_READ, .nmsrs = 0x600 * 8 + 1};
    CHECK_FAILS(m.vm, KVM_X86_SET_MSR_FILTER, &f, EINVAL);
    f.ranges[3].nmsrs--;
    f.ranges[3].bitmap = (uint8_t *)8;
    CHECK_FAILS(m.vm, KVM_X86_SET_MSR_FILTER, &f, EFAULT);
    CHECK_FAILS(m.vm, KVM_X86_SET_MSR_FILTER, 8, EFAULT);
}

int main(int argc, char **argv)
{
    int kvm = api_start(argc, argv);

    CHECK_RETURNS(kvm, KVM_CHECK_EXTENSION, KVM_CAP_X86_USER_SPACE_MSR, 1);
    CHECK_RETURNS(kvm, KVM_CHECK_EXTENSION, KVM_CAP_X86_MSR_FILTER, 1);
    m = machine_create(kvm, false, RAM_PAGES);
    set_supported_cpuid(kvm, m.vcpu);
    refused();
    not_wanted();
    unknown();
    abandoned();
    filtered();
    return TEST_DONE();
}
