/* instructions.c - items of a case's code: a privileged or otherwise sensitive instruction with what it works
 * on */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/lockstep/generate.h"

/* ---- emitting ---- */

static void emit(struct generator *n, unsigned size, u64 value)
{
    put(n->g, CODE + n->g->code_length, size, value);
    n->g->code_length += size;
}

static bool is_64bit(const struct generator *n)
{
    return n->mode->bits == 64;
}

static void byte(struct generator *n, unsigned b)
{
    emit(n, 1, b);
}

/* Up to three opcode bytes, the first in the highest: 0x0f20 is 0f 20. */
static void opcode(struct generator *n, u32 op)
{
    if (op >> 16)
        byte(n, op >> 16 & 0xff);
    if (op >> 8)
        byte(n, op >> 8 & 0xff);
    byte(n, op & 0xff);
}

/* The prefix that makes the operand size what is wanted. */
static void operand_size(struct generator *n, unsigned size)
{
    if (size == 8)
        byte(n, 0x48);
    else if (size != 1 && (size == 2) != (n->mode->bits == 16))
        byte(n, 0x66);
}

static void mov_imm(struct generator *n, unsigned reg, u64 value)
{
    unsigned size = n->mode->bits == 64 ? 8 : 4;
    operand_size(n, size);
    byte(n, 0xb8 + reg);
    emit(n, size, value);
}

/* modrm for [ebx] or the like, after mov_imm(RBX). */
static void modrm_mem(struct generator *n, unsigned reg)
{
    byte(n, reg << 3 | (n->mode->bits == 16 ? 7 : 3));
}

static void modrm_reg(struct generator *n, unsigned reg, unsigned rm)
{
    byte(n, 0xc0 | reg << 3 | rm);
}

static void maybe_segment(struct generator *n)
{
    static const u8 prefixes[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65};
    if (one_in(&n->random, 4))
        byte(n, RANDOM_OF(&n->random, prefixes));
}

static unsigned random_size(struct generator *n) /* of an operand: 2, 4, or 8 in 64-bit code */
{
    unsigned size = 2u << random_below(&n->random, n->mode->bits == 64 ? 3 : 2);
    return one_in(&n->random, 2) ? n->mode->bits / 8 : size;
}

/* Operand rm: eax with value, or memory at [rbx] that has it; size of the memory. */
static void value_operand(struct generator *n, unsigned opsize, u32 op, unsigned reg, u64 value)
{
    bool memory = one_in(&n->random, 3);
    if (memory) {
        u64 p = random_pointer(n);
        put(n->g, p, 8, value);
        mov_imm(n, RBX, p);
        maybe_segment(n);
    } else {
        mov_imm(n, RAX, value);
    }
    operand_size(n, opsize);
    opcode(n, op);
    if (memory)
        modrm_mem(n, reg);
    else
        modrm_reg(n, reg, RAX);
}

/* [rbx] with what is put there. */
static u64 memory_operand(struct generator *n)
{
    u64 p = one_in(&n->random, 3) ? random_pointer(n) : DATA + (random_below(&n->random, 0x3fc0) & ~7u);
    mov_imm(n, RBX, p);
    return p;
}

/* A place of its own on the stack; the stack pointer is set to it. */
static u64 stack_slot(struct generator *n)
{
    u64 sp = STACKS + n->g->cpl * 0x1000u + 0x200 + n->item * 0x100;
    if (one_in(&n->random, 16))
        sp = random_pointer(n);
    mov_imm(n, RSP, sp);
    return sp;
}

/* ---- segment registers ---- */

static void load_segment(struct generator *n)
{
    unsigned reg = one_in(&n->random, 12) ? random_below(&n->random, 8) : random_below(&n->random, 6);
    value_operand(n, random_size(n), 0x8e, reg == CS ? DS : reg, random_selector(n));
}

static void store_segment(struct generator *n)
{
    value_operand(n, random_size(n), 0x8c, random_below(&n->random, 7), random_u64(&n->random));
}

static void pop_segment(struct generator *n)
{
    static const u16 all[] = {0x0fa1, 0x0fa9, 0x07, 0x17, 0x1f};
    put(n->g, stack_slot(n), 2, random_selector(n));
    operand_size(n, is_64bit(n) ? 4 : random_size(n));
    opcode(n, is_64bit(n) ? all[random_below(&n->random, 2)] : RANDOM_OF(&n->random, all));
}

static void push_segment(struct generator *n)
{
    static const u16 all[] = {0x0fa0, 0x0fa8, 0x06, 0x0e, 0x16, 0x1e};
    stack_slot(n);
    operand_size(n, is_64bit(n) ? 4 : random_size(n));
    opcode(n, is_64bit(n) ? all[random_below(&n->random, 2)] : RANDOM_OF(&n->random, all));
}

static void put_far_pointer(struct generator *n, u64 at, unsigned size, u64 offset)
{
    put(n->g, at, size, offset);
    put(n->g, at + size, 2, random_selector(n));
}

static void load_far_pointer(struct generator *n)
{
    static const u16 all[] = {0x0fb2, 0x0fb4, 0x0fb5, 0xc4, 0xc5};
    unsigned size = min(random_size(n), 4u);
    put_far_pointer(n, memory_operand(n), size, random_u64(&n->random));
    maybe_segment(n);
    operand_size(n, size);
    opcode(n, is_64bit(n) ? all[random_below(&n->random, 3)] : RANDOM_OF(&n->random, all));
    modrm_mem(n, RDX);
}

/* ---- far transfers ---- */

static void far_immediate(struct generator *n)
{
    unsigned size = one_in(&n->random, 2) ? 2 : 4;
    stack_slot(n);
    operand_size(n, size);
    byte(n, one_in(&n->random, 2) ? 0xea : 0x9a);
    emit(n, size, random_target(n));
    emit(n, 2, random_selector(n));
}

static void far_memory(struct generator *n)
{
    unsigned size = min(random_size(n), 4u); /* TCG reads m16:64 on behalf of AMD too */
    stack_slot(n);
    put_far_pointer(n, memory_operand(n), size, random_target(n));
    operand_size(n, size);
    byte(n, 0xff);
    modrm_mem(n, one_in(&n->random, 2) ? 5 : 3);
}

static u64 random_iret_flags(struct generator *n)
{
    u64 f = random_u64(&n->random) & 0x257ed7;
    /* Elsewhere TCG takes VM too, against 2A "IRET". */
    if (one_in(&n->random, 2) && n->g->cpl == 0 && !n->mode->wide)
        f |= 0x20000;
    if (one_in(&n->random, 3))
        f ^= 0x8000;
    return f & (one_in(&n->random, 8) ? ~0ull : ~0x100ull);
}

static void return_far(struct generator *n)
{
    unsigned size = random_size(n), params = one_in(&n->random, 2) ? 4 * random_below(&n->random, 5) : 0;
    bool iret = one_in(&n->random, 2);
    u64 sp = stack_slot(n);
    u64 target = random_target(n), popped = random_iret_flags(n);
    if (popped & 0x20000) /* TCG cuts what IRET to virtual-8086 mode must refuse */
        target &= 0xffff;
    put(n->g, sp, size, target);
    put(n->g, sp + size, size, random_selector(n) | (one_in(&n->random, 4) ? 0xffff0000 : 0));
    u64 rest = sp + 2 * size;
    if (iret)
        put(n->g, rest, size, popped);
    rest += iret ? size : params;
    put(n->g, rest, size, one_in(&n->random, 3) ? random_pointer(n) : STACKS + 0x3800);
    for (unsigned i = 1; i < 6; i++)
        put(n->g, rest + i * size, size, random_selector(n));
    operand_size(n, size);
    if (iret || !params) {
        byte(n, iret ? 0xcf : 0xcb);
        return;
    }
    byte(n, 0xca);
    emit(n, 2, params);
}

static void interrupt(struct generator *n)
{
    static const u8 short_forms[] = {0xcc, 0xce}; /* TCG has another ICEBP */
    stack_slot(n);
    if (one_in(&n->random, 4)) {
        byte(n, short_forms[random_below(&n->random, is_64bit(n) ? 1 : 2)]);
        return;
    }
    byte(n, 0xcd);
    byte(n, one_in(&n->random, 4) ? random_below(&n->random, 32) : random_below(&n->random, 256));
}

static void fast_call(struct generator *n)
{
    static const u16 all[] = {0x0f34, 0x0f35, 0x0f07, 0x0f05};
    const struct mode *m = n->mode;
    /* Elsewhere TCG has SYSCALL, and KVM has not; SYSRET without SCE is #UD or #GP; and in compatibility mode
     * AMD's SYSENTER and SYSEXIT are undefined, and TCG's gdbstub cannot set R11 for SYSRET. */
    bool protected = m->protected && !m->vm86, legacy = m->wide && m->bits != 64;
    unsigned first = legacy ? 3 : 0, end = protected ? 4 : n->g->state.efer & 1 ? 3 : 2;
    u16 op = all[first + random_below(&n->random, end - first)];
    if (op == 0x0f07 || op == 0x0f35) {
        mov_imm(n, RCX, one_in(&n->random, 4) ? random_pointer(n) : random_target(n));
        mov_imm(n, RDX, one_in(&n->random, 4) ? random_pointer(n) : random_target(n));
    }
    if (is_64bit(n) && op == 0x0f07) { /* mov r11: flags without VIF and VIP, which TCG does not load */
        opcode(n, 0x49bb);
        emit(n, 8, random_u64(&n->random) & 0x257ed7);
    }
    if (is_64bit(n) && one_in(&n->random, 2))
        byte(n, 0x48);
    opcode(n, op);
}

/* ---- selectors and tables ---- */

static void query_selector(struct generator *n)
{
    static const struct {
        u16 op;
        u8 reg;
    } all[] = {{0x0f02, RDX}, {0x0f03, RDX}, {0x0f00, 4}, {0x0f00, 5},
               {0x0f02, RDX}, {0x0f03, RDX}, {0x63, RCX}};
    unsigned i = random_below(&n->random, is_64bit(n) ? 6 : 7);
    value_operand(n, i == 6 ? n->mode->bits / 8u : random_size(n), all[i].op, all[i].reg, random_selector(n));
}

static void task_registers(struct generator *n)
{
    unsigned reg = random_below(&n->random, 4);
    u16 near = (u16)((21 + 2 * random_below(&n->random, 5)) << 3);
    value_operand(n, random_size(n), 0x0f00, reg, one_in(&n->random, 2) ? near : random_selector(n));
}

static void table_registers(struct generator *n)
{
    unsigned reg = random_below(&n->random, 4);
    u64 p = memory_operand(n);
    put(n->g, p, 2, one_in(&n->random, 2) ? 0x1ff : random_u64(&n->random));
    put(n->g, p + 2, 8, one_in(&n->random, 3) ? sign_extend(random_pointer(n), 48) : reg == 2 ? GDT : IDT);
    maybe_segment(n);
    if (one_in(&n->random, 3) && n->mode->bits != 64)
        byte(n, 0x66);
    opcode(n, 0x0f01);
    modrm_mem(n, reg);
}

/* ---- control, debug and model-specific registers ---- */

static u64 flip(struct generator *n, u64 value, const u64 *bits, unsigned count)
{
    for (unsigned flips = 1 + random_below(&n->random, 2); flips; flips--)
        value ^= bits[random_below(&n->random, count)];
    return value;
}

static u64 random_cr(struct generator *n, unsigned cr)
{
    static const u64 cr0[] = {BIT(0), BIT(31), BIT(16), BIT(1),           BIT(2),
                              BIT(3), BIT(18), BIT(30), BIT(30) | BIT(29)};
    static const u64 cr4[] = {BIT(4),  BIT(5), BIT(7), BIT(9),  BIT(11), BIT(20), BIT(21), BIT(16),
                              BIT(18), BIT(2), BIT(3), BIT(12), BIT(15), BIT(23), BIT(40)};
    static const u64 cr3[] = {0, 8, 0x10, 8, 0x20, 0x1000, 0x800, BIT(45), BIT(52), BIT(63)};
    const struct state *s = &n->g->state;
    bool pdptes = n->mode->pae && !n->mode->wide; /* which TCG does not load and check */
    u64 value;
    switch (cr) {
    case 0:
        value = flip(n, s->cr0, cr0, ARRAY_SIZE(cr0));
        return (value & BIT(31) ? value | 1 : value) | (is_64bit(n) ? BIT(31) : 0);
    case 3: return flip(n, s->cr3 ? s->cr3 : TABLES, cr3, pdptes ? 5 : ARRAY_SIZE(cr3));
    case 4:
        value = flip(n, s->cr4, cr4, ARRAY_SIZE(cr4));
        return n->mode->paged ? (value & ~BIT(5)) | (s->cr4 & BIT(5)) : value;
    case 8: return random_below(&n->random, 16);
    default: return random_u64(&n->random);
    }
}

static void write_control(struct generator *n)
{
    static const u8 all[] = {0, 0, 0, 4, 4, 4, 3, 3, 2, 8, 1, 5};
    unsigned cr = all[random_below(&n->random, n->g->cpl ? 10 : 12)]; /* TCG: CR1 and CR5 are #GP elsewhere */
    mov_imm(n, RAX, random_cr(n, cr));
    if (cr == 8)
        byte(n, 0x44);
    opcode(n, 0x0f22);
    modrm_reg(n, cr & 7, RAX);
}

static void read_control(struct generator *n)
{
    static const u8 all[] = {0, 2, 3, 4, 1, 7};
    mov_imm(n, RDX, random_u64(&n->random));
    opcode(n, 0x0f20);
    modrm_reg(n, all[random_below(&n->random, n->g->cpl ? 4 : 6)], RDX);
}

static void status_word(struct generator *n)
{
    bool store = one_in(&n->random, 3);
    u64 value = random_u64(&n->random);
    value_operand(n, random_size(n), 0x0f01, store ? 4 : 6, store ? value : value & 0xfff1);
}

static void debug_register(struct generator *n)
{
    static const u64 dr7[] = {0x400, 0x0, 0x155}; /* TCG has no GD */
    unsigned dr = random_below(&n->random, 8);
    if (one_in(&n->random, 3)) {
        opcode(n, 0x0f21);
        modrm_reg(n, dr, RDX);
        return;
    }
    u64 low =
        dr == 5 || dr == 7 ? RANDOM_OF(&n->random, dr7) & ~0xffull : random_u64(&n->random) & 0xffffefff;
    mov_imm(n, RAX, one_in(&n->random, 6) ? low | BIT(33) : low);
    opcode(n, 0x0f23);
    modrm_reg(n, dr, RAX);
}

/* Canonical, as CR0.NW stands never without CD, nor PG without PE: TCG checks none of these. */
static u64 random_msr_value(struct generator *n, u32 index)
{
    static const u64 efer[] = {BIT(0), BIT(8), BIT(11), BIT(10)};
    if (index == 0xc0000080 && n->mode->paged) /* LME changes with paging on: TCG does not ask */
        return n->g->state.efer ^ (one_in(&n->random, 2) ? BIT(0) : BIT(11));
    if (index == 0xc0000080)
        return flip(n, n->g->state.efer, efer, ARRAY_SIZE(efer));
    if (index == 0x277)
        return one_in(&n->random, 2) ? 0x0007040600070406 : 0x0606060606060600; /* TCG takes reserved types */
    u64 v = one_in(&n->random, 2) ? random_pointer(n) : random_u64(&n->random);
    if (index == 0x174) /* TCG keeps sixteen bits */
        return v & 0xffff;
    return sign_extend(v, 48);
}

/* A write is read back. */
static void msr(struct generator *n)
{
    static const u32 all[] = {0xc0000080, 0xc0000080, 0xc0000080, 0xc0000081, 0xc0000082,
                              0xc0000083, 0xc0000084, 0xc0000100, 0xc0000101, 0xc0000102,
                              0x174,      0x175,      0x176,      0x277};
    u32 index = RANDOM_OF(&n->random, all);
    mov_imm(n, RCX, index);
    if (one_in(&n->random, 2)) {
        u64 value = random_msr_value(n, index);
        mov_imm(n, RAX, (u32)value);
        mov_imm(n, RDX, value >> 32);
        opcode(n, 0x0f30);
        mov_imm(n, RAX, 0);
    }
    opcode(n, 0x0f32);
}

static void bases(struct generator *n)
{
    if (one_in(&n->random, 3)) {
        opcode(n, 0x0f01);
        byte(n, 0xf8);
        return;
    }
    mov_imm(n, RAX, random_pointer(n));
    byte(n, 0xf3);
    if (is_64bit(n) && one_in(&n->random, 2))
        byte(n, 0x48);
    opcode(n, 0x0fae);
    modrm_reg(n, random_below(&n->random, 4), RAX);
}

/* ---- flags and small ones ---- */

static void flags(struct generator *n)
{
    unsigned size = is_64bit(n) ? one_in(&n->random, 4) ? 2 : 4 : random_size(n);
    u64 sp = stack_slot(n);
    bool pop = one_in(&n->random, 2);
    if (pop)
        put(n->g, sp, 8, random_u64(&n->random) & (one_in(&n->random, 6) ? ~0ull : ~0x100ull));
    operand_size(n, size);
    byte(n, pop ? 0x9d : 0x9c);
}

static void small(struct generator *n)
{
    static const u32 all[] = {0xfa,     0xfb,     0xfc,     0xfd,   0x0f06,  0x0f09, 0x0f01ca,
                              0x0f01cb, 0x0f01d0, 0x0f01d5, 0x0f0b, 0x9b,    0xf4,   0xd9d0,
                              0x0faa,   0x0fb9c0, 0x0fffc0, 0x0f08, 0x0f28c0};
    opcode(n, RANDOM_OF(&n->random, all));
}

/* The time itself cannot be compared, whether it is told can. */
static void timestamp(struct generator *n)
{
    opcode(n, 0x0f31);
    mov_imm(n, RAX, 0);
    mov_imm(n, RDX, 0);
}

static void port(struct generator *n)
{
    static const u8 all[] = {0xec, 0xed, 0xee, 0xef, 0xe4, 0xe6, 0xe5, 0xe7};
    u8 op = RANDOM_OF(&n->random, all);
    mov_imm(n, RDX, 0x200 + random_below(&n->random, 0x700));
    if ((op & 1) && one_in(&n->random, 2))
        byte(n, 0x66);
    byte(n, op);
    if (op < 0xe8)
        byte(n, 0xf1);
    mov_imm(n, RAX, 0); /* what nobody answers reads differs by machine */
}

/* ---- memory ---- */

static void access_memory(struct generator *n)
{
    static const u8 byte_ops[] = {0x8a, 0x88, 0x00, 0x86};
    unsigned size = one_in(&n->random, 3) ? 1 : random_size(n);
    mov_imm(n, RBX, random_pointer(n));
    maybe_segment(n);
    operand_size(n, size);
    byte(n, RANDOM_OF(&n->random, byte_ops) | (size == 1 ? 0 : 1));
    modrm_mem(n, RDX);
}

static void invalidate(struct generator *n)
{
    mov_imm(n, RBX, random_pointer(n));
    opcode(n, 0x0f01);
    modrm_mem(n, 7);
}

static void stack_access(struct generator *n)
{
    static const u8 all[] = {0x50, 0x5a, 0x58, 0xc3, 0x60, 0x61};
    mov_imm(n, RSP, random_pointer(n));
    operand_size(n, is_64bit(n) ? 4 : random_size(n));
    byte(n, all[random_below(&n->random, is_64bit(n) ? 4 : 6)]);
}

static void jump(struct generator *n)
{
    mov_imm(n, RBX, random_target(n));
    byte(n, 0xff);
    modrm_reg(n, one_in(&n->random, 2) ? 4 : 2, RBX);
}

static void frame(struct generator *n)
{
    stack_slot(n);
    mov_imm(n, RBP, one_in(&n->random, 4) ? random_pointer(n) : DATA + 0x800);
    if (one_in(&n->random, 3)) {
        byte(n, 0xc9);
        return;
    }
    byte(n, 0xc8);
    emit(n, 2, random_below(&n->random, 64));
    byte(n, random_below(&n->random, 5));
}

static void bound(struct generator *n)
{
    u64 p = memory_operand(n);
    unsigned size = random_size(n);
    put(n->g, p, size, random_below(&n->random, 100));
    put(n->g, p + size, size, random_below(&n->random, 100));
    mov_imm(n, RDX, random_below(&n->random, 100));
    operand_size(n, size);
    byte(n, 0x62);
    modrm_mem(n, RDX);
}

/* ---- the table ---- */

static const struct item {
    void (*make)(struct generator *n);
    u8 weight, not_in_64bit;
} items[] = {
    {load_segment, 10, 0},
    {store_segment, 1, 0},
    {pop_segment, 4, 0},
    {push_segment, 1, 0},
    {load_far_pointer, 4, 0},
    {far_immediate, 8, 1},
    {far_memory, 8, 0},
    {return_far, 14, 0},
    {interrupt, 10, 0},
    {fast_call, 4, 0},
    {query_selector, 6, 0},
    {task_registers, 4, 0},
    {table_registers, 4, 0},
    {write_control, 8, 0},
    {read_control, 1, 0},
    {status_word, 2, 0},
    {debug_register, 2, 0},
    {msr, 6, 0},
    {bases, 3, 0},
    {flags, 5, 0},
    {small, 4, 0},
    {timestamp, 1, 0},
    {port, 3, 0},
    {access_memory, 12, 0},
    {invalidate, 1, 0},
    {stack_access, 4, 0},
    {jump, 3, 0},
    {frame, 2, 0},
    {bound, 1, 1},
};

static unsigned weight_in(const struct generator *n, const struct item *i)
{
    return i->not_in_64bit && is_64bit(n) ? 0 : i->weight;
}

void generate_item(struct generator *n)
{
    unsigned total = 0, i = 0;
    for (unsigned k = 0; k < ARRAY_SIZE(items); k++)
        total += weight_in(n, &items[k]);
    unsigned at = random_below(&n->random, total);
    while (at >= weight_in(n, &items[i]))
        at -= weight_in(n, &items[i++]);
    items[i].make(n);
}
