/* e820.c - the memory map that the guest is told (ACPI 6.5 chapter 15) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "machine/boot/e820.h"

unsigned e820_build(struct e820_entry *map, const struct ram *ram)
{
    const struct e820_entry all[] = {
        {0, PC_EBDA, E820_RAM},
        {PC_EBDA, PC_MEBIBYTE - PC_EBDA, E820_RESERVED}, /* the legacy hole, and in it the ACPI tables */
        {PC_MEBIBYTE, ram->low - PC_MEBIBYTE, E820_RAM},
        {PC_ECAM, PC_ECAM_SIZE, E820_RESERVED},
        {PC_IDENTITY_MAP, PC_HIGH_RAM - PC_IDENTITY_MAP, E820_RESERVED},
        {PC_HIGH_RAM, ram->high, E820_RAM},
    };
    unsigned n = 0;
    for (size_t i = 0; i < ARRAY_SIZE(all); i++)
        if (all[i].size)
            map[n++] = all[i];
    return n;
}
