/* pic.c - two cascaded 8259A interrupt controllers (Intel 8259A data sheet; ELCR: Intel ICH data sheets) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/irq/chips.h"

enum { MASTER, SLAVE, CASCADE_PIN = 2, SPURIOUS_PIN = 7, NO_PIN = 8 };
enum { ICW1 = BIT(4), ICW1_IC4 = BIT(0), ICW4_AEOI = BIT(1), ICW4_SFNM = BIT(4) };
enum {
    OCW3 = BIT(3),
    OCW3_RIS = BIT(0),
    OCW3_RR = BIT(1),
    OCW3_POLL = BIT(2),
    OCW3_SMM = BIT(5),
    OCW3_ESMM = BIT(6)
};
enum { AWAIT_NOTHING, AWAIT_ICW2, AWAIT_ICW3, AWAIT_ICW4 }; /* kvm_pic_state.init_state */

/* The rank of the highest-priority pin in mask, 0 the highest; NO_PIN: none. Rank r is pin (r + priority_add)
 * % 8. */
static unsigned pic_rank(const struct kvm_pic_state *s, u8 mask)
{
    unsigned rank = 0;

    while (rank < 8 && !(mask & BIT((rank + s->priority_add) & 7)))
        rank++;
    return rank;
}

/* The pin that makes the chip raise INT now, or -1: the best request that nothing in service blocks. */
static int pic_request(const struct irqchip *c, unsigned chip)
{
    const struct kvm_pic_state *s = &c->pic.chip[chip];
    unsigned rank = pic_rank(s, s->irr & (u8)~s->imr);
    u8 blocking = s->isr;

    if (s->special_mask)
        blocking &= (u8)~s->imr;
    if (s->special_fully_nested_mode && chip == MASTER)
        blocking &= (u8)~BIT(CASCADE_PIN);
    if (rank == NO_PIN || rank >= pic_rank(s, blocking))
        return -1;
    return (int)((rank + s->priority_add) & 7);
}

/* The slave's INT is the master's IR2; the master's INT goes to LINT0 of all CPUs. */
static void pic_update(struct irqchip *c)
{
    struct kvm_pic_state *m = &c->pic.chip[MASTER];
    bool cascade = pic_request(c, SLAVE) >= 0;

    m->irr = (u8)((m->irr & ~BIT(CASCADE_PIN)) | (u8)cascade << CASCADE_PIN);
    c->pic.output = pic_request(c, MASTER) >= 0;
    for (unsigned i = 0; c->pic.output && i < c->lapics; i++)
        lapic_pic_raised(c->lapic[i]);
}

static void pic_clear_isr(struct irqchip *c, unsigned chip, unsigned pin)
{
    c->pic.chip[chip].isr &= (u8)~BIT(pin);
    if (c->pit_pic_pins & BIT(chip * 8 + pin))
        pit_acked(c);
    if (c->resample_pic_pins & BIT(chip * 8 + pin))
        irqfds_acked(c, KVM_IRQCHIP_PIC_MASTER, chip * 8 + pin);
}

int pic_set_line(struct irqchip *c, unsigned pin, enum line_source source, bool level)
{
    struct kvm_pic_state *s = &c->pic.chip[pin >> 3];
    u8 mask = (u8)BIT(pin & 7);
    bool high = line_drive(&c->pic.sources[pin], source, level);
    bool fresh = !(s->irr & mask);
    int result = 1;

    if (high && ((s->elcr & mask) || !(s->last_irr & mask))) {
        s->irr |= mask;
        result = fresh;
    } else if (!high && (s->elcr & mask)) {
        s->irr &= (u8)~mask;
    }
    s->last_irr = (u8)(high ? s->last_irr | mask : s->last_irr & ~mask);
    pic_update(c);
    return s->imr & mask ? -1 : result;
}

int pic_vector(const struct irqchip *c)
{
    int pin = pic_request(c, MASTER), slave_pin;

    if (pin != CASCADE_PIN)
        return c->pic.chip[MASTER].irq_base + (pin < 0 ? SPURIOUS_PIN : pin);
    slave_pin = pic_request(c, SLAVE);
    return c->pic.chip[SLAVE].irq_base + (slave_pin < 0 ? SPURIOUS_PIN : slave_pin);
}

/* One chip's part of the INTA cycle. */
static void pic_take(struct irqchip *c, unsigned chip, unsigned pin)
{
    struct kvm_pic_state *s = &c->pic.chip[chip];

    s->isr |= (u8)BIT(pin);
    if (!(s->elcr & BIT(pin)))
        s->irr &= (u8)~BIT(pin);
    if (s->auto_eoi) {
        if (s->rotate_on_auto_eoi)
            s->priority_add = (pin + 1) & 7;
        pic_clear_isr(c, chip, pin);
    }
}

int pic_acknowledge(struct irqchip *c)
{
    int vector = pic_vector(c), pin = pic_request(c, MASTER), slave_pin;

    if (pin == CASCADE_PIN) {
        slave_pin = pic_request(c, SLAVE);
        if (slave_pin >= 0)
            pic_take(c, SLAVE, (unsigned)slave_pin);
    }
    if (pin >= 0)
        pic_take(c, MASTER, (unsigned)pin);
    pic_update(c);
    return vector;
}

/* ICW1: the edge-sense circuit, the mask and the modes are cleared; level-triggered requests stay. */
static void pic_start_init(struct irqchip *c, unsigned chip, bool icw4)
{
    struct kvm_pic_state *s = &c->pic.chip[chip];

    *s = (struct kvm_pic_state){
        .irr = s->irr & s->elcr,
        .irq_base = s->irq_base,
        .init_state = AWAIT_ICW2,
        .init4 = icw4,
        .elcr = s->elcr,
        .elcr_mask = s->elcr_mask,
    };
    if (c->pit_pic_pins >> (chip * 8) & 0xff)
        pit_acked(c);
}

static void pic_write_icw(struct kvm_pic_state *s, u8 value)
{
    switch (s->init_state) {
    case AWAIT_ICW2:
        s->irq_base = value & 0xf8;
        s->init_state = AWAIT_ICW3;
        break;
    case AWAIT_ICW3: s->init_state = s->init4 ? AWAIT_ICW4 : AWAIT_NOTHING; break;
    case AWAIT_ICW4:
        s->auto_eoi = !!(value & ICW4_AEOI);
        s->special_fully_nested_mode = !!(value & ICW4_SFNM);
        s->init_state = AWAIT_NOTHING;
        break;
    }
}

/* A non-specific EOI ends the highest-priority pin in service; in special mask mode, of those not masked. */
static void pic_eoi(struct irqchip *c, unsigned chip, bool specific, unsigned pin, bool rotate)
{
    struct kvm_pic_state *s = &c->pic.chip[chip];

    if (!specific) {
        unsigned rank = pic_rank(s, s->special_mask ? s->isr & (u8)~s->imr : s->isr);

        if (rank == NO_PIN)
            return;
        pin = (rank + s->priority_add) & 7;
    }
    if (rotate)
        s->priority_add = (pin + 1) & 7;
    pic_clear_isr(c, chip, pin);
}

/* OCW2: bits 7:5 are rotate, specific, EOI; bits 2:0 a pin. */
static void pic_write_ocw2(struct irqchip *c, unsigned chip, u8 value)
{
    struct kvm_pic_state *s = &c->pic.chip[chip];
    unsigned pin = value & 7;

    switch (value >> 5) {
    case 0: s->rotate_on_auto_eoi = false; break;
    case 4: s->rotate_on_auto_eoi = true; break;
    case 1: pic_eoi(c, chip, false, 0, false); break;
    case 5: pic_eoi(c, chip, false, 0, true); break;
    case 3: pic_eoi(c, chip, true, pin, false); break;
    case 7: pic_eoi(c, chip, true, pin, true); break;
    case 6: s->priority_add = (pin + 1) & 7; break;
    }
}

static void pic_write_ocw3(struct kvm_pic_state *s, u8 value)
{
    s->poll = !!(value & OCW3_POLL);
    if (value & OCW3_RR)
        s->read_reg_select = value & OCW3_RIS;
    if (value & OCW3_ESMM)
        s->special_mask = !!(value & OCW3_SMM);
}

static void pic_write_mask(struct irqchip *c, unsigned chip, u8 value)
{
    struct kvm_pic_state *s = &c->pic.chip[chip];
    u8 unmasked = s->imr & (u8)~value;

    s->imr = value;
    if (c->pit_pic_pins >> (chip * 8) & unmasked)
        pit_unmasked(c);
}

void pic_write(struct irqchip *c, u16 port, u8 value)
{
    unsigned chip = port >= 0xa0;
    struct kvm_pic_state *s = &c->pic.chip[chip];

    if (port & 1) {
        if (s->init_state != AWAIT_NOTHING)
            pic_write_icw(s, value);
        else
            pic_write_mask(c, chip, value);
    } else if (value & ICW1) {
        pic_start_init(c, chip, value & ICW1_IC4);
    } else if (value & OCW3) {
        pic_write_ocw3(s, value);
    } else {
        pic_write_ocw2(c, chip, value);
    }
    pic_update(c);
}

/* The read that follows a poll command is an INTA cycle: bit 7 says whether there was a request, bits 2:0
 * which. */
static u8 pic_poll(struct irqchip *c, unsigned chip)
{
    int pin = pic_request(c, chip);

    c->pic.chip[chip].poll = 0;
    if (pin < 0)
        return 0;
    pic_take(c, chip, (unsigned)pin);
    pic_update(c);
    return (u8)(0x80 | pin);
}

u8 pic_read(struct irqchip *c, u16 port)
{
    unsigned chip = port >= 0xa0;
    const struct kvm_pic_state *s = &c->pic.chip[chip];

    if (s->poll)
        return pic_poll(c, chip);
    if (port & 1)
        return s->imr;
    return s->read_reg_select ? s->isr : s->irr;
}

u8 pic_elcr_read(struct irqchip *c, u16 port)
{
    return c->pic.chip[port & 1].elcr;
}

void pic_elcr_write(struct irqchip *c, u16 port, u8 value)
{
    struct kvm_pic_state *s = &c->pic.chip[port & 1];

    s->elcr = value & s->elcr_mask;
    pic_update(c);
}

void pic_set_state(struct irqchip *c, unsigned chip, const struct kvm_pic_state *s)
{
    c->pic.chip[chip] = *s;
    c->pic.chip[chip].priority_add &= 7;
    pic_update(c);
}

/* As KVM creates them: the pins that can be level-triggered leave out those that the board's own devices use.
 */
void pic_reset(struct irqchip *c)
{
    c->pic = (struct pic){.chip[MASTER].elcr_mask = 0xf8, .chip[SLAVE].elcr_mask = 0xde};
}
