/* irqchip.c - the interrupt chips of a VM as a whole: creation, GSI routing, dispatch (api.rst,
 * KVM_CREATE_IRQCHIP) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/irq/chips.h"

#include <errno.h>
#include <stdlib.h>

/* ---- routing ---- */

static int route_line(struct irqchip *c, const struct route *r, enum line_source source, bool level)
{
    if (r->type == KVM_IRQ_ROUTING_MSI)
        return level ? apic_send_msi(c, r->address, r->data) : -1;
    if (r->chip == KVM_IRQCHIP_IOAPIC)
        return ioapic_set_line(c, r->pin, source, level);
    return pic_set_line(c, r->pin, source, level);
}

int irqchip_line(struct irqchip *c, u32 gsi, enum line_source source, bool level)
{
    int result = -1;

    if (gsi >= GSI_COUNT)
        return -1;
    for (unsigned i = c->gsi[gsi]; i; i = c->route[i - 1].next) {
        int r = route_line(c, &c->route[i - 1], source, level);

        if (r >= 0)
            result = max(result, 0) + r;
    }
    return result;
}

int irqchip_set_line(struct vm *vm, u32 gsi, bool level)
{
    struct irqchip *c = vm->irqchip;
    int result;

    if (!c)
        return -ENXIO;
    pthread_mutex_lock(&c->lock);
    result = irqchip_line(c, gsi, SOURCE_USER, level);
    pthread_mutex_unlock(&c->lock);
    return result;
}

/* KVM_X2APIC_API_USE_32BIT_IDS: bits 7:0 of an MSI's upper address are reserved. */
static bool msi_valid(const struct vm *vm, u32 address_hi)
{
    return !vm->x2apic_ids_32bit || !(address_hi & 0xff);
}

int irqchip_signal_msi(struct vm *vm, u64 address, u32 data)
{
    struct irqchip *c = vm->irqchip;
    int result;

    if (!c)
        return -ENXIO;
    if (!msi_valid(vm, (u32)(address >> 32)))
        return -EINVAL;
    pthread_mutex_lock(&c->lock);
    result = apic_send_msi(c, address, data);
    pthread_mutex_unlock(&c->lock);
    return max(result, 0);
}

static bool route_chip_valid(const struct kvm_irq_routing_entry *e)
{
    u32 chip = e->u.irqchip.irqchip, pin = e->u.irqchip.pin;

    return e->flags == 0 &&
           (chip == KVM_IRQCHIP_IOAPIC ? pin < IOAPIC_PINS
                                       : chip <= KVM_IRQCHIP_PIC_SLAVE && pin < PIC_PINS / 2);
}

/* Whether two routes may share a GSI: only pins of different chips. */
static bool route_compatible(const struct kvm_irq_routing_entry *a, const struct kvm_irq_routing_entry *b)
{
    return a->type == KVM_IRQ_ROUTING_IRQCHIP && b->type == KVM_IRQ_ROUTING_IRQCHIP &&
           a->u.irqchip.irqchip != b->u.irqchip.irqchip;
}

static bool route_valid(const struct irqchip *c, const struct kvm_irq_routing_entry *e)
{
    if (e->gsi >= GSI_COUNT)
        return false;
    if (e->type == KVM_IRQ_ROUTING_MSI)
        return !(e->flags & ~(u32)KVM_MSI_VALID_DEVID) && msi_valid(c->vm, e->u.msi.address_hi);
    return (c->present & PRESENT_PIC) && e->type == KVM_IRQ_ROUTING_IRQCHIP && route_chip_valid(e);
}

static struct route route_make(const struct kvm_irq_routing_entry *e)
{
    if (e->type == KVM_IRQ_ROUTING_MSI)
        return (struct route){
            .type = e->type,
            .address = (u64)e->u.msi.address_hi << 32 | e->u.msi.address_lo,
            .data = e->u.msi.data,
        };
    return (struct route){
        .type = e->type,
        .chip = e->u.irqchip.irqchip,
        .pin = e->u.irqchip.pin + (e->u.irqchip.irqchip == KVM_IRQCHIP_PIC_SLAVE ? PIC_PINS / 2 : 0),
    };
}

/* 0, or -EINVAL with gsi and next half made. gsi[] is all 0 on entry. */
static int routing_link(const struct irqchip *c, const struct kvm_irq_routing_entry *e, unsigned n, u16 *gsi,
                        u16 *next)
{
    for (unsigned i = 0; i < n; i++) {
        if (!route_valid(c, &e[i]))
            return -EINVAL;
        for (unsigned j = gsi[e[i].gsi]; j; j = next[j - 1])
            if (!route_compatible(&e[i], &e[j - 1]))
                return -EINVAL;
        next[i] = gsi[e[i].gsi];
        gsi[e[i].gsi] = (u16)(i + 1);
    }
    return 0;
}

static void routing_install(struct irqchip *c, const struct kvm_irq_routing_entry *e, unsigned n,
                            const u16 *gsi, const u16 *next)
{
    c->pit_pic_pins = c->pit_ioapic_pins = 0;
    for (unsigned i = 0; i < GSI_COUNT; i++)
        c->gsi[i] = gsi[i];
    for (unsigned i = 0; i < n; i++) {
        struct route *r = &c->route[i];

        *r = route_make(&e[i]);
        r->next = next[i];
        if (e[i].gsi == 0 && r->type == KVM_IRQ_ROUTING_IRQCHIP)
            *(r->chip == KVM_IRQCHIP_IOAPIC ? &c->pit_ioapic_pins : &c->pit_pic_pins) |= (u32)BIT(r->pin);
    }
    irqfds_update_pins(c);
}

int irqchip_set_routing(struct vm *vm, const struct kvm_irq_routing_entry *e, unsigned n)
{
    struct irqchip *c = vm->irqchip;
    u16 *links;
    int err;

    if (!c || n > ROUTES_MAX)
        return -EINVAL;
    links = calloc(GSI_COUNT + ROUTES_MAX, sizeof(*links));
    if (!links)
        return -ENOMEM;
    err = routing_link(c, e, n, links, links + GSI_COUNT);
    if (!err) {
        pthread_mutex_lock(&c->lock);
        routing_install(c, e, n, links, links + GSI_COUNT);
        pthread_mutex_unlock(&c->lock);
    }
    free(links);
    return err;
}

/* GSI 0 to 15: that pin of the PIC and of the IOAPIC; 16 to 23: the IOAPIC's. */
static int routing_set_default(struct vm *vm)
{
    struct kvm_irq_routing_entry e[PIC_PINS + IOAPIC_PINS] = {0};
    unsigned n = 0;

    for (u32 gsi = 0; gsi < IOAPIC_PINS; gsi++) {
        e[n].gsi = gsi;
        e[n].type = KVM_IRQ_ROUTING_IRQCHIP;
        e[n].u.irqchip.irqchip = KVM_IRQCHIP_IOAPIC;
        e[n++].u.irqchip.pin = gsi;
        if (gsi >= PIC_PINS)
            continue;
        e[n].gsi = gsi;
        e[n].type = KVM_IRQ_ROUTING_IRQCHIP;
        e[n].u.irqchip.irqchip = gsi < 8 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE;
        e[n++].u.irqchip.pin = gsi & 7;
    }
    return irqchip_set_routing(vm, e, n);
}

/* ---- creation ---- */

static int irqchip_new(struct vm *vm, u32 present)
{
    struct irqchip *c = calloc(1, sizeof(*c));

    if (!c)
        return -ENOMEM;
    c->vm = vm;
    c->present = present;
    pthread_mutex_init(&c->lock, NULL);
    vm->irqchip = c;
    int err = irqfds_create(c);
    if (err)
        irqchip_destroy(vm);
    return err;
}

int irqchip_create(struct vm *vm)
{
    if (vm->irqchip)
        return -EEXIST;
    if (vm->vcpu_count)
        return -EINVAL;
    int err = irqchip_new(vm, PRESENT_PIC);
    if (err)
        return err;
    pic_reset(vm->irqchip);
    ioapic_reset(vm->irqchip);
    vm->irqchip->pit.acked = true;
    err = routing_set_default(vm);
    if (err)
        irqchip_destroy(vm);
    return err;
}

int irqchip_create_split(struct vm *vm, u32 pins)
{
    if (vm->irqchip || vm->vcpu_count)
        return -EEXIST;
    int err = irqchip_new(vm, 0);
    if (!err)
        vm->irqchip->user_pins = pins;
    return err;
}

bool irqchip_has_pic(const struct vm *vm)
{
    return vm->irqchip && (vm->irqchip->present & PRESENT_PIC);
}

void irqchip_destroy(struct vm *vm)
{
    struct irqchip *c = vm->irqchip;

    if (!c)
        return;
    if (c->present & PRESENT_PIT)
        timer_cancel(vm->timers, &c->pit.timer);
    irqfds_destroy(c);
    pthread_mutex_destroy(&c->lock);
    vm->irqchip = NULL;
    free(c);
}

int irqchip_create_pit(struct vm *vm, const struct kvm_pit_config *config)
{
    struct irqchip *c = vm->irqchip;

    if (!irqchip_has_pic(vm))
        return -ENOENT;
    if (c->present & PRESENT_PIT)
        return -EEXIST;
    pthread_mutex_lock(&c->lock);
    pit_init(c);
    c->present |= PRESENT_PIT | (config->flags & KVM_PIT_SPEAKER_DUMMY ? PRESENT_SPEAKER : 0);
    pthread_mutex_unlock(&c->lock);
    return 0;
}

/* ---- ports ---- */

static const struct port_range {
    u16 first, last;
    u32 needs; /* PRESENT_* */
    u8 (*read)(struct irqchip *c, u16 port);
    void (*write)(struct irqchip *c, u16 port, u8 value);
} port_ranges[] = {
    {0x20, 0x21, PRESENT_PIC, pic_read, pic_write},
    {0x40, 0x43, PRESENT_PIT, pit_read, pit_write},
    {0x61, 0x61, PRESENT_SPEAKER, pit_speaker_read, pit_speaker_write},
    {0xa0, 0xa1, PRESENT_PIC, pic_read, pic_write},
    {0x4d0, 0x4d1, PRESENT_PIC, pic_elcr_read, pic_elcr_write},
};

static const struct port_range *port_find(const struct irqchip *c, u16 port)
{
    for (unsigned i = 0; c && i < ARRAY_SIZE(port_ranges); i++) {
        const struct port_range *r = &port_ranges[i];

        if (port >= r->first && port <= r->last)
            return r->needs & ~c->present ? NULL : r;
    }
    return NULL;
}

/* The chips have eight data lines: a wider access is one for each byte, where nobody answers the bus floats
 * high. */
bool irqchip_port_read(struct vcpu *v, u16 port, unsigned len, u32 *value)
{
    struct irqchip *c = v->vm->irqchip;

    if (!port_find(c, port))
        return false;
    *value = 0;
    pthread_mutex_lock(&c->lock);
    for (unsigned i = 0; i < len; i++) {
        u16 p = (u16)(port + i);
        const struct port_range *r = port_find(c, p);

        *value |= (u32)(r ? r->read(c, p) : 0xff) << (8 * i);
    }
    pthread_mutex_unlock(&c->lock);
    return true;
}

bool irqchip_port_write(struct vcpu *v, u16 port, unsigned len, u32 value)
{
    struct irqchip *c = v->vm->irqchip;

    if (!port_find(c, port))
        return false;
    pthread_mutex_lock(&c->lock);
    for (unsigned i = 0; i < len; i++) {
        u16 p = (u16)(port + i);
        const struct port_range *r = port_find(c, p);

        if (r)
            r->write(c, p, (u8)(value >> (8 * i)));
    }
    pthread_mutex_unlock(&c->lock);
    return true;
}

/* ---- MMIO ---- */

enum { LAPIC_PAGE = 0x1000, IOAPIC_WINDOW = 0x100 };

static bool lapic_page_at(const struct vcpu *v, u64 gpa)
{
    return v->lapic && ALIGN_DOWN(gpa, LAPIC_PAGE) == (v->apic_base & MASK(51, 12));
}

static bool lapic_at(const struct vcpu *v, u64 gpa)
{
    return lapic_page_at(v, gpa) && lapic_hardware_enabled(v->lapic) && !lapic_x2apic(v->lapic);
}

/* Where the registers would be, were they not switched off or MSRs: KVM lets nobody else have it. */
static bool lapic_hole_at(const struct vcpu *v, u64 gpa)
{
    return lapic_page_at(v, gpa) && !lapic_at(v, gpa) && vm_has_quirk(v->vm, KVM_X86_QUIRK_LAPIC_MMIO_HOLE);
}

static bool ioapic_at(const struct irqchip *c, u64 gpa)
{
    return c && (c->present & PRESENT_PIC) && gpa - c->ioapic.state.base_address < IOAPIC_WINDOW;
}

/* Registers are 32 bits wide and 16 bytes apart; what lies between them reads 0 and ignores writes. */
bool irqchip_mmio_read(struct vcpu *v, u64 gpa, unsigned len, void *data)
{
    struct irqchip *c = v->vm->irqchip;
    bool local = lapic_at(v, gpa);
    unsigned shift = (gpa & 15) * 8;
    u64 value = 0;

    if (lapic_hole_at(v, gpa)) {
        __builtin_memset(data, 0xff, len);
        return true;
    }
    if (!local && !ioapic_at(c, gpa))
        return false;
    if (local && (gpa & 0xff0) == APIC_TPR)
        vapic_before_tpr_read(v);
    if (shift < 32) {
        pthread_mutex_lock(&c->lock);
        value = local ? lapic_mmio_read(v->lapic, gpa & 0xff0) : ioapic_read(c, gpa & 0xf0);
        pthread_mutex_unlock(&c->lock);
    }
    __builtin_memcpy(data, &(u64){value >> (shift & 31)}, len);
    return true;
}

/* Only the IOAPIC takes less than 32 bits: its index register is written as a byte. */
bool irqchip_mmio_write(struct vcpu *v, u64 gpa, unsigned len, const void *data)
{
    struct irqchip *c = v->vm->irqchip;
    bool local = lapic_at(v, gpa);
    u64 value = 0;

    if (lapic_hole_at(v, gpa))
        return true;
    if (!local && !ioapic_at(c, gpa))
        return false;
    if ((gpa & 15) || (local && len < 4))
        return true;
    __builtin_memcpy(&value, data, min(len, 4u));
    pthread_mutex_lock(&c->lock);
    if (local)
        lapic_mmio_write(v->lapic, gpa & 0xff0, (u32)value);
    else
        ioapic_write(c, gpa & 0xf0, (u32)value);
    pthread_mutex_unlock(&c->lock);
    return true;
}

/* ---- end of interrupt ---- */

static bool is_user_ioapic_vector(const struct irqchip *c, u8 vector)
{
    for (unsigned gsi = 0; gsi < min(c->user_pins, (u32)GSI_COUNT); gsi++)
        for (unsigned i = c->gsi[gsi]; i; i = c->route[i - 1].next)
            if ((c->route[i - 1].data & BIT(15)) && (u8)c->route[i - 1].data == vector)
                return true;
    return false;
}

void irqchip_eoi(struct lapic *l, u8 vector, bool level)
{
    struct irqchip *c = l->chips;

    if (c->present & PRESENT_PIC) {
        ioapic_eoi(c, vector, level);
    } else if (level && is_user_ioapic_vector(c, vector)) {
        l->user_eoi[vector / 64] |= BIT(vector % 64);
        vcpu_kick(l->v, REQ_EVENT);
    }
}

/* ---- state ---- */

int irqchip_get(struct vm *vm, struct kvm_irqchip *chip)
{
    struct irqchip *c = vm->irqchip;

    if (!irqchip_has_pic(vm))
        return -ENXIO;
    if (chip->chip_id > KVM_IRQCHIP_IOAPIC)
        return -EINVAL;
    pthread_mutex_lock(&c->lock);
    if (chip->chip_id == KVM_IRQCHIP_IOAPIC)
        ioapic_get_state(c, &chip->chip.ioapic);
    else
        chip->chip.pic = c->pic.chip[chip->chip_id];
    pthread_mutex_unlock(&c->lock);
    return 0;
}

int irqchip_set(struct vm *vm, const struct kvm_irqchip *chip)
{
    struct irqchip *c = vm->irqchip;

    if (!irqchip_has_pic(vm))
        return -ENXIO;
    if (chip->chip_id > KVM_IRQCHIP_IOAPIC)
        return -EINVAL;
    pthread_mutex_lock(&c->lock);
    if (chip->chip_id == KVM_IRQCHIP_IOAPIC)
        ioapic_set_state(c, &chip->chip.ioapic);
    else
        pic_set_state(c, chip->chip_id, &chip->chip.pic);
    pthread_mutex_unlock(&c->lock);
    return 0;
}

int irqchip_get_pit2(struct vm *vm, struct kvm_pit_state2 *s)
{
    struct irqchip *c = vm->irqchip;

    if (!c || !(c->present & PRESENT_PIT))
        return -ENXIO;
    pthread_mutex_lock(&c->lock);
    pit_get_state(c, s);
    pthread_mutex_unlock(&c->lock);
    return 0;
}

int irqchip_set_pit2(struct vm *vm, const struct kvm_pit_state2 *s)
{
    struct irqchip *c = vm->irqchip;

    if (!c || !(c->present & PRESENT_PIT))
        return -ENXIO;
    pthread_mutex_lock(&c->lock);
    pit_set_state(c, s);
    pthread_mutex_unlock(&c->lock);
    return 0;
}

int irqchip_pit_reinject(struct vm *vm, bool reinject)
{
    struct irqchip *c = vm->irqchip;

    if (!c || !(c->present & PRESENT_PIT))
        return -ENXIO;
    pthread_mutex_lock(&c->lock);
    c->pit.discard = !reinject;
    c->pit.pending = 0;
    c->pit.acked = true;
    pthread_mutex_unlock(&c->lock);
    return 0;
}
