/* msix.c - MSI-X: the table of messages in a BAR, masks and pending bits (PCI 3.0 section 6.8.2) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "machine/pci/pci.h"

enum { CONTROL = 2, TABLE = 4, PBA = 8, CAPABILITY_SIZE = 12 }; /* of the capability */
enum { CONTROL_MASK = 0x4000, CONTROL_ENABLE = 0x8000 };
enum { TABLE_OFFSET = 0, PBA_OFFSET = 0x800, BAR_SIZE = 0x1000 }; /* of the BAR */
enum { ENTRY_MASKED = 1 };
_Static_assert(PCI_MSIX_VECTORS * sizeof(struct msix_entry) <= PBA_OFFSET && PCI_MSIX_VECTORS <= 64,
               "fits the BAR");

static u16 control(const struct pci_device *d)
{
    return pci_get16(d->config + d->msix.position + CONTROL);
}

bool msix_enabled(const struct pci_device *d)
{
    return d->msix.vectors && control(d) & CONTROL_ENABLE;
}

static bool is_masked(const struct pci_device *d, unsigned vector)
{
    return control(d) & CONTROL_MASK || d->msix.entry[vector].control & ENTRY_MASKED;
}

void msix_signal(struct pci_device *d, unsigned vector)
{
    if (vector >= d->msix.vectors || !d->bus || !msix_enabled(d))
        return;
    const struct msix_entry *m = &d->msix.entry[vector];
    if (is_masked(d, vector)) {
        d->msix.pending |= BIT(vector);
        return;
    }
    d->msix.pending &= ~BIT(vector);
    if (pci_is_master(d))
        d->bus->msi.send(d->bus->msi.opaque, (u64)m->address_high << 32 | m->address_low, m->data);
}

/* Sends what has waited for a mask to be lifted. */
static void send_pending(struct pci_device *d)
{
    for (unsigned i = 0; i < d->msix.vectors && d->msix.pending; i++)
        if (d->msix.pending & BIT(i) && !is_masked(d, i))
            msix_signal(d, i);
}

void msix_control_written(struct pci_device *d)
{
    if (msix_enabled(d))
        send_pending(d);
}

static u64 table_read(void *opaque, u64 offset, unsigned size)
{
    struct pci_device *d = opaque;
    u64 value = 0;
    if (offset + size <= d->msix.vectors * sizeof(struct msix_entry))
        memcpy(&value, (const u8 *)d->msix.entry + offset, size);
    else if (offset >= PBA_OFFSET && offset + size <= PBA_OFFSET + sizeof(d->msix.pending))
        memcpy(&value, (const u8 *)&d->msix.pending + (offset - PBA_OFFSET), size);
    return value;
}

static void table_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    struct pci_device *d = opaque;
    if (offset + size > d->msix.vectors * sizeof(struct msix_entry))
        return;
    memcpy((u8 *)d->msix.entry + offset, &value, size);
    if (msix_enabled(d))
        send_pending(d);
}

static const struct bus_ops table_ops = {table_read, table_write, 4};

void pci_add_msix(struct pci_device *d, unsigned vectors, unsigned bar)
{
    ASSERT(vectors && vectors <= PCI_MSIX_VECTORS);
    unsigned at = pci_add_capability(d, PCI_CAP_MSIX, CAPABILITY_SIZE);
    pci_put16(d->config + at + CONTROL, (u16)(vectors - 1));
    pci_put16(d->writable + at + CONTROL, CONTROL_MASK | CONTROL_ENABLE);
    pci_put32(d->config + at + TABLE, TABLE_OFFSET | bar);
    pci_put32(d->config + at + PBA, PBA_OFFSET | bar);
    d->msix.vectors = vectors;
    d->msix.position = at;
    pci_add_bar(d, bar, BAR_SIZE, &table_ops, d);
}
