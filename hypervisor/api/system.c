/* system.c - ioctls of the system descriptor: CPUID and MSR lists (api.rst 4.1 to 4.6) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>

#include "hypervisor/api/api.h"
#include "hypervisor/api/user.h"
#include "hypervisor/cpu/msr.h"
#include "hypervisor/translate/engine.h"

int system_get_api_version(union ioctl_arg arg)
{
    (void)arg;
    return KVM_API_VERSION;
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
static const u32 feature_msrs[] = {MSR_IA32_BIOS_SIGN_ID, MSR_IA32_ARCH_CAPABILITIES,
                                   MSR_IA32_PERF_CAPABILITIES};

int system_get_msr_feature_index_list(union ioctl_arg arg)
{
    return write_msr_list(arg.value, feature_msrs, ARRAY_SIZE(feature_msrs));
}

static bool feature_msr_read(struct vcpu *v, struct kvm_msr_entry *e)
{
    (void)v;
    switch (e->index) { /* as a vcpu has them after power-up */
    case MSR_IA32_BIOS_SIGN_ID: e->data = BIT(32); return true;
    case MSR_IA32_ARCH_CAPABILITIES: e->data = ARCH_CAPABILITIES; return true;
    case MSR_IA32_PERF_CAPABILITIES: e->data = 0; return true; /* there are none */
    default: return false;
    }
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
