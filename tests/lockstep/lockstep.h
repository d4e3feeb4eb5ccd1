/* lockstep.h - one guest on two CPUs that must agree: its layout, a CPU's state, who can run it */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A case is an image of guest RAM and a CPU state, both made from a seed (generate.c), with a few
 * instructions at CODE. All that is not used is filled with HLT, and so are the handlers of all vectors, so
 * that a case ends wherever it goes, and where it ended is part of the state. Who runs a case says how it
 * ended, and leaves its own RAM and state behind: the library and /dev/kvm through the KVM API (kvm.c),
 * QEMU's TCG through its gdbstub (tcg.c).
 */
#ifndef LOCKSTEP_H
#define LOCKSTEP_H

#include "base/base.h"

/* Guest-physical memory, and linear too: it is mapped one to one where there is paging. */
enum {
    CODE = 0x1000,
    HANDLERS = 0x2000, /* 16 bytes for each vector */
    GDT = 0x3000,
    GDT_ENTRIES = 64,
    LDT = 0x3800, /* as long as the GDT */
    IDT = 0x4000,
    TSS = 0x5000,
    STACKS = 0x6000, /* a page for each privilege level */
    IST_STACKS = 0xa000,
    DATA = 0xc000,    /* four pages */
    TABLES = 0x11000, /* not right behind the data, which items write beyond */
    TABLES_END = 0x19000,
    COMPARED_END = 0x4f000,
    LOADER = 0x4f000, /* tcg.c's own page, left as it is by all others */
    RAM_SIZE = 0x50000,
    TEST_VA = 0x400000,  /* linear: sixteen pages with random entries */
    LARGE_VA = 0x800000, /* linear: a large page with a random entry */
};

enum { ES, CS, SS, DS, FS, GS, LDTR, TR, SEGMENTS };

struct segment_state {
    u16 selector, attributes; /* as in bits 40 to 55 of a descriptor */
    u32 limit;
    u64 base;
};

struct table_state {
    u64 base;
    u16 limit;
};

/* MSRs of struct state. The bases of FS and GS are in segment[]. */
enum { STAR, LSTAR, CSTAR, SFMASK, KERNEL_GS_BASE, SYSENTER_CS, SYSENTER_ESP, SYSENTER_EIP, PAT, MSRS };
extern const u32 msr_number[MSRS];

/* Registers in the order of their encoding. */
enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R11 = 11 };

struct state {
    u64 gpr[16], rip, rflags;
    struct segment_state segment[SEGMENTS];
    struct table_state gdtr, idtr;
    u64 cr0, cr2, cr3, cr4, efer;
    u64 dr[8];
    u64 msr[MSRS];
};

enum {
    MODE_REAL,
    MODE_VM86,
    MODE_VM86_PAGED,
    MODE_PROTECTED16,
    MODE_PROTECTED32,
    MODE_PAGED32,
    MODE_PAE16,
    MODE_PAE32,
    MODE_COMPATIBILITY16,
    MODE_COMPATIBILITY32,
    MODE_64BIT,
    MODES
};
struct mode {
    const char *name;
    u8 bits; /* of its code */
    bool protected, paged, pae, wide, vm86;
};
extern const struct mode modes[MODES];

enum { MAX_ITEMS = 4 };

struct guest {
    u64 seed;
    unsigned mode, cpl;
    u32 items; /* a mask: which of the case's items it has, so that a failing case can be cut down */
    struct state state;
    u8 ram[RAM_SIZE];
    unsigned code_length;
};

/* Makes the case of g->seed with the items in g->items. mode: below MODES, or any at random. */
void guest_generate(struct guest *g, unsigned mode);
void guest_print(const struct guest *g);

enum end {
    END_HALT,     /* HLT at CPL 0; rip is the following instruction's */
    END_SHUTDOWN, /* triple fault */
    END_LIMIT,    /* it ran on: time or steps used up */
    END_UNKNOWN,  /* whoever ran it cannot do this; see why */
};
extern const char *const end_name[];

struct result {
    enum end end;
    char why[80];
    struct state state;
    const u8 *ram; /* of RAM_SIZE bytes, valid until the next case */
};

struct reference;                             /* who runs cases */
struct reference *kvm_reference(bool kernel); /* /dev/kvm, or the library; NULL with a message: not there */
struct reference *tcg_reference(void);        /* NULL with a message: there is no QEMU */
struct reference {
    const char *name;
    bool is_tcg;
    void (*run)(struct reference *r, const struct guest *g, struct result *out);
    void (*close)(struct reference *r);
    bool verbose; /* prints each step that it can see */
};

/* Prints (unless quiet) what differs and gives whether anything does. Known deviations do not count: then
 * *known is the reason, else NULL. */
bool results_differ(const struct guest *g, const struct result *ours, const struct result *theirs,
                    const struct reference *who, bool quiet, const char **known);

#endif
