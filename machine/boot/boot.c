/* boot.c - reads the files to boot, finds out what the kernel is, and loads it */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "machine/boot/boot.h"

enum { PAGE = 4096, FIRST_READ = 1 << 20, HUGE = 2 << 20 };

static const struct boot_format *const formats[] = {&boot_linux, &boot_pvh};

/* Large pages where the host has them: small ones cost more than the reading. */
static u8 *grow(struct blob *b, size_t room)
{
    u8 *data = aligned_alloc(HUGE, ALIGN_UP(room, (size_t)HUGE));
    if (!data)
        return NULL;
    madvise(data, ALIGN_UP(room, (size_t)HUGE), MADV_HUGEPAGE);
    if (b->size)
        memcpy(data, b->data, b->size);
    free(b->data);
    return b->data = data;
}

/* Reads to the end, whatever the file is: a pipe has no size. -EFBIG: there are more than its limit. */
static int read_all(int fd, struct blob *b)
{
    size_t room = 0;
    struct stat st;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
        room = min((size_t)st.st_size, b->limit) + 1; /* the byte more sees the end at once */
    for (;;) {
        if (b->size > b->limit)
            return -EFBIG;
        if (!b->data || b->size == room) {
            room = b->data ? min(room * 2, b->limit + 1) : max(room, (size_t)FIRST_READ);
            if (!grow(b, room))
                return -ENOMEM;
        }
        ssize_t n = read(fd, b->data + b->size, room - b->size);
        if (n == 0)
            return 0;
        if (n < 0 && errno != EINTR)
            return -errno;
        b->size += n > 0 ? (size_t)n : 0;
    }
}

static void forget(struct blob *b)
{
    free(b->data);
    b->data = NULL;
    b->size = 0;
}

/* Takes what fd has; or what went wrong. */
static int fill(struct blob *b, int fd, struct error *e)
{
    int r = read_all(fd, b);
    if (r == 0 && b->size)
        return 0;
    forget(b);
    if (r == 0)
        return error_set(e, ENOEXEC, "%s '%s' is empty: name a complete file", b->option, b->path);
    if (r == -EFBIG)
        return error_set(e, EFBIG, "%s '%s' is larger than the guest's memory of %llu MiB: use a larger -m",
                         b->option, b->path, (unsigned long long)b->limit >> 20);
    return error_set(e, -r, "cannot read %s '%s': %s: check the path", b->option, b->path, strerror(-r));
}

static int blob_read(struct blob *b, const char *option, const char *path, u64 memory, struct error *e)
{
    struct stat st;
    *b = (struct blob){.path = path, .option = option, .fd = -1, .limit = memory};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set(e, errno, "cannot read %s '%s': %s: %s", option, path, strerror(errno),
                         errno == EACCES ? "make it readable for this user" : "check the path");
    int r = fill(b, fd, e);
    if (r == 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
        b->fd = fd;
    else
        close(fd);
    return r;
}

/* Again, for a reset. */
static int blob_reread(struct blob *b, struct error *e)
{
    if (!b->path || b->data)
        return 0;
    if (lseek(b->fd, 0, SEEK_SET) < 0)
        return error_set(e, errno, "cannot read %s '%s' again: %s", b->option, b->path, strerror(errno));
    return fill(b, b->fd, e);
}

static void blob_drop(struct blob *b)
{
    if (b->path && b->fd >= 0)
        forget(b);
}

static void blob_free(struct blob *b)
{
    forget(b);
    if (b->path && b->fd >= 0)
        close(b->fd);
    b->path = NULL;
}

int boot_read(struct boot_files *f, const struct vm_config *c, struct error *e)
{
    *f = (struct boot_files){.cmdline = c->cmdline};
    if (c->kernel && c->bios)
        return error_set(
            e, ENOTSUP,
            "-bios with -kernel is not supported: a kernel is entered without firmware; leave one out");
    if (!c->kernel && (c->initrd || *c->cmdline))
        return error_set(e, EINVAL, "no kernel for %s: use -kernel FILE", c->initrd ? "-initrd" : "-append");
    if (!c->kernel)
        return firmware_read(&f->firmware, c->bios, e);
    int r = blob_read(&f->kernel, "-kernel", c->kernel, c->memory, e);
    if (r == 0 && c->initrd)
        r = blob_read(&f->initrd, "-initrd", c->initrd, c->memory, e);
    if (r < 0)
        boot_free(f);
    return r;
}

void boot_free(struct boot_files *f)
{
    blob_free(&f->kernel);
    blob_free(&f->initrd);
}

int boot_load_initrd(const struct boot_files *f, const struct ram *ram, u64 from, u64 below, u64 *gpa,
                     struct error *e)
{
    *gpa = 0;
    if (!f->initrd.data)
        return 0;
    u64 size = f->initrd.size, end = min(below, ram->low);
    u64 first = ALIGN_UP(from, PAGE), last = size <= end ? ALIGN_DOWN(end - size, PAGE) : 0;
    if (last < first)
        return error_set(
            e, ENOMEM,
            "-initrd '%s' (%llu MiB) does not fit into the guest's memory of %llu MiB beside the kernel: "
            "use a larger -m",
            f->initrd.path, (unsigned long long)(ALIGN_UP(size, 1 << 20) >> 20),
            (unsigned long long)(ram->size >> 20));
    memcpy(ram_at(ram, last, size), f->initrd.data, size);
    *gpa = last;
    return 0;
}

int boot_load_cmdline(const struct boot_files *f, const struct ram *ram, u64 max, struct error *e)
{
    size_t len = strlen(f->cmdline);
    u64 limit = min(max, (u64)BOOT_CMDLINE_MAX - 1);
    if (len > limit)
        return error_set(e, E2BIG, "-append has %zu bytes, and '%s' takes %llu: use a shorter one", len,
                         f->kernel.path, (unsigned long long)limit);
    memcpy(ram_at(ram, BOOT_CMDLINE, len + 1), f->cmdline, len + 1);
    return 0;
}

/* The descriptors behind BOOT_CS, BOOT_DS and BOOT_TSS: flat, the code of 64 or 32 bits. */
static void load_gdt(const struct ram *ram, bool long_mode)
{
    const u64 code64 = 0x00af9b000000ffff, code32 = 0x00cf9b000000ffff, data = 0x00cf93000000ffff;
    const u64 tss = 0x00008b0000000067;
    const u64 gdt[BOOT_GDT_SIZE / 8] = {
        [BOOT_CS / 8] = long_mode ? code64 : code32, [BOOT_DS / 8] = data, [BOOT_TSS / 8] = tss};
    memcpy(ram_at(ram, BOOT_GDT, BOOT_GDT_SIZE), gdt, sizeof(gdt));
}

/* The first bytes of what people take for kernels. */
static const struct {
    const char *magic;
    size_t len;
    const char *what;
} mistakes[] = {
    {"\x1f\x8b", 2, "a gzip file: unpack it first"},
    {"\xfd"
     "7zXZ",
     5, "an xz file: unpack it first"},
    {"\x28\xb5\x2f\xfd", 4, "a zstd file: unpack it first"},
    {"MZ", 2, "an EFI or DOS program without Linux's boot header"},
    {"!<arch>", 7, "an archive or a Debian package: unpack it, the kernel is in boot/"},
    {"QFI\xfb", 4, "a qcow2 disk image"},
    {"07070", 5, "an initrd (cpio): use -initrd for it"},
};

static const char *mistaken_for(const struct blob *kernel)
{
    for (size_t i = 0; i < ARRAY_SIZE(mistakes); i++)
        if (kernel->size >= mistakes[i].len && !memcmp(kernel->data, mistakes[i].magic, mistakes[i].len))
            return mistakes[i].what;
    return "neither a Linux bzImage nor an ELF vmlinux";
}

static const struct boot_format *find_format(const struct blob *kernel)
{
    for (size_t i = 0; i < ARRAY_SIZE(formats); i++)
        if (formats[i]->matches(kernel))
            return formats[i];
    return NULL;
}

static int load(const struct boot_files *f, const struct ram *ram, u64 rsdp, struct boot_entry *entry,
                struct error *e)
{
    const struct boot_format *format = find_format(&f->kernel);
    if (!format)
        return error_set(e, ENOEXEC, "-kernel '%s' is no kernel: it is %s", f->kernel.path,
                         mistaken_for(&f->kernel));
    *entry = (struct boot_entry){0};
    int r = format->load(f, ram, rsdp, entry, e);
    if (r == 0)
        load_gdt(ram, entry->long_mode);
    return r;
}

int boot_load(struct boot_files *f, const struct ram *ram, u64 rsdp, struct boot_entry *entry,
              struct error *e)
{
    int r = blob_reread(&f->kernel, e);
    if (r == 0)
        r = blob_reread(&f->initrd, e);
    if (r == 0)
        r = load(f, ram, rsdp, entry, e);
    blob_drop(&f->kernel);
    blob_drop(&f->initrd);
    return r;
}
