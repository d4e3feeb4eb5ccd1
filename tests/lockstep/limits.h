/* limits.h - accesses that segmentation forbids, which TCG lets pass */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef LOCKSTEP_LIMITS_H
#define LOCKSTEP_LIMITS_H

#include "tests/lockstep/lockstep.h"

/* Whether the next instruction, of which size bytes are in code, does what TCG does not check: it reads or
 * writes what the limit or type of a segment does not allow, stands beyond the limit of CS, may reach the end
 * of the stack, or is a far transfer at CPL 3 whose stack TCG would access as a supervisor (SDM
 * 3A 4.6.1, 5.3, 5.5). */
bool tcg_would_let_pass(const struct state *s, const u8 *code, unsigned size);

#endif
