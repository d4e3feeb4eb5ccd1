/* pci_slots.h - the slots of the PCI bus in ACPI's terms */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MACHINE_ACPI_PCI_SLOTS_H
#define MACHINE_ACPI_PCI_SLOTS_H

#include "machine/acpi/aml.h"

/* Inside the bus's device; and beside it. */
void acpi_add_pci_slots(struct aml *a);
void acpi_add_hotplug_event(struct aml *a);

#endif
