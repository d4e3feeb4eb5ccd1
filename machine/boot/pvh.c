/* pvh.c - the PVH boot protocol: an ELF kernel entered in 32-bit mode (Xen's docs/misc/pvh.pandoc and
 * public/arch-x86/hvm/start_info.h) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>

#include "machine/boot/boot.h"
#include "machine/boot/e820.h"
#include "machine/boot/elf_image.h"

enum { XEN_ELFNOTE_PHYS32_ENTRY = 18, START_MAGIC = 0x336ec578, START_VERSION = 1 };

struct hvm_start_info {
    u32 magic, version, flags, nr_modules;
    u64 modlist_paddr, cmdline_paddr, rsdp_paddr, memmap_paddr;
    u32 memmap_entries, reserved;
};

struct hvm_modlist_entry {
    u64 paddr, size, cmdline_paddr, reserved;
};

struct hvm_memmap_table_entry {
    u64 addr, size;
    u32 type, reserved; /* types are E820's */
};

/* What stands at BOOT_PARAMS. */
struct start_data {
    struct hvm_start_info info;
    struct hvm_modlist_entry module;
    struct hvm_memmap_table_entry memmap[E820_MAX];
};

static int find_entry(const struct elf_image *im, const struct ram *ram, u64 *rip, struct error *e)
{
    const u8 *desc;
    size_t len = elf_note(im, "Xen", XEN_ELFNOTE_PHYS32_ENTRY, &desc);
    *rip = 0;
    if (len != 4 && len != 8)
        return error_set(
            e, ENOEXEC,
            "-kernel '%s' is an ELF file without a PVH entry: use a vmlinux built with CONFIG_PVH, or a "
            "bzImage",
            im->file->path);
    memcpy(rip, desc, len);
    if (*rip >= PC_HIGH_RAM || !ram_at(ram, *rip, 1))
        return error_set(
            e, ENOEXEC,
            "-kernel '%s' has its PVH entry at 0x%llx, which is not in the guest's memory: use a "
            "larger -m",
            im->file->path, (unsigned long long)*rip);
    return 0;
}

static void put_start_data(const struct boot_files *f, const struct ram *ram, u64 rsdp, u64 initrd)
{
    struct start_data *d = ram_at(ram, BOOT_PARAMS, sizeof(*d));
    struct e820_entry map[E820_MAX];
    unsigned n = e820_build(map, ram);
    for (unsigned i = 0; i < n; i++)
        d->memmap[i] = (struct hvm_memmap_table_entry){map[i].base, map[i].size, map[i].type, 0};
    d->module = (struct hvm_modlist_entry){.paddr = initrd, .size = f->initrd.size};
    d->info = (struct hvm_start_info){
        .magic = START_MAGIC,
        .version = START_VERSION,
        .nr_modules = initrd ? 1 : 0,
        .modlist_paddr = initrd ? BOOT_PARAMS + offsetof(struct start_data, module) : 0,
        .cmdline_paddr = BOOT_CMDLINE,
        .rsdp_paddr = rsdp,
        .memmap_paddr = BOOT_PARAMS + offsetof(struct start_data, memmap),
        .memmap_entries = n,
    };
}

static int pvh_load(const struct boot_files *f, const struct ram *ram, u64 rsdp, struct boot_entry *entry,
                    struct error *e)
{
    struct elf_image im;
    u64 end, initrd;
    int r;
    if ((r = elf_open(&im, &f->kernel, e)) < 0 || (r = find_entry(&im, ram, &entry->rip, e)) < 0)
        return r;
    if ((r = elf_load(&im, ram, &end, e)) < 0)
        return r;
    r = boot_load_initrd(f, ram, max(end, PC_MEBIBYTE), PC_LOW_RAM_END, &initrd, e);
    if (r < 0 || (r = boot_load_cmdline(f, ram, BOOT_CMDLINE_MAX - 1, e)) < 0)
        return r;
    put_start_data(f, ram, rsdp, initrd);
    entry->rbx = BOOT_PARAMS;
    return 0;
}

const struct boot_format boot_pvh = {"ELF with PVH entry", elf_matches, pvh_load};
