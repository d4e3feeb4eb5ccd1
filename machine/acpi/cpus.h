/* cpus.h - the processors in ACPI's terms */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MACHINE_ACPI_CPUS_H
#define MACHINE_ACPI_CPUS_H

#include "machine/acpi/aml.h"
#include "machine/acpi/tables.h"

/* Inside \_SB; and beside it. */
void acpi_add_cpus(struct aml *a, const struct acpi_board *b);
void acpi_add_cpu_event(struct aml *a, const struct acpi_board *b);

/* The entry of a processor's local APIC in the MADT, which a processor that comes brings with it. */
enum { MADT_LAPIC_SIZE = 8, MADT_ENABLED = 1, MADT_ONLINE_CAPABLE = 2 };
void acpi_lapic_entry(u8 entry[MADT_LAPIC_SIZE], unsigned number, u32 flags);

#endif
