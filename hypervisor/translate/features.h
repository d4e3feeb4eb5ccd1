/* features.h - instructions that the host's CPU lacks */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TRANSLATE_FEATURES_H
#define TRANSLATE_FEATURES_H

#include "hypervisor/translate/decoded.h"

/* The instruction raises #UD on the host's CPU, before its operand is looked at, or belongs to what the
 * guest's CPUID never has. What all hosts have (x86-64-v3), and all of AVX-512's first parts, is not. */
bool host_lacks(const struct decoded *d);

#endif
