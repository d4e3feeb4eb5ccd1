/* device_fake.h - a board for one device: buses, wires that remember, an event loop, a console */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef UNIT_DEVICE_FAKE_H
#define UNIT_DEVICE_FAKE_H

#include <stdlib.h>
#include <string.h>

#include "machine/chardev.h"
#include "machine/device.h"
#include "machine/fw_cfg.h"
#include "machine/pci/pci.h"

struct wire {
    bool level;
    unsigned rises;
};

struct fake_board {
    struct bus ports, mmio;
    struct loop loop;
    struct pci_bus pci;
    struct wire irq, reset, power, event, cpu_event, isa_wire[16];
    struct irq_line isa[16];
    struct fw_cfg fw_cfg;
    u8 pam[7];
    unsigned cpus, ejected;
    struct chardev chardev;
    struct device *device;
};

static void wire_set(void *opaque, unsigned number, bool level)
{
    struct wire *w = opaque;
    (void)number;
    w->rises += level && !w->level;
    w->level = level;
}

static void shadow_set(void *opaque, const u8 *pam)
{
    memcpy(((struct fake_board *)opaque)->pam, pam, 7);
}

static unsigned cpus_count(void *opaque)
{
    return ((struct fake_board *)opaque)->cpus;
}

static void cpus_eject(void *opaque, unsigned number)
{
    (void)number;
    ((struct fake_board *)opaque)->ejected++;
}

/* The device is created and reset. Its console is not connected to anything: tests look into its rings. */
static inline struct fake_board *fake_board(const struct device_type *type, u16 port)
{
    struct fake_board *b = calloc(1, sizeof(*b));
    const struct chardev_config null = {.backend = CHARDEV_NULL};
    if (!b || loop_init(&b->loop) < 0)
        abort();
    pci_bus_init(&b->pci, (struct irq_line){.set = wire_set, .opaque = &b->irq}, (struct msi_sink){0});
    chardev_init(&b->chardev, &null, &b->loop, NULL);
    for (unsigned i = 0; i < 16; i++)
        b->isa[i] = (struct irq_line){.set = wire_set, .opaque = &b->isa_wire[i], .number = i};
    const struct device_place place = {
        .ports = &b->ports,
        .mmio = &b->mmio,
        .port = port,
        .irq = {.set = wire_set, .opaque = &b->irq},
        .reset = {.set = wire_set, .opaque = &b->reset},
        .power = {.set = wire_set, .opaque = &b->power},
        .event = {.set = wire_set, .opaque = &b->event},
        .cpu_event = {.set = wire_set, .opaque = &b->cpu_event},
        .cpus = {cpus_count, cpus_eject, b},
        .loop = &b->loop,
        .chardev = &b->chardev,
        .pci = &b->pci,
        .fw_cfg = &b->fw_cfg,
        .shadow = {shadow_set, b},
        .isa = b->isa,
    };
    b->device = type->create(&place);
    type->reset(b->device);
    return b;
}

static inline void fake_board_free(struct fake_board *b)
{
    free(b->device); /* devices begin with their struct device */
    free(b);
}

static inline u8 in8(struct fake_board *b, u16 port)
{
    return (u8)bus_read(&b->ports, port, 1);
}

static inline void out8(struct fake_board *b, u16 port, u8 value)
{
    bus_write(&b->ports, port, 1, value);
}

/* As if the host had sent these bytes. */
static inline void host_sends(struct fake_board *b, const char *text)
{
    for (; *text; text++)
        b->chardev.in.data[b->chardev.in.head++ % CHARDEV_BACKLOG] = (u8)*text;
    b->chardev.user.input(b->chardev.user.opaque);
}

#endif
