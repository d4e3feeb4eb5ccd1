/* device.h - what a device is, and what it gets from the board */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MACHINE_DEVICE_H
#define MACHINE_DEVICE_H

#include <jansson.h>

#include "base/base.h"
#include "base/loop.h"
#include "machine/bus.h"
#include "machine/state/state.h"

struct chardev;
struct fw_cfg;
struct pci_bus;

/* One wire, as a value: an interrupt input, the reset line, the power switch. */
struct irq_line {
    void (*set)(void *opaque, unsigned number, bool level);
    void *opaque;
    unsigned number;
    bool level;
};

static inline void irq_line_set(struct irq_line *l, bool level)
{
    if (l->level == level)
        return;
    l->level = level;
    l->set(l->opaque, l->number, level);
}

/* The chipset's choice of what is in the last part of the first mebibyte, as a value. */
struct shadow {
    void (*set)(void *opaque, const u8 *pam); /* the registers PAM0 to PAM6 */
    void *opaque;
};

/* Who tells the monitors' clients what has happened. send takes data. */
struct event_sink {
    void (*send)(void *opaque, const char *name, json_t *data);
    void *opaque;
};

static inline void event_send(const struct event_sink *s, const char *name, json_t *data)
{
    if (s->send)
        s->send(s->opaque, name, data);
    else
        json_decref(data);
}

/* The machine's processors: those numbered below count are there. eject: the guest has let one go. */
struct cpu_sink {
    unsigned (*count)(void *opaque);
    void (*eject)(void *opaque, unsigned number);
    void *opaque;
};

/* Where the board puts a device; each takes what it needs. */
struct device_place {
    struct bus *ports, *mmio;
    u16 port; /* of its first register */
    struct irq_line irq;
    struct irq_line reset;     /* raised: the whole machine starts again */
    struct irq_line power;     /* raised: the machine goes off */
    struct irq_line event;     /* raised: ACPI's event of the PCI slots has happened */
    struct irq_line cpu_event; /* and that of the processors */
    struct cpu_sink cpus;
    struct loop *loop; /* timers; its lock is held in every call to a device */
    struct chardev *chardev;
    struct pci_bus *pci;   /* the one bus that the host bridge leads to */
    struct fw_cfg *fw_cfg; /* what firmware may ask for */
    struct shadow shadow;
    struct irq_line *isa; /* the sixteen inputs of the PICs */
    bool firmware; /* a reset leaves the chipset as it is, for firmware to set up; else as firmware would */
};

/* A device is one file and one of these. Its own struct begins with a struct device. */
struct device_type {
    const char *name;
    struct device *(*create)(const struct device_place *p); /* NULL: out of memory */
    void (*reset)(struct device *d);                        /* to the state after power-on */
    void (*power_button)(struct device *d);                 /* NULL: not its business */
    const struct state_table *state; /* NULL: what it has to save, others save for it */
    /* A key goes down or up, by its number of ps2_keyboard.h; NULL: it is no keyboard. */
    void (*key)(struct device *d, u8 number, bool down);
};

struct device {
    const struct device_type *type;
};

extern const struct device_type serial_16550;
extern const struct device_type rtc_mc146818;
extern const struct device_type i8042;
extern const struct device_type acpi_pm;
extern const struct device_type pci_host;
extern const struct device_type lpc_ich9;
extern const struct device_type fw_cfg_device;
extern const struct device_type pci_hotplug;
extern const struct device_type cpu_hotplug;

/* pci_hotplug.c: a device has come into a slot; one is to go, which is done when the guest lets it go, or
 * begins anew: false if that has been asked for already; whether one is to go. */
void pci_hotplug_added(struct device *hotplug, unsigned slot);
bool pci_hotplug_remove(struct device *hotplug, unsigned slot);
bool pci_hotplug_going(const struct device *hotplug);

/* cpu_hotplug.c: the same of processors. */
void cpu_hotplug_added(struct device *hotplug, unsigned number);
bool cpu_hotplug_remove(struct device *hotplug, unsigned number);
bool cpu_hotplug_going(const struct device *hotplug);

/* acpi_pm.c: a general-purpose event has happened. */
void acpi_pm_event(struct device *pm, unsigned gpe);

/* rtc.c: a byte of CMOS memory, as the firmware finds it. */
void rtc_set_cmos(struct device *rtc, u8 index, u8 value);

#endif
