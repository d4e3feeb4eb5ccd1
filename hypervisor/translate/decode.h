/* decode.h - guest instructions as the translator wants them: what they are, and the pieces to encode them
 * anew */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TRANSLATE_DECODE_H
#define TRANSLATE_DECODE_H

#include "hypervisor/cpu/insn.h"

/* How an instruction is translated: design.md's four classes, with the control transfers and the stack told
 * apart. */
enum kind {
    KIND_COPY, /* registers only: the guest's own bytes, registers renamed */
    KIND_WRAP, /* a memory operand: rewritten to a host address */
    KIND_SKIP, /* hints: nothing */
    KIND_LEA,
    KIND_PUSH,
    KIND_PUSHF,
    KIND_POP,
    KIND_LEAVE,
    KIND_JMP,
    KIND_JCC,
    KIND_LOOP, /* loop, loope, loopne, jcxz */
    KIND_CALL,
    KIND_RET,
    KIND_JMP_INDIRECT,
    KIND_CALL_INDIRECT,
    KIND_PRIVILEGED, /* one that could be KIND_SENSITIVE, in line: privileged.c */
    KIND_SENSITIVE,  /* a C handler does it in full */
    KIND_COUNT,
};

enum operand_access { OPERAND_READ = 1, OPERAND_WRITE = 2 };

/* A general register named by an encoding field. */
struct field {
    bool used, byte_high; /* byte_high: ah, ch, dh, bh (number 0..3) */
    bool written;
    bool replaced; /* written whole, and not read */
    u8 size;       /* bytes of it that the instruction uses */
    u8 gpr;
};

/* Which part of the vector state an instruction needs (SDM 2A 2.4, 3A 13.1): absent, it raises #UD or #NM. */
enum unit { UNIT_NONE, UNIT_X87, UNIT_MMX, UNIT_SSE, UNIT_AVX, UNIT_AVX512 };

enum encoding { ENCODING_LEGACY, ENCODING_VEX, ENCODING_EVEX };

/* Which elements of the memory operand an opmask lets an instruction access (SDM 1 15.6.1). */
enum masking {
    MASKING_NONE,
    MASKING_PLAIN,  /* bit i: element i, counted round where there are fewer elements (broadcasts) */
    MASKING_PACKED, /* as many elements as bits are set (compress, expand) */
    MASKING_PROBED, /* a store as MASKING_PLAIN, but all elements can fault */
};

struct tinsn {
    struct insn in;
    u8 kind, unit;
    u16 flags_read, flags_written, flags_changed; /* of FLAGS_ARITH; written: always; changed: perhaps */
    sensitive_fn *handler;
    u8 sensitive_flags;

    /* memory operand */
    bool has_mem;
    u8 access;      /* of the memory operand: enum operand_access */
    bool aligned;   /* the memory operand must be, to its size */
    bool unaligned; /* the memory operand need never be, though others of its size must where that is checked
                     */
    bool traps;     /* the host's instruction itself may fault, with the flags that it finds */
    bool waits;     /* raises #MF first, if an x87 exception is pending */
    u8 masking, mask_bits, mask_elements; /* enum masking; of how many bits and elements (powers of two) */
    bool bit_string; /* bt, bts, btr, btc with a register bit offset (SDM 2A: bit(bitbase, bitoffset)) */

    /* for encoding it again */
    u8 encoding;
    u8 prefix[4], prefix_count; /* 66, f2, f3, f0 */
    bool w, rex_present;
    u8 map, opcode; /* map: 0 one-byte, 1 0f, 2 0f38, 3 0f3a */
    u8 vex_l, vex_pp;
    u8 vvvv;    /* not inverted */
    u8 evex[3]; /* P0, P1, P2 */
    bool has_modrm;
    u8 modrm_reg;                /* 4 bits */
    u8 modrm_rm;                 /* 4 bits, register form */
    struct field reg, rm, v, op; /* which of these are general registers; op: in the opcode */
    u16 implicit_gprs;           /* mask of registers used without a field */
    u8 imm[8], imm_size;
    bool soft; /* the immediate is not a part of the translation: checked.c */
};

enum decode_result {
    DECODE_OK,
    DECODE_TRUNCATED, /* needs more than n bytes */
};

/* Decodes the instruction at code, of which n bytes (at least 1) can be read, at guest rip (in its page, with
 * MODE_MOVABLE). What is no instruction, or is not offered, becomes KIND_SENSITIVE with a handler that raises
 * #UD (or #GP: too long). mode: enum mode. */
enum decode_result decode(struct tinsn *t, const u8 *code, size_t n, u64 rip, u32 mode);

#endif
