/* pv_features.c - KVM_CAP_ENFORCE_PV_FEATURE_CPUID, KVM_CAP_MSR_PLATFORM_INFO: what a guest may use of that
 * which CPUID does not offer (api.rst 7.19, 7.16) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/api/one_insn.h"

enum { MSR_PLATFORM_INFO = 0xce, KVM_CLOCK = 0x4b564d01, KVM_OLD_CLOCK = 0x12, KVM_STEAL = 0x4b564d03 };

static struct machine m;

static void without_features(int kvm)
{
    union cpuid c = {.head.nent = 256};

    CHECK_OK(kvm, KVM_GET_SUPPORTED_CPUID, &c);
    for (unsigned i = 0; i < c.head.nent; i++)
        if (c.head.entries[i].function == 0x40000001)
            c.head.entries[i].eax = 0;
    CHECK_OK(m.vcpu, KVM_SET_CPUID2, &c);
}

static void enforce(uint64_t on)
{
    struct kvm_enable_cap c = {.cap = KVM_CAP_ENFORCE_PV_FEATURE_CPUID, .args = {on}};

    CHECK_OK(m.vcpu, KVM_ENABLE_CAP, &c);
}

static void enforced(void)
{
    static const uint32_t msrs[] = {KVM_CLOCK, KVM_OLD_CLOCK, KVM_STEAL};

    for (unsigned i = 0; i < sizeof(msrs) / sizeof(msrs[0]); i++) {
        guest(&m, RDMSR, msrs[i], 0);
        CHECK_COMPLETES(&m);
        guest(&m, WRMSR, msrs[i], 0);
        CHECK_COMPLETES(&m);
    }
    enforce(1);
    for (unsigned i = 0; i < sizeof(msrs) / sizeof(msrs[0]); i++) {
        guest(&m, RDMSR, msrs[i], 0);
        CHECK_GP(&m);
        guest(&m, WRMSR, msrs[i], 0);
        CHECK_GP(&m);
    }
    enforce(0);
    guest(&m, RDMSR, KVM_CLOCK, 0);
    CHECK_COMPLETES(&m);
}

static void platform_info(void)
{
    struct kvm_enable_cap c = {.cap = KVM_CAP_MSR_PLATFORM_INFO, .args = {0}};
    union msrs set = {.head = {.nmsrs = 1}};

    guest(&m, RDMSR, MSR_PLATFORM_INFO, 0);
    CHECK_COMPLETES(&m);
    uint64_t value = registers(&m).rax;
    if (!api_is_kernel) { /* of which some versions take no ratios */
        set.head.entries[0] = (struct kvm_msr_entry){.index = MSR_PLATFORM_INFO, .data = value | 0xff00};
        CHECK_RETURNS(m.vcpu, KVM_SET_MSRS, &set, 1);
        guest(&m, RDMSR, MSR_PLATFORM_INFO, 0);
        CHECK_COMPLETES(&m);
        CHECK_EQ(registers(&m).rax, value | 0xff00);
    }
    guest(&m, WRMSR, MSR_PLATFORM_INFO, value);
    CHECK_GP(&m);
    CHECK_OK(m.vm, KVM_ENABLE_CAP, &c);
    guest(&m, RDMSR, MSR_PLATFORM_INFO, 0);
    CHECK_GP(&m);
    c.args[0] = 1;
    CHECK_OK(m.vm, KVM_ENABLE_CAP, &c);
    guest(&m, RDMSR, MSR_PLATFORM_INFO, 0);
    CHECK_COMPLETES(&m);
}

static uint32_t offered_features(const union cpuid *c)
{
    for (unsigned i = 0; i < c->head.nent; i++)
        if (c->head.entries[i].function == 0x40000001)
            return c->head.entries[i].eax;
    return 0;
}

/* A vcpu whose HLT does not exit is not told to sleep until it is kicked. */
static void unhalting(int kvm)
{
    enum { PV_UNHALT = 1 << 7 };
    struct kvm_enable_cap c = {.cap = KVM_CAP_X86_DISABLE_EXITS, .args = {KVM_X86_DISABLE_EXITS_HLT}};
    union cpuid offered = {.head.nent = 256}, now = {.head.nent = 256};
    struct machine other = machine_create(kvm, true, 1);

    CHECK_OK(kvm, KVM_GET_SUPPORTED_CPUID, &offered);
    CHECK(offered_features(&offered) & PV_UNHALT);
    CHECK_OK(other.vcpu, KVM_SET_CPUID2, &offered);
    CHECK_OK(other.vcpu, KVM_GET_CPUID2, &now);
    CHECK(offered_features(&now) & PV_UNHALT);
    CHECK_OK(other.vm, KVM_ENABLE_CAP, &c);
    CHECK_OK(other.vcpu, KVM_SET_CPUID2, &offered);
    CHECK_OK(other.vcpu, KVM_GET_CPUID2, &now);
    CHECK(!(offered_features(&now) & PV_UNHALT));
}

int main(int argc, char **argv)
{
    int kvm = api_start(argc, argv);

    CHECK_RETURNS(kvm, KVM_CHECK_EXTENSION, KVM_CAP_ENFORCE_PV_FEATURE_CPUID, 1);
    CHECK_RETURNS(kvm, KVM_CHECK_EXTENSION, KVM_CAP_MSR_PLATFORM_INFO, 1);
    m = machine_create(kvm, false, RAM_PAGES);
    without_features(kvm);
    enforced();
    platform_info();
    if (!api_is_kernel) /* some take it only before there are vcpus */
        unhalting(kvm);
    return TEST_DONE();
}
