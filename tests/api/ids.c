/* ids.c - numbers of vcpus: the boot processor's, and the highest (KVM_SET_BOOT_CPU_ID, api.rst 4.61;
 * KVM_CAP_MAX_VCPU_ID, 7.32) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/api/api.h"

static void set_max(int vm, uint64_t max, int error)
{
    struct kvm_enable_cap c = {.cap = KVM_CAP_MAX_VCPU_ID, .args = {max}};

    if (error)
        CHECK_FAILS(vm, KVM_ENABLE_CAP, &c, error);
    else
        CHECK_OK(vm, KVM_ENABLE_CAP, &c);
}

static void set_msr_entry(union msrs *m, uint32_t index, uint64_t value)
{
    *m = (union msrs){.head.nmsrs = 1};
    m->head.entries[0] = (struct kvm_msr_entry){.index = index, .data = value};
}

/* A processor beyond what xAPICs can number, in x2APIC mode, and an interrupt for it. */
static void high_id(int kvm)
{
    enum { ID = 300, APIC_BASE = 0x1b, VECTOR = 0x41, APIC_ID = 0x20, SVR = 0xf0, IRR = 0x200 };
    struct kvm_enable_cap x2apic = {.cap = KVM_CAP_X2APIC_API, .args = {KVM_X2APIC_API_USE_32BIT_IDS}};
    struct kvm_msi msi = {
        .address_lo = 0xfee00000 | (ID & 0xff) << 12, .address_hi = ID & ~0xff, .data = VECTOR};
    struct machine m = machine_create(kvm, true, 1);
    struct kvm_lapic_state s;
    union msrs base;
    int vcpu = KVM(m.vm, KVM_CREATE_VCPU, ID);

    CHECK(vcpu >= 0);
    CHECK_OK(m.vm, KVM_ENABLE_CAP, &x2apic);
    set_supported_cpuid(kvm, vcpu);
    CHECK_OK(vcpu, KVM_GET_LAPIC, &s);
    CHECK_EQ(*(uint32_t *)(s.regs + APIC_ID), (uint32_t)ID << 24);
    set_msr_entry(&base, APIC_BASE, 0xfee00c00);
    CHECK_RETURNS(vcpu, KVM_SET_MSRS, &base, 1);
    CHECK_OK(vcpu, KVM_GET_LAPIC, &s);
    CHECK_EQ(*(uint32_t *)(s.regs + APIC_ID), ID);
    *(uint32_t *)(s.regs + SVR) = 0x1ff;
    CHECK_OK(vcpu, KVM_SET_LAPIC, &s);
    CHECK_RETURNS(m.vm, KVM_SIGNAL_MSI, &msi, 1);
    CHECK_OK(vcpu, KVM_GET_LAPIC, &s);
    CHECK_EQ(*(uint32_t *)(s.regs + IRR + VECTOR / 32 * 16) >> VECTOR % 32 & 1, 1);
    CHECK_OK(m.vcpu, KVM_GET_LAPIC, &s);
    CHECK_EQ(*(uint32_t *)(s.regs + IRR + VECTOR / 32 * 16), 0);
    kvm_close(vcpu);
    kvm_close(m.vm);
}

/* As many as are offered, if so many descriptors are allowed, and no more. */
static void all_of_them(int kvm)
{
    int vm = KVM(kvm, KVM_CREATE_VM, 0), max = KVM(vm, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS), n = 0,
        fd[1024];

    while (n < max && (fd[n] = KVM(vm, KVM_CREATE_VCPU, n)) >= 0)
        n++;
    if (n < max)
        CHECK_EQ(errno, EMFILE);
    else
        CHECK_FAILS(vm, KVM_CREATE_VCPU, n, EINVAL);
    while (n > 0)
        kvm_close(fd[--n]);
    kvm_close(vm);
}

int main(int argc, char **argv)
{
    int kvm = api_start(argc, argv), vm = KVM(kvm, KVM_CREATE_VM, 0);
    int limit = KVM(vm, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPU_ID);

    CHECK(limit > 0);
    if (!api_is_kernel) { /* before 6.10 it took what it was given */
        CHECK_FAILS(vm, KVM_SET_BOOT_CPU_ID, limit + 1, EINVAL);
        CHECK_FAILS(vm, KVM_SET_BOOT_CPU_ID, 1ul << 32, EINVAL);
    }
    CHECK_OK(vm, KVM_SET_BOOT_CPU_ID, 2);
    set_max(vm, (uint64_t)limit + 1, EINVAL);
    if (!api_is_kernel)
        set_max(vm, 1, EINVAL); /* below the boot processor */
    set_max(vm, 3, 0);
    set_max(vm, 3, 0);
    set_max(vm, 4, EINVAL);
    CHECK_FAILS(vm, KVM_CREATE_VCPU, 3, EINVAL);
    CHECK(KVM(vm, KVM_CREATE_VCPU, 2) >= 0);
    CHECK_FAILS(vm, KVM_SET_BOOT_CPU_ID, 1, EBUSY);
    if (limit > 300)
        high_id(kvm);
    if (!api_is_kernel) /* where so many take their time */
        all_of_them(kvm);
    return TEST_DONE();
}
