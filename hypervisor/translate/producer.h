/* producer.h - arithmetic flags made again from the instruction that made them and the registers as they are
 * after it */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TRANSLATE_PRODUCER_H
#define TRANSLATE_PRODUCER_H

#include "hypervisor/translate/decode.h"

enum producer_op { PRODUCER_ADD, PRODUCER_SUB, PRODUCER_CMP, PRODUCER_LOGIC, PRODUCER_TEST };

/* An instruction whose flags follow from its operands after it: an addition can be undone, a logical
 * operation's flags are those of its result. */
struct producer {
    u8 op, size; /* enum producer_op; bytes */
    u8 to, from; /* registers; from: GPR_NONE for immediate */
    s32 immediate;
};

/* Describes i as a producer; false if its flags cannot be made again. */
bool producer_of(const struct tinsn *i, struct producer *p);
/* The flags in vcpu.cc's form, from the registers after the instruction. */
u32 producer_flags(const struct producer *p, const u64 *gpr);

#endif
