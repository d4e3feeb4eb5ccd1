/* case.h - one case of the CPU fuzzer: code, the state it starts with, and what became of it */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A case is a short sequence of instructions that ends with UD2. It runs at CPL 3 in a child process on the
 * host's CPU (native.c) and in a guest of the library (guest.c), at the same addresses and on the same data,
 * and must leave the same state: registers, flags, vector state, the data window, and the exception that
 * ended it (compare.c).
 *
 * The address space, natively and in the guest:
 *
 *      CODE_VA         CODE_PAGES, readable and executable; nothing behind them
 *      WINDOW_VA       WINDOW_PAGES, by window_rights: w writable, r read-only, - nothing there
 */
#ifndef FUZZ_CPU_CASE_H
#define FUZZ_CPU_CASE_H

#include <stdio.h>

#include "base/base.h"

enum {
    PAGE = 4096,
    CODE_VA = 0x10000000,
    CODE_PAGES = 3,
    CODE_END = CODE_VA + CODE_PAGES * PAGE,
    WINDOW_VA = 0x20000000,
    WINDOW_PAGES = 7,
    WINDOW_SIZE = WINDOW_PAGES * PAGE,
    WINDOW_STACK = WINDOW_VA + 5 * PAGE, /* where rsp usually points: between two writable pages */
};
static const char window_rights[WINDOW_PAGES + 1] = "wwrw-ww";

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R12 = 12, R15 = 15 };

enum {
    CF = BIT(0),
    PF = BIT(2),
    AF = BIT(4),
    ZF = BIT(6),
    SF = BIT(7),
    TF = BIT(8),
    IF = BIT(9),
    DF = BIT(10),
    OF = BIT(11),
    NT = BIT(14),
    RF = BIT(16),
    AC = BIT(18),
    ID = BIT(21),
    ARITHMETIC = CF | PF | AF | ZF | SF | OF,
};

/* XSAVE area, standard format (SDM 1 13.4), of x87, SSE and AVX. */
struct vectors {
    u16 fcw, fsw;
    u8 ftw, reserved0;
    u16 fop;
    u64 fip, fdp;
    u32 mxcsr, mxcsr_mask;
    u8 st[8][16];
    u8 xmm[16][16];
    u8 reserved1[96];
    u64 xstate_bv, xcomp_bv;
    u8 reserved2[48];
    u8 ymm_high[16][16];
} __attribute__((aligned(64)));
_Static_assert(sizeof(struct vectors) == 832, "x87, SSE, header, AVX");

/* What AVX-512 adds, in an order of our own. */
struct wide {
    u64 k[8];
    u8 zmm_high[16][32]; /* upper halves of ZMM0 to ZMM15 */
    u8 zmm[16][64];      /* ZMM16 to ZMM31 */
};

struct state {
    struct vectors vectors;
    u64 gpr[16], rip, rflags, fs, gs;
    struct wide wide;
};

/* What of an instruction depends on where things are: a field of it, and what the field shall lead to. */
enum fix {
    FIX_NONE,
    FIX_RIP32, /* a rip-relative displacement: target is an address */
    FIX_REL8,  /* a branch displacement: target is an item */
    FIX_REL32,
    FIX_IMM64, /* an immediate that is the address of an item */
};

struct item {
    u8 bytes[15], length;
    bool setup; /* made to prepare another one: not counted */
    u8 fix, fix_at;
    u64 target;
};

/* A pointer in the window to an item: for indirect branches and returns. */
struct pointer {
    u32 offset;
    u8 item;
};

enum { MAX_ITEMS = 96, MAX_POINTERS = 8, CODE_MAX = MAX_ITEMS * 15 + 2 };

struct test_case {
    u64 number;
    u64 start;     /* address of the first instruction; the last one ends at the end of CODE if open_end */
    bool open_end; /* no UD2: runs on into nothing */
    u32 count, pointers;
    struct item item[MAX_ITEMS];
    struct pointer pointer[MAX_POINTERS];
    struct state state; /* rip follows from start */
    u8 window[WINDOW_SIZE];

    /* case_layout */
    u64 address[MAX_ITEMS + 1]; /* of each item, and of the end */
    u32 code_length;
    u8 code[CODE_MAX];
};

enum { VECTOR_TIMEOUT = 0x100, VECTOR_CRASH = 0x101, VECTOR_EXIT = 0x102 };

struct outcome {
    struct state state;
    u32 vector, error; /* the exception that ended the run, or VECTOR_* */
    u64 cr2;
    u32 exit_reason; /* VECTOR_EXIT: of KVM_RUN */
    u8 window[WINDOW_SIZE];
};

/* One case with both outcomes; jobs are in memory that the child shares. */
struct job {
    struct test_case c;
    struct outcome native, guest;
};

/* vectors.c: the vector state as XSAVE has it in its standard format. */
enum { XSAVE_SIZE = 4096 };
void vectors_start(void);
u64 vectors_components(void); /* those of XCR0 that are compared */
void vectors_to_xsave(u8 *area, const struct state *s);
void vectors_from_xsave(struct state *s, const u8 *area);

/* layout.c: code and address from items; the window's pointers are written. false: it does not fit. */
bool case_layout(struct test_case *c);

/* native.c: the child process. */
void native_start(struct job *jobs, unsigned count);
/* Runs jobs 0..n-1 natively, filling native. */
void native_run(unsigned n);

/* guest.c */
void guest_start(void);
void guest_run(struct job *j);
/* A bit of the CPUID that the library offers; reg: 0 eax .. 3 edx. */
bool guest_cpuid(u32 leaf, u32 subleaf, unsigned reg, unsigned bit);

/* compare.c */
/* true: the outcomes agree. out: NULL, or where the differences are written, one a line. */
bool outcomes_agree(const struct job *j, FILE *out);
/* The case ran into what the engine is known to do otherwise. */
bool is_known_difference(const struct job *j);
/* A case that does not fail each time: an interrupt took the x87 pointers away, as AMD's processors save them
 * only while an exception waits. */
bool lost_pointers(const struct job *j);

/* minimise.c: makes job 0 as small as it can be while it still fails. */
void minimise(struct job *jobs);

/* report.c: the case as a source for tests/fuzz/cases. */
void report_case(const struct job *j, FILE *out);
/* One line for each instruction, with addresses. */
void report_listing(const struct test_case *c, FILE *out, const char *prefix);

/* replay.c: the kept cases. Returns how many fail. name: one of them, or NULL for all. */
unsigned replay(struct job *jobs, const char *name);

#endif
