/* tables.h - the board as ACPI describes it to the guest */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MACHINE_ACPI_TABLES_H
#define MACHINE_ACPI_TABLES_H

#include "machine/pc.h"

/* What differs between boards. */
struct acpi_board {
    unsigned cpus;       /* that are there now */
    unsigned fixed_cpus; /* of these, those that stay: from there on up to max_cpus, they come and go */
    unsigned max_cpus;
    unsigned serial_ports;
};

enum { ACPI_POINTERS = 16, ACPI_TABLES = 8, ACPI_RSDP_SIZE = 36, ACPI_RSDP_SPACE = 64 };

/* The tables, as they are before anybody knows where they will stand: pointers in them count from their
 * start. They are 64-byte aligned in themselves, and so want to be placed. */
struct acpi_tables {
    u8 data[PC_ACPI_SIZE - ACPI_RSDP_SPACE];
    size_t size;
    u8 rsdp[ACPI_RSDP_SIZE];
    struct acpi_pointer {
        u32 at, size;
    } pointer[ACPI_POINTERS];
    unsigned pointers;
    u32 table[ACPI_TABLES]; /* where those begin that have a header, and so a checksum */
    unsigned tables;
};

/* DSDT, FACS, FADT, MADT, MCFG and XSDT, and the RSDP. */
void acpi_build(struct acpi_tables *t, const struct acpi_board *b);

/* Where no firmware does it: writes RSDP and tables to `to`, of PC_ACPI_SIZE bytes, which the guest sees at
 * `base`. The RSDP comes first. */
void acpi_place(const struct acpi_tables *t, u8 *to, u64 base);

/* For firmware: the steps by which it places the files of these names (QEMU's etc/table-loader). At most
 * ACPI_LOADER_MAX bytes. */
enum { ACPI_LOADER_MAX = 128 * (2 + ACPI_POINTERS + 1 + ACPI_TABLES + 2) };
#define ACPI_FILE_RSDP   "etc/acpi/rsdp"
#define ACPI_FILE_TABLES "etc/acpi/tables"
size_t acpi_loader(const struct acpi_tables *t, u8 to[ACPI_LOADER_MAX]);

#endif
