/* generate.h - random cases */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef FUZZ_CPU_GENERATE_H
#define FUZZ_CPU_GENERATE_H

#include <Zydis/Zydis.h>

#include "tests/fuzz/cpu/case.h"
#include "tests/fuzz/cpu/random.h"

/* generate.c: the case that follows from seed and number. */
void generate_start(void);
void generate(struct test_case *c, u64 seed, u64 number);

/* values.c: registers, vector state and window. */
void random_state(struct random *r, struct state *s);
void random_window(struct random *r, u8 *window);
u64 random_value(struct random *r);

/* operands.c: puts before the instruction in item what brings its operands to interesting places. */
struct decoded {
    ZydisDecodedInstruction i;
    ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
};
struct item *item_add(struct test_case *c);
void place_operands(struct test_case *c, struct random *r, const struct decoded *d, struct item *item);
u64 random_address(struct random *r, unsigned size, bool write);

/* choose.c: random instructions that may be tried. */
bool may_run(const struct decoded *d);
void choose_start(void);
/* length bytes at b, decoded in *d */
unsigned random_insn(struct random *r, struct decoded *d, u8 *b);
/* 15 bytes that do not begin with an instruction, as far as the decoder knows */
unsigned random_undefined(struct random *r, u8 *b);
bool decode_bytes(struct decoded *d, const u8 *b, unsigned n);

#endif
