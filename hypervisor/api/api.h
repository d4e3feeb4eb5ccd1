/* api.h - handlers of the ioctls: what one takes and returns */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef API_API_H
#define API_API_H

#include "hypervisor/cpu/msr.h"
#include "hypervisor/vm.h"

/* What an ioctl was given: the integer or user address, or the struct as copied in (and, for OUT and INOUT,
 * copied out again when the handler succeeds). An OUT struct is zeroed first. */
union ioctl_arg {
    u64 value;
    void *data;
};

/* Handlers return what ioctl(2) returns, or -errno. A VM's run with vm->lock held, a vcpu's with v->lock. */
typedef int system_ioctl(union ioctl_arg arg);
typedef int vm_ioctl(struct vm *vm, union ioctl_arg arg);
typedef int vcpu_ioctl(struct vcpu *v, union ioctl_arg arg);

#define SYSTEM(request, argument, handler) system_ioctl handler;
#define VM(request, argument, handler)     vm_ioctl handler;
#define VCPU(request, argument, handler)   vcpu_ioctl handler;
#include "hypervisor/api/ioctls.h"

enum {
    MAX_CPUID_ENTRIES = 256, /* KVM_MAX_CPUID_ENTRIES of the kernel */
    MAX_IO_MSRS = 256,       /* KVM_GET_MSRS and KVM_SET_MSRS take fewer than this */
    MAX_IRQ_ROUTES = 4096,
    APIC_BUS_NS = 1,    /* 1 GHz, unless KVM_CAP_X86_APIC_BUS_CYCLES_NS tells another */
    MAX_VCPU_ID = 1024, /* ids are below; an xAPIC's has 8 bits of it */
    MAX_MCE_BANKS = 32,
};
/* IA32_MCG_CAP bits that KVM_X86_SETUP_MCE accepts beside the bank count. */
#define MCG_CAP_SUPPORTED (MCG_CTL_P | MCG_CMCI_P | MCG_SER_P)

/* memory.c: what the slots own, at the VM's end. */
void memory_destroy(struct vm *vm);

/* msr_filter.c: f may be NULL. */
void msr_filter_destroy(struct msr_filter *f);

/* The loop of KVM_GET_MSRS and KVM_SET_MSRS over the client's struct kvm_msrs at user: step is called for
 * each entry until it returns false. Returns how many succeeded, or -errno. */
typedef bool msr_step(struct vcpu *v, struct kvm_msr_entry *e);
int msrs_for_each(struct vcpu *v, u64 user, msr_step *step, bool write_back);

#endif
