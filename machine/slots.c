/* slots.c - what the guest's processors find at which address: memory, firmware, and the first mebibyte
 * between */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>

#include "machine/slots.h"

enum { SLOT_LOW, SLOT_HIGH, SLOT_REST, SLOT_ROM, SLOT_SHADOW };

enum { PIECE = 0x4000, BIOS_PIECES = 4 /* PAM0 rules the last 64 KiB as one */ };

static bool same(const struct slot *a, const struct slot *b)
{
    return a->size == b->size &&
           (!a->size || (a->gpa == b->gpa && a->host == b->host && a->flags == b->flags));
}

static int set(struct slots *s, unsigned n, const struct slot *to, struct error *e)
{
    struct kvm_userspace_memory_region region = {.slot = n,
                                                 .guest_phys_addr = to->gpa,
                                                 .memory_size = to->size,
                                                 .userspace_addr = (uintptr_t)to->host,
                                                 .flags = to->flags};
    s->slot[n] = *to;
    int r = kvm_call(s->kvm, s->vm_fd, KVM_SET_USER_MEMORY_REGION, &region, e);
    return r < 0 ? r : 0;
}

static bool is_memory(const struct slots *s, const struct slot *slot)
{
    return slot->host == (const u8 *)ram_at(s->ram, slot->gpa, slot->size);
}

static bool is_logged(const struct slot *slot)
{
    return slot->size && slot->flags & KVM_MEM_LOG_DIRTY_PAGES;
}

/* A bit of a slot's log is a page from the slot's first on. */
static void merge(const struct slots *s, const struct slot *slot, const u64 *bits)
{
    for (u64 page = 0; page < slot->size / 4096; page++)
        if (bits[page / 64] >> page % 64 & 1)
            ram_mark_dirty(s->ram, slot->host + page * 4096, 4096);
}

static int collect(struct slots *s, unsigned n, struct error *e)
{
    const struct slot *slot = &s->slot[n];
    u64 words = (slot->size / 4096 + 63) / 64;
    u64 *bits = calloc(words, sizeof(*bits));
    struct kvm_dirty_log log = {.slot = n, .dirty_bitmap = bits};
    int r = bits ? kvm_call(s->kvm, s->vm_fd, KVM_GET_DIRTY_LOG, &log, e)
                 : error_set(e, ENOMEM, "no memory for the log of written pages");
    if (r >= 0)
        merge(s, slot, bits);
    free(bits);
    return min(r, 0);
}

int slots_collect(struct slots *s, struct error *e)
{
    int r = 0;
    for (unsigned i = 0; i < SLOTS_MAX && r == 0; i++)
        if (is_logged(&s->slot[i]))
            r = collect(s, i, e);
    return r;
}

int slots_log(struct slots *s, bool on, struct error *e)
{
    int r = 0;
    s->log = on;
    for (unsigned i = 0; i < SLOTS_MAX && r == 0; i++) {
        struct slot to = s->slot[i];
        if (!to.size || i == SLOT_ROM || (i >= SLOT_SHADOW && !is_memory(s, &to)))
            continue;
        to.flags = (to.flags & ~(u32)KVM_MEM_LOG_DIRTY_PAGES) | (on ? KVM_MEM_LOG_DIRTY_PAGES : 0);
        r = set(s, i, &to, e);
    }
    return r;
}

/* A slot is made anew: KVM does not move one to other memory. Its log goes with it. */
static int change(struct slots *s, unsigned n, const struct slot *to, struct error *e)
{
    const struct slot none = {.gpa = s->slot[n].gpa, .host = s->slot[n].host};
    if (same(&s->slot[n], to))
        return 0;
    int r = is_logged(&s->slot[n]) ? collect(s, n, e) : 0;
    r = r == 0 && s->slot[n].size ? set(s, n, &none, e) : r;
    return r == 0 && to->size ? set(s, n, to, e) : r;
}

static struct slot memory(const struct slots *s, u64 gpa, u64 size)
{
    return (struct slot){gpa, size, size ? ram_at(s->ram, gpa, size) : NULL,
                         s->log ? KVM_MEM_LOG_DIRTY_PAGES : 0};
}

static struct slot rom_slot(const struct slots *s)
{
    return (struct slot){PC_HIGH_RAM - s->rom.size, s->rom.size, s->rom.host, KVM_MEM_READONLY};
}

int slots_create(struct slots *s, const struct kvm_api *kvm, int vm_fd, const struct ram *ram, struct rom rom,
                 struct error *e)
{
    *s = (struct slots){.kvm = kvm, .vm_fd = vm_fd, .ram = ram, .rom = rom};
    const struct slot fixed[] = {
        [SLOT_LOW] = memory(s, 0, PC_SHADOW),
        [SLOT_HIGH] = memory(s, PC_HIGH_RAM, ram->high),
        [SLOT_REST] = memory(s, PC_MEBIBYTE, ram->low - PC_MEBIBYTE),
        [SLOT_ROM] = rom_slot(s),
    };
    int r = 0;
    for (unsigned i = 0; i < ARRAY_SIZE(fixed) && r == 0; i++)
        r = change(s, i, &fixed[i], e);
    return r;
}

/* The two bits that rule a piece. */
static unsigned piece_state(const u8 pam[PAM_REGISTERS], unsigned piece)
{
    unsigned reg = 1 + piece / 2;
    return reg < PAM_REGISTERS ? pam[reg] >> (piece % 2 * 4) & 3 : pam[0] >> 4 & 3;
}

/* What answers there: memory that can be written, memory that cannot, or the end of the firmware, if it
 * reaches that far. Memory that is written but not read from, the processors cannot have here: the bus
 * answers. */
static struct slot piece_slot(const struct slots *s, const u8 pam[PAM_REGISTERS], unsigned piece)
{
    u64 gpa = PC_SHADOW + (u64)piece * PIECE, size = piece < SHADOW_PIECES - 1 ? PIECE : BIOS_PIECES * PIECE;
    unsigned state = piece_state(pam, piece);
    u64 from_end = PC_MEBIBYTE - gpa;
    if (state & PAM_READ) {
        struct slot m = memory(s, gpa, size);
        m.flags |= state & PAM_WRITE ? 0 : KVM_MEM_READONLY;
        return m;
    }
    if (from_end > min(s->rom.size, (u64)PC_ISA_ROM))
        return (struct slot){0};
    return (struct slot){gpa, size, s->rom.host + s->rom.size - from_end, KVM_MEM_READONLY};
}

/* The piece continues the slot. */
static bool continues(const struct slot *slot, const struct slot *piece)
{
    return slot->size && piece->size && slot->gpa + slot->size == piece->gpa &&
           slot->host + slot->size == piece->host && slot->flags == piece->flags;
}

void slots_set_pam(struct slots *s, const u8 pam[PAM_REGISTERS])
{
    struct slot want[SHADOW_PIECES] = {{0}};
    struct error e;
    unsigned n = 0;
    int r = 0;
    for (unsigned i = 0; i < SHADOW_PIECES; i++) {
        struct slot piece = piece_slot(s, pam, i);
        if (n && continues(&want[n - 1], &piece))
            want[n - 1].size += piece.size;
        else if (piece.size)
            want[n++] = piece;
    }
    const struct slot none = {0};
    for (unsigned i = 0; i < SHADOW_PIECES && r == 0; i++) /* slots must not overlap: the old ones go first */
        if (!same(&s->slot[SLOT_SHADOW + i], &want[i]))
            r = change(s, SLOT_SHADOW + i, &none, &e);
    for (unsigned i = 0; i < SHADOW_PIECES && r == 0; i++)
        r = change(s, SLOT_SHADOW + i, &want[i], &e);
    if (r < 0 && !*s->error.text)
        s->error = e;
}
