/* errors.c - requests that do not exist, stand on the wrong descriptor, or come with bad arguments */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/api/api.h"

#define UNKNOWN _IO(KVMIO, 0xfe)
#define FOREIGN _IO(1, 1)

static void wrong_object(int kvm, int vm, int vcpu)
{
    CHECK_FAILS(kvm, UNKNOWN, 0, EINVAL);
    CHECK_FAILS(vm, UNKNOWN, 0, ENOTTY);
    CHECK_FAILS(vcpu, UNKNOWN, 0, EINVAL);
    CHECK_FAILS(kvm, FOREIGN, 0, EINVAL);
    CHECK_FAILS(vm, FOREIGN, 0, ENOTTY);
    CHECK_FAILS(vcpu, FOREIGN, 0, EINVAL);
    CHECK_FAILS(kvm, KVM_RUN, 0, EINVAL);
    CHECK_FAILS(vm, KVM_RUN, 0, ENOTTY);
    CHECK_FAILS(vm, KVM_GET_API_VERSION, 0, ENOTTY);
    CHECK_FAILS(vcpu, KVM_CREATE_VCPU, 1, EINVAL);
}

static void integer_arguments(int kvm, int vm, int vcpu)
{
    CHECK_RETURNS(kvm, KVM_GET_API_VERSION, 0, 12);
    CHECK_FAILS(kvm, KVM_GET_API_VERSION, 1, EINVAL);
    CHECK_FAILS(kvm, KVM_GET_VCPU_MMAP_SIZE, 1, EINVAL);
    CHECK_FAILS(kvm, KVM_CREATE_VM, 77, EINVAL);
    CHECK_FAILS(vcpu, KVM_RUN, 1, EINVAL);
    CHECK_FAILS(vm, KVM_CREATE_VCPU, 0, EEXIST);
    CHECK_FAILS(vm, KVM_CREATE_VCPU, 1 << 20, EINVAL);
    CHECK_FAILS(vm, KVM_CREATE_VCPU, 1ul << 32, EINVAL);
    CHECK_OK(vm, KVM_SET_TSS_ADDR, 0xfffbd000);
    CHECK_FAILS(vm, KVM_SET_TSS_ADDR, 0xfffff000, EINVAL);
    CHECK_FAILS(vm, KVM_SET_BOOT_CPU_ID, 0, EBUSY);
    CHECK(KVM(kvm, KVM_GET_VCPU_MMAP_SIZE, 0) >= 3 * PAGE);
    /* The request is an int in some clients: its upper half is whatever sign extension makes of it. */
    CHECK_EQ(kvm_ioctl(kvm, 0xffffffff00000000ul | KVM_GET_API_VERSION, 0), 12);
}

static void devices(int vm)
{
    struct kvm_create_device d = {.type = 99};

    CHECK_FAILS(vm, KVM_CREATE_DEVICE, &d, ENODEV);
    CHECK_FAILS(vm, KVM_CREATE_DEVICE, 8, EFAULT);
}

static void shadow_pages(int vm)
{
    CHECK_OK(vm, KVM_SET_NR_MMU_PAGES, 64);
    CHECK_FAILS(vm, KVM_SET_NR_MMU_PAGES, 63, EINVAL);
}

static void bad_pointers(int kvm, int vm, int vcpu)
{
    static const unsigned long system[] = {KVM_GET_SUPPORTED_CPUID, KVM_GET_MSR_INDEX_LIST, KVM_GET_MSRS,
                                           KVM_X86_GET_MCE_CAP_SUPPORTED, KVM_GET_MSR_FEATURE_INDEX_LIST};
    static const unsigned long machine[] = {KVM_SET_USER_MEMORY_REGION,
                                            KVM_IRQ_LINE,
                                            KVM_GET_CLOCK,
                                            KVM_SET_CLOCK,
                                            KVM_SET_GSI_ROUTING,
                                            KVM_CREATE_PIT2,
                                            KVM_SIGNAL_MSI,
                                            KVM_GET_DIRTY_LOG,
                                            KVM_ENABLE_CAP};
    static const unsigned long processor[] = {
        KVM_GET_REGS,      KVM_SET_REGS,        KVM_GET_SREGS,       KVM_SET_SREGS,    KVM_GET_FPU,
        KVM_SET_FPU,       KVM_GET_XSAVE,       KVM_GET_XCRS,        KVM_SET_XCRS,     KVM_GET_MSRS,
        KVM_SET_MSRS,      KVM_GET_CPUID2,      KVM_SET_CPUID2,      KVM_GET_MP_STATE, KVM_SET_MP_STATE,
        KVM_GET_DEBUGREGS, KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS, KVM_TRANSLATE};
    void *read_only = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    for (size_t i = 0; i < sizeof(system) / sizeof(system[0]); i++)
        CHECK_FAILS(kvm, system[i], 8, EFAULT);
    for (size_t i = 0; i < sizeof(machine) / sizeof(machine[0]); i++)
        CHECK_FAILS(vm, machine[i], 8, EFAULT);
    for (size_t i = 0; i < sizeof(processor) / sizeof(processor[0]); i++)
        CHECK_FAILS(vcpu, processor[i], 8, EFAULT);
    CHECK_FAILS(vcpu, KVM_GET_REGS, read_only, EFAULT);
    CHECK_FAILS(vcpu, KVM_GET_REGS, ~0ul, EFAULT);
    /* A struct whose second page is missing. */
    uint8_t *two = pages(2);
    munmap(two + PAGE, PAGE);
    CHECK_FAILS(vcpu, KVM_GET_REGS, two + PAGE - 8, EFAULT);
    CHECK_FAILS(vcpu, KVM_SET_REGS, two + PAGE - 8, EFAULT);
}

static void no_irqchip(int vm, int vcpu)
{
    struct kvm_irq_level line = {.irq = 4, .level = 1};
    struct kvm_irqchip chip = {0};
    struct kvm_pit_state2 pit = {0};
    struct kvm_msi msi = {.address_lo = 0xfee00000, .data = 0x30};
    struct kvm_irq_routing routing = {0};
    struct kvm_lapic_state lapic = {0};
    struct kvm_vapic_addr vapic = {0};

    CHECK_FAILS(vm, KVM_IRQ_LINE, &line, ENXIO);
    CHECK_FAILS(vm, KVM_IRQ_LINE_STATUS, &line, ENXIO);
    CHECK_FAILS(vm, KVM_GET_IRQCHIP, &chip, ENXIO);
    CHECK_FAILS(vm, KVM_SET_IRQCHIP, &chip, ENXIO);
    CHECK_FAILS(vm, KVM_GET_PIT2, &pit, ENXIO);
    CHECK_FAILS(vm, KVM_SET_PIT2, &pit, ENXIO);
    CHECK_FAILS(vm, KVM_SIGNAL_MSI, &msi, EINVAL);
    CHECK_FAILS(vm, KVM_SET_GSI_ROUTING, &routing, EINVAL);
    CHECK_FAILS(vm, KVM_CREATE_IRQCHIP, 0, EINVAL); /* there is a vcpu already */
    CHECK_FAILS(vcpu, KVM_GET_LAPIC, &lapic, EINVAL);
    CHECK_FAILS(vcpu, KVM_SET_LAPIC, &lapic, EINVAL);
    CHECK_FAILS(vcpu, KVM_SET_VAPIC_ADDR, &vapic, EINVAL);
}

static void capabilities(int kvm, int vm)
{
    struct kvm_enable_cap unknown = {.cap = 9999};

    CHECK_RETURNS(kvm, KVM_CHECK_EXTENSION, KVM_CAP_USER_MEMORY, 1);
    CHECK_RETURNS(vm, KVM_CHECK_EXTENSION, KVM_CAP_USER_MEMORY, 1);
    CHECK_RETURNS(kvm, KVM_CHECK_EXTENSION, 99999, 0);
    CHECK_RETURNS(vm, KVM_CHECK_EXTENSION, 99999, 0);
    CHECK_RETURNS(kvm, KVM_CHECK_EXTENSION, 1ul << 40, 0);
    CHECK(KVM(kvm, KVM_CHECK_EXTENSION, KVM_CAP_NR_MEMSLOTS) >= 32);
    CHECK(KVM(kvm, KVM_CHECK_EXTENSION, KVM_CAP_XSAVE2) >= PAGE);
    CHECK_FAILS(vm, KVM_ENABLE_CAP, &unknown, EINVAL);
}

int main(int argc, char **argv)
{
    int kvm = api_start(argc, argv);
    struct machine m = machine_create(kvm, false, 1);

    wrong_object(kvm, m.vm, m.vcpu);
    integer_arguments(kvm, m.vm, m.vcpu);
    bad_pointers(kvm, m.vm, m.vcpu);
    devices(m.vm);
    shadow_pages(m.vm);
    no_irqchip(m.vm, m.vcpu);
    capabilities(kvm, m.vm);
    if (!api_is_device)
        CHECK_FAILS(0, KVM_GET_API_VERSION, 0, EBADF);
    return TEST_DONE();
}
