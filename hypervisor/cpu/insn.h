/* insn.h - one decoded instruction, in the manual's words (SDM 2A ch. 2), and the table of sensitive ones */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CPU_INSN_H
#define CPU_INSN_H

#include "base/base.h"

struct vcpu;

enum gpr {
    GPR_RAX,
    GPR_RCX,
    GPR_RDX,
    GPR_RBX,
    GPR_RSP,
    GPR_RBP,
    GPR_RSI,
    GPR_RDI,
    GPR_R8,
    GPR_R9,
    GPR_R10,
    GPR_R11,
    GPR_R12,
    GPR_R13,
    GPR_R14,
    GPR_R15,
    GPR_RIP = 16, /* as the base of a memory operand only */
    GPR_NONE = 0xff
};

/* The numbers of the Sreg encoding (SDM 2A table 3-1), so that modrm.reg is the index. */
enum seg { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS, SEG_LDTR, SEG_TR, SEG_COUNT };

/* A memory operand. A rip-relative one has base == GPR_NONE and disp == the absolute address; in code that does not
 * depend on its address (translate/mode.h, MODE_MOVABLE) base == GPR_RIP and disp counts from vcpu.code_page. */
struct memop {
    u8 base, index, scale; /* enum gpr or GPR_NONE; scale 1, 2, 4 or 8 */
    u8 seg;                /* enum seg, after override and defaults */
    u8 size;               /* bytes accessed; 0 where the instruction decides at run time (xsave) */
    s64 disp;
};

struct insn {
    u64 rip;     /* of its first byte: an offset in CS, or (MODE_MOVABLE) in its page */
    u8 length;   /* 1 to 15 */
    u8 opsize;   /* effective operand size in bytes: 1 (byte forms), 2, 4 or 8 */
    u8 addrsize; /* effective address size in bytes: 2, 4 or 8 */
    u8 bits;     /* of the code segment: 16, 32 or 64 */
    u8 rep;      /* 0, 0xf2 (repne) or 0xf3 (rep) */
    bool lock;
    bool rm_is_mem; /* the r/m operand is memory: use mem; else register rm */
    bool rex;       /* a REX prefix stands: byte registers 4..7 are spl, bpl, sil, dil, else ah, ch, dh, bh */
    u8 reg;         /* modrm.reg with REX.R, or the opcode's register number with REX.B (push r64 ...) */
    u8 rm;          /* modrm.rm with REX.B, where it is a register */
    u8 opcode;      /* the last opcode byte (SDM 2A app. A), for handlers that serve several */
    u16 mnemonic;   /* ZydisMnemonic */
    struct memop mem;
    u64 imm;  /* sign-extended first immediate or branch displacement; the offset of a far pointer */
    u64 imm2; /* second immediate: enter's nesting level, the selector of a far pointer */
    u8 bytes[15];
};

/* Executes one instruction in full, in the manual's order of checks. On entry v->rip is the instruction's
 * own, so that a fault is precise, and v->next_rip is the following one's; a control transfer writes
 * v->next_rip. Guest registers are in v->gpr, arithmetic flags in v->cc (see flags.h). A fault does not
 * return (raise, exceptions.h). The guest's vector state is live in the CPU: no libc function that may touch
 * it is called (cpu/vcpu.h). */
typedef void sensitive_fn(struct vcpu *v, const struct insn *in);

enum sensitive_flags {
    SENSITIVE_ENDS = 1, /* changes rip, mode, or what may be executed: the block ends with it */
    SENSITIVE_REP = 2,  /* a string instruction: may be left in the middle with rip on itself */
};

struct sensitive {
    u16 mnemonic; /* ZydisMnemonic */
    u8 flags;
    sensitive_fn *handler;
};

/* The row for an instruction, or NULL. The table stands once, in sensitive.c. */
const struct sensitive *sensitive_find(u16 mnemonic);

#endif
