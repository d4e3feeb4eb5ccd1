/* evex.h - decoding of what only AVX-512 has */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TRANSLATE_EVEX_H
#define TRANSLATE_EVEX_H

#include "hypervisor/translate/decoded.h"

/* The prefix, for encoding the instruction again. */
void evex_take_encoding(struct tinsn *t, const struct decoded *d);
/* Gathers and scatters, which are sensitive (vector_memory.c). */
bool evex_classify(struct tinsn *t, const struct decoded *d);
/* Which elements of the memory operand are accessed; t->access is known. */
void evex_take_masking(struct tinsn *t, const struct decoded *d, const ZydisDecodedOperand *memory);

#endif
