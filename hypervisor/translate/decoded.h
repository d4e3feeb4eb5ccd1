/* decoded.h - an instruction as Zydis sees it, for those who turn it into ours */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TRANSLATE_DECODED_H
#define TRANSLATE_DECODED_H

#include <Zydis/Zydis.h>

#include "hypervisor/cpu/vendor.h"
#include "hypervisor/translate/decode.h"

struct decoded {
    ZydisDecodedInstruction i;
    ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
};

/* decode.c */
u8 seg_number(ZydisRegister r); /* enum seg; DS for what is none */
enum unit unit_of(const struct decoded *d);

/* classify.c: t->kind, the handler, and what must be checked before the operand is used; all else of t is
 * known. */
void classify(struct tinsn *t, const struct decoded *d, u32 mode);
/* What Zydis does not take for an instruction. */
void classify_invalid(struct tinsn *t, bool too_long);

#endif
