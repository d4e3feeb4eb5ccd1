/* pci_host.c - PCI host bridge: configuration by ports 0xcf8/0xcfc and ECAM, reset control (PCI 3.0
 * section 3.2.2.3.2, PCI Express 5.0 section 7.2.2) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdlib.h>
#include <string.h>

#include "machine/pc.h"
#include "machine/pci/pci.h"

enum { ECAM_FUNCTION_SIZE = 4096 };
enum { CONFIG_ENABLE = 1u << 31 };
enum { RESET_CPU = 4, RESET_SYSTEM = 2 };

/* The bridge's own function 00:00.0 is what firmware expects on such a board: the memory controller of a Q35,
 * with the subsystem by which it knows a virtual machine. */
static const struct pci_identity q35 = {
    .vendor = 0x8086,
    .device = 0x29c0,
    .subsystem_vendor = 0x1af4,
    .subsystem = 0x1100,
    .class = 0x0600,
};
enum { Q35_PCIEXBAR = 0x60, Q35_PAM0 = 0x90, Q35_PAM_COUNT = 7, PAM_WRITABLE = 0x33 };

struct pci_host {
    struct device device;
    struct irq_line reset;
    struct pci_bus *bus;
    struct pci_device bridge;
    struct shadow shadow;
    u8 pam;           /* of each register, after a reset */
    u32 address;      /* CONFIG_ADDRESS */
    u8 reset_control; /* port 0xcf9 */
};

static void write_reset_control(struct pci_host *h, u8 value)
{
    if (value & ~h->reset_control & RESET_CPU)
        irq_line_set(&h->reset, true);
    h->reset_control = value & RESET_SYSTEM;
}

/* CONFIG_ADDRESS is there for double words alone; the byte at 0xcf9 is another register. */
static u64 address_read(void *opaque, u64 offset, unsigned size)
{
    struct pci_host *h = opaque;
    if (size == 4)
        return h->address;
    return size == 1 && offset == PC_PORT_RESET - PC_PORT_PCI ? h->reset_control : ~0ull;
}

static void address_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    struct pci_host *h = opaque;
    if (size == 4)
        h->address = (u32)value;
    else if (size == 1 && offset == PC_PORT_RESET - PC_PORT_PCI)
        write_reset_control(h, (u8)value);
}

static u64 data_read(void *opaque, u64 offset, unsigned size)
{
    struct pci_host *h = opaque;
    if (!(h->address & CONFIG_ENABLE))
        return ~0ull;
    return pci_config_read(h->bus, h->address >> 8 & 0xffff, (h->address & 0xfc) + (u32)offset, size);
}

static void data_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    struct pci_host *h = opaque;
    if (h->address & CONFIG_ENABLE)
        pci_config_write(h->bus, h->address >> 8 & 0xffff, (h->address & 0xfc) + (u32)offset, size, value);
}

static u64 ecam_read(void *opaque, u64 offset, unsigned size)
{
    struct pci_host *h = opaque;
    return pci_config_read(h->bus, (u32)(offset / ECAM_FUNCTION_SIZE), offset % ECAM_FUNCTION_SIZE, size);
}

static void ecam_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    struct pci_host *h = opaque;
    pci_config_write(h->bus, (u32)(offset / ECAM_FUNCTION_SIZE), offset % ECAM_FUNCTION_SIZE, size, value);
}

/* The window in which devices' BARs are. */
static u64 window_read(void *opaque, u64 offset, unsigned size)
{
    struct pci_host *h = opaque;
    return bus_read(&h->bus->memory, PC_PCI_MMIO + offset, size);
}

static void window_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    struct pci_host *h = opaque;
    bus_write(&h->bus->memory, PC_PCI_MMIO + offset, size, value);
}

static const struct bus_ops address_ops = {address_read, address_write, 4};
static const struct bus_ops data_ops = {data_read, data_write, 4};
static const struct bus_ops ecam_ops = {ecam_read, ecam_write, 4};
static const struct bus_ops window_ops = {window_read, window_write, 8};

static void set_shadow(struct pci_host *h)
{
    h->shadow.set(h->shadow.opaque, h->bridge.config + Q35_PAM0);
}

static void bridge_written(struct pci_device *d, unsigned offset, unsigned size)
{
    if (offset < Q35_PAM0 + Q35_PAM_COUNT && offset + size > Q35_PAM0)
        set_shadow(container_of(d, struct pci_host, bridge));
}

static const struct pci_type q35_type = {.name = "q35-mch", .reset = pci_device_reset};

/* Where memory and ECAM are is fixed; the registers that say so can be read. */
static void create_bridge(struct pci_host *h)
{
    struct pci_device *d = &h->bridge;
    struct error e;
    pci_device_init(d, &q35_type, &q35);
    pci_put32(d->config + PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    pci_put32(d->config + Q35_PCIEXBAR, (u32)PC_ECAM | 1);
    memset(d->config + Q35_PAM0, h->pam, Q35_PAM_COUNT);
    memset(d->writable + Q35_PAM0, PAM_WRITABLE, Q35_PAM_COUNT);
    d->config_written = bridge_written;
    int r = pci_plug(h->bus, d, 0, &e);
    ASSERT(r == 0);
}

static void pci_host_reset(struct device *d)
{
    struct pci_host *h = container_of(d, struct pci_host, device);
    h->address = 0;
    h->reset_control = 0;
    pci_bus_reset(h->bus);
    set_shadow(h);
    irq_line_set(&h->reset, false);
}

static struct device *pci_host_create(const struct device_place *p)
{
    struct pci_host *h = calloc(1, sizeof(*h));
    if (!h)
        return NULL;
    h->device.type = &pci_host;
    h->reset = p->reset;
    h->bus = p->pci;
    h->shadow = p->shadow;
    h->pam = p->firmware ? 0 : PAM_WRITABLE;
    create_bridge(h);
    bus_add(p->ports, p->port, 4, &address_ops, h);
    bus_add(p->ports, p->port + 4, 4, &data_ops, h);
    bus_add(p->mmio, PC_ECAM, PC_ECAM_SIZE, &ecam_ops, h);
    bus_add(p->mmio, PC_PCI_MMIO, PC_IOAPIC - PC_PCI_MMIO, &window_ops, h);
    return &h->device;
}

static int pci_host_loaded(void *object, struct error *e)
{
    (void)e;
    set_shadow(object);
    return 0;
}

static const struct state_field fields[] = {
    STATE(struct pci_host, address), STATE(struct pci_host, reset_control), {0}};
static const struct state_table state = {"pci-host", 1, fields, .loaded = pci_host_loaded};

const struct device_type pci_host = {"pci-host", pci_host_create, pci_host_reset, .state = &state};
