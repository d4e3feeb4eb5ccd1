/* ioctls.h - the table of ioctls (Documentation/virt/kvm/api.rst ch. 4): a row for each that is there */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Included more than once, each time with SYSTEM, VM and VCPU defined to what is wanted of a row: the
 * handlers' prototypes (api.h), the tables (ioctl.c). A request that stands under two kinds has a handler for
 * each. The size of an argument is the one encoded in the request.
 *
 * Arguments: NONE ignored; ZERO must be 0 (EINVAL); VALUE an integer; IN, OUT, INOUT a struct, copied before
 * and after the handler runs; POINTER a struct of variable length, which the handler copies.
 */
/* clang-format off */
/*     request                          argument  handler */
SYSTEM(KVM_GET_API_VERSION,             ZERO,     system_get_api_version)
SYSTEM(KVM_CREATE_VM,                   VALUE,    system_create_vm)
SYSTEM(KVM_CHECK_EXTENSION,             VALUE,    system_check_extension)
SYSTEM(KVM_GET_VCPU_MMAP_SIZE,          ZERO,     system_get_vcpu_mmap_size)
SYSTEM(KVM_GET_SUPPORTED_CPUID,         POINTER,  system_get_supported_cpuid)
SYSTEM(KVM_GET_MSR_INDEX_LIST,          POINTER,  system_get_msr_index_list)
SYSTEM(KVM_GET_MSR_FEATURE_INDEX_LIST,  POINTER,  system_get_msr_feature_index_list)
SYSTEM(KVM_GET_MSRS,                    POINTER,  system_get_msrs)
SYSTEM(KVM_X86_GET_MCE_CAP_SUPPORTED,   OUT,      system_get_mce_cap_supported)

VM(KVM_IRQ_LINE,                        IN,       vm_irq_line)
VM(KVM_IRQ_LINE_STATUS,                 INOUT,    vm_irq_line)
VM(KVM_SIGNAL_MSI,                      IN,       vm_signal_msi)
VM(KVM_IRQFD,                           IN,       vm_irqfd)
VM(KVM_SET_USER_MEMORY_REGION,          IN,       vm_set_user_memory_region)
VM(KVM_IOEVENTFD,                       IN,       vm_ioeventfd)
VM(KVM_REGISTER_COALESCED_MMIO,         IN,       vm_register_coalesced_mmio)
VM(KVM_UNREGISTER_COALESCED_MMIO,       IN,       vm_unregister_coalesced_mmio)
VM(KVM_GET_DIRTY_LOG,                   IN,       vm_get_dirty_log)
VM(KVM_CHECK_EXTENSION,                 VALUE,    vm_check_extension)
VM(KVM_CREATE_VCPU,                     VALUE,    vm_create_vcpu)
VM(KVM_SET_TSS_ADDR,                    VALUE,    vm_set_tss_addr)
VM(KVM_SET_IDENTITY_MAP_ADDR,           IN,       vm_set_identity_map_addr)
VM(KVM_SET_BOOT_CPU_ID,                 VALUE,    vm_set_boot_cpu_id)
VM(KVM_ENABLE_CAP,                      IN,       vm_enable_cap)
VM(KVM_CREATE_IRQCHIP,                  NONE,     vm_create_irqchip)
VM(KVM_GET_IRQCHIP,                     INOUT,    vm_get_irqchip)
VM(KVM_SET_IRQCHIP,                     IN,       vm_set_irqchip)
VM(KVM_SET_GSI_ROUTING,                 POINTER,  vm_set_gsi_routing)
VM(KVM_CREATE_PIT2,                     IN,       vm_create_pit2)
VM(KVM_GET_PIT2,                        OUT,      vm_get_pit2)
VM(KVM_SET_PIT2,                        IN,       vm_set_pit2)
VM(KVM_GET_CLOCK,                       OUT,      vm_get_clock)
VM(KVM_SET_CLOCK,                       IN,       vm_set_clock)
VM(KVM_GET_TSC_KHZ,                     NONE,     vm_get_tsc_khz)

VCPU(KVM_ENABLE_CAP,                    IN,       vcpu_enable_cap)
VCPU(KVM_RUN,                           ZERO,     vcpu_ioctl_run)
VCPU(KVM_GET_REGS,                      OUT,      vcpu_get_regs)
VCPU(KVM_SET_REGS,                      IN,       vcpu_set_regs)
VCPU(KVM_GET_SREGS,                     OUT,      vcpu_get_sregs)
VCPU(KVM_SET_SREGS,                     IN,       vcpu_set_sregs)
VCPU(KVM_GET_SREGS2,                    OUT,      vcpu_get_sregs2)
VCPU(KVM_SET_SREGS2,                    IN,       vcpu_set_sregs2)
VCPU(KVM_GET_FPU,                       OUT,      vcpu_get_fpu)
VCPU(KVM_SET_FPU,                       IN,       vcpu_set_fpu)
VCPU(KVM_GET_XSAVE,                     OUT,      vcpu_get_xsave)
VCPU(KVM_GET_XSAVE2,                    OUT,      vcpu_get_xsave)
VCPU(KVM_SET_XSAVE,                     IN,       vcpu_set_xsave)
VCPU(KVM_GET_XCRS,                      OUT,      vcpu_get_xcrs)
VCPU(KVM_SET_XCRS,                      IN,       vcpu_set_xcrs)
VCPU(KVM_GET_MSRS,                      POINTER,  vcpu_get_msrs)
VCPU(KVM_SET_MSRS,                      POINTER,  vcpu_set_msrs)
VCPU(KVM_GET_CPUID2,                    POINTER,  vcpu_get_cpuid2)
VCPU(KVM_SET_CPUID2,                    POINTER,  vcpu_set_cpuid2)
VCPU(KVM_GET_LAPIC,                     OUT,      vcpu_get_lapic)
VCPU(KVM_SET_LAPIC,                     IN,       vcpu_set_lapic)
VCPU(KVM_GET_MP_STATE,                  OUT,      vcpu_get_mp_state)
VCPU(KVM_SET_MP_STATE,                  IN,       vcpu_set_mp_state)
VCPU(KVM_GET_VCPU_EVENTS,               OUT,      vcpu_get_events)
VCPU(KVM_SET_VCPU_EVENTS,               IN,       vcpu_set_events)
VCPU(KVM_GET_DEBUGREGS,                 OUT,      vcpu_get_debugregs)
VCPU(KVM_SET_DEBUGREGS,                 IN,       vcpu_set_debugregs)
VCPU(KVM_SET_GUEST_DEBUG,               IN,       vcpu_set_guest_debug)
VCPU(KVM_INTERRUPT,                     IN,       vcpu_interrupt)
VCPU(KVM_NMI,                           NONE,     vcpu_nmi)
VCPU(KVM_TRANSLATE,                     INOUT,    vcpu_translate)
VCPU(KVM_GET_TSC_KHZ,                   NONE,     vcpu_get_tsc_khz)
VCPU(KVM_SET_TSC_KHZ,                   VALUE,    vcpu_set_tsc_khz)
VCPU(KVM_KVMCLOCK_CTRL,                 NONE,     vcpu_kvmclock_ctrl)
VCPU(KVM_X86_SETUP_MCE,                 IN,       vcpu_setup_mce)
VCPU(KVM_SET_VAPIC_ADDR,                IN,       vcpu_set_vapic_addr)
/* clang-format on */
#undef SYSTEM
#undef VM
#undef VCPU
