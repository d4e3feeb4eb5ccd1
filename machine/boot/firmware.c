/* firmware.c - the firmware's image, and all that it is told through fw_cfg (QEMU's docs/specs/fw_cfg.rst,
 * SeaBIOS's docs/Runtime_config.md) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "machine/acpi/tables.h"
#include "machine/boot/boot.h"
#include "machine/boot/e820.h"
#include "machine/boot/smbios.h"
#include "machine/fw_cfg.h"
#include "machine/pci/pci.h"

/* ---- the image ---- */

enum { ROM_UNIT = 65536 };

/* Where distributions put firmware; a name without a folder is looked for here, as QEMU does in its own. */
static const char *const folders[] = {"/usr/share/seabios", "/usr/share/qemu", "/usr/share/ovmf"};
#define USUAL "bios-256k.bin"

static int open_image(const char *path, char *found, size_t size)
{
    snprintf(found, size, "%s", path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    for (size_t i = 0; i < ARRAY_SIZE(folders) && fd < 0 && errno == ENOENT && !strchr(path, '/'); i++) {
        snprintf(found, size, "%s/%s", folders[i], path);
        fd = open(found, O_RDONLY | O_CLOEXEC);
    }
    return fd;
}

static int read_image(struct rom *rom, int fd, const char *path, struct error *e)
{
    struct stat st;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return error_set(e, EINVAL, "-bios '%s' is no file: name a firmware image", path);
    u64 size = (u64)st.st_size;
    if (!size || size % ROM_UNIT || size > PC_FIRMWARE_MAX)
        return error_set(
            e, EINVAL,
            "-bios '%s' has %llu bytes, and firmware has a multiple of 64 KiB, at most 16 MiB: name a "
            "complete image for a PC, such as Debian's /usr/share/seabios/bios-256k.bin",
            path, (unsigned long long)size);
    u8 *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return error_set(e, errno, "-bios '%s': no memory: %s", path, strerror(errno));
    for (u64 at = 0; at < size;) {
        ssize_t n = read(fd, p + at, size - at);
        if (n <= 0 && (n == 0 || errno != EINTR)) {
            munmap(p, size);
            return error_set(e, EIO, "cannot read -bios '%s': %s", path,
                             n ? strerror(errno) : "it became shorter");
        }
        at += n > 0 ? (u64)n : 0;
    }
    *rom = (struct rom){p, size};
    return 0;
}

int firmware_read(struct rom *rom, const char *path, struct error *e)
{
    char found[4096];
    int fd = open_image(path ? path : USUAL, found, sizeof(found)), err = errno;
    if (fd < 0 && !path)
        return error_set(
            e, ENOENT,
            "no kernel to boot, and no firmware to boot from a disk: use -kernel FILE, or install "
            "Debian's package seabios, or name an image with -bios FILE");
    if (fd < 0)
        return error_set(e, err, "cannot read -bios '%s': %s: check the path", path, strerror(err));
    int r = read_image(rom, fd, found, e);
    close(fd);
    return r;
}

/* ---- what it is told ---- */

static int add_acpi(struct fw_cfg *f, const struct firmware_board *b)
{
    struct acpi_tables *t = calloc(1, sizeof(*t));
    const struct vm_topology *smp = &b->config->smp;
    const struct acpi_board board = {b->cpus, smp->cpus, smp->maxcpus, b->serial_ports};
    u8 steps[ACPI_LOADER_MAX];
    if (!t)
        return -ENOMEM;
    acpi_build(t, &board);
    size_t size = acpi_loader(t, steps);
    int r = fw_cfg_add_file(f, ACPI_FILE_RSDP, t->rsdp, sizeof(t->rsdp));
    if (r == 0)
        r = fw_cfg_add_file(f, ACPI_FILE_TABLES, t->data, t->size);
    free(t);
    return r == 0 ? fw_cfg_add_file(f, "etc/table-loader", steps, size) : r;
}

static int add_smbios(struct fw_cfg *f, const struct firmware_board *b, struct error *e)
{
    struct smbios *s = calloc(1, sizeof(*s));
    int r = s ? smbios_build(s, b->config, true, e) : error_set(e, ENOMEM, "no memory");
    if (r == 0)
        r = fw_cfg_add_file(f, "etc/smbios/smbios-anchor", s->anchor, sizeof(s->anchor));
    if (r == 0)
        r = fw_cfg_add_file(f, "etc/smbios/smbios-tables", s->data, s->size);
    free(s);
    return r;
}

/* Memory as there is; what the firmware makes of it, it says itself. */
static int add_memory(struct fw_cfg *f, const struct ram *ram)
{
    struct {
        u64 base, size;
        u32 type;
    } __attribute__((packed)) map[3];
    unsigned n = 0;
    map[n].base = 0, map[n].size = ram->low, map[n++].type = E820_RAM;
    if (ram->high)
        map[n].base = PC_HIGH_RAM, map[n].size = ram->high, map[n++].type = E820_RAM;
    map[n].base = PC_IDENTITY_MAP, map[n].size = 4 * 4096, map[n++].type = E820_RESERVED;
    int r = fw_cfg_add(f, FW_CFG_RAM_SIZE, &ram->size, sizeof(ram->size));
    return r == 0 ? fw_cfg_add_file(f, "etc/e820", map, n * sizeof(map[0])) : r;
}

/* A device's place in Open Firmware's words, as SeaBIOS looks for it. */
static void device_path(const struct pci_device *d, char *text, size_t size)
{
    static const struct {
        u8 class;
        const char *name, *part;
    } kinds[] = {{1, "scsi", "disk@0,0"}, {2, "ethernet", "ethernet-phy@0"}};
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        if (d->config[PCI_CLASS + 1] == kinds[i].class) {
            snprintf(text, size, "/pci@i0cf8/%s@%x/%s\n", kinds[i].name, d->slot, kinds[i].part);
            return;
        }
    snprintf(text, size, "/pci@i0cf8/*@%x\n", d->slot);
}

/* Devices with a boot index, the smallest first: lines in one text that ends with a 0. */
static int add_boot_order(struct fw_cfg *f, const struct firmware_board *b)
{
    char text[PCI_SLOTS * 64] = "";
    size_t len = 0;
    for (u64 next = 0, index; next <= UINT32_MAX; next = index + 1) {
        const struct pci_device *first = NULL;
        index = UINT32_MAX;
        for (unsigned s = 0; s < PCI_SLOTS; s++) {
            const struct pci_device *d = b->pci->slot[s];
            if (d && d->boot_index >= next && d->boot_index < index)
                index = d->boot_index, first = d;
        }
        if (!first)
            break;
        device_path(first, text + len, sizeof(text) - len);
        len += strlen(text + len);
    }
    if (b->config->boot_strict)
        len += (size_t)snprintf(text + len, sizeof(text) - len, "HALT");
    return len ? fw_cfg_add_file(f, "bootorder", text, len + 1) : 0;
}

static int add_number(struct fw_cfg *f, const char *name, u64 value, unsigned bytes)
{
    return fw_cfg_add_file(f, name, &value, bytes);
}

static int add_boot_options(struct fw_cfg *f, const struct vm_config *c)
{
    const u16 menu = c->boot_menu;
    int r = fw_cfg_add(f, FW_CFG_BOOT_MENU, &menu, sizeof(menu));
    if (r == 0 && c->boot_menu_ms)
        r = add_number(f, "etc/boot-menu-wait", c->boot_menu_ms, 2);
    return r == 0 ? add_number(f, "etc/boot-fail-wait", c->boot_fail_ms, 4) : r;
}

static int add_identity(struct fw_cfg *f, const struct vm_config *c, unsigned present)
{
    static const u32 id = 3; /* the old interface, and DMA */
    const u16 cpus = (u16)present, most = (u16)c->smp.maxcpus, nographic = 1;
    u8 uuid[16] = {0};
    unsigned n = 0;
    for (const char *p = c->uuid; p && *p && n < sizeof(uuid); p += 2) {
        p += *p == '-';
        sscanf(p, "%2hhx", &uuid[n++]);
    }
    int r = fw_cfg_add(f, FW_CFG_SIGNATURE, "QEMU", 4);
    if (r == 0 && (r = fw_cfg_add(f, FW_CFG_ID, &id, sizeof(id))) == 0 &&
        (r = fw_cfg_add(f, FW_CFG_UUID, uuid, sizeof(uuid))) == 0 &&
        (r = fw_cfg_add(f, FW_CFG_NOGRAPHIC, &nographic, sizeof(nographic))) == 0 &&
        (r = fw_cfg_add(f, FW_CFG_NB_CPUS, &cpus, sizeof(cpus))) == 0 &&
        (r = fw_cfg_add(f, FW_CFG_MAX_CPUS, &most, sizeof(most))) == 0)
        r = add_number(f, "etc/max-cpus", most, 2);
    return r;
}

int firmware_describe(struct fw_cfg *f, const struct firmware_board *b, struct error *e)
{
    int r = add_smbios(f, b, e);
    if (r < 0)
        return r;
    if ((r = add_identity(f, b->config, b->cpus)) == 0 && (r = add_memory(f, b->ram)) == 0 &&
        (r = add_acpi(f, b)) == 0 && (r = add_boot_options(f, b->config)) == 0 &&
        (r = add_boot_order(f, b)) == 0 && b->serial_ports)
        r = add_number(f, "etc/sercon-port", PC_PORT_COM1, 2); /* there is no display */
    if (r == 0)
        r = fw_cfg_finish(f);
    return r < 0 ? error_set(e, ENOMEM, "no memory for what the firmware is told") : 0;
}

void firmware_boot_order(const char *letters, u8 *reg3d, u8 *reg38)
{
    static const char known[] = "acdn"; /* numbered from 1 */
    u8 device[3] = {0};
    unsigned n = 0;
    for (const char *p = letters; *p && n < ARRAY_SIZE(device); p++) {
        const char *at = strchr(known, *p);
        device[n++] = at ? (u8)(at - known + 1) : 4; /* p: a network card, as n */
    }
    *reg3d = (u8)(device[1] << 4 | device[0]);
    *reg38 = (u8)(device[2] << 4 | 1); /* no check of floppies */
}
