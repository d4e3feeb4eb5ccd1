/* linux_boot.c - test of the kernel loaders: bzImage and ELF with a PVH entry, good and damaged */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <elf.h>
#include <errno.h>

#include "machine/boot/boot.h"
#include "tests/unit/test.h"

enum { SETUP = 2 * 512, BODY = 4096, IMAGE = SETUP + BODY, LOAD = 0x1000000, MIB = 1 << 20 };

static struct ram ram;
static u8 file[65536];
static struct boot_files f;
static struct boot_entry entry;
static struct error e;

static void put(unsigned offset, unsigned bytes, u64 v)
{
    memcpy(file + offset, &v, bytes);
}

static u64 guest(u64 gpa, unsigned bytes)
{
    u64 v = 0;
    memcpy(&v, ram_at(&ram, gpa, bytes), bytes);
    return v;
}

/* The smallest bzImage: one setup sector beside the boot sector, and a body. */
static void make_bzimage(void)
{
    memset(file, 0, sizeof(file));
    put(0x1f1, 1, 1);
    put(0x1f4, 4, BODY / 16);
    put(0x1fe, 2, 0xaa55);
    put(0x200, 2, 0x6aeb);
    memcpy(file + 0x202, "HdrS", 4);
    put(0x206, 2, 0x020f);
    put(0x211, 1, 1);
    put(0x22c, 4, 0x7fffffff);
    put(0x230, 4, 0x200000);
    put(0x234, 1, 1);
    put(0x236, 2, 1);
    put(0x238, 4, 2047);
    put(0x258, 8, LOAD);
    put(0x260, 4, 2 * MIB);
    memset(file + SETUP, 0xc3, BODY);
    f = (struct boot_files){.kernel = {.path = "kernel", .fd = -1, .data = file, .size = IMAGE},
                            .cmdline = "quiet"};
}

static int load(u64 memory)
{
    ram_clear(&ram);
    ram.low = memory;
    e.text[0] = 0;
    return boot_load(&f, &ram, 0xe0000, &entry, &e);
}

static void test_bzimage(void)
{
    make_bzimage();
    CHECK_EQ(load(64 * MIB), 0);
    CHECK(entry.long_mode);
    CHECK_EQ(entry.rip, LOAD + 0x200);
    CHECK_EQ(entry.rsi, BOOT_PARAMS);
    CHECK_EQ(guest(LOAD, 4), 0xc3c3c3c3);
    CHECK_EQ(guest(LOAD + BODY, 4), 0);
    CHECK_EQ(guest(BOOT_PARAMS + 0x202, 4), 0x53726448);
    CHECK_EQ(guest(BOOT_PARAMS + 0x210, 1), 0xff);
    CHECK_EQ(guest(BOOT_PARAMS + 0x228, 4), BOOT_CMDLINE);
    CHECK_EQ(guest(BOOT_PARAMS + 0x070, 8), 0xe0000);
    CHECK_EQ(guest(BOOT_PARAMS + 0x1e8, 1), 5);
    CHECK_STR(ram_at(&ram, BOOT_CMDLINE, 6), "quiet");
    CHECK_EQ(guest(BOOT_PAGE_TABLES, 8), (BOOT_PAGE_TABLES + 0x1000) | 3);
    CHECK_EQ(guest(BOOT_PAGE_TABLES + 0x2000 + 8 * 2047, 8), (2047ull << 21) | 0x83);
    CHECK_EQ(guest(BOOT_GDT + BOOT_CS, 8), 0x00af9b000000ffff);
}

static void test_32bit_entry(void)
{
    make_bzimage();
    put(0x236, 2, 0);
    CHECK_EQ(load(64 * MIB), 0);
    CHECK(!entry.long_mode);
    CHECK_EQ(entry.rip, LOAD);
    CHECK_EQ(guest(BOOT_GDT + BOOT_CS, 8), 0x00cf9b000000ffff);
}

static void test_initrd(void)
{
    static u8 initrd[5000] = "initrd";
    make_bzimage();
    f.initrd = (struct blob){.path = "initrd", .fd = -1, .data = initrd, .size = sizeof(initrd)};
    CHECK_EQ(load(64 * MIB), 0);
    u64 at = guest(BOOT_PARAMS + 0x218, 4);
    CHECK_EQ(at, 64 * MIB - 8192);
    CHECK_EQ(guest(BOOT_PARAMS + 0x21c, 4), sizeof(initrd));
    CHECK_STR(ram_at(&ram, at, 7), "initrd");
    put(0x22c, 4, 0x1ffffff); /* the kernel cannot look above 32 MiB */
    CHECK_EQ(load(64 * MIB), 0);
    CHECK_EQ(guest(BOOT_PARAMS + 0x218, 4), 32 * MIB - 8192);
    f.initrd.size = 60 * (u64)MIB;
    CHECK_EQ(load(64 * MIB), -ENOMEM);
    CHECK(strstr(e.text, "does not fit"));
}

static void test_small_memory(void)
{
    make_bzimage();
    CHECK_EQ(load(8 * MIB), 0); /* not where it would like to be */
    CHECK_EQ(entry.rip, 0x200000 + 0x200);
    put(0x234, 1, 0);
    CHECK_EQ(load(8 * MIB), -ENOMEM);
    put(0x234, 1, 1);
    put(0x260, 4, 0xffffffff);
    CHECK_EQ(load(64 * MIB), -ENOMEM);
}

static void test_bad_headers(void)
{
    make_bzimage();
    put(0x206, 2, 0x0203);
    CHECK_EQ(load(64 * MIB), -ENOEXEC);
    make_bzimage();
    put(0x211, 1, 0); /* a zImage */
    CHECK_EQ(load(64 * MIB), -ENOEXEC);
    make_bzimage();
    put(0x258, 8, 0x90000); /* over our own data */
    CHECK_EQ(load(64 * MIB), -ENOEXEC);
    make_bzimage();
    put(0x258, 8, ~0ull - 0xfff);
    put(0x230, 4, 3); /* no power of two */
    CHECK_EQ(load(64 * MIB), -ENOMEM);
    make_bzimage();
    put(0x1f4, 4, 0xffffffff);
    CHECK_EQ(load(64 * MIB), -ENOEXEC);
    CHECK(strstr(e.text, "truncated"));
}

/* No byte of the header may lead us out of the file or of the memory, and every length is handled. */
static void test_truncated_and_damaged(void)
{
    make_bzimage();
    for (f.kernel.size = 0; f.kernel.size <= IMAGE - 16; f.kernel.size += 13) /* SYSSIZE counts paragraphs */
        CHECK_EQ(load(64 * MIB), -ENOEXEC);
    for (unsigned at = 0x1f1; at < 0x270; at++) {
        make_bzimage();
        file[at] ^= 0xff;
        int r = load(64 * MIB);
        CHECK(r == 0 || (r < 0 && e.text[0]));
    }
}

static void test_cmdline(void)
{
    static char cmdline[BOOT_CMDLINE_MAX + 10];
    make_bzimage();
    f.cmdline = cmdline;
    memset(cmdline, 'a', 2047);
    CHECK_EQ(load(64 * MIB), 0);
    cmdline[2047] = 'a';
    CHECK_EQ(load(64 * MIB), -E2BIG);
    put(0x238, 4, 0xffffffff);
    memset(cmdline, 'a', BOOT_CMDLINE_MAX);
    CHECK_EQ(load(64 * MIB), -E2BIG);
}

static void test_no_kernel(void)
{
    static const char *const cases[][2] = {
        {"\x1f\x8b rest", "gzip"}, {"!<arch>\n", "Debian package"}, {"070701", "-initrd"}, {"x", "neither"}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        f = (struct boot_files){
            .kernel = {.path = "k", .fd = -1, .data = (u8 *)cases[i][0], .size = strlen(cases[i][0])},
            .cmdline = ""};
        CHECK_EQ(load(64 * MIB), -ENOEXEC);
        CHECK(strstr(e.text, cases[i][1]));
    }
}

/* An ELF file with one segment to load and one with the note. */
static struct elf64 {
    Elf64_Ehdr header;
    Elf64_Phdr phdr[2];
    struct {
        Elf32_Nhdr head;
        char owner[4];
        u32 entry;
    } note;
    u8 text[64];
} elf;

static void make_elf(void)
{
    elf = (struct elf64){
        .header = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, 1},
                   .e_type = ET_EXEC,
                   .e_machine = EM_X86_64,
                   .e_phoff = offsetof(struct elf64, phdr),
                   .e_phentsize = sizeof(Elf64_Phdr),
                   .e_phnum = 2},
        .phdr = {{.p_type = PT_LOAD,
                  .p_offset = offsetof(struct elf64, text),
                  .p_paddr = LOAD,
                  .p_filesz = sizeof(elf.text),
                  .p_memsz = 8192},
                 {.p_type = PT_NOTE,
                  .p_offset = offsetof(struct elf64, note),
                  .p_filesz = sizeof(elf.note),
                  .p_memsz = sizeof(elf.note),
                  .p_align = 4}},
        .note = {.head = {4, 4, 18}, .owner = "Xen", .entry = LOAD + 0x10},
    };
    memset(elf.text, 0x90, sizeof(elf.text));
    f = (struct boot_files){.kernel = {.path = "vmlinux", .fd = -1, .data = (u8 *)&elf, .size = sizeof(elf)},
                            .cmdline = "quiet"};
}

static void test_pvh(void)
{
    static u8 initrd[100];
    make_elf();
    f.initrd = (struct blob){.path = "initrd", .fd = -1, .data = initrd, .size = sizeof(initrd)};
    CHECK_EQ(load(64 * MIB), 0);
    CHECK(!entry.long_mode);
    CHECK_EQ(entry.rip, LOAD + 0x10);
    CHECK_EQ(entry.rbx, BOOT_PARAMS);
    CHECK_EQ(guest(LOAD, 4), 0x90909090);
    CHECK_EQ(guest(BOOT_PARAMS, 4), 0x336ec578);
    CHECK_EQ(guest(BOOT_PARAMS + 12, 4), 1);
    u64 module = guest(BOOT_PARAMS + 16, 8), memmap = guest(BOOT_PARAMS + 40, 8);
    CHECK_EQ(guest(module, 8), 64 * MIB - 4096);
    CHECK_EQ(guest(module + 8, 8), sizeof(initrd));
    CHECK_EQ(guest(BOOT_PARAMS + 24, 8), BOOT_CMDLINE);
    CHECK_EQ(guest(BOOT_PARAMS + 32, 8), 0xe0000);
    CHECK_EQ(guest(BOOT_PARAMS + 48, 4), 5);
    CHECK_EQ(guest(memmap + 8, 8), PC_EBDA);
}

static void test_bad_elf(void)
{
    make_elf();
    elf.note.head.n_type = 17;
    CHECK_EQ(load(64 * MIB), -ENOEXEC);
    CHECK(strstr(e.text, "without a PVH entry"));
    make_elf();
    elf.header.e_machine = EM_AARCH64;
    CHECK_EQ(load(64 * MIB), -ENOEXEC);
    make_elf();
    elf.phdr[0].p_paddr = PC_BOOT_DATA;
    CHECK_EQ(load(64 * MIB), -ENOEXEC);
    make_elf();
    elf.phdr[0].p_paddr = ~0ull - 100;
    CHECK_EQ(load(64 * MIB), -ENOMEM);
    make_elf();
    elf.phdr[0].p_memsz = 10; /* less than filesz */
    CHECK_EQ(load(64 * MIB), -ENOMEM);
    make_elf();
    elf.note.entry = 0xd0000000;
    CHECK_EQ(load(64 * MIB), -ENOEXEC);
    make_elf();
    elf.note.head.n_descsz = 0xfffffff0;
    CHECK_EQ(load(64 * MIB), -ENOEXEC);
}

static void test_damaged_elf(void)
{
    make_elf();
    for (f.kernel.size = 4; f.kernel.size < offsetof(struct elf64, text) + sizeof(elf.text); f.kernel.size++)
        CHECK(load(64 * MIB) < 0);
    for (unsigned at = 4; at < offsetof(struct elf64, text); at++)
        for (unsigned flip = 1; flip < 256; flip = flip * 2 + 1) {
            make_elf();
            ((u8 *)&elf)[at] ^= (u8)flip;
            int r = load(64 * MIB);
            CHECK(r == 0 || (r < 0 && e.text[0]));
        }
}

int main(void)
{
    if (ram_create(&ram, 64 * MIB, &e) < 0)
        return 1;
    test_bzimage();
    test_32bit_entry();
    test_initrd();
    test_small_memory();
    test_bad_headers();
    test_truncated_and_damaged();
    test_cmdline();
    test_no_kernel();
    test_pvh();
    test_bad_elf();
    test_damaged_elf();
    return TEST_DONE();
}
