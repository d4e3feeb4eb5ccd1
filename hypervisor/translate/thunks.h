/* thunks.h - where translated code and C meet: thunks.S, and the offsets that both use */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TRANSLATE_THUNKS_H
#define TRANSLATE_THUNKS_H

/* r13 points this far into struct vcpu, so that 256 bytes are within reach of an 8-bit displacement. */
#define VCPU_BIAS 128

/* Distances from r13; cache.c asserts them. */
#define VCPU_GPR(n)       (-128 + 8 * (n))
#define VCPU_RIP          0
#define VCPU_CC           8
#define VCPU_SPILL(n)     (16 + 8 * (n))
#define VCPU_POLL         48
#define VCPU_SEG_BASE(n)  (56 + 8 * (n))
#define VCPU_HOST_RSP     104
#define VCPU_CODE_PAGE    112
#define VCPU_EXIT_HOST_PC 120
#define VCPU_THUNK(n)     (144 + 8 * (n))
#define VCPU_CC_HOST      272
#define VCPU_GROUP(n)     (280 + 8 * (n))
/* struct kvm_run is mapped below struct vcpu. */
#define VCPU_RUN (-VCPU_BIAS - 0x3000)

#define THUNK_LOOKUP     0 /* jmp; r14: guest rip, r12: address in the branch's code. On to its translation. */
#define THUNK_LOOKUP_CC  1 /* THUNK_LOOKUP with the flags in vcpu.cc */
#define THUNK_LINK       2 /* jmp; r14: struct link, plus its in_cc. The same, and patches the link. */
#define THUNK_HELPER     3 /* call; r14: struct site. Runs a sensitive instruction. */
#define THUNK_HELPER_END 4 /* jmp; r14: struct site. The same, then on at rip. */
#define THUNK_MISS \
    5 /* call; r14: gva, r12d: descriptor. r14: host address; returns 5 bytes later if in bounce */
#define THUNK_COMMIT  6 /* call; r12d: descriptor. Ends an access that went through bounce. */
#define THUNK_SEGMENT 7 /* call; r14: offset, r12d: descriptor. r14: linear address. */

#define THUNK_GROUP 8 /* jmp; r14: struct group_head. Again, or on without groups. */

#define THUNK_CHANGED 9 /* jmp; r14: struct block, flags in vcpu.cc. Its bytes have changed: checked.c. */

#define EXIT_NEXT  0 /* what engine_enter returns: go on at rip */
#define EXIT_FAULT 1 /* a host signal arrived in translated code: vcpu.fault tells */

#ifndef __ASSEMBLER__
#include "base/base.h"

struct vcpu;
extern const char thunk_lookup[], thunk_lookup_cc[], thunk_link[], thunk_relink[], thunk_helper[],
    thunk_helper_end[], thunk_miss[], thunk_commit[], thunk_segment[], thunk_group[], thunk_changed[],
    thunk_fault[];
/* Runs translated code at code (executable address) with the guest state of v; returns EXIT_*. */
unsigned engine_enter(struct vcpu *v, const u8 *code);
#endif

#endif
