/* linux.c - the Linux/x86 boot protocol: bzImage, entered in 64-bit or 32-bit mode
 * (Documentation/arch/x86/boot.rst) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>

#include "machine/boot/boot.h"
#include "machine/boot/e820.h"

/* Fields of the setup header, by their offset in the file and in the zero page. */
enum {
    SETUP_SECTS = 0x1f1,
    SYSSIZE = 0x1f4,
    VID_MODE = 0x1fa,
    BOOT_FLAG = 0x1fe,
    JUMP = 0x200, /* its second byte says where the header ends */
    HEADER = 0x202,
    VERSION = 0x206,
    TYPE_OF_LOADER = 0x210,
    LOADFLAGS = 0x211,
    RAMDISK_IMAGE = 0x218,
    RAMDISK_SIZE = 0x21c,
    CMD_LINE_PTR = 0x228,
    INITRD_ADDR_MAX = 0x22c,
    KERNEL_ALIGNMENT = 0x230,
    RELOCATABLE_KERNEL = 0x234,
    XLOADFLAGS = 0x236,
    CMDLINE_SIZE = 0x238,
    PREF_ADDRESS = 0x258,
    INIT_SIZE = 0x260,
    HEADER_MAX = 0x290,
};

/* Fields of the zero page alone (Documentation/arch/x86/zero-page.rst). */
enum {
    ACPI_RSDP_ADDR = 0x070,
    E820_ENTRIES = 0x1e8,
    E820_TABLE = 0x2d0,
    E820_ENTRY_SIZE = 20,
    ZERO_PAGE_SIZE = 4096
};

enum { SECTOR = 512, BOOT_FLAG_VALUE = 0xaa55, LOADER_UNDEFINED = 0xff, VID_MODE_NORMAL = 0xffff };
enum { LOADED_HIGH = 1, XLF_KERNEL_64 = 1, ENTRY_64 = 0x200, BZIMAGE_ADDRESS = 0x100000 };
enum {
    VERSION_MIN = 0x0206 /* Linux 2.6.22: relocatable, cmdline_size */,
    VERSION_PREF = 0x020a,
    VERSION_XLF = 0x020c
};

static u64 field(const struct blob *k, unsigned offset, unsigned bytes)
{
    u64 v = 0;
    memcpy(&v, k->data + offset, bytes);
    return v;
}

static void put(u8 *page, unsigned offset, unsigned bytes, u64 v)
{
    memcpy(page + offset, &v, bytes);
}

static bool linux_matches(const struct blob *k)
{
    return k->size >= HEADER + 4 && !memcmp(k->data + HEADER, "HdrS", 4) &&
           field(k, BOOT_FLAG, 2) == BOOT_FLAG_VALUE;
}

/* The kernel's place and size, from the header. */
struct image {
    u64 file_offset, file_size; /* of the protected-mode part */
    u64 load, init_size;        /* where it goes; how much memory it needs there */
};

static int check_header(const struct blob *k, struct error *e)
{
    if (k->size < HEADER_MAX)
        return error_set(e, ENOEXEC, "-kernel '%s' is truncated inside its boot header: name a complete file",
                         k->path);
    unsigned version = (unsigned)field(k, VERSION, 2);
    if (version < VERSION_MIN || !(field(k, LOADFLAGS, 1) & LOADED_HIGH))
        return error_set(
            e, ENOEXEC,
            "-kernel '%s' speaks version %u.%02u of the boot protocol: use a bzImage of Linux 2.6.22 or "
            "later",
            k->path, version >> 8, version & 0xff);
    return 0;
}

static int find_image(const struct blob *k, struct image *im, struct error *e)
{
    u64 sectors = field(k, SETUP_SECTS, 1);
    im->file_offset = ((sectors ? sectors : 4) + 1) * SECTOR;
    im->file_size = field(k, SYSSIZE, 4) * 16;
    if (im->file_offset >= k->size || im->file_size > ALIGN_UP(k->size - im->file_offset, 16))
        return error_set(
            e, ENOEXEC, "-kernel '%s' is truncated: %llu of %llu bytes are there: name a complete file",
            k->path, (unsigned long long)k->size, (unsigned long long)(im->file_offset + im->file_size));
    im->file_size = k->size - im->file_offset; /* a signature may follow, which nobody minds */
    return 0;
}

/* A relocatable kernel goes where it prefers, or in a small memory as low as it may. */
static int place_image(const struct blob *k, const struct ram *ram, struct image *im, struct error *e)
{
    bool has_pref = field(k, VERSION, 2) >= VERSION_PREF, relocatable = field(k, RELOCATABLE_KERNEL, 1);
    u64 align = field(k, KERNEL_ALIGNMENT, 4);
    bool sane = align && !(align & (align - 1));
    im->load = has_pref ? field(k, PREF_ADDRESS, 8) : BZIMAGE_ADDRESS;
    im->init_size = max(has_pref ? field(k, INIT_SIZE, 4) : 0, im->file_size);
    if (!ram_at(ram, im->load, im->init_size) && relocatable && sane)
        im->load = ALIGN_UP((u64)BZIMAGE_ADDRESS, align);
    if (im->load < PC_MEBIBYTE)
        return error_set(e, ENOEXEC,
                         "-kernel '%s' is damaged: it asks for the address 0x%llx: name a complete file",
                         k->path, (unsigned long long)im->load);
    if (!ram_at(ram, im->load, im->init_size))
        return error_set(
            e, ENOMEM,
            "-kernel '%s' needs %llu MiB at %llu MiB, and the guest's memory has %llu MiB: use a larger -m",
            k->path, (unsigned long long)(im->init_size >> 20), (unsigned long long)(im->load >> 20),
            (unsigned long long)(ram->size >> 20));
    return 0;
}

static void put_e820(u8 *page, const struct ram *ram)
{
    struct e820_entry map[E820_MAX];
    unsigned n = e820_build(map, ram);
    put(page, E820_ENTRIES, 1, n);
    for (unsigned i = 0; i < n; i++) {
        unsigned at = E820_TABLE + i * E820_ENTRY_SIZE;
        put(page, at, 8, map[i].base);
        put(page, at + 8, 8, map[i].size);
        put(page, at + 16, 4, map[i].type);
    }
}

/* The zero page: the kernel's own header with our answers in it, and the memory map. */
static void put_zero_page(const struct boot_files *f, const struct ram *ram, u64 rsdp, u64 initrd)
{
    u8 *page = ram_at(ram, BOOT_PARAMS, ZERO_PAGE_SIZE);
    unsigned header_end = HEADER + f->kernel.data[JUMP + 1];
    memcpy(page + SETUP_SECTS, f->kernel.data + SETUP_SECTS,
           min(header_end, (unsigned)HEADER_MAX) - SETUP_SECTS);
    put(page, VID_MODE, 2, VID_MODE_NORMAL);
    put(page, TYPE_OF_LOADER, 1, LOADER_UNDEFINED);
    put(page, RAMDISK_IMAGE, 4, initrd);
    put(page, RAMDISK_SIZE, 4, f->initrd.data ? f->initrd.size : 0);
    put(page, CMD_LINE_PTR, 4, BOOT_CMDLINE);
    put(page, ACPI_RSDP_ADDR, 8, rsdp);
    put_e820(page, ram);
}

/* The 64-bit protocol enters with paging on: the first 4 GiB, identity-mapped in pages of 2 MiB. */
static void put_page_tables(const struct ram *ram)
{
    enum { PRESENT_WRITABLE = 3, LARGE = 0x80, ENTRIES = 512, GIB_COUNT = 4, LARGE_SHIFT = 21 };
    u64 *pml4 = ram_at(ram, BOOT_PAGE_TABLES, (2 + GIB_COUNT) * 4096);
    u64 *pdpt = pml4 + ENTRIES, *pd = pdpt + ENTRIES;
    pml4[0] = (BOOT_PAGE_TABLES + 0x1000) | PRESENT_WRITABLE;
    for (u64 i = 0; i < GIB_COUNT; i++)
        pdpt[i] = (BOOT_PAGE_TABLES + 0x2000 + i * 0x1000) | PRESENT_WRITABLE;
    for (u64 i = 0; i < GIB_COUNT * ENTRIES; i++)
        pd[i] = i << LARGE_SHIFT | PRESENT_WRITABLE | LARGE;
}

static void set_entry(const struct blob *k, const struct ram *ram, u64 load, struct boot_entry *entry)
{
    bool has_xlf = field(k, VERSION, 2) >= VERSION_XLF;
    entry->long_mode = has_xlf && field(k, XLOADFLAGS, 2) & XLF_KERNEL_64;
    entry->rip = load + (entry->long_mode ? ENTRY_64 : 0);
    entry->rsi = BOOT_PARAMS;
    if (entry->long_mode)
        put_page_tables(ram);
}

static int linux_load(const struct boot_files *f, const struct ram *ram, u64 rsdp, struct boot_entry *entry,
                      struct error *e)
{
    const struct blob *k = &f->kernel;
    struct image im;
    u64 initrd;
    int r;
    if ((r = check_header(k, e)) < 0 || (r = find_image(k, &im, e)) < 0 ||
        (r = place_image(k, ram, &im, e)) < 0)
        return r;
    r = boot_load_initrd(f, ram, im.load + im.init_size, field(k, INITRD_ADDR_MAX, 4) + 1, &initrd, e);
    if (r < 0 || (r = boot_load_cmdline(f, ram, field(k, CMDLINE_SIZE, 4), e)) < 0)
        return r;
    memcpy(ram_at(ram, im.load, im.file_size), k->data + im.file_offset, im.file_size);
    put_zero_page(f, ram, rsdp, initrd);
    set_entry(k, ram, im.load, entry);
    return 0;
}

const struct boot_format boot_linux = {"Linux bzImage", linux_matches, linux_load};
