/* chips.h - what the interrupt chips tell one another: private to irq/ */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * All functions here but those of lapic.c's and pit.c's own threads are called with irqchip.lock held. Under
 * it only timer_arm and vcpu_kick take further locks.
 *
 * A device's wire reaches the chips as a GSI. The routing table turns it into pins of the PIC and the IOAPIC,
 * or into an MSI. A pin has several sources, and is high while one of them drives it.
 */
#ifndef IRQ_CHIPS_H
#define IRQ_CHIPS_H

#include "hypervisor/irq/irq.h"
#include "hypervisor/timer.h"
#include "hypervisor/vm.h"

enum { PIC_PINS = 16, IOAPIC_PINS = KVM_IOAPIC_NUM_PINS, GSI_COUNT = 4096, ROUTES_MAX = 4096 };
enum { PIT_HZ = 1193182, NS_PER_SECOND = 1000000000 };
/* KVM lets no timer of a guest tick faster than this (min_timer_period_us). */
enum { MIN_PERIOD_NS = 200000 };

enum line_source { SOURCE_USER, SOURCE_PIT, SOURCE_RESAMPLE };

struct pic {
    struct kvm_pic_state chip[2]; /* master, slave */
    u8 sources[PIC_PINS];
    bool output; /* INT of the master */
};

struct ioapic {
    struct kvm_ioapic_state state;
    u32 delivered; /* edge-triggered pins whose irr bit has been sent already */
    u8 sources[IOAPIC_PINS];
};

struct pit_channel {
    struct kvm_pit_channel_state s; /* count: in clocks, 1 to 65536, already converted from BCD */
    u64 elapsed;                    /* ns counted when it last stood still */
    bool counting;                  /* since s.count_load_time */
    bool null_count;                /* a mode was written, and no count since */
};

struct pit {
    struct pit_channel channel[3];
    u32 flags; /* KVM_PIT_FLAGS_* */
    struct timer timer;
    u64 deadline; /* of channel 0's next interrupt, host ns; 0: none */
    u64 periods;  /* of channel 0 that have been accounted for since its count was loaded */
    u64 pending;  /* ticks that the guest has not taken yet */
    bool discard; /* missed ticks are lost: a tick does not wait for the one before (KVM_REINJECT_CONTROL) */
    bool acked;   /* the guest has taken the last tick sent */
};

struct route {
    u32 type; /* KVM_IRQ_ROUTING_* */
    u32 chip, pin;
    u64 address;
    u32 data;
    u16 next; /* of the same GSI: index + 1, 0 ends */
};

struct lapic {
    struct vcpu *v;
    struct irqchip *chips;
    u32 reg[256];       /* the register page as kvm_lapic_state lays it out, by offset / 4 */
    u32 errors;         /* found since the ESR was written last */
    int user_extint;    /* the vector of KVM_INTERRUPT, which waits for its INTA; -1: none */
    u64 user_eoi[4];    /* vectors that a user-space IOAPIC is to hear the end of */
    bool extint;        /* an ExtINT message came: the next interrupt is the PIC's */
    bool tpr_reports;   /* vapic.c: the client hears of accesses to the TPR */
    u64 vapic;          /* where the guest keeps its TPR; 0: in the register */
    bool pv_eoi;        /* pv_eoi.c: the guest may end the interrupt in service by its bit */
    bool wait_for_sipi; /* an INIT came, and no SIPI since */
    bool startup;       /* a SIPI came: v->sipi_vector */
    u32 arbitration;    /* lowest-priority interrupts won so far */
    struct timer timer;
    u64 expires; /* host ns; 0: the timer does not run */
};

enum { PRESENT_PIT = BIT(0), PRESENT_SPEAKER = BIT(1), PRESENT_PIC = BIT(2) /* and the IOAPIC */ };

struct irqchip {
    pthread_mutex_t lock;
    struct vm *vm;
    u32 present;   /* what there is besides the local APICs */
    u32 user_pins; /* of a user-space IOAPIC, without PRESENT_PIC */
    struct irqfds *irqfds;
    struct pic pic;
    struct ioapic ioapic;
    struct pit pit;
    struct lapic *lapic[VM_MAX_VCPUS];
    unsigned lapics;
    u32 pit_pic_pins, pit_ioapic_pins;           /* those that GSI 0 is routed to */
    u32 resample_pic_pins, resample_ioapic_pins; /* those of resampled irqfds */
    u16 gsi[GSI_COUNT];                          /* first route: index + 1, 0: none */
    struct route route[ROUTES_MAX];
};

/* irqchip.c */
/* >0 delivered, 0 coalesced, -1 masked or not routed. */
int irqchip_line(struct irqchip *c, u32 gsi, enum line_source source, bool level);
/* A pin's sources after one has changed: whether it is high. */
static inline bool line_drive(u8 *sources, enum line_source source, bool level)
{
    *sources = (u8)((*sources & ~BIT(source)) | (u8)level << source);
    return *sources;
}

/* A local APIC has ended an interrupt: the IOAPIC, here or in user space, hears of it. */
void irqchip_eoi(struct lapic *l, u8 vector, bool level);

/* irqfd.c */
int irqfds_create(struct irqchip *c);
void irqfds_destroy(struct irqchip *c);                  /* the lock not held */
void irqfds_acked(struct irqchip *c, u32 chip, u32 pin); /* the guest has ended an interrupt of this pin */
void irqfds_update_pins(struct irqchip *c);              /* routes have changed */

/* pic.c */
void pic_reset(struct irqchip *c);
int pic_set_line(struct irqchip *c, unsigned pin, enum line_source source, bool level);
int pic_vector(const struct irqchip *c); /* what the INTA cycle would answer now */
int pic_acknowledge(struct irqchip *c);  /* the INTA cycle */
u8 pic_read(struct irqchip *c, u16 port);
void pic_write(struct irqchip *c, u16 port, u8 value);
u8 pic_elcr_read(struct irqchip *c, u16 port);
void pic_elcr_write(struct irqchip *c, u16 port, u8 value);
void pic_set_state(struct irqchip *c, unsigned chip, const struct kvm_pic_state *s);

/* ioapic.c */
void ioapic_reset(struct irqchip *c);
int ioapic_set_line(struct irqchip *c, unsigned pin, enum line_source source, bool level);
void ioapic_eoi(struct irqchip *c, u8 vector, bool level);
bool ioapic_sends(const struct irqchip *c, u8 vector); /* a pin that is not masked has it */
u32 ioapic_read(struct irqchip *c, u32 offset);
void ioapic_write(struct irqchip *c, u32 offset, u32 value);
void ioapic_get_state(const struct irqchip *c, struct kvm_ioapic_state *s);
void ioapic_set_state(struct irqchip *c, const struct kvm_ioapic_state *s);

/* pit.c */
void pit_init(struct irqchip *c);
u8 pit_read(struct irqchip *c, u16 port);
void pit_write(struct irqchip *c, u16 port, u8 value);
u8 pit_speaker_read(struct irqchip *c, u16 port);
void pit_speaker_write(struct irqchip *c, u16 port, u8 value);
void pit_acked(struct irqchip *c);    /* the guest has ended an interrupt of a pin that GSI 0 is routed to */
void pit_unmasked(struct irqchip *c); /* ... has unmasked it */
void pit_get_state(const struct irqchip *c, struct kvm_pit_state2 *s);
void pit_set_state(struct irqchip *c, const struct kvm_pit_state2 *s);

/* apic_bus.c: messages to local APICs (SDM 3A 10.6, 10.7, 10.11). */
enum delivery_mode { DM_FIXED, DM_LOWEST, DM_SMI, DM_NMI = 4, DM_INIT, DM_STARTUP, DM_EXTINT };
enum shorthand { TO_DESTINATION, TO_SELF, TO_ALL, TO_OTHERS };
struct apic_message {
    u32 destination;
    enum shorthand shorthand;
    struct lapic *source; /* of an IPI; NULL: IOAPIC or MSI */
    u8 mode, vector;
    bool logical, level_triggered, deassert;
    bool redirect; /* one of the destinations will do (MSI redirection hint) */
};
/* How many local APICs took it; 0: they had that vector pending already; -1: nobody accepts it. */
int apic_send(struct irqchip *c, const struct apic_message *m);
int apic_send_msi(struct irqchip *c, u64 address, u32 data);
void apic_send_ipi(struct lapic *l, u32 icr, u32 destination);

/* lapic.c */
enum {
    APIC_ID = 0x20,
    APIC_VERSION = 0x30,
    APIC_TPR = 0x80,
    APIC_PPR = 0xa0,
    APIC_LDR = 0xd0,
    APIC_DFR = 0xe0,
    APIC_SVR = 0xf0,
    APIC_ISR = 0x100,
    APIC_TMR = 0x180,
    APIC_IRR = 0x200,
    APIC_ESR = 0x280,
    APIC_LVT_CMCI = 0x2f0,
    APIC_ICR = 0x300,
    APIC_ICR2 = 0x310,
    APIC_LVT_TIMER = 0x320,
    APIC_LVT_LINT0 = 0x350,
    APIC_LVT_LINT1 = 0x360,
    APIC_LVT_ERROR = 0x370,
    APIC_INITIAL_COUNT = 0x380,
    APIC_CURRENT_COUNT = 0x390,
    APIC_DIVIDE = 0x3e0,
};
enum { LVT_MASKED = BIT(16), LVT_PERIODIC = BIT(17), LVT_TSC_DEADLINE = BIT(18), LVT_TIMER_MODE = 3 << 17 };
enum { BASE_BSP = BIT(8), BASE_EXTD = BIT(10), BASE_EN = BIT(11) };
enum { ESR_SEND_VECTOR = BIT(5), ESR_RECEIVE_VECTOR = BIT(6), ESR_REGISTER = BIT(7) };

static inline u32 *lapic_reg(struct lapic *l, unsigned offset)
{
    return &l->reg[offset >> 2];
}
static inline bool lapic_hardware_enabled(const struct lapic *l)
{
    return l->v->apic_base & BASE_EN;
}
static inline bool lapic_x2apic(const struct lapic *l)
{
    return (l->v->apic_base & (BASE_EN | BASE_EXTD)) == (BASE_EN | BASE_EXTD);
}
static inline bool lapic_software_enabled(struct lapic *l)
{
    return *lapic_reg(l, APIC_SVR) & BIT(8);
}
u8 lapic_ppr(struct lapic *l);
int lapic_receive(struct lapic *l, const struct apic_message *m); /* 1 taken, 0 pending already, -1 refused */
void lapic_local(struct lapic *l, unsigned lvt); /* an interrupt of this local vector table entry */
void lapic_error(struct lapic *l, u32 esr_bit);
void lapic_pic_raised(struct lapic *l); /* LINT0 went high */
bool lapic_takes_pic(struct lapic *l);
void lapic_kick_if_deliverable(struct lapic *l);
void lapic_eoi(struct lapic *l);
/* vector is in service, edge-triggered, and nothing else is in service or requested. */
bool lapic_is_alone(struct lapic *l, u8 vector);

/* What the guest has told by its memory takes effect: before the local APIC is looked at, by the vcpu's
 * thread. */
void lapic_catch_up(struct lapic *l);
/* The vectors of highest priority requested and in service, or -1. */
void lapic_highest(struct lapic *l, int *irr, int *isr);

/* pv_eoi.c: the vcpu has taken an interrupt; part of lapic_catch_up. */
void pv_eoi_offer(struct lapic *l, u8 vector);
void pv_eoi_take_back(struct lapic *l);

/* vapic.c: part of lapic_catch_up; the guest is to see what has changed; it has accessed the register. */
void vapic_load(struct lapic *l);
void vapic_store(struct lapic *l);
void vapic_before_tpr_read(struct vcpu *v); /* without the lock: may end KVM_RUN */
void vapic_tpr_written(struct lapic *l);

/* lapic_registers.c */
u32 lapic_mmio_read(struct lapic *l, u32 offset);
void lapic_mmio_write(struct lapic *l, u32 offset, u32 value);

/* lapic_timer.c (SDM 3A 10.5.4) */
void lapic_timer_init(struct lapic *l);
void lapic_timer_stop(struct lapic *l);
void lapic_timer_start(struct lapic *l); /* from the initial count, or the TSC deadline */
void lapic_timer_restore(struct lapic *l, u32 count);
u32 lapic_timer_count(struct lapic *l);
void lapic_timer_set_lvt(struct lapic *l, u32 value);
void lapic_timer_set_divide(struct lapic *l, u32 value);

/* kvmclock.c */
u64 tsc_to_ns(u64 ticks);
u64 guest_tsc_to_ns(const struct vcpu *v, u64 ticks); /* of the guest's TSC */

/* a * b / c, rounded down, for quotients below 2^64. */
static inline u64 muldiv(u64 a, u64 b, u64 c)
{
    u64 lo, hi;

    __asm__("mulq %3\n\tdivq %4" : "=&a"(lo), "=&d"(hi) : "0"(a), "r"(b), "r"(c) : "cc");
    return lo;
}

#endif
