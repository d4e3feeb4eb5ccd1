/* boot.h - brings a kernel into memory and says how a processor enters it */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MACHINE_BOOT_BOOT_H
#define MACHINE_BOOT_BOOT_H

#include "base/config/vm_config.h"
#include "base/error.h"
#include "machine/slots.h"

/* A file in memory, or that can be read again. */
struct blob {
    const char *path; /* as the user wrote it */
    const char *option;
    int fd;       /* of a regular file; -1: it is in memory as long as the program lives */
    size_t limit; /* bytes that it may have */
    u8 *data;
    size_t size;
};

/* What is to boot, loaded again at each reset: a kernel, or the firmware that looks for one. */
struct boot_files {
    struct blob kernel, initrd; /* initrd.data NULL: none */
    const char *cmdline;
    struct rom firmware; /* host NULL: the kernel is entered directly */
};

/* The state in which the kernel's boot protocol wants the processor, as far as the protocols differ. In all
 * of them interrupts are off, and flat segments with the selectors and descriptors of BOOT_CS and BOOT_DS are
 * loaded. */
struct boot_entry {
    bool long_mode; /* 64-bit with paging; else 32-bit without */
    u64 rip, rbx, rsi;
};

enum { BOOT_CS = 0x10, BOOT_DS = 0x18, BOOT_TSS = 0x20 };

/* What stands at PC_BOOT_DATA: all that the kernel finds besides its own image. Free once it runs. */
enum {
    BOOT_GDT = PC_BOOT_DATA,
    BOOT_GDT_SIZE = 0x28,
    BOOT_PARAMS = PC_BOOT_DATA + 0x1000,      /* Linux's zero page, or PVH's start info */
    BOOT_PAGE_TABLES = PC_BOOT_DATA + 0x2000, /* the first 4 GiB, identity-mapped */
    BOOT_CMDLINE = PC_BOOT_DATA + 0x8000,
    BOOT_CMDLINE_MAX = 0x4000, /* with the final 0 */
    BOOT_DATA_END = BOOT_CMDLINE + BOOT_CMDLINE_MAX,
};

/* Reads the files. 0, or -errno with e; then nothing is held. */
int boot_read(struct boot_files *f, const struct vm_config *c, struct error *e);
void boot_free(struct boot_files *f);

/* Loads into cleared memory; regular files are not kept in our own, but read again for the next time. rsdp:
 * the guest address of ACPI's. 0, or -errno with e. */
int boot_load(struct boot_files *f, const struct ram *ram, u64 rsdp, struct boot_entry *entry,
              struct error *e);

/* firmware.c: the image that `path` names, NULL being the usual one; and all that it may ask for, into an
 * empty fw_cfg. devices: PCI devices, for the order in which to boot from them. */
int firmware_read(struct rom *rom, const char *path, struct error *e);
struct fw_cfg;
struct pci_bus;
struct firmware_board {
    const struct vm_config *config;
    const struct ram *ram;
    struct pci_bus *pci;
    unsigned cpus, serial_ports;
};
int firmware_describe(struct fw_cfg *f, const struct firmware_board *b, struct error *e);

/* The letters of -boot as CMOS memory has them: registers 0x3d and 0x38. */
void firmware_boot_order(const char *letters, u8 *reg3d, u8 *reg38);

/* A kind of kernel: load is called only if matches says so. */
struct boot_format {
    const char *name;
    bool (*matches)(const struct blob *kernel);
    int (*load)(const struct boot_files *f, const struct ram *ram, u64 rsdp, struct boot_entry *entry,
                struct error *e);
};
extern const struct boot_format boot_linux, boot_pvh;

/* For the formats. */

/* The highest page-aligned place for the initrd in [from, below] of the memory under 4 GiB: loads it there,
 * and its address goes to *gpa (0: there is none). */
int boot_load_initrd(const struct boot_files *f, const struct ram *ram, u64 from, u64 below, u64 *gpa,
                     struct error *e);
/* max: the longest the kernel takes, without the final 0. */
int boot_load_cmdline(const struct boot_files *f, const struct ram *ram, u64 max, struct error *e);

#endif
