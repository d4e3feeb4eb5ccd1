/* doorbell.c - registers whose writes ring an eventfd, and are no exits (KVM_IOEVENTFD, api.rst 4.59) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "machine/pc.h"
#include "machine/pci/pci.h"

/* Where the register is now; 0: the guest does not reach it, or reaches something else there. */
static u64 place(const struct pci_device *d, const struct pci_doorbell *b)
{
    u64 bar = pci_bar_gpa(d, b->bar), gpa = bar + b->offset;
    bool window = gpa >= PC_PCI_MMIO && gpa < PC_IOAPIC;
    return window && bus_has(&d->bus->memory, bar, d->bar[b->bar].opaque) ? gpa : 0;
}

/* What cannot be an eventfd's stays an exit. */
static void move(const struct doorbell_sink *s, struct pci_doorbell *b, u64 gpa)
{
    if (b->gpa == gpa)
        return;
    if (b->gpa)
        s->set(s->opaque, b->gpa, b->fd, false);
    b->gpa = gpa && s->set(s->opaque, gpa, b->fd, true) ? gpa : 0;
}

void doorbells_update(struct pci_bus *bus)
{
    for (unsigned s = 0; s < PCI_SLOTS && bus->doorbells.set; s++)
        for (struct pci_doorbell *b = bus->slot[s] ? bus->slot[s]->doorbell : NULL; b; b = b->next)
            move(&bus->doorbells, b, place(bus->slot[s], b));
}

void pci_add_doorbell(struct pci_device *d, struct pci_doorbell *b)
{
    b->gpa = 0;
    b->next = d->doorbell;
    d->doorbell = b;
    if (d->bus && d->bus->doorbells.set)
        move(&d->bus->doorbells, b, place(d, b));
}

void pci_remove_doorbell(struct pci_device *d, struct pci_doorbell *b)
{
    struct pci_doorbell **at = &d->doorbell;
    while (*at && *at != b)
        at = &(*at)->next;
    if (!*at)
        return;
    *at = b->next;
    if (d->bus && d->bus->doorbells.set)
        move(&d->bus->doorbells, b, 0);
}
