/* pci_host.c - PCI host bridge: configuration by ports 0xcf8/0xcfc and ECAM, reset control (PCI 3.0
 * section 3.2.2.3.2, PCI Express 5.0 section 7.2.2) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdlib.h>
#include <string.h>

#include "machine/device.h"
#include "machine/pc.h"

enum { CONFIG_SIZE = 256, ECAM_FUNCTION_SIZE = 4096 };
enum { CONFIG_ENABLE = 1u << 31 };
enum { RESET_CPU = 4, RESET_SYSTEM = 2 };

enum { PCI_COMMAND = 4, PCI_STATUS = 6, PCI_CLASS = 10, PCI_INTERRUPT_LINE = 0x3c };
enum { VENDOR_REDHAT = 0x1b36, DEVICE_PCIE_HOST = 8, CLASS_HOST_BRIDGE = 0x0600 };
enum { COMMAND_IO = 1, COMMAND_MEMORY = 2, COMMAND_MASTER = 4, COMMAND_SERR = 0x100 };

struct pci_host {
    struct device device;
    struct irq_line reset;
    u32 address;                                   /* CONFIG_ADDRESS */
    u8 reset_control;                              /* port 0xcf9 */
    u8 config[CONFIG_SIZE], writable[CONFIG_SIZE]; /* of 00:00.0, the bridge itself */
};

/* The bytes behind bus << 8 | devfn, or NULL: no device, reads are all ones. */
static u8 *find_config(struct pci_host *h, u32 function, u32 reg, unsigned size)
{
    return function == 0 && reg + size <= CONFIG_SIZE ? h->config + reg : NULL;
}

static u64 config_read(struct pci_host *h, u32 function, u32 reg, unsigned size)
{
    u64 value = ~0ull;
    const u8 *at = find_config(h, function, reg, size);
    if (at) {
        value = 0;
        memcpy(&value, at, size);
    }
    return value;
}

static void config_write(struct pci_host *h, u32 function, u32 reg, unsigned size, u64 value)
{
    u8 *at = find_config(h, function, reg, size);
    for (unsigned i = 0; at && i < size; i++) {
        u8 mask = h->writable[reg + i];
        at[i] = (u8)((at[i] & ~mask) | (value >> (8 * i) & mask));
    }
}

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
    return config_read(h, h->address >> 8 & 0xffff, (h->address & 0xfc) + (u32)offset, size);
}

static void data_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    struct pci_host *h = opaque;
    if (h->address & CONFIG_ENABLE)
        config_write(h, h->address >> 8 & 0xffff, (h->address & 0xfc) + (u32)offset, size, value);
}

static u64 ecam_read(void *opaque, u64 offset, unsigned size)
{
    return config_read(opaque, (u32)(offset / ECAM_FUNCTION_SIZE), offset % ECAM_FUNCTION_SIZE, size);
}

static void ecam_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    config_write(opaque, (u32)(offset / ECAM_FUNCTION_SIZE), offset % ECAM_FUNCTION_SIZE, size, value);
}

static const struct bus_ops address_ops = {address_read, address_write, 4};
static const struct bus_ops data_ops = {data_read, data_write, 4};
static const struct bus_ops ecam_ops = {ecam_read, ecam_write, 4};

static void put16(u8 *at, u16 value)
{
    memcpy(at, &value, sizeof(value));
}

static void pci_host_reset(struct device *d)
{
    struct pci_host *h = container_of(d, struct pci_host, device);
    h->address = 0;
    h->reset_control = 0;
    memset(h->config, 0, sizeof(h->config));
    put16(h->config, VENDOR_REDHAT);
    put16(h->config + 2, DEVICE_PCIE_HOST);
    put16(h->config + PCI_COMMAND, COMMAND_IO | COMMAND_MEMORY | COMMAND_MASTER);
    put16(h->config + PCI_CLASS, CLASS_HOST_BRIDGE);
    irq_line_set(&h->reset, false);
}

static struct device *pci_host_create(const struct device_place *p)
{
    struct pci_host *h = calloc(1, sizeof(*h));
    if (!h)
        return NULL;
    h->device.type = &pci_host;
    h->reset = p->reset;
    put16(h->writable + PCI_COMMAND, COMMAND_IO | COMMAND_MEMORY | COMMAND_MASTER | COMMAND_SERR);
    h->writable[PCI_INTERRUPT_LINE] = 0xff;
    bus_add(p->ports, p->port, 4, &address_ops, h);
    bus_add(p->ports, p->port + 4, 4, &data_ops, h);
    bus_add(p->mmio, PC_ECAM, PC_ECAM_SIZE, &ecam_ops, h);
    return &h->device;
}

const struct device_type pci_host = {"pci-host", pci_host_create, pci_host_reset};
