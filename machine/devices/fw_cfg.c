/* fw_cfg.c - the firmware configuration device: selector, data and DMA ports (QEMU's docs/specs/fw_cfg.rst)
 */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine/device.h"
#include "machine/fw_cfg.h"

enum { DMA_PORT = 4, DMA_SIZE = 8 }; /* from the selector's port */
enum { DMA_ERROR = 1, DMA_READ = 2, DMA_SKIP = 4, DMA_SELECT = 8, DMA_WRITE = 16 };

/* As it stands in guest memory, big-endian. */
struct dma_access {
    u32 control, length;
    u64 gpa;
};

/* An entry of the directory, big-endian. */
struct dir_entry {
    u32 size;
    u16 key, reserved;
    char name[FW_CFG_NAME_MAX];
};

/* ---- the items ---- */

static int put(struct fw_cfg *f, u16 key, const char *name, const void *data, size_t size)
{
    u8 *copy = malloc(size + 1);
    if (!copy)
        return -ENOMEM;
    ASSERT(f->count < ARRAY_SIZE(f->item) && strlen(name) < FW_CFG_NAME_MAX);
    memcpy(copy, data, size);
    struct fw_cfg_item *item = &f->item[f->count++];
    *item = (struct fw_cfg_item){.key = key, .data = copy, .size = (u32)size};
    snprintf(item->name, sizeof(item->name), "%s", name);
    return 0;
}

int fw_cfg_add(struct fw_cfg *f, u16 key, const void *data, size_t size)
{
    return put(f, key, "", data, size);
}

int fw_cfg_add_file(struct fw_cfg *f, const char *name, const void *data, size_t size)
{
    ASSERT(f->files < FW_CFG_FILES);
    return put(f, (u16)(FW_CFG_FILE_FIRST + f->files++), name, data, size);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct dir_entry *)a)->name, ((const struct dir_entry *)b)->name);
}

int fw_cfg_finish(struct fw_cfg *f)
{
    struct {
        u32 count;
        struct dir_entry entry[FW_CFG_FILES];
    } dir = {.count = __builtin_bswap32(f->files)};
    unsigned n = 0;
    for (unsigned i = 0; i < f->count; i++)
        if (f->item[i].key >= FW_CFG_FILE_FIRST) {
            struct dir_entry *d = &dir.entry[n++];
            d->size = __builtin_bswap32(f->item[i].size);
            d->key = __builtin_bswap16(f->item[i].key);
            memcpy(d->name, f->item[i].name, sizeof(d->name));
        }
    qsort(dir.entry, n, sizeof(dir.entry[0]), by_name);
    return fw_cfg_add(f, FW_CFG_FILE_DIR, &dir, sizeof(dir.count) + n * sizeof(dir.entry[0]));
}

void fw_cfg_clear(struct fw_cfg *f)
{
    for (unsigned i = 0; i < f->count; i++)
        free(f->item[i].data);
    f->count = f->files = 0;
    f->selected = FW_CFG_INVALID;
    f->offset = f->dma_high = 0;
}

/* ---- the guest's side ---- */

static const struct fw_cfg_item *selected(const struct fw_cfg *f)
{
    for (unsigned i = 0; i < f->count; i++)
        if (f->item[i].key == f->selected)
            return &f->item[i];
    return NULL;
}

static void choose(struct fw_cfg *f, u16 key)
{
    f->selected = key;
    f->offset = 0;
}

/* Of what is behind the offset, at most len bytes; behind the end an item reads as zeros. */
static void read_item(struct fw_cfg *f, u8 *to, u32 len)
{
    const struct fw_cfg_item *item = selected(f);
    u32 left = item ? item->size - min(f->offset, item->size) : 0, n = min(left, len);
    if (n)
        memcpy(to, item->data + f->offset, n);
    memset(to + n, 0, len - n);
    f->offset += n;
}

/* No item can be written. A read goes to memory in one piece, or is an error. */
static bool transfer(struct fw_cfg *f, u32 control, u32 length, u64 gpa)
{
    if (control & DMA_SELECT)
        choose(f, (u16)(control >> 16));
    if (control & DMA_READ) {
        u8 *to = ram_at(f->ram, gpa, length);
        if (length && !to)
            return false;
        if (length) {
            read_item(f, to, length);
            ram_mark(f->ram, to, length);
        }
        return true;
    }
    const struct fw_cfg_item *item = selected(f);
    if (control & DMA_SKIP)
        f->offset = item ? f->offset + min(length, item->size - min(f->offset, item->size)) : 0;
    return !(control & DMA_WRITE) || control & DMA_SKIP;
}

static void run_dma(struct fw_cfg *f, u64 gpa)
{
    struct dma_access a;
    u8 *at = ram_at(f->ram, gpa, sizeof(a));
    if (!at)
        return;
    memcpy(&a, at, sizeof(a));
    bool good =
        transfer(f, __builtin_bswap32(a.control), __builtin_bswap32(a.length), __builtin_bswap64(a.gpa));
    u32 result = good ? 0 : __builtin_bswap32(DMA_ERROR);
    memcpy(at, &result, sizeof(result));
    ram_mark(f->ram, at, sizeof(result));
}

static u64 data_read(void *opaque, u64 offset, unsigned size)
{
    struct fw_cfg *f = opaque;
    u8 byte = 0;
    (void)offset;
    if (size == 1)
        read_item(f, &byte, 1);
    return byte;
}

/* The data port was writable once, and is not any more. */
static void select_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    if (size == 2 && offset == 0)
        choose(opaque, (u16)value);
}

/* Big-endian, in two halves; the second starts the transfer. Reading shows that there is such a thing. */
static u64 dma_read(void *opaque, u64 offset, unsigned size)
{
    static const u8 signature[DMA_SIZE] = "QEMU CFG";
    u64 value = 0;
    (void)opaque;
    memcpy(&value, signature + offset, size);
    return value;
}

static void dma_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    struct fw_cfg *f = opaque;
    u32 half = __builtin_bswap32((u32)value);
    if (size != 4)
        return;
    if (offset == 0) {
        f->dma_high = half;
        return;
    }
    u64 gpa = (u64)f->dma_high << 32 | half;
    f->dma_high = 0;
    run_dma(f, gpa);
}

static const struct bus_ops data_ops = {data_read, select_write, 2};
static const struct bus_ops dma_ops = {dma_read, dma_write, 4};

struct fw_cfg_device {
    struct device device;
    struct fw_cfg *fw_cfg;
    u16 selected; /* as they are saved */
    u32 offset, dma_high;
};

static void fw_cfg_reset(struct device *d)
{
    struct fw_cfg *f = container_of(d, struct fw_cfg_device, device)->fw_cfg;
    choose(f, 0);
    f->dma_high = 0;
}

static struct device *fw_cfg_create(const struct device_place *p)
{
    struct fw_cfg_device *d = calloc(1, sizeof(*d));
    if (!d)
        return NULL;
    d->device.type = &fw_cfg_device;
    d->fw_cfg = p->fw_cfg;
    bus_add(p->ports, p->port, 2, &data_ops, p->fw_cfg);
    bus_add(p->ports, p->port + DMA_PORT, DMA_SIZE, &dma_ops, p->fw_cfg);
    return &d->device;
}

static void fw_cfg_saving(void *object)
{
    struct fw_cfg_device *d = object;
    d->selected = d->fw_cfg->selected;
    d->offset = d->fw_cfg->offset;
    d->dma_high = d->fw_cfg->dma_high;
}

static int fw_cfg_loaded(void *object, struct error *e)
{
    const struct fw_cfg_device *d = object;
    (void)e;
    d->fw_cfg->selected = d->selected;
    d->fw_cfg->offset = d->offset;
    d->fw_cfg->dma_high = d->dma_high;
    return 0;
}

static const struct state_field fields[] = {STATE(struct fw_cfg_device, selected),
                                            STATE(struct fw_cfg_device, offset),
                                            STATE(struct fw_cfg_device, dma_high),
                                            {0}};
static const struct state_table state = {"fw_cfg", 1, fields, fw_cfg_saving, fw_cfg_loaded};

const struct device_type fw_cfg_device = {"fw_cfg", fw_cfg_create, fw_cfg_reset, .state = &state};
