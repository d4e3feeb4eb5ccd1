/* cpu_hotplug.c - what ACPI's methods ask and tell about processors (QEMU's docs/specs/acpi_cpu_hotplug.rst)
 */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdlib.h>

#include "machine/pc.h"
#include "machine/device.h"

/* One processor is selected at a time, and its state read and changed by bits of a byte. The command register
 * finds those that something has happened to; our own methods ask each instead. */
enum { SELECT = 0, STATE_BYTE = 4, COMMAND = 5, DATA = 8, REGISTERS_SIZE = 12 };
enum { ENABLED = 1, INSERTED = 2, REMOVING = 4, EJECT = 8 };
enum { COMMAND_FIND = 0, PROCESSORS_MAX = 64 };

struct cpu_hotplug {
    struct device device;
    struct cpu_sink cpus;
    struct irq_line event; /* raised for a moment: something has happened to a processor */
    u64 inserted, removing;
    u32 selected;
    u8 command;
};

static void raise_event(struct cpu_hotplug *h)
{
    irq_line_set(&h->event, true);
    irq_line_set(&h->event, false);
}

static u8 state_of(const struct cpu_hotplug *h)
{
    u32 n = h->selected;
    if (n >= PROCESSORS_MAX)
        return 0;
    return (u8)((n < h->cpus.count(h->cpus.opaque) ? ENABLED : 0) | (h->inserted >> n & 1 ? INSERTED : 0) |
                (h->removing >> n & 1 ? REMOVING : 0));
}

/* The next one that something has happened to, from the selected one on, round. */
static void find_event(struct cpu_hotplug *h)
{
    for (u32 i = 0; i < PROCESSORS_MAX; i++) {
        u32 n = (h->selected + i) % PROCESSORS_MAX;
        if ((h->inserted | h->removing) >> n & 1) {
            h->selected = n;
            return;
        }
    }
}

static u64 hotplug_read(void *opaque, u64 offset, unsigned size)
{
    const struct cpu_hotplug *h = opaque;
    if (offset == STATE_BYTE && size == 1)
        return state_of(h);
    return offset == DATA && size == 4 && h->command == COMMAND_FIND ? h->selected : 0;
}

/* What the guest gives back has been asked for. */
static void change(struct cpu_hotplug *h, u8 bits)
{
    if (h->selected >= PROCESSORS_MAX)
        return;
    u64 bit = BIT(h->selected);
    bool asked = h->removing & bit;
    if (bits & INSERTED)
        h->inserted &= ~bit;
    if (bits & EJECT && asked) {
        h->removing &= ~bit;
        h->cpus.eject(h->cpus.opaque, h->selected);
    }
}

static void hotplug_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    struct cpu_hotplug *h = opaque;
    if (offset == SELECT && size == 4)
        h->selected = (u32)value;
    else if (offset == STATE_BYTE && size == 1)
        change(h, (u8)value);
    else if (offset == COMMAND && size == 1)
        h->command = (u8)value;
    if (offset == COMMAND && h->command == COMMAND_FIND)
        find_event(h);
}

static const struct bus_ops hotplug_ops = {hotplug_read, hotplug_write, 4};

void cpu_hotplug_added(struct device *d, unsigned number)
{
    struct cpu_hotplug *h = container_of(d, struct cpu_hotplug, device);
    h->inserted |= BIT(number);
    raise_event(h);
}

bool cpu_hotplug_remove(struct device *d, unsigned number)
{
    struct cpu_hotplug *h = container_of(d, struct cpu_hotplug, device);
    if (h->removing >> number & 1)
        return false;
    h->removing |= BIT(number);
    raise_event(h);
    return true;
}

bool cpu_hotplug_going(const struct device *d)
{
    return container_of(d, const struct cpu_hotplug, device)->removing;
}

/* A guest that begins anew finds all that are there, and has not been asked for any. */
static void hotplug_reset(struct device *d)
{
    struct cpu_hotplug *h = container_of(d, struct cpu_hotplug, device);
    h->inserted = h->removing = 0;
    h->selected = h->command = 0;
}

static struct device *hotplug_create(const struct device_place *p)
{
    struct cpu_hotplug *h = calloc(1, sizeof(*h));
    if (!h)
        return NULL;
    h->device.type = &cpu_hotplug;
    h->cpus = p->cpus;
    h->event = p->cpu_event;
    bus_add(p->ports, p->port, REGISTERS_SIZE, &hotplug_ops, h);
    return &h->device;
}

static const struct state_field fields[] = {STATE(struct cpu_hotplug, inserted),
                                            STATE(struct cpu_hotplug, removing),
                                            STATE(struct cpu_hotplug, selected),
                                            STATE(struct cpu_hotplug, command),
                                            {0}};
static const struct state_table state = {"cpu-hotplug", 1, fields};

const struct device_type cpu_hotplug = {"cpu-hotplug", hotplug_create, hotplug_reset, .state = &state};
