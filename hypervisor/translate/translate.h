/* translate.h - the translator's state while it makes one block, shared by its passes */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TRANSLATE_TRANSLATE_H
#define TRANSLATE_TRANSLATE_H

#include "hypervisor/translate/cache.h"
#include "hypervisor/translate/decode.h"
#include "hypervisor/translate/emit.h"
#include "hypervisor/translate/mode.h"
#include "hypervisor/translate/producer.h"
#include "hypervisor/translate/thunks.h"

enum {
    MAX_INSNS = 64,
    MAX_ACCESSES = 2 * MAX_INSNS,
    MAX_GROUPS = GROUP_SLOTS,
    MAX_BRANCHES = 4,
    LOOP_LINKS = 3, /* of one loop instruction, at most */
    MAX_LINKS = LOOP_LINKS * MAX_INSNS + 1,
    MAX_MAP = 24 * MAX_INSNS,
    MAX_SOURCE = 15 * MAX_INSNS,
    MAX_CHECKS = MAX_SOURCE / 8 + 8,
    BLOCK_CODE_MAX = 96 << 10,
    BLOCK_META_MAX = 64 << 10
};

_Static_assert(BLOCK_CODE_MAX <= 1 << HOST_OFFSET_BITS && MAX_INSNS * 15 < 1 << GUEST_OFFSET_BITS,
               "struct pc_map");

/* What access_miss and access_commit are told about an access (r12d at the thunks). */
enum descriptor {
    ACCESS_SIZE = 0xff,
    ACCESS_STORES = BIT(8),
    ACCESS_LOADS = BIT(9),
    ACCESS_CONTEXT_SHIFT = 10,    /* enum tlb_context, 2 bits */
    ACCESS_FLAGS_IN_CC = BIT(12), /* at the commit: the guest's flags are in vcpu.cc */
    ACCESS_GOES_ON = BIT(13),     /* more of the instruction follows the commit */
    ACCESS_SEGMENT_SHIFT = 16,    /* enum seg, 3 bits */
    ACCESS_ALIGNED = BIT(20),     /* misaligned: #GP, before any fault of paging */
    ACCESS_WAITS = BIT(21),       /* an x87 exception is pending: #MF, before all faults of the operand */
    ACCESS_X87 = BIT(19),         /* of an x87 instruction */
    ACCESS_UNALIGNED = BIT(31),   /* no #AC, though it is small */
    /* Of an operand with an opmask: */
    ACCESS_MASKING_SHIFT = 14,  /* enum masking, 2 bits */
    ACCESS_OPMASK_SHIFT = 22,   /* number of the register, 3 bits; 0: none */
    ACCESS_BITS_SHIFT = 25,     /* log2 of struct tinsn's mask_bits, 3 bits */
    ACCESS_ELEMENTS_SHIFT = 28, /* log2 of mask_elements, 3 bits */
};

struct translator;
/* Emits the part of an instruction that uses its memory operand, which is at translator.operand. */
typedef void operand_fn(struct translator *t, const struct tinsn *insn);

/* The out-of-line half of an access, emitted at the block's end. */
struct cold {
    const struct tinsn *insn;
    operand_fn *use;
    u32 descriptor;
    u8 *miss;   /* rel32 of the ja */
    u8 *resume; /* where the host address is in r14 */
    u8 *after;  /* after use */
    enum flags_place flags;
    u8 producer;
};

/* Accesses off one base in a block, checked together by the first of them: group.c. */
struct group {
    u8 base, index, scale, seg; /* enum gpr, enum seg */
    bool write;
    u32 base_version, index_version;
    s64 low, high; /* bytes [low, high) from base + index * scale as these are at the head */
    u8 head;       /* instruction */
    u8 slot;       /* of vcpu.group */
    u8 members;
    /* of the head's check: */
    u8 *miss;
    const u8 *start;
    enum flags_place flags;
    u8 producer;
};

struct translator {
    struct vcpu *v;
    struct engine *engine;
    struct emitter e;
    struct block *block;
    u32 mode, next_mode; /* next_mode: of the code behind the block */
    u64 base; /* MODE_MOVABLE: linear address of the block's page, from which addresses count; else 0 */
    u64 page; /* address of the block's page */
    u64 cs_base;
    u8 source[MAX_SOURCE];        /* the code, as it was when it was looked at: others may be writing to it */
    unsigned count, branch_count; /* instructions; conditional branches among them */
    struct tinsn insn[MAX_INSNS];
    u16 live[MAX_INSNS + 1];  /* flags that are read later: before each instruction, and at the end */
    u16 shown[MAX_INSNS + 1]; /* the same, counting what a fault would show */
    enum flags_place flags;
    struct producer producers[MAX_INSNS];
    unsigned producer_count;
    u8 producer;                    /* while the flags are lost */
    const struct tinsn *last_flags; /* the last instruction that changed them */
    u8 segment;                     /* of the address in r14 */
    struct host_mem operand;        /* where the access at work has its operand: at [r14], or in a group */
    bool plain;                     /* no groups: group.c */
    bool checked;                   /* the page's blocks check themselves: checked.c */
    u8 *check[MAX_CHECKS];          /* rel32 of the jumps that are taken where it has changed */
    unsigned check_count;
    struct group group[MAX_GROUPS];
    unsigned group_count;
    struct group *group_of[MAX_INSNS]; /* of the instruction's one access, or NULL */
    s32 distance[MAX_INSNS];           /* of that access from its group's lowest byte */
    const struct group *in_address;    /* whose lowest byte's address is in r14 */
    struct cold cold[MAX_ACCESSES];
    unsigned cold_count;
    struct pc_map map[MAX_MAP];
    unsigned map_count;
    struct link *links;
    unsigned link_count;
};

/* translate.c: the translation of the code at v's rip in mode v->mode, whose first byte is at host. Where the
 * first instruction runs into the next page, that page has been fetched (execute.c). Called with the engine's
 * lock and without live vector state. plain: without groups
 * (group.c). NULL: there is no room, or the code has changed since it was looked at.
 */
struct block *translate(struct vcpu *v, u8 *host, bool plain);
/* Whether there is room for a block. Without the engine's lock it is a guess. */
bool cache_has_room(const struct engine *e);
/* Bytes from rip to CS's limit; at least 15 where there is none. */
size_t code_room(const struct vcpu *v);

/* Where the host code from here on belongs to insn. */
void map_here(struct translator *t, const struct tinsn *insn, u8 borrowed);

static inline struct host_mem slot(unsigned gpr)
{
    return at(H_VCPU, VCPU_GPR((int)gpr));
}
static inline struct host_mem spill(unsigned n)
{
    return at(H_VCPU, VCPU_SPILL((int)n));
}
static inline struct host_mem thunk(unsigned n)
{
    return at(H_VCPU, VCPU_THUNK((int)n));
}

/* Which spill slots are whose. */
enum { SPILL_FLAGS = 0, SPILL_VALUE = 1, SPILL_BRANCH = 2, SPILL_BORROWED = 3 };

/* Guest registers that live in struct vcpu (design point 1). */
static inline bool is_evicted(u8 gpr)
{
    return gpr >= GPR_R12 && gpr <= GPR_R15;
}
/* The host register of one that does not. */
static inline u8 host_reg(u8 gpr)
{
    return gpr == GPR_RSP ? H_GUEST_RSP : gpr;
}

/* flags.c. What a block does first with the flags that it finds. */
enum flags_entry { ENTRY_RESTORES /* uses them */, ENTRY_SAVES /* to vcpu.cc */, ENTRY_OVERWRITES };
enum flags_entry flags_entry(const struct translator *t);
u16 registers_written(const struct tinsn *i); /* mask of general registers */
void flags_plan(struct translator *t);
void flags_make_room(struct translator *t,
                     const struct tinsn *insn); /* before code that overwrites the host's flags */
void flags_to_host(struct translator *t);
void flags_to_cc(struct translator *t);
void flags_for(struct translator *t, const struct tinsn *insn); /* as insn needs them, just before it */
void flags_after(struct translator *t, const struct tinsn *insn);

/* operand.c. An access to insn's memory operand, or to the stack at base (H_GUEST_RSP or H_RBP) + offset;
 * access: enum operand_access; rsp_adjust counts for a base of rsp. */
void emit_operand(struct translator *t, const struct tinsn *insn, unsigned size, unsigned access,
                  s32 rsp_adjust, operand_fn *use);
void emit_stack(struct translator *t, const struct tinsn *insn, u8 base, s32 offset, unsigned size,
                unsigned access, operand_fn *use);
void emit_cold(struct translator *t);
/* Its pieces: r14 = the effective address m in that width of addresses, */
void emit_offset(struct translator *t, unsigned addrsize, const struct memop *m, s32 rsp_adjust);
/* in seg; size_and_masking and write as an access_segment wants them, */
void emit_segment(struct translator *t, u8 seg, u32 size_and_masking, bool write);
/* then the offset in its page, with r12 that of its entry in the TLB: returns the rel32 of the jump that
 * is taken if size bytes there are not to be had by the entry. */
u8 *emit_probe(struct translator *t, bool write, unsigned size);
/* A field of the entry, by r12, in the mode's TLB; field: its offset in struct tlb_entry. */
struct host_mem tlb_field(const struct translator *t, size_t field);
unsigned operand_size(const struct tinsn *insn);
/* reg = the address in the code's terms; wide: 64 bits of it. */
void emit_code_address(struct translator *t, u8 reg, u64 address, bool wide);
/* Host register that holds guest gpr, loading an evicted one into scratch. */
u8 emit_read_gpr(struct translator *t, u8 gpr, u8 scratch);
void emit_write_gpr(struct translator *t, u8 gpr, u8 from);

/* privileged.c. i, which is sensitive, is to be done in line if it may be: its kind then says so. */
void privileged_in_line(const struct translator *t, struct tinsn *i);
/* Takes that back, and ends the block there, where what follows stands against it. */
void privileged_plan(struct translator *t);
void emit_privileged_insn(struct translator *t, const struct tinsn *i);

/* translate.c. Calls i's handler; ends: it also ends the block. */
void emit_helper(struct translator *t, const struct tinsn *i, bool ends);

/* group.c */
void group_plan(struct translator *t);
/* The access of i as a member of its group; false if it has none. */
bool group_emit(struct translator *t, const struct tinsn *i, operand_fn *use);
void group_emit_cold(struct translator *t);

/* checked.c */
/* Of the block under way: the page's kind is settled now. */
bool page_is_checked(struct engine *e, u8 *host);
bool checked_ends(const struct tinsn *i);
bool checked_is_soft(const struct tinsn *i);
/* Room for b's source, and where it is checked for its mask. */
bool checked_alloc(struct translator *t);
void emit_check(struct translator *t);
void emit_check_cold(struct translator *t);

/* reencode.c: the instruction itself, registers renamed. */
void emit_renamed(struct translator *t, const struct tinsn *insn);

/* x87.c: behind an x87 instruction, noting where it is. */
void emit_x87_note(struct translator *t, const struct tinsn *insn);

/* branch.c, stack.c: instructions that the translator makes itself. */
void emit_jmp_insn(struct translator *t, const struct tinsn *insn);
void emit_jcc_insn(struct translator *t, const struct tinsn *insn);
void emit_loop_insn(struct translator *t, const struct tinsn *insn);
void emit_call_insn(struct translator *t, const struct tinsn *insn);
void emit_ret_insn(struct translator *t, const struct tinsn *insn);
void emit_jmp_indirect_insn(struct translator *t, const struct tinsn *insn);
void emit_call_indirect_insn(struct translator *t, const struct tinsn *insn);
/* The guest's stack pointer, in the stack's width, = base + offset. Uses r12. */
void emit_set_rsp(struct translator *t, u8 base, s32 offset);
void emit_push_insn(struct translator *t, const struct tinsn *insn);
void emit_pushf_insn(struct translator *t, const struct tinsn *insn);
void emit_pop_insn(struct translator *t, const struct tinsn *insn);
void emit_leave_insn(struct translator *t, const struct tinsn *insn);
/* Ends the block: on at target, which is that of the branch by, or where by is NULL what comes next. */
void emit_goto(struct translator *t, u64 target, const struct tinsn *by);
/* The stubs of the direct exits made so far. */
void emit_stubs(struct translator *t);
void emit_poll(struct translator *t, const struct tinsn *insn);

static inline bool is_movable(const struct translator *t)
{
    return t->mode & MODE_MOVABLE;
}

static inline bool is_64(const struct translator *t)
{
    return (t->mode & MODE_BITS) == MODE_64;
}
/* lea of an address in the guest's width of stack and linear addresses. */
static inline void emit_lea_guest(struct translator *t, u8 reg, struct host_mem m)
{
    emit_op_mem(&t->e, 0x8d, is_64(t), reg, m);
}

#endif
