/* system.c - ioctls of the system descriptor: capabilities, CPUID and MSR lists (api.rst 4.1 to 4.6) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <unistd.h>

#include "hypervisor/api/api.h"
#include "hypervisor/api/user.h"
#include "hypervisor/translate/engine.h"

enum { XSAVE_SIZE = sizeof(struct kvm_xsave) };

static int online_cpus(void)
{
    return min((int)sysconf(_SC_NPROCESSORS_ONLN), (int)VM_MAX_VCPUS);
}

/* The bits of kvm_guest_debug.control. */
#define GUESTDBG_VALID                                                                                 \
    (KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_USE_SW_BP | KVM_GUESTDBG_USE_HW_BP | \
     KVM_GUESTDBG_INJECT_DB | KVM_GUESTDBG_INJECT_BP | KVM_GUESTDBG_BLOCKIRQ)

/* What works. A capability that is not here is 0: it is absent. */
static const struct {
    u32 capability;
    int value;
    int (*query)(void); /* instead of value */
} capabilities[] = {
    {KVM_CAP_IRQCHIP, 1, NULL},
    {KVM_CAP_HLT, 1, NULL},
    {KVM_CAP_USER_MEMORY, 1, NULL},
    {KVM_CAP_SET_TSS_ADDR, 1, NULL},
    {KVM_CAP_EXT_CPUID, 1, NULL},
    {KVM_CAP_CLOCKSOURCE, 1, NULL},
    {KVM_CAP_NR_VCPUS, 0, online_cpus},
    {KVM_CAP_NR_MEMSLOTS, VM_MAX_SLOTS, NULL},
    {KVM_CAP_MP_STATE, 1, NULL},
    {KVM_CAP_COALESCED_MMIO, KVM_COALESCED_MMIO_PAGE_OFFSET, NULL},
    {KVM_CAP_SYNC_MMU, 1, NULL}, /* guest memory is reached through the client's own mapping */
    {KVM_CAP_DESTROY_MEMORY_REGION_WORKS, 1, NULL},
    {KVM_CAP_USER_NMI, 1, NULL},
    {KVM_CAP_IRQ_ROUTING, MAX_IRQ_ROUTES, NULL},
    {KVM_CAP_SET_GUEST_DEBUG, 1, NULL},
    {KVM_CAP_IRQ_INJECT_STATUS, 1, NULL},
    {KVM_CAP_JOIN_MEMORY_REGIONS_WORKS, 1, NULL},
    {KVM_CAP_MCE, MAX_MCE_BANKS, NULL},
    {KVM_CAP_PIT2, 1, NULL},
    {KVM_CAP_SET_BOOT_CPU_ID, 1, NULL},
    {KVM_CAP_PIT_STATE2, 1, NULL},
    {KVM_CAP_IOEVENTFD, 1, NULL},
    {KVM_CAP_SET_IDENTITY_MAP_ADDR, 1, NULL},
    {KVM_CAP_ADJUST_CLOCK, KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC, NULL},
    {KVM_CAP_INTERNAL_ERROR_DATA, 1, NULL},
    {KVM_CAP_VCPU_EVENTS, 1, NULL},
    {KVM_CAP_INTR_SHADOW, 1, NULL},
    {KVM_CAP_DEBUGREGS, 1, NULL},
    {KVM_CAP_X86_ROBUST_SINGLESTEP, 1, NULL},
    {KVM_CAP_XSAVE, 1, NULL},
    {KVM_CAP_XCRS, 1, NULL},
    {KVM_CAP_GET_TSC_KHZ, 1, NULL},
    {KVM_CAP_MAX_VCPUS, VM_MAX_VCPUS, NULL},
    {KVM_CAP_TSC_DEADLINE_TIMER, 1, NULL},
    {KVM_CAP_KVMCLOCK_CTRL, 1, NULL},
    {KVM_CAP_SIGNAL_MSI, 1, NULL},
    {KVM_CAP_READONLY_MEM, 1, NULL},
    {KVM_CAP_CHECK_EXTENSION_VM, 1, NULL},
    {KVM_CAP_IOEVENTFD_ANY_LENGTH, 1, NULL},
    {KVM_CAP_MAX_VCPU_ID, MAX_VCPU_ID, NULL},
    {KVM_CAP_IMMEDIATE_EXIT, 1, NULL},
    {KVM_CAP_COALESCED_PIO, 1, NULL},
    {KVM_CAP_GET_MSR_FEATURES, 1, NULL},
    {KVM_CAP_SET_GUEST_DEBUG2, GUESTDBG_VALID, NULL},
    {KVM_CAP_SREGS2, 1, NULL},
    {KVM_CAP_XSAVE2, XSAVE_SIZE, NULL}, /* no state beyond the fixed struct is offered */
};

int capability_value(u64 capability)
{
    for (size_t i = 0; i < ARRAY_SIZE(capabilities); i++)
        if (capabilities[i].capability == capability)
            return capabilities[i].query ? capabilities[i].query() : capabilities[i].value;
    return 0;
}

int system_get_api_version(union ioctl_arg arg)
{
    (void)arg;
    return KVM_API_VERSION;
}

int system_check_extension(union ioctl_arg arg)
{
    return capability_value(arg.value);
}

int system_get_vcpu_mmap_size(union ioctl_arg arg)
{
    (void)arg;
    return VCPU_MMAP_SIZE;
}

int system_get_mce_cap_supported(union ioctl_arg arg)
{
    *(u64 *)arg.data = MCG_CAP_SUPPORTED;
    return 0;
}

/* api.rst 4.46: E2BIG leaves the client's struct as it is; QEMU doubles nent until it succeeds. */
int system_get_supported_cpuid(union ioctl_arg arg)
{
    struct kvm_cpuid_entry2 entries[MAX_CPUID_ENTRIES];
    struct kvm_cpuid2 head;

    if (user_read(&head, arg.value, sizeof(head)))
        return -EFAULT;
    unsigned n = cpuid_supported(entries, MAX_CPUID_ENTRIES);
    if (head.nent < n)
        return -E2BIG;
    head.nent = n;
    if (user_write(arg.value + sizeof(head), entries, n * sizeof(entries[0])) ||
        user_write(arg.value, &head, sizeof(head)))
        return -EFAULT;
    return 0;
}

/* Both MSR lists: the true count is always told, the list only when it fits (api.rst 4.3). */
static int write_msr_list(u64 user, const u32 *list, u32 n)
{
    struct kvm_msr_list head;

    if (user_read(&head, user, sizeof(head)))
        return -EFAULT;
    bool fits = head.nmsrs >= n;
    head.nmsrs = n;
    if (user_write(user, &head, sizeof(head)))
        return -EFAULT;
    if (!fits)
        return -E2BIG;
    return user_write(user + sizeof(head), list, n * sizeof(list[0]));
}

int system_get_msr_index_list(union ioctl_arg arg)
{
    return write_msr_list(arg.value, msr_index_list, msr_index_count);
}

/* MSRs that describe the processor: api.rst 4.3, KVM_GET_MSR_FEATURE_INDEX_LIST. */
enum { MSR_IA32_BIOS_SIGN_ID = 0x8b };
static const u32 feature_msrs[] = {MSR_IA32_BIOS_SIGN_ID};

int system_get_msr_feature_index_list(union ioctl_arg arg)
{
    return write_msr_list(arg.value, feature_msrs, ARRAY_SIZE(feature_msrs));
}

static bool feature_msr_read(struct vcpu *v, struct kvm_msr_entry *e)
{
    (void)v;
    if (e->index != MSR_IA32_BIOS_SIGN_ID)
        return false;
    e->data = BIT(32); /* the microcode revision of a vcpu after power-up */
    return true;
}

int system_get_msrs(union ioctl_arg arg)
{
    return msrs_for_each(NULL, arg.value, feature_msr_read, true);
}

int msrs_for_each(struct vcpu *v, u64 user, msr_step *step, bool write_back)
{
    struct kvm_msr_entry entries[MAX_IO_MSRS];
    struct kvm_msrs head;
    u32 done;

    if (user_read(&head, user, sizeof(head)))
        return -EFAULT;
    if (head.nmsrs >= MAX_IO_MSRS)
        return -E2BIG;
    if (user_read(entries, user + sizeof(head), head.nmsrs * sizeof(entries[0])))
        return -EFAULT;
    for (done = 0; done < head.nmsrs && step(v, &entries[done]); done++)
        ;
    if (write_back && user_write(user + sizeof(head), entries, head.nmsrs * sizeof(entries[0])))
        return -EFAULT;
    return (int)done;
}
