/* core.h - the form of a core file: an ELF header, notes of processors, memory (System V ABI chapter 5) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MACHINE_STATE_CORE_H
#define MACHINE_STATE_CORE_H

#include "base/base.h"
#include "base/error.h"

struct machine;

/* A piece of the guest's memory: a segment of the file. */
struct core_piece {
    u64 gpa, size;
    const u8 *host;
};
enum { CORE_PIECES_MAX = 2 };

/* Everything before memory, which follows at its end, piece after piece; to be freed. With the lock held and
 * the processors parked. NULL with e. */
u8 *core_head(struct machine *m, const struct core_piece *pieces, unsigned count, size_t *size,
              struct error *e);

#endif
