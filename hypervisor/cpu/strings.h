/* strings.h - the pointers of string instructions: rSI in a segment of choice, rDI in ES (SDM 1 7.3.9) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CPU_STRINGS_H
#define CPU_STRINGS_H

#include "hypervisor/cpu/vcpu.h"

struct string_pointer {
    u8 gpr; /* GPR_RSI or GPR_RDI */
    u8 seg;
    u8 addrsize; /* bytes of the register that count */
    u8 size;     /* of an element */
};

struct string_pointer string_source(const struct insn *in, unsigned size);
struct string_pointer string_destination(const struct insn *in, unsigned size);
/* The count in rCX. */
u64 string_count(const struct vcpu *v, unsigned addrsize);
void string_set_count(struct vcpu *v, unsigned addrsize, u64 count);
/* Linear address of the element pointed to. May fault. */
gva string_linear(struct vcpu *v, const struct string_pointer *p, bool write);
/* Past n elements, up or down by DF. */
void string_advance(struct vcpu *v, const struct string_pointer *p, u64 n);
/* How many elements from the pointed-to one on, at most count, lie in its page and segment; 0: it crosses a
 * page. May fault as an access to the first does. */
u64 string_run(struct vcpu *v, const struct string_pointer *p, u64 count, bool write);
/* What a repetition does to its registers before the first element, and where there is none. */
void string_start_repetition(struct vcpu *v, const struct insn *in);
/* Leaves the instruction between two elements; what is wanted of the vcpu has been noted. */
_Noreturn void string_leave(struct vcpu *v);
/* Host address of the first element of a run of n, or NULL: not RAM. May fault. A write ends with
 * guest_rmw_done. */
void *string_run_host(struct vcpu *v, const struct string_pointer *p, u64 n, bool write);

#endif
