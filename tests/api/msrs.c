/* msrs.c - lists of MSRs, and KVM_GET_MSRS and KVM_SET_MSRS: they return a count (api.rst 4.3, 4.18, 4.19) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/api/api.h"

enum {
    IA32_APIC_BASE = 0x1b,
    IA32_SYSENTER_CS = 0x174,
    IA32_SYSENTER_ESP = 0x175,
    IA32_PAT = 0x277,
    MTRR_CAP = 0xfe,
    PERF_CAPABILITIES = 0x345,
    NOT_AN_MSR = 0x12345678,
};
#define POWER_CTL      0x1fc
#define HWCR           0xc0010015
#define STAR           0xc0000081
#define LSTAR          0xc0000082
#define KERNEL_GS_BASE 0xc0000102

union msr_list {
    struct kvm_msr_list head;
    uint8_t room[sizeof(struct kvm_msr_list) + 1024 * sizeof(uint32_t)];
};

static union msr_list list(int kvm, unsigned long request)
{
    union msr_list l = {0};

    CHECK_FAILS(kvm, request, &l, E2BIG);
    CHECK(l.head.nmsrs > 0 && l.head.nmsrs <= 1024); /* the count is told */
    uint32_t n = l.head.nmsrs;
    CHECK_OK(kvm, request, &l);
    CHECK_EQ(l.head.nmsrs, n);
    l.head.nmsrs = n - 1;
    CHECK_FAILS(kvm, request, &l, E2BIG);
    CHECK_EQ(l.head.nmsrs, n);
    return l;
}

static bool has(const union msr_list *l, uint32_t index)
{
    for (uint32_t i = 0; i < l->head.nmsrs; i++)
        if (l->head.indices[i] == index)
            return true;
    return false;
}

static union msrs one(uint32_t index, uint64_t data)
{
    union msrs m = {.head.nmsrs = 1};

    m.head.entries[0] = (struct kvm_msr_entry){.index = index, .data = data};
    return m;
}

/* What stands in the list can be read, and written back. */
static void all_of_list(int vcpu, const union msr_list *l)
{
    for (uint32_t i = 0; i < l->head.nmsrs; i++) {
        union msrs m = one(l->head.indices[i], 0);
        if (api_is_kernel && KVM(vcpu, KVM_GET_MSRS, &m) == 0)
            continue; /* the kernel's list is not of this vcpu's CPUID */
        m.head.entries[0].data = 0;
        CHECK_RETURNS(vcpu, KVM_GET_MSRS, &m, 1);
        if (KVM(vcpu, KVM_SET_MSRS, &m) != 1)
            printf("MSR %#x cannot be written back\n", l->head.indices[i]);
        if (!api_is_kernel)
            CHECK_RETURNS(vcpu, KVM_SET_MSRS, &m, 1);
    }
}

static void counts(int vcpu)
{
    union msrs m = {.head.nmsrs = 0};

    CHECK_RETURNS(vcpu, KVM_GET_MSRS, &m, 0);
    CHECK_RETURNS(vcpu, KVM_SET_MSRS, &m, 0);
    m.head.nmsrs = 256;
    CHECK_FAILS(vcpu, KVM_GET_MSRS, &m, E2BIG);
    CHECK_FAILS(vcpu, KVM_SET_MSRS, &m, E2BIG);
    static const struct kvm_msr_entry four[] = {{.index = IA32_SYSENTER_CS, .data = 0x10},
                                                {.index = LSTAR, .data = 0xffffffff81000000},
                                                {.index = NOT_AN_MSR, .data = 1},
                                                {.index = STAR, .data = 0x23001000000000}};
    m.head.nmsrs = 4;
    memcpy(m.head.entries, four, sizeof(four));
    CHECK_RETURNS(vcpu, KVM_SET_MSRS, &m, 2); /* stops at the third */
    for (unsigned i = 0; i < 4; i++)
        m.head.entries[i].data = 0x5555;
    CHECK_RETURNS(vcpu, KVM_GET_MSRS, &m, 2);
    CHECK_EQ(m.head.entries[0].data, 0x10);
    CHECK_EQ(m.head.entries[1].data, 0xffffffff81000000);
    CHECK_EQ(m.head.entries[3].data, 0x5555);
    m.head.entries[2].index = KERNEL_GS_BASE;
    m.head.entries[2].data = 0xffff888000000000;
    m.head.entries[3].data = 0x23001000000000;
    CHECK_RETURNS(vcpu, KVM_SET_MSRS, &m, 4);
    CHECK_RETURNS(vcpu, KVM_GET_MSRS, &m, 4);
    CHECK_EQ(m.head.entries[2].data, 0xffff888000000000);
    CHECK_EQ(m.head.entries[3].data, 0x23001000000000);
}

static int set(int vcpu, uint32_t index, uint64_t data)
{
    union msrs m = one(index, data);

    return KVM(vcpu, KVM_SET_MSRS, &m);
}
#define REFUSED(vcpu, index, data) CHECK_EQ(set(vcpu, index, data), 0)

static uint64_t value(int vcpu, uint32_t index)
{
    union msrs m = one(index, 0);

    CHECK_RETURNS(vcpu, KVM_GET_MSRS, &m, 1);
    return m.head.entries[0].data;
}

static void values(int vcpu)
{
    CHECK_EQ(value(vcpu, IA32_PAT), 0x0007040600070406);
    CHECK_EQ(value(vcpu, IA32_APIC_BASE), 0xfee00900);
    CHECK_EQ(value(vcpu, MTRR_CAP) & 0xff, 8);
    REFUSED(vcpu, IA32_APIC_BASE, 0xfee00400); /* x2APIC without the enable bit */
    REFUSED(vcpu, LSTAR, 0x8000000000000000);  /* not canonical */
    if (!api_is_kernel)                        /* KVMs without hardware behind them do not look */
        REFUSED(vcpu, IA32_PAT, 2);            /* a reserved memory type */
}

/* Of HWCR two bits are kept, and three are taken and forgotten. */
static void hardware_configuration(int vcpu)
{
    enum { TLB_CACHE_DISABLED = 1 << 3, STATUS_WRITES = 1 << 18, TSC_FREQUENCY = 1 << 24 };

    CHECK_EQ(value(vcpu, HWCR), 0);
    CHECK_EQ(set(vcpu, HWCR, STATUS_WRITES | TSC_FREQUENCY | TLB_CACHE_DISABLED), 1);
    CHECK_EQ(value(vcpu, HWCR), STATUS_WRITES | TSC_FREQUENCY);
    REFUSED(vcpu, HWCR, 1 << 30);
    CHECK_EQ(set(vcpu, HWCR, 0), 1);
    CHECK_EQ(set(vcpu, POWER_CTL, 0x1234), 1);
    CHECK_EQ(value(vcpu, POWER_CTL), 0x1234);
}

/* Features that are MSRs, read through the system descriptor. */
static void features(int kvm)
{
    union msr_list l = list(kvm, KVM_GET_MSR_FEATURE_INDEX_LIST);
    union msrs m = {.head.nmsrs = 1};

    for (uint32_t i = 0; i < l.head.nmsrs; i++) {
        m.head.entries[0].index = l.head.indices[i];
        if (!api_is_kernel)
            CHECK_RETURNS(kvm, KVM_GET_MSRS, &m, 1);
    }
    m.head.entries[0].index =
        PERF_CAPABILITIES; /* clients read it before they look whether CPUID offers it */
    CHECK_RETURNS(kvm, KVM_GET_MSRS, &m, 1);
    m.head.entries[0].index = NOT_AN_MSR;
    CHECK_RETURNS(kvm, KVM_GET_MSRS, &m, 0);
}

static void machine_check(int kvm, int vcpu)
{
    uint64_t supported, cap;

    CHECK_OK(kvm, KVM_X86_GET_MCE_CAP_SUPPORTED, &supported);
    cap = supported | 10;
    CHECK_OK(vcpu, KVM_X86_SETUP_MCE, &cap);
    CHECK_EQ(value(vcpu, 0x179), cap);
    CHECK_EQ(value(vcpu, 0x400), ~0ull);
    cap = supported; /* no banks */
    CHECK_FAILS(vcpu, KVM_X86_SETUP_MCE, &cap, EINVAL);
    cap = supported | 33;
    CHECK_FAILS(vcpu, KVM_X86_SETUP_MCE, &cap, EINVAL);
    cap = 1ull << 40 | 10;
    CHECK_FAILS(vcpu, KVM_X86_SETUP_MCE, &cap, EINVAL);
}

int main(int argc, char **argv)
{
    int kvm = api_start(argc, argv);
    struct machine m = machine_create(kvm, true, 1);
    union msr_list l = list(kvm, KVM_GET_MSR_INDEX_LIST);

    set_supported_cpuid(kvm, m.vcpu);
    CHECK(has(&l, IA32_SYSENTER_ESP) && has(&l, LSTAR) && has(&l, IA32_PAT));
    if (!api_is_kernel)
        CHECK(l.head.nmsrs <= 256); /* what Rust clients have room for */
    values(m.vcpu);
    if (!api_is_kernel) /* older ones keep no bit */
        hardware_configuration(m.vcpu);
    all_of_list(m.vcpu, &l);
    counts(m.vcpu);
    features(kvm);
    machine_check(kvm, m.vcpu);
    return TEST_DONE();
}
