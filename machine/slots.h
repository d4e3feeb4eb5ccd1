/* slots.h - what the guest's processors find at which address: memory, firmware, and the first mebibyte
 * between */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MACHINE_SLOTS_H
#define MACHINE_SLOTS_H

#include "machine/kvm.h"
#include "machine/ram.h"

/*
 * KVM's memory slots. Below PC_SHADOW and from PC_MEBIBYTE on there is memory, for good. Between, in pieces
 * of 16 KiB, the chipset's PAM registers say who answers a read and who a write: memory, or what is on the
 * bus behind it, of which we have the end of the firmware (Intel 3 Series MCH datasheet, section 5.1.13).
 */
enum { PAM_REGISTERS = 7, PAM_READ = 1, PAM_WRITE = 2, SHADOW_PIECES = 13 };

/* The firmware's image, a multiple of 4 KiB, page-aligned in the host; the guest sees it end at 4 GiB. */
struct rom {
    u8 *host; /* NULL: none */
    u64 size;
};

struct slot {
    u64 gpa, size; /* size 0: not there */
    u8 *host;
    u32 flags;
};

enum { SLOTS_MAX = 4 + SHADOW_PIECES };

struct slots {
    const struct kvm_api *kvm;
    int vm_fd;
    const struct ram *ram;
    struct rom rom;
    bool log; /* which pages are written is asked for */
    struct slot slot[SLOTS_MAX];
    struct error error; /* the first that a change of PAM brought, for want of somebody to tell */
};

/* All memory, and the firmware, which may be none. 0 or -errno with e. */
int slots_create(struct slots *s, const struct kvm_api *kvm, int vm_fd, const struct ram *ram, struct rom rom,
                 struct error *e);

/* Whether pages that the processors write are noted from now on; and collects what has been, as bits of
 * ram->dirty, noting anew. 0 or -errno with e. */
int slots_log(struct slots *s, bool on, struct error *e);
int slots_collect(struct slots *s, struct error *e);

/* The registers PAM0 to PAM6 have been set so. */
void slots_set_pam(struct slots *s, const u8 pam[PAM_REGISTERS]);

#endif
