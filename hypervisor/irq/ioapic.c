/* ioapic.c - I/O APIC of 24 pins (Intel 82093AA data sheet) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/irq/chips.h"

enum { IOREGSEL = 0x00, IOWIN = 0x10 };
enum { IOAPICID, IOAPICVER, IOAPICARB, IOREDTBL = 0x10 };
enum { VERSION = 0x11 | (IOAPIC_PINS - 1) << 16 };

/* Fields of a redirection table entry. */
#define ENTRY_LOGICAL    BIT(11)
#define ENTRY_STATUS     BIT(12)
#define ENTRY_REMOTE_IRR BIT(14)
#define ENTRY_LEVEL      BIT(15)
#define ENTRY_MASKED     BIT(16)
#define ENTRY_READ_ONLY  (ENTRY_STATUS | ENTRY_REMOTE_IRR)
#define ENTRY_WRITABLE   ((MASK(63, 56) | MASK(16, 0)) & ~ENTRY_READ_ONLY)

static __u64 *ioapic_entry(struct irqchip *c, unsigned pin)
{
    return &c->ioapic.state.redirtbl[pin].bits;
}

/* Sends a pin's interrupt. A level-triggered one then waits for its EOI; without a taker it is offered again
 * when the line or the entry changes. -1: masked, waiting, or nobody there. */
static int ioapic_send(struct irqchip *c, unsigned pin)
{
    __u64 *entry = ioapic_entry(c, pin);
    u64 e = *entry;
    struct apic_message m = {
        .destination = (u32)(e >> 56),
        .logical = e & ENTRY_LOGICAL,
        .mode = e >> 8 & 7,
        .vector = (u8)e,
        .level_triggered = e & ENTRY_LEVEL,
    };
    int result;

    if ((e & ENTRY_MASKED) || ((e & ENTRY_LEVEL) && (e & ENTRY_REMOTE_IRR)))
        return -1;
    result = apic_send(c, &m);
    if (!(e & ENTRY_LEVEL))
        c->ioapic.delivered |= (u32)BIT(pin);
    else if (result >= 0)
        *entry |= ENTRY_REMOTE_IRR;
    return result;
}

bool ioapic_sends(const struct irqchip *c, u8 vector)
{
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
        u64 e = c->ioapic.state.redirtbl[pin].bits;

        if ((u8)e == vector && !(e & ENTRY_MASKED))
            return true;
    }
    return false;
}

int ioapic_set_line(struct irqchip *c, unsigned pin, enum line_source source, bool level)
{
    struct ioapic *io = &c->ioapic;
    bool high = line_drive(&io->sources[pin], source, level), was = io->state.irr & BIT(pin);

    if (!high) {
        io->state.irr &= ~(u32)BIT(pin);
        return 1;
    }
    io->state.irr |= (u32)BIT(pin);
    if (!(*ioapic_entry(c, pin) & ENTRY_LEVEL)) {
        if (was)
            return 0;
        io->delivered &= ~(u32)BIT(pin);
    }
    return ioapic_send(c, pin);
}

/* A local APIC ended this vector. Only level-triggered pins see it, the PIT, which counts its ticks, and
 * irqfds that resample. */
void ioapic_eoi(struct irqchip *c, u8 vector, bool level)
{
    u32 edge = c->resample_ioapic_pins | (c->pit.acked ? 0 : c->pit_ioapic_pins);
    u32 pins = level ? (u32)MASK(IOAPIC_PINS - 1, 0) : edge;

    for (; pins; pins &= pins - 1) {
        unsigned pin = (unsigned)__builtin_ctz(pins);
        __u64 *entry = ioapic_entry(c, pin);

        if ((u8)*entry != vector)
            continue;
        if (c->pit_ioapic_pins & BIT(pin))
            pit_acked(c);
        if (c->resample_ioapic_pins & BIT(pin))
            irqfds_acked(c, KVM_IRQCHIP_IOAPIC, pin);
        if (!level || !(*entry & ENTRY_LEVEL))
            continue;
        *entry &= ~ENTRY_REMOTE_IRR;
        if (c->ioapic.state.irr & BIT(pin))
            ioapic_send(c, pin);
    }
}

/* Guests clear a stuck remote IRR by switching the entry to edge and back. */
static void ioapic_write_entry(struct irqchip *c, unsigned pin, u64 value, u64 half)
{
    __u64 *entry = ioapic_entry(c, pin);
    u64 old = *entry;

    half &= ENTRY_WRITABLE;
    *entry = (old & ~half) | (value & half);
    if (!(*entry & ENTRY_LEVEL))
        *entry &= ~ENTRY_REMOTE_IRR;
    if ((old & ENTRY_MASKED) && !(*entry & ENTRY_MASKED) && (c->pit_ioapic_pins & BIT(pin)))
        pit_unmasked(c);
    if ((*entry & ENTRY_LEVEL) && (c->ioapic.state.irr & BIT(pin)))
        ioapic_send(c, pin);
}

static void ioapic_write_register(struct irqchip *c, u8 index, u32 value)
{
    unsigned pin = (index - IOREDTBL) >> 1;

    if (index == IOAPICID)
        c->ioapic.state.id = value >> 24 & 0xf;
    else if (index >= IOREDTBL && pin < IOAPIC_PINS)
        ioapic_write_entry(c, pin, (u64)value << (index & 1 ? 32 : 0),
                           index & 1 ? MASK(63, 32) : MASK(31, 0));
}

static u32 ioapic_read_register(struct irqchip *c, u8 index)
{
    unsigned pin = (index - IOREDTBL) >> 1;

    if (index == IOAPICVER)
        return VERSION;
    if (index == IOAPICID || index == IOAPICARB)
        return (c->ioapic.state.id & 0xf) << 24;
    if (index >= IOREDTBL && pin < IOAPIC_PINS)
        return (u32)(*ioapic_entry(c, pin) >> (index & 1 ? 32 : 0));
    return 0;
}

u32 ioapic_read(struct irqchip *c, u32 offset)
{
    if (offset == IOREGSEL)
        return c->ioapic.state.ioregsel;
    return offset == IOWIN ? ioapic_read_register(c, (u8)c->ioapic.state.ioregsel) : 0;
}

void ioapic_write(struct irqchip *c, u32 offset, u32 value)
{
    if (offset == IOREGSEL)
        c->ioapic.state.ioregsel = value & 0xff;
    else if (offset == IOWIN)
        ioapic_write_register(c, (u8)c->ioapic.state.ioregsel, value);
}

/* irr in the state holds what still has to be sent. */
void ioapic_get_state(const struct irqchip *c, struct kvm_ioapic_state *s)
{
    *s = c->ioapic.state;
    s->irr &= ~c->ioapic.delivered;
}

void ioapic_set_state(struct irqchip *c, const struct kvm_ioapic_state *s)
{
    c->ioapic.state = *s;
    c->ioapic.delivered = 0;
    for (u32 pins = s->irr & (u32)MASK(IOAPIC_PINS - 1, 0); pins; pins &= pins - 1)
        ioapic_send(c, (unsigned)__builtin_ctz(pins));
}

void ioapic_reset(struct irqchip *c)
{
    c->ioapic = (struct ioapic){.state.base_address = 0xfec00000};
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++)
        *ioapic_entry(c, pin) = ENTRY_MASKED;
}
