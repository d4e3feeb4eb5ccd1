/* generate.h - between the two halves of the generator: the machine's state, and its code */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef LOCKSTEP_GENERATE_H
#define LOCKSTEP_GENERATE_H

#include "tests/lockstep/lockstep.h"
#include "tests/lockstep/random.h"

struct generator {
    struct guest *g;
    const struct mode *mode;
    struct random random;
    unsigned item; /* of the code, from 0 */
};

/* instructions.c: appends one item to the code at CODE. */
void generate_item(struct generator *n);

/* Selectors and pointers that lead somewhere now and then. */
u16 random_selector(struct generator *n);
u64 random_pointer(struct generator *n);
u64 random_target(struct generator *n); /* of code: mostly HLTs */

void put(struct guest *g, u64 gpa, unsigned size, u64 value); /* nothing where there is no RAM */

#endif
