/* dump.h - what the engine prints of its work: one letter each (lodge_kvm_dump) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TRANSLATE_DUMP_H
#define TRANSLATE_DUMP_H

#include "hypervisor/cpu/vcpu.h"

enum dump {
    DUMP_GUEST = BIT(0),
    DUMP_HOST = BIT(1),
    DUMP_EXCEPTION = BIT(2),
    DUMP_EXIT = BIT(3),
    DUMP_TLB = BIT(4),
    DUMP_MEMORY = BIT(5),
    DUMP_PERF = BIT(6),
    DUMP_RING3 = BIT(7),
    DUMP_BLOCKS = DUMP_GUEST | DUMP_HOST | DUMP_PERF,
};

/* Which are on; set by lodge_kvm_dump before any VM exists. */
extern unsigned dump_mask;

/* printf to the dump's file. v: the vcpu whose vector state may be live (kept), or NULL. */
void dump_printf(struct vcpu *v, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define DUMP(v, letter, ...)                \
    do {                                    \
        if (unlikely(dump_mask & (letter))) \
            dump_printf(v, __VA_ARGS__);    \
    } while (0)

struct block;
struct engine;
struct tinsn;
/* A new translation, b of n guest instructions: guest and host code side by side, and for perf. */
void dump_block(struct vcpu *v, const struct block *b, const struct tinsn *insn, unsigned n);

#endif
