/* cpus.c - the processors in ACPI's terms: hot-plug by the registers of devices/cpu_hotplug.c */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>
#include <string.h>

#include "machine/acpi/cpus.h"
#include "machine/pc.h"

enum { NOTIFY_DEVICE_CHECK = 1, NOTIFY_EJECT = 3, FOREVER = 0xffff };
enum { SELECT = 0, STATE_BYTE = 4 };
enum { MADT_LAPIC = 0, STA_PRESENT = 0x0f };

void acpi_lapic_entry(u8 entry[MADT_LAPIC_SIZE], unsigned number, u32 flags)
{
    memcpy(entry, (const u8[]){MADT_LAPIC, MADT_LAPIC_SIZE, (u8)number, (u8)number}, 4);
    memcpy(entry + 4, &flags, sizeof(flags));
}

static bool can_change(const struct acpi_board *b)
{
    return b->fixed_cpus < b->max_cpus;
}

static const char *cpu_name(unsigned number, char name[5])
{
    snprintf(name, 5, "CP%02X", number & 0xff);
    return name;
}

static void add_registers(struct aml *a)
{
    aml_region_io(a, "CPSR", PC_PORT_CPU_HOTPLUG + SELECT, 4);
    size_t field = aml_begin_field(a, "CPSR", AML_DWORD_ACCESS);
    aml_field(a, "CSEL", 32);
    aml_end(a, field);
    aml_region_io(a, "CPST", PC_PORT_CPU_HOTPLUG + STATE_BYTE, 1);
    field = aml_begin_field(a, "CPST", AML_BYTE_ACCESS);
    aml_field(a, "CPEN", 1);
    aml_field(a, "CINS", 1);
    aml_field(a, "CRMV", 1);
    aml_field(a, "CEJ0", 1);
    aml_end(a, field);
    aml_mutex(a, "CPLK");
}

static void acquire(struct aml *a)
{
    aml_op(a, AML_ACQUIRE);
    aml_path(a, "CPLK");
    aml_u16(a, FOREVER);
}

static void release(struct aml *a)
{
    aml_op(a, AML_RELEASE);
    aml_path(a, "CPLK");
}

static void store(struct aml *a, u64 value, const char *field)
{
    aml_op(a, AML_STORE);
    aml_integer(a, value);
    aml_path(a, field);
}

static void select_argument(struct aml *a)
{
    aml_op(a, AML_STORE);
    aml_op(a, AML_ARG0);
    aml_path(a, "CSEL");
}

/* CSTA (number): its _STA. */
static void add_status(struct aml *a)
{
    size_t method = aml_begin_method(a, "CSTA", 1, true);
    acquire(a);
    select_argument(a);
    aml_op(a, AML_STORE);
    aml_integer(a, 0);
    aml_op(a, AML_LOCAL0);
    size_t condition = aml_begin_if(a);
    aml_path(a, "CPEN");
    aml_op(a, AML_STORE);
    aml_integer(a, STA_PRESENT);
    aml_op(a, AML_LOCAL0);
    aml_end(a, condition);
    release(a);
    aml_op(a, AML_RETURN);
    aml_op(a, AML_LOCAL0);
    aml_end(a, method);
}

/* CEJX (number): the guest has let it go. */
static void add_eject(struct aml *a)
{
    size_t method = aml_begin_method(a, "CEJX", 1, true);
    acquire(a);
    select_argument(a);
    store(a, 1, "CEJ0");
    release(a);
    aml_end(a, method);
}

static void add_changing(struct aml *a, unsigned number)
{
    u8 entry[MADT_LAPIC_SIZE];
    size_t method = aml_begin_method(a, "_STA", 0, false);
    aml_op(a, AML_RETURN);
    aml_path(a, "CSTA");
    aml_integer(a, number);
    aml_end(a, method);
    method = aml_begin_method(a, "_EJ0", 1, false);
    aml_path(a, "CEJX");
    aml_integer(a, number);
    aml_end(a, method);
    aml_name(a, "_MAT");
    acpi_lapic_entry(entry, number, MADT_ENABLED);
    aml_buffer(a, entry, sizeof(entry));
}

/* If (FIELD) { Notify (the processor, event); and what has been told is cleared, if it is to be. */
static void add_notice(struct aml *a, unsigned number, const char *field, unsigned event, bool clear)
{
    char name[5];
    size_t condition = aml_begin_if(a);
    aml_path(a, field);
    aml_op(a, AML_NOTIFY);
    aml_path(a, cpu_name(number, name));
    aml_integer(a, event);
    if (clear)
        store(a, 1, field);
    aml_end(a, condition);
}

/* CSCN: looks at what has happened. */
static void add_look(struct aml *a, const struct acpi_board *b)
{
    size_t method = aml_begin_method(a, "CSCN", 0, true);
    acquire(a);
    for (unsigned i = b->fixed_cpus; i < b->max_cpus; i++) {
        store(a, i, "CSEL");
        add_notice(a, i, "CINS", NOTIFY_DEVICE_CHECK, true);
        add_notice(a, i, "CRMV", NOTIFY_EJECT,
                   false); /* until it is ejected: a guest that is busy is told again */
    }
    release(a);
    aml_end(a, method);
}

void acpi_add_cpus(struct aml *a, const struct acpi_board *b)
{
    char name[5];
    if (can_change(b)) {
        add_registers(a);
        add_status(a);
        add_eject(a);
    }
    for (unsigned i = 0; i < b->max_cpus; i++) {
        size_t device = aml_begin_device(a, cpu_name(i, name));
        aml_name(a, "_HID");
        aml_string(a, "ACPI0007");
        aml_name(a, "_UID");
        aml_integer(a, i);
        if (i >= b->fixed_cpus)
            add_changing(a, i);
        aml_end(a, device);
    }
    if (can_change(b))
        add_look(a, b);
}

/* The method of the general-purpose event. */
void acpi_add_cpu_event(struct aml *a, const struct acpi_board *b)
{
    char name[5];
    if (!can_change(b))
        return;
    snprintf(name, sizeof(name), "_E%02X", PC_GPE_CPU_HOTPLUG);
    size_t scope = aml_begin_scope(a, "\\_GPE");
    size_t method = aml_begin_method(a, name, 0, false);
    aml_path(a, "\\_SB_.CSCN");
    aml_end(a, method);
    aml_end(a, scope);
}
