/* lpc.c - the bridge to the devices of the old PC, as firmware and systems know it: an ICH9's LPC (ICH9
 * datasheet chapter 13) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdlib.h>
#include <string.h>

#include "machine/pc.h"
#include "machine/pci/pci.h"

/* Where the power management is, is fixed; the registers that say so can be read. What is behind RCBA is not
 * there: the register only keeps what firmware writes. */
enum {
    PMBASE = 0x40,
    ACPI_CNTL = 0x44,
    PIRQA_ROUT = 0x60,
    PIRQE_ROUT = 0x68,
    RCBA = 0xf0,
};
enum { ACPI_ENABLED = 0x80, PIRQ_NOT_ROUTED = 0x80, PIRQ_WRITABLE = 0x8f, PIRQ_MASK = 0x0f, ISA_IRQS = 16 };

static const struct pci_identity ich9 = {
    .vendor = 0x8086,
    .device = 0x2918,
    .subsystem_vendor = 0x1af4,
    .subsystem = 0x1100,
    .class = 0x0601,
    .revision = 2,
};

/* The bus's interrupt pins, PIRQA to PIRQH, arrive here, and go on to the IOAPIC's inputs of their own and to
 * the PIC's to which firmware has routed them. */
struct lpc {
    struct device device;
    struct pci_device bridge;
    struct irq_line gsi[PCI_INTX_LINES], *isa;
    bool pirq[PCI_INTX_LINES];
    u16 driven; /* inputs of the PICs that we have raised: not those of others */
};

static unsigned route_register(unsigned pirq)
{
    return pirq < 4 ? PIRQA_ROUT + pirq : PIRQE_ROUT + pirq - 4;
}

static void update_pics(struct lpc *l)
{
    u16 want = 0;
    for (unsigned i = 0; i < PCI_INTX_LINES; i++) {
        u8 route = l->bridge.config[route_register(i)];
        if (l->pirq[i] && !(route & PIRQ_NOT_ROUTED))
            want |= (u16)(1 << (route & PIRQ_MASK));
    }
    u16 changed = want ^ l->driven;
    l->driven = want;
    for (unsigned i = 0; i < ISA_IRQS; i++)
        if (changed >> i & 1)
            irq_line_set(&l->isa[i], want >> i & 1);
}

static void set_pirq(void *opaque, unsigned pirq, bool level)
{
    struct lpc *l = opaque;
    l->pirq[pirq] = level;
    irq_line_set(&l->gsi[pirq], level);
    update_pics(l);
}

static void bridge_written(struct pci_device *d, unsigned offset, unsigned size)
{
    (void)offset, (void)size;
    update_pics(container_of(d, struct lpc, bridge));
}

static void bridge_reset(struct pci_device *d)
{
    pci_device_reset(d);
    update_pics(container_of(d, struct lpc, bridge));
}

static const struct pci_type ich9_type = {.name = "ich9-lpc", .reset = bridge_reset};

/* Without firmware the pins are routed as it would have routed them. */
static void create_bridge(struct lpc *l, bool firmware)
{
    static const u8 usual[] = {10, 10, 11, 11};
    struct pci_device *d = &l->bridge;
    pci_device_init(d, &ich9_type, &ich9);
    pci_put16(d->config + PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    pci_put32(d->config + PMBASE, PC_PORT_PM | 1);
    d->config[ACPI_CNTL] = ACPI_ENABLED;
    pci_put32(d->writable + RCBA, 0xffffc001);
    for (unsigned i = 0; i < PCI_INTX_LINES; i++) {
        d->config[route_register(i)] = firmware ? PIRQ_NOT_ROUTED : usual[i % 4];
        d->writable[route_register(i)] = PIRQ_WRITABLE;
    }
    d->config_written = bridge_written;
}

static void lpc_reset(struct device *d)
{
    (void)d; /* the bus has reset the bridge */
}

static struct device *lpc_create(const struct device_place *p)
{
    struct lpc *l = calloc(1, sizeof(*l));
    struct error e;
    if (!l)
        return NULL;
    l->device.type = &lpc_ich9;
    l->isa = p->isa;
    for (unsigned i = 0; i < PCI_INTX_LINES; i++) {
        l->gsi[i] = p->irq;
        l->gsi[i].number += i;
    }
    create_bridge(l, p->firmware);
    pci_bus_set_intx(p->pci, (struct irq_line){.set = set_pirq, .opaque = l});
    int r = pci_plug(p->pci, &l->bridge, PC_SLOT_LPC, &e);
    ASSERT(r == 0);
    return &l->device;
}

/* The slots have their state before or after: each pin that is raised comes by set_pirq. */
static int lpc_loaded(void *object, struct error *e)
{
    (void)e;
    update_pics(object);
    return 0;
}

static const struct state_field fields[] = {{0}};
static const struct state_table state = {"ich9-lpc", 1, fields, .loaded = lpc_loaded};

const struct device_type lpc_ich9 = {"ich9-lpc", lpc_create, lpc_reset, .state = &state};
