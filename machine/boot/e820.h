/* e820.h - the memory map that the guest is told */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MACHINE_BOOT_E820_H
#define MACHINE_BOOT_E820_H

#include "machine/ram.h"

enum { E820_RAM = 1, E820_RESERVED = 2 }; /* ACPI 6.5 table 15.4 */
enum { E820_MAX = 8 };

struct e820_entry {
    u64 base, size;
    u32 type;
};

/* Fills at most E820_MAX entries, by address, and returns how many. */
unsigned e820_build(struct e820_entry *map, const struct ram *ram);

#endif
