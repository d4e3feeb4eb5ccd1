/* msr_filter.c - KVM_X86_SET_MSR_FILTER, KVM_CAP_X86_USER_SPACE_MSR: MSRs that user space answers
 * (api.rst 4.97)
 */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/api/one_insn.h"

enum { MSR_STAR = (int)0xc0000081, MSR_LSTAR, MSR_SYSENTER_CS = 0x174, MSR_NONE = 0x4321 };

static struct machine m;

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
    guest(&m, RDMSR, MSR_NONE, 0);
    CHECK_GP(&m);
}

static void unknown(void)
{
    enable(KVM_MSR_EXIT_REASON_UNKNOWN);
    guest(&m, RDMSR, MSR_NONE, 0);
    check_exit(KVM_EXIT_X86_RDMSR, KVM_MSR_EXIT_REASON_UNKNOWN, MSR_NONE);
    CHECK_EQ(registers(&m).rip, CODE);
    m.run->msr.data = 0x1122334455667788;
    CHECK_OK(m.vcpu, KVM_RUN, 0);
    CHECK_COMPLETES(&m);
    CHECK_EQ(registers(&m).rax, 0x55667788);
    CHECK_EQ(registers(&m).rdx, 0x11223344);

    guest(&m, WRMSR, MSR_NONE, 0x99aabbccddeeff00);
    check_exit(KVM_EXIT_X86_WRMSR, KVM_MSR_EXIT_REASON_UNKNOWN, MSR_NONE);
    CHECK_EQ(m.run->msr.data, 0x99aabbccddeeff00);
    CHECK_OK(m.vcpu, KVM_RUN, 0);
    CHECK_COMPLETES(&m);

    guest(&m, RDMSR, MSR_NONE, 0);
    m.run->msr.error = 1;
    CHECK_OK(m.vcpu, KVM_RUN, 0);
    CHECK_GP(&m);
}

/* An answer to an instruction that the vcpu was taken away from is nobody's. */
static void abandoned(void)
{
    struct kvm_regs r;

    guest(&m, RDMSR, MSR_NONE, 0);
    r = registers(&m);
    r.rip = CODE + 2;
    r.rax = 7;
    CHECK_OK(m.vcpu, KVM_SET_REGS, &r);
    m.run->msr.data = 1;
    CHECK_OK(m.vcpu, KVM_RUN, 0);
    CHECK_EQ(m.run->exit_reason, KVM_EXIT_HLT);
    if (!api_is_kernel) /* which completes it all the same */
        CHECK_EQ(registers(&m).rax, 7);
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
    guest(&m, RDMSR, MSR_STAR, 0);
    check_exit(KVM_EXIT_X86_RDMSR, KVM_MSR_EXIT_REASON_FILTER, MSR_STAR);
    m.run->msr.data = 5;
    CHECK_OK(m.vcpu, KVM_RUN, 0);
    CHECK_COMPLETES(&m);
    CHECK_EQ(registers(&m).rax, 5);
    guest(&m, RDMSR, MSR_LSTAR, 0); /* its bit is set */
    CHECK_COMPLETES(&m);
    guest(&m, WRMSR, MSR_STAR, 0x123); /* only reads are filtered */
    CHECK_COMPLETES(&m);
    guest(&m, WRMSR, MSR_SYSENTER_CS, 8);
    check_exit(KVM_EXIT_X86_WRMSR, KVM_MSR_EXIT_REASON_FILTER, MSR_SYSENTER_CS);
    CHECK_OK(m.vcpu, KVM_RUN, 0);
    guest(&m, RDMSR, MSR_SYSENTER_CS, 8);
    CHECK_COMPLETES(&m);
    CHECK_EQ(registers(&m).rax, 0); /* user space has not written it */
    guest(&m, RDMSR, MSR_NONE, 0);  /* unknown, which is no reason any more */
    CHECK_GP(&m);

    enable(0);
    guest(&m, RDMSR, MSR_STAR, 0);
    CHECK_GP(&m);

    f = (struct kvm_msr_filter){.flags = KVM_MSR_FILTER_DEFAULT_ALLOW};
    CHECK_OK(m.vm, KVM_X86_SET_MSR_FILTER, &f);
    guest(&m, RDMSR, MSR_STAR, 0);
    CHECK_COMPLETES(&m);
    CHECK_EQ(registers(&m).rax, 0x123);
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
