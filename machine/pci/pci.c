/* pci.c - the PCI bus: configuration space, BARs and pins of its devices (PCI 3.0 chapter 6) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "machine/pci/pci.h"

void pci_bus_set_intx(struct pci_bus *b, struct irq_line first_intx)
{
    for (unsigned i = 0; i < PCI_INTX_LINES; i++) {
        b->intx[i] = first_intx;
        b->intx[i].number += i;
    }
}

void pci_bus_init(struct pci_bus *b, struct irq_line first_intx, struct msi_sink msi)
{
    *b = (struct pci_bus){.msi = msi};
    pci_bus_set_intx(b, first_intx);
}

/* The BARs that are decoded now. Of two that overlap, and of one on what is not the bus's, the guest sees the
 * first: it has put them there. */
static void update_memory(struct pci_bus *b)
{
    b->memory.count = 0;
    for (unsigned s = 0; s < PCI_SLOTS; s++) {
        struct pci_device *d = b->slot[s];
        if (!d || !(d->config[PCI_COMMAND] & PCI_COMMAND_MEMORY))
            continue;
        for (unsigned i = 0; i < PCI_BARS; i++) {
            u64 gpa = pci_bar_gpa(d, i);
            if (d->bar[i].size && gpa && bus_is_free(&b->memory, gpa, d->bar[i].size))
                bus_add(&b->memory, gpa, d->bar[i].size, d->bar[i].ops, d->bar[i].opaque);
        }
    }
    doorbells_update(b);
}

void pci_bus_hold(struct pci_bus *b)
{
    b->still = true;
}

void pci_bus_go(struct pci_bus *b)
{
    b->still = false;
    for (unsigned s = 0; s < PCI_SLOTS; s++)
        if (b->slot[s] && b->slot[s]->type->restart)
            b->slot[s]->type->restart(b->slot[s]);
}

/* A line is raised while any of its devices raises it. */
static void update_intx(struct pci_device *d, bool was)
{
    struct pci_bus *b = d->bus;
    bool now = d->intx && !(pci_get16(d->config + PCI_COMMAND) & PCI_COMMAND_INTX_OFF) && !msix_enabled(d);
    unsigned line = pc_pci_pirq(d->slot);
    d->config[PCI_STATUS] =
        (u8)((d->config[PCI_STATUS] & ~PCI_STATUS_INTX) | (d->intx ? PCI_STATUS_INTX : 0));
    d->intx_driven = now;
    if (!b || now == was)
        return;
    b->intx_raised[line] += now ? 1u : -1u;
    irq_line_set(&b->intx[line], b->intx_raised[line]);
}

void intx_set(struct pci_device *d, bool level)
{
    d->intx = level;
    update_intx(d, d->intx_driven);
}

/* The device behind bus << 8 | devfn that has the registers, or NULL. */
static struct pci_device *find_function(struct pci_bus *b, u32 function, u32 offset, unsigned size)
{
    if (function >= PCI_SLOTS * 8 || function % 8 || offset + size > PCI_CONFIG_SIZE)
        return NULL;
    return b->slot[function / 8];
}

u64 pci_config_read(struct pci_bus *b, u32 function, u32 offset, unsigned size)
{
    struct pci_device *d = find_function(b, function, offset, size);
    u64 value = 0;
    if (!d)
        return ~0ull;
    if (d->config_reading)
        d->config_reading(d, offset, size);
    memcpy(&value, d->config + offset, size);
    return value;
}

static bool overlaps(unsigned offset, unsigned size, unsigned first, unsigned count)
{
    return offset < first + count && first < offset + size;
}

void pci_config_write(struct pci_bus *b, u32 function, u32 offset, unsigned size, u64 value)
{
    struct pci_device *d = find_function(b, function, offset, size);
    if (!d)
        return;
    bool was = d->intx_driven;
    for (unsigned i = 0; i < size; i++) {
        u8 mask = d->writable[offset + i], *at = &d->config[offset + i];
        *at = (u8)((*at & ~mask) | (value >> (8 * i) & mask));
    }
    if (overlaps(offset, size, PCI_COMMAND, 2) || overlaps(offset, size, PCI_BAR0, 4 * PCI_BARS))
        update_memory(b);
    if (d->msix.vectors && overlaps(offset, size, d->msix.position + 2, 2))
        msix_control_written(d);
    update_intx(d, was);
    if (d->config_written)
        d->config_written(d, offset, size);
}

void pci_device_init(struct pci_device *d, const struct pci_type *type, const struct pci_identity *identity)
{
    u8 *c = d->config;
    d->type = type;
    d->boot_index = UINT32_MAX;
    d->config_end = PCI_CAPABILITIES_START;
    pci_put16(c + PCI_VENDOR_ID, identity->vendor);
    pci_put16(c + PCI_DEVICE_ID, identity->device);
    pci_put16(c + PCI_CLASS, identity->class);
    pci_put16(c + PCI_SUBSYSTEM_VENDOR_ID, identity->subsystem_vendor);
    pci_put16(c + PCI_SUBSYSTEM_ID, identity->subsystem);
    c[PCI_CLASS_PROG] = identity->prog;
    c[PCI_REVISION] = identity->revision;
    pci_put16(d->writable + PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER |
                                             PCI_COMMAND_SERR | PCI_COMMAND_INTX_OFF);
    d->writable[PCI_INTERRUPT_LINE] = 0xff;
}

void pci_add_bar(struct pci_device *d, unsigned number, u32 size, const struct bus_ops *ops, void *opaque)
{
    ASSERT(number < PCI_BARS && size >= 4096 && !(size & (size - 1)));
    d->bar[number] = (struct pci_bar){size, ops, opaque};
    pci_put32(d->writable + PCI_BAR0 + 4 * number, ~(size - 1)); /* what cannot be written tells the size */
}

unsigned pci_add_capability(struct pci_device *d, u8 id, unsigned size)
{
    unsigned at = d->config_end;
    ASSERT(at + size <= PCI_CONFIG_SIZE);
    d->config[at] = id;
    d->config[at + 1] = d->config[PCI_CAPABILITIES]; /* the newest is the first of the list */
    d->config[PCI_CAPABILITIES] = (u8)at;
    d->config[PCI_STATUS] |= PCI_STATUS_CAPABILITIES;
    d->config_end = ALIGN_UP(at + size, 4u);
    return at;
}

void pci_device_reset(struct pci_device *d)
{
    bool was = d->intx_driven;
    memcpy(d->config, d->power_on, sizeof(d->config));
    for (unsigned i = 0; i < d->msix.vectors; i++)
        d->msix.entry[i] = (struct msix_entry){.control = 1}; /* masked */
    d->msix.pending = 0;
    d->intx = false;
    update_intx(d, was);
    if (d->bus)
        update_memory(d->bus);
}

void pci_bus_reset(struct pci_bus *b)
{
    for (unsigned s = 0; s < PCI_SLOTS; s++)
        if (b->slot[s])
            b->slot[s]->type->reset(b->slot[s]);
}

static int find_slot(const struct pci_bus *b)
{
    for (int s = 1; s < PCI_SLOTS; s++)
        if (!b->slot[s])
            return s;
    return -1;
}

int pci_plug(struct pci_bus *b, struct pci_device *d, int slot, struct error *e)
{
    if (slot < 0 && (slot = find_slot(b)) < 0)
        return error_set(e, ENOSPC, "-device %s: the bus has no free slot", d->type->name);
    if (b->slot[slot])
        return error_set(e, EBUSY, "-device %s: slot 0x%x is taken by %s: use another addr=, or none",
                         d->type->name, (unsigned)slot, b->slot[slot]->type->name);
    d->slot = (unsigned)slot;
    memcpy(d->power_on, d->config, sizeof(d->config));
    b->slot[slot] = d;
    d->bus = b;
    return 0;
}

void pci_unplug(struct pci_device *d)
{
    struct pci_bus *b = d->bus;
    if (d->leaving)
        return;
    d->leaving = true;
    d->type->reset(d);
    b->slot[d->slot] = NULL;
    d->bus = NULL;
    update_memory(b);
    char *id = d->id;
    d->type->destroy(d);
    if (b->removed)
        b->removed(b->opaque, id);
    free(id);
}

/* What a guest cannot write is as this device has it. */
static int pci_loaded(void *object, struct error *e)
{
    struct pci_device *d = object;
    for (unsigned i = 0; i < PCI_CONFIG_SIZE; i++) {
        u8 variable = d->writable[i] | (i == PCI_STATUS ? PCI_STATUS_INTX : 0);
        if ((d->config[i] ^ d->power_on[i]) & ~variable)
            return error_set(
                e, EINVAL,
                "the saved state has another device in slot 0x%x than %s: start the machine with the "
                "devices that were saved",
                d->slot, d->type->name);
    }
    update_memory(d->bus);
    d->intx_driven = false;
    update_intx(d, false);
    return 0;
}

static const struct state_field pci_fields[] = {STATE(struct pci_device, config),
                                                STATE(struct pci_device, msix.entry),
                                                STATE(struct pci_device, msix.pending),
                                                STATE_BOOL(struct pci_device, intx),
                                                {0}};
const struct state_table pci_state = {"pci", 1, pci_fields, .loaded = pci_loaded};

struct pci_device *pci_find(struct pci_bus *b, const char *id)
{
    for (unsigned s = 0; s < PCI_SLOTS; s++)
        if (b->slot[s] && b->slot[s]->id && !strcmp(b->slot[s]->id, id))
            return b->slot[s];
    return NULL;
}
