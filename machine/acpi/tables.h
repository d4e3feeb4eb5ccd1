/* tables.h - the board as ACPI describes it to the guest */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MACHINE_ACPI_TABLES_H
#define MACHINE_ACPI_TABLES_H

#include "base/base.h"

/* Writes RSDP, XSDT, FADT, FACS, MADT, MCFG and DSDT into `size` bytes that the guest sees at `base` (page
 * aligned); the RSDP comes first. Returns how many bytes are used, 0 if size is too small. */
size_t acpi_build(u8 *data, size_t size, u64 base, unsigned cpus);

#endif
