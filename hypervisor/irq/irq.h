/* irq.h - the interrupt chips of a VM: two 8259A, IOAPIC, 8254, GSI routing, and a local APIC in each vcpu */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One mutex, irqchip.lock, covers all chips of a VM (IRR and ISR of the local APICs too). A chip that makes
 * an interrupt deliverable calls vcpu_kick(v, REQ_EVENT). All of this may run with a guest's vector state
 * live: see cpu/vcpu.h for what may be called.
 */
#ifndef IRQ_IRQ_H
#define IRQ_IRQ_H

#include <linux/kvm.h>

#include "base/base.h"

struct vm;
struct vcpu;
struct irqchip;

/* irqchip.c: creation and routing. KVM_CREATE_IRQCHIP sets the default routes (api.rst). 0 or -errno. */
int irqchip_create(struct vm *vm);
/* KVM_CAP_SPLIT_IRQCHIP: local APICs alone. PIC and IOAPIC are user space's; it hears of the ends of
 * level-triggered interrupts whose routes are those of the first `pins` GSIs. */
int irqchip_create_split(struct vm *vm, u32 pins);
bool irqchip_has_pic(const struct vm *vm); /* not split */
void irqchip_destroy(struct vm *vm); /* after the vcpus' local APICs, before the timers */
int irqchip_create_pit(struct vm *vm, const struct kvm_pit_config *config);
int irqchip_set_routing(struct vm *vm, const struct kvm_irq_routing_entry *e, unsigned n);
/* KVM_IRQ_LINE: >0 delivered, 0 coalesced, -1 masked; source: 0 for user space, else a chip's own id. */
int irqchip_set_line(struct vm *vm, u32 gsi, bool level);
int irqchip_signal_msi(struct vm *vm, u64 address, u32 data); /* >0 delivered, 0 no target, -errno */
int irqchip_irqfd(struct vm *vm, const struct kvm_irqfd *k); /* irqfd.c */
int irqchip_get(struct vm *vm, struct kvm_irqchip *chip);     /* KVM_GET/SET_IRQCHIP */
int irqchip_set(struct vm *vm, const struct kvm_irqchip *chip);
int irqchip_get_pit2(struct vm *vm, struct kvm_pit_state2 *s);
int irqchip_pit_reinject(struct vm *vm, bool reinject); /* whether ticks that the guest misses are made up for */
int irqchip_set_pit2(struct vm *vm, const struct kvm_pit_state2 *s);

/* Port and MMIO accesses of the guest that a chip in the library answers (PIC 0x20.. 0xa0.. 0x4d0.., PIT
 * 0x40..43 and 0x61, IOAPIC 0xfec00000, the vcpu's APIC page while enabled and not x2APIC). false: nobody
 * here; exit to user space. len: 1, 2, 4 for ports, 1..8 for MMIO. */
bool irqchip_port_read(struct vcpu *v, u16 port, unsigned len, u32 *value);
bool irqchip_port_write(struct vcpu *v, u16 port, unsigned len, u32 value);
bool irqchip_mmio_read(struct vcpu *v, u64 gpa, unsigned len, void *data);
bool irqchip_mmio_write(struct vcpu *v, u64 gpa, unsigned len, const void *data);

/* lapic.c (SDM 3A ch. 10). A vcpu of a VM with an irqchip has one. */
int lapic_create(struct vcpu *v); /* 0 or -errno; state as after reset */
void lapic_destroy(struct vcpu *v);
void lapic_reset(struct vcpu *v, bool init); /* init: INIT keeps APIC_BASE and the ID */
/* What the run loop asks before each entry, IF permitting: the vector to deliver now, by PPR, or from the PIC
 * through LINT0/ExtINT; -1: none. Does not change state. */
int lapic_pending(struct vcpu *v);
/* Takes that interrupt: IRR -> ISR, or the PIC's INTA cycle; returns the vector (spurious included). */
int lapic_accept(struct vcpu *v);
/* Takes what INIT and SIPI messages left, as one step: first do LAPIC_INIT (vcpu_reset), then LAPIC_STARTUP
 * (run from v->sipi_vector, RUNNABLE). The run loop repeats it until it returns 0, so that a SIPI that comes
 * during the reset, which writes mp_state, is not lost. */
enum { LAPIC_INIT = BIT(0), LAPIC_STARTUP = BIT(1) };
unsigned lapic_accept_init(struct vcpu *v);
/* For a PIC in user space: whether this vcpu would take its interrupt; KVM_INTERRUPT, -EEXIST if one waits. */
bool lapic_takes_extint(struct vcpu *v);
int lapic_extint(struct vcpu *v, u8 vector);
/* For an IOAPIC in user space: a vector whose end it is to hear of (KVM_EXIT_IOAPIC_EOI), once; -1: none. */
int lapic_take_user_eoi(struct vcpu *v);
u64 lapic_get_tpr(struct vcpu *v); /* CR8: bits 7:4 of the TPR */
void lapic_set_tpr(struct vcpu *v, u64 cr8);
bool lapic_set_base(struct vcpu *v, u64 value, bool host);  /* IA32_APIC_BASE; false: #GP */
bool lapic_msr_read(struct vcpu *v, u32 index, u64 *value); /* 0x800..0x8ff in x2APIC mode; false: #GP */
bool lapic_msr_write(struct vcpu *v, u32 index, u64 value);
void lapic_set_tsc_deadline(struct vcpu *v, u64 value); /* MSR 0x6e0 */
u64 lapic_get_tsc_deadline(struct vcpu *v);
void lapic_get_state(struct vcpu *v, struct kvm_lapic_state *s); /* KVM_GET_LAPIC, KVM_SET_LAPIC */
int lapic_set_state(struct vcpu *v, const struct kvm_lapic_state *s);
void lapic_nmi(struct vcpu *v); /* KVM_NMI and LINT1 */
/* IA32_MCG_CAP was set, which may bring the local vector for corrected machine checks; one has happened. */
void lapic_mcg_cap_changed(struct vcpu *v);
void lapic_cmci(struct vcpu *v);
/* pv_eoi.c: MSR_KVM_PV_EOI_EN, false: #GP; and the vcpu's thread leaves guest code, to wait or for good. */
bool pv_eoi_write(struct vcpu *v, u64 msr);
void pv_eoi_leave(struct vcpu *v);
/* vapic.c: KVM_SET_VAPIC_ADDR, KVM_TPR_ACCESS_REPORTING; and the vcpu goes on to guest code. */
int vapic_set_address(struct vcpu *v, u64 address);
int vapic_report_accesses(struct vcpu *v, bool on);
void vapic_enter(struct vcpu *v);
/* KVM_HC_SEND_IPI (apic_bus.c): to the APICs with ids from first on whose bit is set, the bits being in two words of
 * so many. How many took it, or -KVM_E. */
int lapic_send_many(struct vcpu *v, const u64 *bits, unsigned in_word, u64 first, u32 icr);
/* The TSC jumped (tsc_offset changed): timers in TSC-deadline mode are rearmed. */
void lapic_tsc_changed(struct vcpu *v);

/* kvmclock.c: paravirtual clock pages (Documentation/virt/kvm/x86/msr.rst), both MSR generations. */
void kvmclock_write_wall_clock(struct vm *vm, u64 msr);
void kvmclock_update(
    struct vcpu *v);             /* rewrites the VM's pages: when this vcpu's TSC or the clock has changed */
u64 kvmclock_now(struct vm *vm); /* KVM_GET_CLOCK */
void kvmclock_set(struct vm *vm, u64 ns); /* also when the VM is created, with 0; rewrites all vcpus' pages */
u32 host_tsc_khz(void);                   /* measured once, or from the hypervisor's CPUID leaf or sysfs */

#endif
