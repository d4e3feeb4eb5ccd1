/* elf_image.h - an ELF executable to be loaded at physical addresses */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MACHINE_BOOT_ELF_IMAGE_H
#define MACHINE_BOOT_ELF_IMAGE_H

#include "machine/boot/boot.h"

/* What both classes of ELF say of a segment. */
struct elf_segment {
    u32 type;
    u64 offset, filesz, memsz, paddr, align;
};

struct elf_image {
    const struct blob *file;
    bool wide; /* ELFCLASS64 */
    u64 phoff;
    unsigned phnum;
};

bool elf_matches(const struct blob *file);

/* 0, or -ENOEXEC with e for what is no x86 executable or is cut off. */
int elf_open(struct elf_image *im, const struct blob *file, struct error *e);

/* i < phnum. A segment's bytes lie inside the file if elf_open was content. */
struct elf_segment elf_segment(const struct elf_image *im, unsigned i);

/* Loads all PT_LOAD segments; *end becomes the first address after them. */
int elf_load(const struct elf_image *im, const struct ram *ram, u64 *end, struct error *e);

/* The descriptor of the note of that owner and type: its length, or 0 if there is none. */
size_t elf_note(const struct elf_image *im, const char *owner, u32 type, const u8 **desc);

#endif
