/* smbios.h - what the machine says of itself to a system's inventory (DMTF DSP0134, SMBIOS 2.8) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MACHINE_BOOT_SMBIOS_H
#define MACHINE_BOOT_SMBIOS_H

#include "base/config/vm_config.h"
#include "base/error.h"
#include "machine/pc.h"

enum { SMBIOS_ANCHOR_SIZE = 31, SMBIOS_ANCHOR_SPACE = 32 };

/* The entry point, and the structures, whose address is in it. */
struct smbios {
    u8 anchor[SMBIOS_ANCHOR_SIZE];
    u8 data[PC_SMBIOS_SIZE - SMBIOS_ANCHOR_SPACE];
    size_t size;
};

/* As -name, -uuid, -smbios, -smp and -m say. firmware: it adds the structure about itself. 0, or -errno with
 * e. */
int smbios_build(struct smbios *s, const struct vm_config *c, bool firmware, struct error *e);

/* Where no firmware does it: entry point and structures to `to`, of PC_SMBIOS_SIZE bytes, which the guest
 * sees at `base`. */
void smbios_place(struct smbios *s, u8 *to, u32 base);

#endif
