/* pci_slots.c - the slots of the PCI bus in ACPI's terms: hot-plug by the registers of devices/pci_hotplug.c
 */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>

#include "machine/acpi/pci_slots.h"
#include "machine/pc.h"

enum { NOTIFY_BUS_CHECK = 1, NOTIFY_EJECT = 3, FOREVER = 0xffff };
enum { UP = 0, EJECT = 8, SELECT = 16 };

static bool is_hotpluggable(u32 slot)
{
    return slot && slot != PC_SLOT_LPC;
}

static const char *slot_name(u32 slot, char name[5])
{
    snprintf(name, 5, "S%02X_", (slot << 3) & 0xff);
    return name;
}

static void add_registers(struct aml *a)
{
    aml_region_io(a, "PCST", PC_PORT_PCI_HOTPLUG + UP, 8);
    size_t field = aml_begin_field(a, "PCST", AML_DWORD_ACCESS);
    aml_field(a, "PCIU", 32);
    aml_field(a, "PCID", 32);
    aml_end(a, field);
    aml_region_io(a, "SEJ_", PC_PORT_PCI_HOTPLUG + EJECT, 4);
    field = aml_begin_field(a, "SEJ_", AML_DWORD_ACCESS);
    aml_field(a, "B0EJ", 32);
    aml_end(a, field);
    aml_region_io(a, "BNMR", PC_PORT_PCI_HOTPLUG + SELECT, 4);
    field = aml_begin_field(a, "BNMR", AML_DWORD_ACCESS);
    aml_field(a, "BNUM", 32);
    aml_end(a, field);
    aml_mutex(a, "BLCK");
}

static void acquire(struct aml *a)
{
    aml_op(a, AML_ACQUIRE);
    aml_path(a, "BLCK");
    aml_u16(a, FOREVER);
}

static void release(struct aml *a)
{
    aml_op(a, AML_RELEASE);
    aml_path(a, "BLCK");
}

static void select_bus(struct aml *a)
{
    aml_op(a, AML_STORE);
    aml_integer(a, 0);
    aml_path(a, "BNUM");
}

/* PCEJ (slot): the guest has let it go. */
static void add_eject(struct aml *a)
{
    size_t method = aml_begin_method(a, "PCEJ", 1, true);
    acquire(a);
    select_bus(a);
    aml_op(a, AML_STORE);
    aml_op(a, AML_SHIFT_LEFT);
    aml_integer(a, 1);
    aml_op(a, AML_ARG0);
    aml_op(a, AML_NOWHERE);
    aml_path(a, "B0EJ");
    release(a);
    aml_end(a, method);
}

static void add_slot(struct aml *a, u32 slot)
{
    char name[5];
    size_t device = aml_begin_device(a, slot_name(slot, name));
    aml_name(a, "_ADR");
    aml_integer(a, slot << 16);
    aml_name(a, "_SUN");
    aml_integer(a, slot);
    size_t method = aml_begin_method(a, "_EJ0", 1, false);
    aml_path(a, "PCEJ");
    aml_path(a, "_SUN");
    aml_end(a, method);
    aml_end(a, device);
}

/* DVNT (slots, event): tells the system of it, for each slot. */
static void add_notifier(struct aml *a)
{
    char name[5];
    size_t method = aml_begin_method(a, "DVNT", 2, false);
    for (u32 slot = 0; slot < PC_PCI_SLOTS; slot++) {
        if (!is_hotpluggable(slot))
            continue;
        size_t condition = aml_begin_if(a);
        aml_op(a, AML_AND);
        aml_op(a, AML_ARG0);
        aml_integer(a, 1u << slot);
        aml_op(a, AML_NOWHERE);
        aml_op(a, AML_NOTIFY);
        aml_path(a, slot_name(slot, name));
        aml_op(a, AML_ARG1);
        aml_end(a, condition);
    }
    aml_end(a, method);
}

/* PCNT: looks at what has happened. */
static void add_look(struct aml *a)
{
    static const struct {
        const char *field;
        unsigned event;
    } looks[] = {{"PCIU", NOTIFY_BUS_CHECK}, {"PCID", NOTIFY_EJECT}};
    size_t method = aml_begin_method(a, "PCNT", 0, true);
    acquire(a);
    select_bus(a);
    for (size_t i = 0; i < ARRAY_SIZE(looks); i++) {
        aml_path(a, "DVNT");
        aml_path(a, looks[i].field);
        aml_integer(a, looks[i].event);
    }
    release(a);
    aml_end(a, method);
}

void acpi_add_pci_slots(struct aml *a)
{
    add_registers(a);
    add_eject(a);
    for (u32 slot = 0; slot < PC_PCI_SLOTS; slot++)
        if (is_hotpluggable(slot))
            add_slot(a, slot);
    add_notifier(a);
    add_look(a);
}

/* The method of the general-purpose event. */
void acpi_add_hotplug_event(struct aml *a)
{
    char name[5];
    snprintf(name, sizeof(name), "_E%02X", PC_GPE_PCI_HOTPLUG);
    size_t scope = aml_begin_scope(a, "\\_GPE");
    size_t method = aml_begin_method(a, name, 0, false);
    aml_path(a, "\\_SB_.PCI0.PCNT");
    aml_end(a, method);
    aml_end(a, scope);
}
