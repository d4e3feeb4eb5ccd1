/* pci_hotplug.c - what ACPI's methods ask and tell about PCI slots (QEMU's docs/specs/acpi_pci_hotplug.rst)
 */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdlib.h>

#include "machine/pc.h"
#include "machine/pci/pci.h"

/* Registers, each with a bit for each slot. There is one bus, number 0: what is said of others is of nothing.
 */
enum { UP = 0, DOWN = 4, EJECT = 8, REMOVABLE = 12, SELECT = 16, REGISTERS_SIZE = 20 };

struct pci_hotplug {
    struct device device;
    struct pci_bus *bus;
    struct irq_line event; /* raised for a moment: something is in up or down */
    u32 up, down;          /* devices that have come; those that are to go */
    u32 selected;          /* the bus */
};

/* Slots that the board itself does not need. */
static const u32 hotpluggable = ~(1u | 1u << PC_SLOT_LPC);

static void raise_event(struct pci_hotplug *h)
{
    irq_line_set(&h->event, true);
    irq_line_set(&h->event, false);
}

/* The guest has let the device go. It may take a while, the lock being free, until the device's own I/O is
 * done. */
static void eject(struct pci_hotplug *h, u32 slots)
{
    slots &= hotpluggable;
    h->up &= ~slots;
    h->down &= ~slots;
    for (unsigned s = 0; s < PCI_SLOTS; s++)
        if (slots >> s & 1 && h->bus->slot[s])
            pci_unplug(h->bus->slot[s]);
}

static u64 hotplug_read(void *opaque, u64 offset, unsigned size)
{
    struct pci_hotplug *h = opaque;
    u32 value = 0;
    if (size != 4)
        return 0;
    if (offset == SELECT)
        return h->selected;
    if (h->selected)
        return 0;
    switch (offset) {
    case UP:
        value = h->up;
        h->up = 0;
        break;
    case DOWN: value = h->down; break;
    case REMOVABLE: value = hotpluggable; break;
    default: break; /* the features of newer ones, of which there are none */
    }
    return value;
}

static void hotplug_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    struct pci_hotplug *h = opaque;
    if (size != 4)
        return;
    if (offset == SELECT)
        h->selected = (u32)value;
    else if (offset == EJECT && !h->selected)
        eject(h, (u32)value);
}

static const struct bus_ops hotplug_ops = {hotplug_read, hotplug_write, 4};

void pci_hotplug_added(struct device *d, unsigned slot)
{
    struct pci_hotplug *h = container_of(d, struct pci_hotplug, device);
    h->up |= 1u << slot;
    raise_event(h);
}

bool pci_hotplug_remove(struct device *d, unsigned slot)
{
    struct pci_hotplug *h = container_of(d, struct pci_hotplug, device);
    if (h->down >> slot & 1)
        return false;
    h->down |= 1u << slot;
    raise_event(h);
    return true;
}

bool pci_hotplug_going(const struct device *d)
{
    return container_of(d, const struct pci_hotplug, device)->down;
}

/* What was to go is gone when a guest begins anew. */
static void hotplug_reset(struct device *d)
{
    struct pci_hotplug *h = container_of(d, struct pci_hotplug, device);
    eject(h, h->down);
    h->up = h->down = h->selected = 0;
}

static struct device *hotplug_create(const struct device_place *p)
{
    struct pci_hotplug *h = calloc(1, sizeof(*h));
    if (!h)
        return NULL;
    h->device.type = &pci_hotplug;
    h->bus = p->pci;
    h->event = p->event;
    bus_add(p->ports, p->port, REGISTERS_SIZE, &hotplug_ops, h);
    return &h->device;
}

static const struct state_field fields[] = {
    STATE(struct pci_hotplug, up), STATE(struct pci_hotplug, down), STATE(struct pci_hotplug, selected), {0}};
static const struct state_table state = {"pci-hotplug", 1, fields};

const struct device_type pci_hotplug = {"pci-hotplug", hotplug_create, hotplug_reset, .state = &state};
