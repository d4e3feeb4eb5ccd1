/* capability.c - KVM_CHECK_EXTENSION and KVM_ENABLE_CAP (api.rst 4.4, 4.37, ch. 7, ch. 8) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <unistd.h>

#include "hypervisor/api/api.h"
#include "hypervisor/api/dirty_ring.h"
#include "hypervisor/irq/irq.h"
#include "lodge/kvm_abi.h"

static int online_cpus(void)
{
    return min((int)sysconf(_SC_NPROCESSORS_ONLN), (int)VM_MAX_VCPUS);
}

/* ---- those that wait to be enabled ---- */

static int enable_split_irqchip(struct vm *vm, const struct kvm_enable_cap *c)
{
    return c->args[0] > MAX_IRQ_ROUTES ? -EINVAL : irqchip_create_split(vm, (u32)c->args[0]);
}

#define X2APIC_API_VALID (KVM_X2APIC_API_USE_32BIT_IDS | KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK)

static int enable_x2apic_api(struct vm *vm, const struct kvm_enable_cap *c)
{
    if (c->args[0] & ~X2APIC_API_VALID)
        return -EINVAL;
    vm->x2apic_ids_32bit |= !!(c->args[0] & KVM_X2APIC_API_USE_32BIT_IDS);
    vm->x2apic_no_broadcast_quirk |= !!(c->args[0] & KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK);
    return 0;
}

/* Guests are not offered MONITOR. Nothing but HLT exits otherwise than with an interrupt. A vcpu whose HLT is
 * its own is not to sleep until it is kicked: CPUID that is set from then on has no PV_UNHALT (cpuid.c). */
#define DISABLE_EXITS_VALID \
    (KVM_X86_DISABLE_EXITS_HLT | KVM_X86_DISABLE_EXITS_PAUSE | KVM_X86_DISABLE_EXITS_CSTATE)

static int enable_disable_exits(struct vm *vm, const struct kvm_enable_cap *c)
{
    if (c->args[0] & ~(u64)DISABLE_EXITS_VALID)
        return -EINVAL;
    vm->no_hlt_exits |= !!(c->args[0] & KVM_X86_DISABLE_EXITS_HLT);
    return 0;
}

#define MANUAL_DIRTY_LOG_VALID (KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET)

static int enable_manual_dirty_log(struct vm *vm, const struct kvm_enable_cap *c)
{
    bool on = c->args[0] & KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE;

    if (c->args[0] & ~(u64)(on ? MANUAL_DIRTY_LOG_VALID : 0))
        return -EINVAL;
    vm->manual_dirty_log = (u32)c->args[0];
    return 0;
}

/* Once only. */
static int enable_max_vcpu_id(struct vm *vm, const struct kvm_enable_cap *c)
{
    if (c->args[0] > MAX_VCPU_ID || vm->boot_cpu_id > c->args[0])
        return -EINVAL;
    if (vm->max_vcpu_ids && vm->max_vcpu_ids != c->args[0])
        return -EINVAL;
    vm->max_vcpu_ids = (u32)c->args[0];
    return 0;
}

#define USER_SPACE_MSR_VALID \
    (KVM_MSR_EXIT_REASON_INVAL | KVM_MSR_EXIT_REASON_UNKNOWN | KVM_MSR_EXIT_REASON_FILTER)

static int enable_user_space_msr(struct vm *vm, const struct kvm_enable_cap *c)
{
    if (c->args[0] & ~(u64)USER_SPACE_MSR_VALID)
        return -EINVAL;
    vm->user_space_msr = (u32)c->args[0];
    return 0;
}

static int enable_dirty_ring(struct vm *vm, const struct kvm_enable_cap *c)
{
    return dirty_ring_enable(vm, c->args[0]);
}

static int enable_platform_info(struct vm *vm, const struct kvm_enable_cap *c)
{
    vm->no_platform_info = !c->args[0];
    return 0;
}

/* Such a client emulates what KVM cannot: x87 instructions on a device's memory (access.c). */
static int enable_exit_on_emulation_failure(struct vm *vm, const struct kvm_enable_cap *c)
{
    if (c->args[0] & ~1ull)
        return -EINVAL;
    vm->exit_on_emulation_failure = c->args[0];
    return 0;
}

static int enable_exception_payload(struct vm *vm, const struct kvm_enable_cap *c)
{
    vm->exception_payload = c->args[0];
    return 0;
}

static int enable_triple_fault_event(struct vm *vm, const struct kvm_enable_cap *c)
{
    vm->triple_fault_event = c->args[0];
    return 0;
}

/* All that are about what a guest sees here. The last is about page tables that the library has none of. */
#define QUIRKS_VALID                                                                                        \
    (KVM_X86_QUIRK_LINT0_REENABLED | KVM_X86_QUIRK_CD_NW_CLEARED | KVM_X86_QUIRK_LAPIC_MMIO_HOLE |          \
     KVM_X86_QUIRK_OUT_7E_INC_RIP | KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT | KVM_X86_QUIRK_FIX_HYPERCALL_INSN | \
     KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS | KVM_X86_QUIRK_SLOT_ZAP_ALL)

/* The older form ignores what it does not know. */
static int disable_quirks(struct vm *vm, const struct kvm_enable_cap *c)
{
    if (c->cap == KVM_CAP_DISABLE_QUIRKS2 && (c->args[0] & ~(u64)QUIRKS_VALID))
        return -EINVAL;
    vm->quirks_off |= c->args[0] & QUIRKS_VALID;
    return 0;
}

/* The longest period of a timer, of 2^32 counts of 128 cycles, fits into 64 bits. */
static int enable_apic_bus(struct vm *vm, const struct kvm_enable_cap *c)
{
    if (!c->args[0] || c->args[0] > UINT64_MAX / ((u64)UINT32_MAX * 128))
        return -EINVAL;
    if (!vm->irqchip)
        return -ENXIO;
    if (vm->vcpu_count)
        return -EINVAL;
    vm->apic_bus_ns = (u32)c->args[0];
    return 0;
}

/* Nothing polls until it is asked for: there, processors are rarely to spare. */
static int enable_halt_poll(struct vm *vm, const struct kvm_enable_cap *c)
{
    if (c->args[0] != (u32)c->args[0])
        return -EINVAL;
    vm->halt_poll_ns = (u32)c->args[0];
    return 0;
}

static const struct enabler {
    u32 capability;
    int (*enable)(struct vm *vm, const struct kvm_enable_cap *c);
} enablers[] = {
    {KVM_CAP_SPLIT_IRQCHIP, enable_split_irqchip},
    {KVM_CAP_X2APIC_API, enable_x2apic_api},
    {KVM_CAP_X86_DISABLE_EXITS, enable_disable_exits},
    {KVM_CAP_MAX_VCPU_ID, enable_max_vcpu_id},
    {KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, enable_manual_dirty_log},
    {KVM_CAP_MSR_PLATFORM_INFO, enable_platform_info},
    {KVM_CAP_EXIT_ON_EMULATION_FAILURE, enable_exit_on_emulation_failure},
    {KVM_CAP_DIRTY_LOG_RING, enable_dirty_ring},
    {KVM_CAP_DIRTY_LOG_RING_ACQ_REL, enable_dirty_ring},
    {KVM_CAP_X86_USER_SPACE_MSR, enable_user_space_msr},
    {KVM_CAP_EXCEPTION_PAYLOAD, enable_exception_payload},
    {KVM_CAP_X86_TRIPLE_FAULT_EVENT, enable_triple_fault_event},
    {KVM_CAP_DISABLE_QUIRKS, disable_quirks},
    {KVM_CAP_DISABLE_QUIRKS2, disable_quirks},
    {KVM_CAP_X86_APIC_BUS_CYCLES_NS, enable_apic_bus},
    {KVM_CAP_HALT_POLL, enable_halt_poll},
};

int vm_enable_cap(struct vm *vm, union ioctl_arg arg)
{
    const struct kvm_enable_cap *c = arg.data;

    if (c->flags)
        return -EINVAL;
    for (size_t i = 0; i < ARRAY_SIZE(enablers); i++)
        if (enablers[i].capability == c->cap)
            return enablers[i].enable(vm, c);
    return -EINVAL;
}

/* The others of a vcpu are Hyper-V's and the like. */
int vcpu_enable_cap(struct vcpu *v, union ioctl_arg arg)
{
    const struct kvm_enable_cap *c = arg.data;

    if (c->flags || c->cap != KVM_CAP_ENFORCE_PV_FEATURE_CPUID)
        return -EINVAL;
    v->enforce_pv = c->args[0];
    return 0;
}

/* ---- what there is ---- */

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
    {KVM_CAP_IRQFD, 1, NULL},
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
    {KVM_CAP_IRQFD_RESAMPLE, 1, NULL},
    {KVM_CAP_SIGNAL_MSI, 1, NULL},
    {KVM_CAP_READONLY_MEM, 1, NULL},
    {KVM_CAP_CHECK_EXTENSION_VM, 1, NULL},
    {KVM_CAP_ENABLE_CAP_VM, 1, NULL},
    {KVM_CAP_SPLIT_IRQCHIP, 1, NULL},
    {KVM_CAP_IOEVENTFD_ANY_LENGTH, 1, NULL},
    {KVM_CAP_X2APIC_API, X2APIC_API_VALID, NULL},
    {KVM_CAP_X86_DISABLE_EXITS, DISABLE_EXITS_VALID, NULL},
    {KVM_CAP_MAX_VCPU_ID, MAX_VCPU_ID, NULL},
    {KVM_CAP_IMMEDIATE_EXIT, 1, NULL},
    {KVM_CAP_COALESCED_PIO, 1, NULL},
    {KVM_CAP_GET_MSR_FEATURES, 1, NULL},
    {KVM_CAP_SET_GUEST_DEBUG2, GUESTDBG_VALID, NULL},
    {KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, MANUAL_DIRTY_LOG_VALID, NULL},
    {KVM_CAP_SREGS2, 1, NULL},
    {KVM_CAP_XSAVE2, sizeof(struct kvm_xsave), NULL}, /* no state beyond the fixed struct is offered */
    {KVM_CAP_SYS_ATTRIBUTES, 1, NULL},
    {KVM_CAP_VCPU_ATTRIBUTES, 1, NULL},
    {KVM_CAP_USER_MEMORY2, 1, NULL},
    {KVM_CAP_REINJECT_CONTROL, 1, NULL},
    {KVM_CAP_MMU_SHADOW_CACHE_CONTROL, 1, NULL},
    {KVM_CAP_DEVICE_CTRL, 1, NULL},
    {KVM_CAP_DIRTY_LOG_RING, DIRTY_RING_MAX, NULL},
    {KVM_CAP_DIRTY_LOG_RING_ACQ_REL, DIRTY_RING_MAX, NULL},
    {KVM_CAP_BINARY_STATS_FD, 1, NULL},
    {KVM_CAP_PRE_FAULT_MEMORY, 1, NULL},
    {KVM_CAP_TSC_CONTROL, 1, NULL},
    {KVM_CAP_VM_TSC_CONTROL, 1, NULL},
    {KVM_CAP_MSR_PLATFORM_INFO, 1, NULL},
    {KVM_CAP_EXIT_ON_EMULATION_FAILURE, 1, NULL},
    {KVM_CAP_ENABLE_CAP, 1, NULL},
    {KVM_CAP_ENFORCE_PV_FEATURE_CPUID, 1, NULL},
    {KVM_CAP_NOP_IO_DELAY, 1, NULL},
    {KVM_CAP_PIT, 1, NULL},
    {KVM_CAP_STEAL_TIME, 1, NULL},
    {KVM_CAP_IOAPIC_POLARITY_IGNORED, 1, NULL},
    {KVM_CAP_IOEVENTFD_NO_LENGTH, 1, NULL},
    {KVM_CAP_SMALLER_MAXPHYADDR, 1, NULL},
    {KVM_CAP_SYNC_REGS, KVM_SYNC_X86_VALID_FIELDS, NULL},
    {KVM_CAP_X86_USER_SPACE_MSR, 1, NULL},
    {KVM_CAP_X86_MSR_FILTER, 1, NULL},
    {KVM_CAP_EXCEPTION_PAYLOAD, 1, NULL},
    {KVM_CAP_X86_TRIPLE_FAULT_EVENT, 1, NULL},
    {KVM_CAP_DISABLE_QUIRKS, 1, NULL},
    {KVM_CAP_DISABLE_QUIRKS2, QUIRKS_VALID, NULL},
    {KVM_CAP_X86_APIC_BUS_CYCLES_NS, APIC_BUS_NS, NULL},
    {KVM_CAP_HALT_POLL, 1, NULL},
    {KVM_CAP_VAPIC, 1, NULL},
    {KVM_CAP_X86_SMM, 1, NULL},
    {KVM_CAP_MULTI_ADDRESS_SPACE, ADDRESS_SPACES, NULL},
    {KVM_CAP_MEMORY_FAULT_INFO, 1, NULL},
    {KVM_CAP_ASYNC_PF, 1, NULL},
    {KVM_CAP_ASYNC_PF_INT, 1, NULL},
    {KVM_CAP_VM_TYPES, 1, NULL}, /* a set: the default type, which is 0 */
};

static int capability_value(u64 capability)
{
    for (size_t i = 0; i < ARRAY_SIZE(capabilities); i++)
        if (capabilities[i].capability == capability)
            return capabilities[i].query ? capabilities[i].query() : capabilities[i].value;
    return 0;
}

int system_check_extension(union ioctl_arg arg)
{
    return capability_value(arg.value);
}

int vm_check_extension(struct vm *vm, union ioctl_arg arg)
{
    (void)vm;
    return capability_value(arg.value);
}
