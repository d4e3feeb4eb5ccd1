/* fw_cfg.h - what the machine tells its firmware: numbered items and named files (QEMU's
 * docs/specs/fw_cfg.rst) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MACHINE_FW_CFG_H
#define MACHINE_FW_CFG_H

#include "machine/ram.h"

enum { FW_CFG_FILES = 48, FW_CFG_ITEMS = 24, FW_CFG_NAME_MAX = 56 };

/* The items that firmware asks for by number. */
enum {
    FW_CFG_SIGNATURE = 0x00,
    FW_CFG_ID = 0x01,
    FW_CFG_UUID = 0x02,
    FW_CFG_RAM_SIZE = 0x03,
    FW_CFG_NOGRAPHIC = 0x04,
    FW_CFG_NB_CPUS = 0x05,
    FW_CFG_BOOT_MENU = 0x0e,
    FW_CFG_MAX_CPUS = 0x0f,
    FW_CFG_FILE_DIR = 0x19,
    FW_CFG_FILE_FIRST = 0x20,
    FW_CFG_INVALID = 0xffff,
};

struct fw_cfg_item {
    char name[FW_CFG_NAME_MAX]; /* of a file */
    u16 key;
    u8 *data;
    u32 size;
};

/* The item that is selected, and how far it has been read, are the guest's to change; the items are ours. */
struct fw_cfg {
    struct fw_cfg_item item[FW_CFG_ITEMS + FW_CFG_FILES];
    unsigned count, files;
    u16 selected;
    u32 offset;
    u32 dma_high; /* of the DMA address register */
    const struct ram *ram;
};

/* Each takes a copy. -ENOMEM with e; more files than there is room for, or a name that is too long: a bug. */
int fw_cfg_add(struct fw_cfg *f, u16 key, const void *data, size_t size);
int fw_cfg_add_file(struct fw_cfg *f, const char *name, const void *data, size_t size);
/* The directory, of the files that there are: called last. */
int fw_cfg_finish(struct fw_cfg *f);
void fw_cfg_clear(struct fw_cfg *f);

#endif
