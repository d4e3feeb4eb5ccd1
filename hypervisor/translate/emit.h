/* emit.h - the host-code emitter: x86-64 encoding (SDM 2A ch. 2) of the few forms that the translator makes
 * itself */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TRANSLATE_EMIT_H
#define TRANSLATE_EMIT_H

#include <string.h>

#include "base/base.h"

enum host_reg {
    H_RAX,
    H_RCX,
    H_RDX,
    H_RBX,
    H_RSP,
    H_RBP,
    H_RSI,
    H_RDI,
    H_R8,
    H_R9,
    H_R10,
    H_R11,
    H_R12,
    H_R13,
    H_R14,
    H_R15,
    H_NONE = 0xff
};

/* The register plan: design point 1. */
enum { H_ADDRESS = H_R14, H_SCRATCH = H_R12, H_VCPU = H_R13, H_GUEST_RSP = H_R15 };

/* The writable view of the code cache; execution is at p + delta. Past end nothing is written and overflow is
 * set: the caller flushes the cache and starts again. */
struct emitter {
    u8 *p, *end;
    s64 delta;
    bool overflow;
};

/* [base + index * scale + disp]; base or index may be H_NONE (no base: disp is absolute, sign-extended). */
struct host_mem {
    u8 base, index, scale;
    s32 disp;
};

enum condition {
    CC_O,
    CC_NO,
    CC_B,
    CC_AE,
    CC_E,
    CC_NE,
    CC_BE,
    CC_A,
    CC_S,
    CC_NS,
    CC_P,
    CC_NP,
    CC_L,
    CC_GE,
    CC_LE,
    CC_G
};

static inline void emit8(struct emitter *e, u8 b)
{
    if (unlikely(e->p >= e->end)) {
        e->overflow = true;
        return;
    }
    *e->p++ = b;
}

static inline void emit_bytes(struct emitter *e, const void *b, size_t n)
{
    if (unlikely((size_t)(e->end - e->p) < n)) {
        e->overflow = true;
        return;
    }
    memcpy(e->p, b, n);
    e->p += n;
}

static inline void emit32(struct emitter *e, u32 v)
{
    emit_bytes(e, &v, 4);
}
static inline void emit64(struct emitter *e, u64 v)
{
    emit_bytes(e, &v, 8);
}

/* ModRM, SIB and displacement for a memory operand; reg: modrm.reg's low three bits. */
void emit_modrm_mem(struct emitter *e, u8 reg, struct host_mem m);
/* Of an instruction with EVEX, which multiplies a displacement of one byte (SDM 2A 2.7.5). */
void emit_modrm_mem_unscaled(struct emitter *e, u8 reg, struct host_mem m);

/* op: opcode bytes without prefixes, most significant first (0x8b, 0x0fb7). wide: REX.W. */
void emit_op_mem(struct emitter *e, u32 op, bool wide, u8 reg, struct host_mem m);
void emit_op_reg(struct emitter *e, u32 op, bool wide, u8 reg, u8 rm);

/* The same with what is at target, which is within 2 GiB of the code; after: bytes of immediate that follow.
 */
void emit_op_near(struct emitter *e, u32 op, bool wide, u8 reg, const void *target, unsigned after);

static inline struct host_mem at(u8 base, s32 disp)
{
    return (struct host_mem){.base = base, .index = H_NONE, .scale = 1, .disp = disp};
}

static inline void emit_load(struct emitter *e, u8 reg, struct host_mem m)
{
    emit_op_mem(e, 0x8b, true, reg, m);
}
static inline void emit_store(struct emitter *e, struct host_mem m, u8 reg)
{
    emit_op_mem(e, 0x89, true, reg, m);
}
static inline void emit_lea(struct emitter *e, u8 reg, struct host_mem m)
{
    emit_op_mem(e, 0x8d, true, reg, m);
}
static inline void emit_lea32(struct emitter *e, u8 reg, struct host_mem m)
{
    emit_op_mem(e, 0x8d, false, reg, m);
}
static inline void emit_move(struct emitter *e, u8 to, u8 from)
{
    emit_op_reg(e, 0x8b, true, to, from);
}
static inline void emit_move32(struct emitter *e, u8 to, u8 from)
{
    emit_op_reg(e, 0x8b, false, to, from);
}

/* The shortest mov that gives reg this value. Flags stay. */
void emit_immediate(struct emitter *e, u8 reg, u64 value);

/* Forward branches: the return value goes to emit_patch once the target is reached. */
u8 *emit_jcc(struct emitter *e, enum condition cc);
u8 *emit_jmp(struct emitter *e);
/* Before a jump that is patched while other threads run it: its rel32, behind so many bytes of opcode, comes
 * to lie in one aligned quadword (cache.h). */
void emit_align_site(struct emitter *e, unsigned opcode);
/* site: of a rel32; target: writable address in the same cache. */
void emit_patch(u8 *site, const u8 *target);
void emit_jmp_to(struct emitter *e, const u8 *target);

/* jmp and call through a pointer in memory. */
static inline void emit_jmp_mem(struct emitter *e, struct host_mem m)
{
    emit_op_mem(e, 0xff, false, 4, m);
}
static inline void emit_call_mem(struct emitter *e, struct host_mem m)
{
    emit_op_mem(e, 0xff, false, 2, m);
}

/* Saves the arithmetic flags to *cc (LAHF, SETO) or restores them; rax is kept through *spill. */
void emit_flags_save(struct emitter *e, struct host_mem cc, struct host_mem spill);
void emit_flags_restore(struct emitter *e, struct host_mem cc, struct host_mem spill);

#endif
