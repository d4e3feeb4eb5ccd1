/* elf_image.c - an ELF executable to be loaded at physical addresses (System V ABI chapters 4 and 5) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <elf.h>
#include <errno.h>
#include <string.h>

#include "machine/boot/elf_image.h"

bool elf_matches(const struct blob *file)
{
    return file->size >= SELFMAG && !memcmp(file->data, ELFMAG, SELFMAG);
}

static bool in_file(const struct blob *file, u64 offset, u64 len)
{
    return offset <= file->size && len <= file->size - offset;
}

static int truncated(const struct blob *file, struct error *e)
{
    return error_set(e, ENOEXEC, "-kernel '%s' is truncated: name a complete file", file->path);
}

struct elf_segment elf_segment(const struct elf_image *im, unsigned i)
{
    const u8 *at = im->file->data + im->phoff;
    if (im->wide) {
        Elf64_Phdr p;
        memcpy(&p, at + i * sizeof(p), sizeof(p));
        return (struct elf_segment){p.p_type, p.p_offset, p.p_filesz, p.p_memsz, p.p_paddr, p.p_align};
    }
    Elf32_Phdr p;
    memcpy(&p, at + i * sizeof(p), sizeof(p));
    return (struct elf_segment){p.p_type, p.p_offset, p.p_filesz, p.p_memsz, p.p_paddr, p.p_align};
}

/* Takes what we need from the file header of either class. */
static int read_header(struct elf_image *im, struct error *e)
{
    const struct blob *f = im->file;
    u16 machine, phentsize;
    if (!in_file(f, 0, sizeof(Elf64_Ehdr)))
        return truncated(f, e);
    im->wide = f->data[EI_CLASS] == ELFCLASS64;
    if (im->wide) {
        Elf64_Ehdr h;
        memcpy(&h, f->data, sizeof(h));
        machine = h.e_machine, phentsize = h.e_phentsize, im->phoff = h.e_phoff, im->phnum = h.e_phnum;
    } else {
        Elf32_Ehdr h;
        memcpy(&h, f->data, sizeof(h));
        machine = h.e_machine, phentsize = h.e_phentsize, im->phoff = h.e_phoff, im->phnum = h.e_phnum;
    }
    size_t want = im->wide ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
    if (f->data[EI_DATA] != ELFDATA2LSB || (machine != EM_X86_64 && machine != EM_386))
        return error_set(e, ENOEXEC, "-kernel '%s' is an ELF file for another processor: use one for x86",
                         f->path);
    if (phentsize != want || !im->phnum)
        return error_set(e, ENOEXEC,
                         "-kernel '%s' is an ELF file without segments to load: use an executable (vmlinux)",
                         f->path);
    return in_file(f, im->phoff, im->phnum * want) ? 0 : truncated(f, e);
}

int elf_open(struct elf_image *im, const struct blob *file, struct error *e)
{
    *im = (struct elf_image){.file = file};
    int r = read_header(im, e);
    for (unsigned i = 0; i < im->phnum && r == 0; i++) {
        struct elf_segment s = elf_segment(im, i);
        if ((s.type == PT_LOAD || s.type == PT_NOTE) && !in_file(file, s.offset, s.filesz))
            r = truncated(file, e);
    }
    return r;
}

/* The machine's own data, which is there before the kernel. */
static const struct {
    u64 base, size;
} taken[] = {{PC_BOOT_DATA, BOOT_DATA_END - PC_BOOT_DATA},
             {PC_ACPI_TABLES, PC_ACPI_SIZE},
             {PC_SMBIOS, PC_SMBIOS_SIZE}};

static int check_free(const struct elf_image *im, const struct elf_segment *s, struct error *e)
{
    for (size_t i = 0; i < ARRAY_SIZE(taken); i++)
        if (s->paddr < taken[i].base + taken[i].size && taken[i].base < s->paddr + s->memsz)
            return error_set(
                e, ENOEXEC,
                "-kernel '%s' has a segment at 0x%llx over the machine's own data at 0x%llx to 0x%llx: link "
                "it elsewhere",
                im->file->path, (unsigned long long)s->paddr, (unsigned long long)taken[i].base,
                (unsigned long long)(taken[i].base + taken[i].size - 1));
    return 0;
}

static int load_segment(const struct elf_image *im, const struct ram *ram, const struct elf_segment *s,
                        struct error *e)
{
    u8 *to = s->memsz >= s->filesz ? ram_at(ram, s->paddr, s->memsz) : NULL;
    if (!to)
        return error_set(
            e, ENOMEM,
            "-kernel '%s' has a segment of %llu KiB at 0x%llx, which is not in the guest's memory of %llu "
            "MiB: use a larger -m",
            im->file->path, (unsigned long long)(s->memsz >> 10), (unsigned long long)s->paddr,
            (unsigned long long)(ram->size >> 20));
    int r = check_free(im, s, e);
    if (r == 0)
        memcpy(to, im->file->data + s->offset, s->filesz); /* the rest of memsz is cleared memory */
    return r;
}

int elf_load(const struct elf_image *im, const struct ram *ram, u64 *end, struct error *e)
{
    int r = 0;
    *end = 0;
    for (unsigned i = 0; i < im->phnum && r == 0; i++) {
        struct elf_segment s = elf_segment(im, i);
        if (s.type != PT_LOAD || !s.memsz)
            continue;
        r = load_segment(im, ram, &s, e);
        *end = max(*end, s.paddr + s.memsz);
    }
    return r;
}

/* One PT_NOTE segment: each note is a header, the owner's name and the descriptor, padded to `align`. */
static size_t find_note(const u8 *at, u64 left, u64 align, const char *owner, u32 type, const u8 **desc)
{
    Elf32_Nhdr n; /* the same in both classes */
    while (left >= sizeof(n)) {
        memcpy(&n, at, sizeof(n));
        u64 name_end = sizeof(n) + n.n_namesz;
        u64 desc_start = ALIGN_UP(name_end, align), next = ALIGN_UP(desc_start + n.n_descsz, align);
        if (name_end > left || desc_start + n.n_descsz > left)
            return 0;
        if (n.n_type == type && n.n_namesz == strlen(owner) + 1 &&
            !memcmp(at + sizeof(n), owner, n.n_namesz)) {
            *desc = at + desc_start;
            return n.n_descsz;
        }
        at += min(next, left);
        left -= min(next, left);
    }
    return 0;
}

size_t elf_note(const struct elf_image *im, const char *owner, u32 type, const u8 **desc)
{
    size_t len = 0;
    for (unsigned i = 0; i < im->phnum && !len; i++) {
        struct elf_segment s = elf_segment(im, i);
        if (s.type == PT_NOTE)
            len = find_note(im->file->data + s.offset, s.filesz, s.align == 8 ? 8 : 4, owner, type, desc);
    }
    return len;
}
