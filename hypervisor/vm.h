/* vm.h - one virtual machine of the library: memory slots, vcpus, interrupt chips, clock */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HYPERVISOR_VM_H
#define HYPERVISOR_VM_H

#include "hypervisor/cpu/vcpu.h"
#include "hypervisor/gate.h"

enum { VM_MAX_VCPUS = 512, VM_MAX_SLOTS = 509 }; /* slots: in each address space */

struct memslot {
    u32 id, flags; /* with the address space in bits 31:16; KVM_MEM_* */
    gpa base;
    u64 pages;
    u8 *host;
    u64 *dirty; /* bitmap when KVM_MEM_LOG_DIRTY_PAGES, else NULL */
};

/* Slots sorted by base. Changed only between vm_stop_vcpus and vm_resume_vcpus, so vcpus read it without a
 * lock. */
struct memory {
    struct memslot slot[VM_MAX_SLOTS];
    unsigned count;
};

/* The second one is what a vcpu in system management mode has in its place. */
enum { ADDRESS_SPACES = 2 };

struct msr_filter; /* cpu/msr_exit.h */
struct irqchip;    /* PIC, IOAPIC, PIT and GSI routing: irq/irq.h */
struct timers;
struct io_bus; /* api/io_bus.h */
struct engine;
struct backing;

struct vm {
    int fd;
    pthread_mutex_t lock; /* the VM's ioctls, one at a time; taken before any vcpu's lock */
    struct memory memory[ADDRESS_SPACES];
    struct vcpu *vcpu[VM_MAX_VCPUS]; /* made while others run: first the pointer, then the count */
    _Atomic unsigned vcpu_count;
    struct gate gate;
    struct irqchip *irqchip; /* NULL until KVM_CREATE_IRQCHIP (or split) */
    struct io_bus *io_bus;
    struct timers *timers;   /* timer.h: one helper thread, started at KVM_CREATE_VM */
    struct engine *engine;   /* translate/engine.h */
    struct backing *backing; /* direct/backing.h; NULL: no direct execution */
    u64 tss_addr, identity_map_addr;
    u32 boot_cpu_id;
    u32 manual_dirty_log;           /* KVM_DIRTY_LOG_*: KVM_GET_DIRTY_LOG does not clear */
    u32 dirty_ring_bytes;           /* of each vcpu; 0: written pages are only in the bitmaps */
    u32 max_vcpu_ids;               /* of KVM_ENABLE_CAP; 0: not told */
    u64 quirks_off;                 /* KVM_X86_QUIRK_*: where the guest is to find a processor, and not KVM */
    u32 apic_bus_ns;                /* the period of the clock that local APICs' timers count */
    u32 halt_poll_ns;               /* KVM_CAP_HALT_POLL: how long HLT waits awake at most */
    u32 user_space_msr;             /* KVM_MSR_EXIT_REASON_*: why RDMSR and WRMSR leave KVM_RUN */
    struct msr_filter *msr_filter;  /* NULL: all are allowed; changed as memory is */
    bool no_hlt_exits;              /* KVM_X86_DISABLE_EXITS_HLT */
    bool no_platform_info;          /* KVM_CAP_MSR_PLATFORM_INFO: guests may not read it */
    bool exit_on_emulation_failure; /* KVM_CAP_EXIT_ON_EMULATION_FAILURE */
    bool exception_payload;         /* KVM_CAP_EXCEPTION_PAYLOAD: CR2 and DR6 travel with the exception */
    bool triple_fault_event;        /* KVM_CAP_X86_TRIPLE_FAULT_EVENT */
    bool x2apic_ids_32bit;          /* KVM_X2APIC_API_USE_32BIT_IDS */
    bool x2apic_no_broadcast_quirk; /* KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK */
    s64 clock_offset;               /* kvmclock = host_now_ns() + clock_offset */
    int stats_file;                 /* api/stats_fd.c; 0: nobody has asked for it */
    u32 tsc_khz;                    /* of new vcpus */
    _Atomic u64 generation;         /* of guest memory as written by others than vcpus: see cache.h */
    _Atomic bool told;              /* of these writes, but before KVM_RUN is entered (api/writes.c) */
    _Atomic bool dead;              /* KVM_BUG, or an SMI that nothing takes: every ioctl is EIO */
    /* Held for writing while memory changes, for reading by ioctls of vcpus that reach guest memory: these,
     * unlike KVM_RUN, are not stopped by vm_stop_vcpus. After vm->lock and a vcpu's lock. */
    pthread_rwlock_t slots_lock;
};

/* What KVM has always done, and no processor (api.rst 7.31): unless user space has switched it off. */
static inline bool vm_has_quirk(const struct vm *vm, u64 quirk)
{
    return !(vm->quirks_off & quirk);
}

static inline struct memory *vm_memory(struct vm *vm)
{
    return &vm->memory[0];
}
/* What the vcpu sees now. */
static inline struct memory *vcpu_memory(const struct vcpu *v)
{
    return &v->vm->memory[v->smm.active];
}
/* memory.c (api/): the slot that holds gpa, or NULL. */
struct memslot *memory_find(const struct memory *m, gpa a);
/* The one of this number, which may be any, or NULL. With vm->lock. */
struct memslot *memory_slot(struct vm *vm, u32 id);
/* The guest, on vcpu v, writes to the page of a, in slot s: noted when the slot logs them. Any thread. */
void memory_mark_dirty(struct vcpu *v, struct memslot *s, gpa a);
/* With vm->lock: between the two, no vcpu runs and no ioctl of one reaches guest memory; then all TLBs are
 * empty. */
void memory_change_begin(struct vm *vm);
void memory_change_end(struct vm *vm);

#endif
