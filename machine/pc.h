/* pc.h - the PC's map: where things are in memory, in port space and on the interrupt inputs */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MACHINE_PC_H
#define MACHINE_PC_H

#include "base/base.h"

/* What both the board and its description to the guest (ACPI, e820) need to know; all of it stands here once.
 */

/* Of a Q35, as firmware knows it. */
#define PC_LOW_RAM_END  0xb0000000ull /* memory beyond this continues at 4 GiB */
#define PC_HIGH_RAM     0x100000000ull
#define PC_ECAM         0xb0000000ull /* PCI Express configuration space */
#define PC_ECAM_SIZE    0x10000000ull /* 256 buses of 1 MiB */
#define PC_PCI_MMIO     0xc0000000ull /* to the IOAPIC: for devices' registers */
#define PC_IOAPIC       0xfec00000ull
#define PC_LAPIC        0xfee00000ull
#define PC_IDENTITY_MAP 0xfeffc000ull /* pages that KVM keeps for itself on some CPUs */
#define PC_TSS          0xfeffd000ull
#define PC_FIRMWARE_MAX 0x01000000ull /* it ends at 4 GiB */

/* The first mebibyte. */
#define PC_BOOT_DATA   0x00090000ull /* what the boot loader leaves for the kernel */
#define PC_EBDA        0x0009fc00ull /* end of usable memory below the hole of the legacy PC */
#define PC_ACPI_TABLES 0x000e0000ull /* where an operating system without help looks for the RSDP */
#define PC_ACPI_SIZE   0x00010000ull
#define PC_SMBIOS      0x000f0000ull /* and for the entry point of SMBIOS */
#define PC_SMBIOS_SIZE 0x00004000ull
#define PC_SHADOW      0x000c0000ull /* to the mebibyte: PAM registers say what is there */
#define PC_ISA_ROM     0x00020000ull /* so much of the firmware's end is seen at the mebibyte's */
#define PC_MEBIBYTE    0x00100000ull

enum {
    PC_PORT_I8042 = 0x60,
    PC_PORT_RTC = 0x70,
    PC_PORT_COM1 = 0x3f8,
    PC_PORT_FW_CFG = 0x510,
    PC_PORT_PM = 0x600,
    PC_PORT_PCI = 0xcf8,
    PC_PORT_RESET = 0xcf9,
    PC_PORT_PCI_HOTPLUG = 0xae00,
    PC_PORT_CPU_HOTPLUG = 0x0cd8,
};

/* Where a PC has its serial ports. */
static const struct {
    u16 port;
    unsigned irq;
} pc_serial_ports[] = {{PC_PORT_COM1, 4}, {0x2f8, 3}, {0x3e8, 4}, {0x2e8, 3}};

enum { PC_IRQ_KEYBOARD = 1, PC_IRQ_RTC = 8, PC_IRQ_SCI = 9, PC_IRQ_PCI = 16 /* and the seven after it */ };

/* The ACPI power-management block, from PC_PORT_PM. */
enum {
    PC_PM1_EVT = 0,
    PC_PM1_EVT_SIZE = 4,
    PC_PM1_CNT = 4,
    PC_PM1_CNT_SIZE = 2,
    PC_PM_TMR = 8,
    PC_PM_TMR_SIZE = 4,
    PC_GPE0 = 0x20,
    PC_GPE0_SIZE = 16,
    PC_SMI_EN = 0x30,
    PC_SMI_EN_SIZE = 4,
    PC_PM_SIZE = 0x80,
    PC_SLP_TYP_S5 = 5,
};

enum { PC_PCI_SLOTS = 32, PC_PIRQS = 8, PC_SLOT_LPC = 0x1f };

/* Which of the lines PIRQA to PIRQH gets pin A of a slot, so that firmware for a Q35 knows. */
static inline unsigned pc_pci_pirq(unsigned slot)
{
    return slot < 25 ? slot % PC_PIRQS : 0;
}

/* General-purpose events of ACPI, by bit of GPE0. */
enum { PC_GPE_PCI_HOTPLUG = 1, PC_GPE_CPU_HOTPLUG = 2 };

enum { PC_RESET_VALUE = 0x06, PC_CMOS_CENTURY = 0x32, PC_IOAPIC_ID = 0 };

#endif
