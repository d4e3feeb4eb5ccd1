/* compare.c - do two CPUs agree on a case; what is known to differ, and why */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tests/lockstep/lockstep.h"

const char *const end_name[] = {"halt", "shutdown", "limit", "unknown"};

struct comparison {
    const struct guest *g;
    const struct result *ours, *theirs;
    const struct reference *who;
    bool quiet;
    unsigned differences;
};

__attribute__((format(printf, 2, 3))) static void differs(struct comparison *c, const char *format, ...)
{
    c->differences++;
    if (c->quiet)
        return;
    va_list args;
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
}

static void compare_value(struct comparison *c, const char *name, u64 ours, u64 theirs)
{
    if (ours != theirs)
        differs(c, "  %-8s lodge %016llx %s %016llx\n", name, (unsigned long long)ours, c->who->name,
                (unsigned long long)theirs);
}

/* ---- what TCG's state does not show, or keeps otherwise than the manual says ---- */

static bool in_64bit(const struct state *s)
{
    return (s->efer & 0x400) && (s->segment[CS].attributes & 0x2000);
}

static u64 register_mask(const struct comparison *c)
{
    return c->who->is_tcg && !in_64bit(&c->theirs->state) ? 0xffffffff : ~0ull;
}

enum { P = 0x80, ACCESSED = 1, BUSY = 2 };

/* Hidden parts that nobody can see are not compared: of what is unusable, and of data segments in 64-bit code
 * but for the bases of FS and GS. */
static void compare_segment(struct comparison *c, unsigned i)
{
    static const char *const names[SEGMENTS] = {"es", "cs", "ss", "ds", "fs", "gs", "ldtr", "tr"};
    const struct segment_state *a = &c->ours->state.segment[i], *b = &c->theirs->state.segment[i];
    bool may_be_null =
        i == LDTR || (i == SS && in_64bit(&c->ours->state)); /* TCG has something in the rest */
    bool null = may_be_null && a->selector < 4 && b->selector < 4;
    bool visible = !null && ((a->attributes & P) || (b->attributes & P));
    u16 ignored = 0;
    if (c->who->is_tcg && i == TR)
        ignored = BUSY; /* TCG sets it in memory only */
    if (c->who->is_tcg && (i == CS || i == SS))
        ignored = ACCESSED; /* TCG does not always set it */
    if (i == TR || i == LDTR)
        ignored |= 0xf000; /* no meaning but G, which is in the limit */
    bool flat = in_64bit(&c->ours->state) && i < 6 && i != CS;
    bool same = a->selector == b->selector && (!visible || ((a->attributes ^ b->attributes) & ~ignored) == 0);
    if (visible && !flat)
        same = same && a->limit == b->limit && ((a->base ^ b->base) & register_mask(c)) == 0;
    if (flat && (i == FS || i == GS))
        same = same && a->base == b->base;
    if (!same)
        differs(c, "  %-8s lodge %04x %04x %08x %012llx %s %04x %04x %08x %012llx\n", names[i], a->selector,
                a->attributes, a->limit, (unsigned long long)a->base, c->who->name, b->selector,
                b->attributes, b->limit, (unsigned long long)b->base);
}

/* RF: it is over after an instruction, and nothing but a breakpoint can see when exactly it is cleared. */
#define RF BIT(16)
#define AC BIT(18)

/* TCG's SYSCALL loses the arithmetic flags and DF. */
#define ARITHMETIC 0xcd5ull
static bool is_after_syscall(const struct state *s)
{
    return s->rip == HANDLERS + 1 || s->rip == s->msr[LSTAR] + 1 || s->rip == s->msr[CSTAR] + 1;
}

static u64 handler_of(unsigned vector)
{
    return HANDLERS + vector * 16 + 1;
}

/* A single step stopped behind RDTSC, before the result was overwritten (instructions.c). */
static bool shows_time(const struct comparison *c)
{
    u64 handler = modes[c->g->mode].protected ? handler_of(1) : 1 * 16 + 1;
    return c->ours->state.rip == handler && memmem(c->g->ram + CODE, c->g->code_length, "\x0f\x31", 2);
}

static void compare_state(struct comparison *c)
{
    static const char *const names[16] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                          "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
    const struct state *a = &c->ours->state, *b = &c->theirs->state;
    u64 mask = register_mask(c);
    bool few =
        mask != ~0ull || modes[c->g->mode].bits != 64; /* the gdbstub can neither show nor set the others */
    unsigned shown = c->who->is_tcg && few ? 8 : 16;
    for (unsigned i = 0; i < shown; i++)
        if ((i != RAX && i != RDX) || !shows_time(c))
            compare_value(c, names[i], a->gpr[i] & mask, b->gpr[i] & mask);
    compare_value(c, "rip", a->rip, b->rip);
    u64 flags = ~(RF | (c->who->is_tcg && is_after_syscall(a) ? ARITHMETIC : 0));
    if (!c->who->is_tcg && c->ours->end == END_HALT)
        flags &=
            ~AC; /* the delivery of an event leaves it as it is (SDM 3A 6.8), but not in a software KVM */
    compare_value(c, "rflags", a->rflags & flags, b->rflags & flags);
    for (unsigned i = 0; i < SEGMENTS; i++)
        compare_segment(c, i);
    compare_value(c, "gdt", a->gdtr.base, b->gdtr.base);
    compare_value(c, "gdt lim", a->gdtr.limit, b->gdtr.limit);
    compare_value(c, "idt", a->idtr.base, b->idtr.base);
    compare_value(c, "idt lim", a->idtr.limit, b->idtr.limit);
    compare_value(c, "cr0", a->cr0, b->cr0);
    if (c->theirs->end == END_HALT)
        compare_value(c, "cr2", a->cr2 & mask, b->cr2 & mask);
    compare_value(c, "cr3", a->cr3 & mask, b->cr3 & mask);
    compare_value(c, "cr4", a->cr4, b->cr4);
    compare_value(c, "efer", a->efer, b->efer);
    for (unsigned i = 0; i < 8; i++)
        compare_value(c, (const char *[]){"dr0", "dr1", "dr2", "dr3", "", "", "dr6", "dr7"}[i], a->dr[i],
                      b->dr[i]);
    for (unsigned i = 0; i < MSRS && !c->who->is_tcg; i++) {
        char name[16];
        snprintf(name, sizeof(name), "%x", msr_number[i]);
        compare_value(c, name, a->msr[i], b->msr[i]);
    }
}

/* ---- known deviations: where the manual is on our side ---- */

static bool is_canonical(u64 a)
{
    return (u64)((s64)(a << 16) >> 16) == a;
}

static u64 load(const u8 *ram, unsigned at, unsigned size)
{
    u64 v = 0;
    memcpy(&v, ram + at, size);
    return v;
}

static bool is_descriptor_table(unsigned at)
{
    return at >= GDT && at < LDT + GDT_ENTRIES * 8;
}

static bool pushed_resume_flag(const struct comparison *c, unsigned at)
{
    u8 a = c->ours->ram[at], b = c->theirs->ram[at];
    bool in_frame = at - (c->ours->state.gpr[RSP] & 0xffff) < 64;
    bool open = c->ours->state.rip == handler_of(8) && in_frame; /* what a double fault pushes */
    return ((a & 1) || open) && (a ^ b) == 1 && !(a & 0xc0) && (in_frame || !is_descriptor_table(at));
}

static bool external_bit(const struct comparison *c, unsigned at)
{
    u8 a = c->ours->ram[at], b = c->theirs->ram[at];
    bool pushed = at == c->ours->state.gpr[RSP] || (at >= STACKS && at < TABLES);
    return (a & 3) && (a ^ b) == 1 && (a & 1) && pushed;
}

static bool descriptor_accessed(const struct comparison *c, unsigned at)
{
    u8 a = c->ours->ram[at], b = c->theirs->ram[at];
    return is_descriptor_table(at) && (at & 7) == 5 && (a & 0x10) && (a & 1) && (a ^ b) == ACCESSED;
}

static bool idt_error_code(const struct comparison *c, unsigned at)
{
    unsigned start = at & ~7u;
    u64 a = load(c->ours->ram, start, 8), b = load(c->theirs->ram, start, 8);
    return modes[c->g->mode].wide && a < 0x800 && (a & 2) && (a >> 3) == (b >> 4);
}

static bool page_fault_write(const struct comparison *c, unsigned at)
{
    u8 a = c->ours->ram[at], b = c->theirs->ram[at];
    u8 open = a & 8 ? 3 : 2; /* TCG: P is 0 where RSVD is 1 */
    return (a ^ b) && ((a ^ b) & ~open) == 0 && (a & (a ^ b)) == (a ^ b) && a < 0x20 &&
           c->ours->state.cr2 == c->theirs->state.cr2;
}

static bool ended_in_handler(const struct comparison *c)
{
    return c->ours->end == END_SHUTDOWN || c->ours->state.rip - HANDLERS < 0x1000;
}

static bool accessed_by_fault(const struct comparison *c, unsigned at)
{
    u8 a = c->ours->ram[at], b = c->theirs->ram[at];
    bool pdpte = modes[c->g->mode].pae && !modes[c->g->mode].wide && at < TABLES + 0x2000;
    u8 open = ended_in_handler(c) ? 0x60 : pdpte ? 0x20 : b & 0x40;
    return at >= TABLES && at < TABLES_END && (a ^ b) && ((a ^ b) & ~open) == 0;
}

static bool accessed_by_halt(const struct comparison *c, unsigned at)
{
    return c->ours->end == END_HALT && at >= TABLES && at < TABLES_END &&
           (c->ours->ram[at] ^ c->theirs->ram[at]) == 0x20 && (c->ours->ram[at] & 0x20);
}

static bool part_of_frame(const struct comparison *c, unsigned at)
{
    return (c->ours->end == END_SHUTDOWN || (at >= STACKS && at < TABLES)) &&
           c->ours->ram[at] == c->g->ram[at];
}

/* The limit, two bytes at the end of a page, where the base behind it faults. */
static bool first_part(const struct comparison *c, unsigned at)
{
    u64 page = ALIGN_DOWN(c->ours->state.cr2, 4096);
    return page - at <= 2 && page > at && memmem(c->g->ram + CODE, c->g->code_length, "\x0f\x01", 2) &&
           c->ours->ram[at] == c->g->ram[at];
}

/* Of single bytes of RAM. */
static const struct {
    const char *reason;
    bool (*applies)(const struct comparison *c, unsigned at);
} tcg_bytes[] = {
    {"a fault pushes RF set (SDM 3A 17.3.1.1); TCG pushes it as it is", pushed_resume_flag},
    {"EXT is set in the error code of what happens in the delivery of an exception (6.13); TCG has it 0",
     external_bit},
    {"a load of CS, or of SS out of a TSS, marks its descriptor accessed (3.4.5.1); not in TCG",
     descriptor_accessed},
    {"the error code has the vector times 8 (6.13); TCG has it times 16 in IA-32e mode", idt_error_code},
    {"what a walk that faults marks accessed and dirty is open (4.8); PDPTEs in PAE paging are not marked (4.4.1), "
     "nor dirty what ARPL does not write",
     accessed_by_fault},
    {"TCG is stopped before the HLT, whose page may be one that nothing else was fetched from",
     accessed_by_halt},
    {"an event or call whose frame does not fit writes nothing; TCG writes what fits (6.15 leaves it open)",
     part_of_frame},
    {"SGDT and SIDT across two pages, one of which faults, write nothing; TCG the limit (open)", first_part},
    {"read-modify-write faults as a write (4.7); TCG reads first", page_fault_write},
};

static bool is_known_byte(const struct comparison *c, unsigned at)
{
    for (unsigned i = 0; c->who->is_tcg && i < ARRAY_SIZE(tcg_bytes); i++) {
        if (tcg_bytes[i].applies(c, at))
            return true;
    }
    return false;
}

static void compare_ram(struct comparison *c)
{
    const u8 *a = c->ours->ram, *b = c->theirs->ram;
    if (!memcmp(a, b, COMPARED_END))
        return;
    for (unsigned i = 0, shown = 0; i < COMPARED_END; i++) {
        if (a[i] != b[i] && !is_known_byte(c, i) && shown++ < 12)
            differs(c, "  [%05x]  lodge %02x %s %02x\n", i, a[i], c->who->name, b[i]);
    }
}

static u16 pushed_error(const struct result *r)
{
    return (u16)load(r->ram, (unsigned)r->state.gpr[RSP] % (COMPARED_END - 8), 2);
}

/* TCG names a TSS in the LDT. */
static bool task_in_ldt(const struct comparison *c)
{
    u64 theirs = c->theirs->state.rip;
    u16 error = pushed_error(c->theirs);
    u8 type = c->theirs->ram[LDT + (error & ~7u) % (GDT_ENTRIES * 8) + 5] & 0x1d;
    return (theirs == handler_of(10) || theirs == handler_of(11)) && (error & 4) &&
           (type == 1 || type == 9) && c->ours->state.rip != handler_of(10);
}

/* Both name the same selector, whose descriptor is that of a data segment with P clear. */
static bool absent_stack(const struct comparison *c)
{
    u16 error = pushed_error(c->ours);
    u8 attributes = c->ours->ram[(error & 4 ? LDT : GDT) + (error & ~7u) % (GDT_ENTRIES * 8) + 5];
    return c->ours->state.rip == handler_of(12) && c->theirs->state.rip == handler_of(11) && (error & ~3) &&
           error == pushed_error(c->theirs) && (attributes & 0x98) == 0x10;
}

static bool sysret_in_real_mode(const struct comparison *c)
{
    const struct state *ours = &c->ours->state, *theirs = &c->theirs->state;
    bool has_sysret = memmem(c->g->ram + CODE, c->g->code_length, "\x0f\x07", 2);
    return has_sysret && !(ours->cr0 & 1) && !(ours->efer & 1) && ours->rip == 6 * 16 + 1 &&
           theirs->rip == 13 * 16 + 1;
}

static bool null_stack_privilege(const struct comparison *c)
{
    u16 ss = c->theirs->state.segment[SS].selector;
    return in_64bit(&c->theirs->state) && ss < 4 && ss != c->g->cpl && c->ours->state.rip == handler_of(13);
}

static bool order_of_accesses(const struct comparison *c)
{
    u64 d = c->ours->state.cr2 - c->theirs->state.cr2;
    return c->differences == 1 && d && d + 104 <= 208;
}

static bool gate_from_vm86(const struct comparison *c)
{
    u64 sp = c->ours->state.gpr[RSP];
    bool pushed = sp < COMPARED_END - 16 && (load(c->ours->ram, (unsigned)sp + 12, 4) & BIT(17));
    return pushed && (c->ours->state.rip == handler_of(8) || c->ours->state.rip == handler_of(13)) &&
           c->ours->state.rip != c->theirs->state.rip;
}

static bool cut_rip(const struct comparison *c)
{
    const struct state *theirs = &c->theirs->state;
    bool code16 = !(theirs->segment[CS].attributes & 0x6000);
    return code16 && c->ours->state.cr2 >> 16 &&
           ((theirs->rip - 1) & 0xffff) == (c->ours->state.cr2 & 0xffff);
}

static bool null_task(const struct comparison *c)
{
    return c->theirs->state.segment[TR].selector < 4 && c->ours->state.segment[TR].selector >= 4;
}

static bool late_shutdown(const struct comparison *c)
{
    return c->ours->end == END_SHUTDOWN && c->theirs->end == END_SHUTDOWN &&
           (c->ours->state.segment[TR].selector != c->g->state.segment[TR].selector ||
            c->ours->state.dr[6] & BIT(14));
}

static bool transfer_limit(const struct comparison *c)
{
    const struct state *ours = &c->ours->state, *theirs = &c->theirs->state;
    u64 sp = ours->gpr[RSP];
    bool same_vector = theirs->rip == handler_of(13) || theirs->rip > theirs->segment[CS].limit;
    return ours->rip == handler_of(13) && same_vector && sp < COMPARED_END &&
           load(c->ours->ram, (unsigned)sp, 2) == 0;
}

static bool ist_keeps_stack_segment(const struct comparison *c)
{
    const struct segment_state *ours = &c->ours->state.segment[SS], *theirs = &c->theirs->state.segment[SS];
    return c->differences == 1 && modes[c->g->mode].wide && ours->selector && !theirs->selector;
}

static bool stack_limit(const struct comparison *c)
{
    const struct segment_state *ss = &c->theirs->state.segment[SS];
    bool short_one = !(ss->attributes & P) || ss->limit < 0xffff || (ss->attributes & 0x1c) == 0x14;
    return !modes[c->g->mode].wide && short_one;
}

/* A push or pop at an end of the canonical addresses: the frame's RSP tells. */
static bool stack_not_canonical(const struct comparison *c)
{
    u64 rsp = load(c->ours->ram, (unsigned)(c->ours->state.gpr[RSP] + 32) % (COMPARED_END - 8), 8);
    return modes[c->g->mode].bits == 64 && c->ours->state.rip == handler_of(12) &&
           c->theirs->state.rip == handler_of(13) && (!is_canonical(rsp - 64) || !is_canonical(rsp + 64));
}

static bool stack_limit_of_real_mode(const struct comparison *c)
{
    const struct mode *m = &modes[c->g->mode];
    return (m->vm86 && c->ours->state.rip == handler_of(12)) ||
           (!m->protected && c->ours->state.rip == 12 * 16 + 1);
}

static bool forbidden_cr0(const struct comparison *c)
{
    enum { PE = BIT(0), NW = BIT(29), CD = BIT(30) };
    u64 cr0 = c->theirs->state.cr0;
    return cr0 != c->ours->state.cr0 && (((cr0 & BIT(31)) && !(cr0 & PE)) || ((cr0 & NW) && !(cr0 & CD)));
}

/* TCG's #UD is that of a SYSEXIT at another privilege than 0. */
static bool sysexit_privilege(const struct comparison *c)
{
    bool sysexit = memmem(c->g->ram + CODE, c->g->code_length, "\x0f\x35", 2);
    return c->theirs->state.rip == handler_of(6) && sysexit && c->g->cpl &&
           c->ours->state.rip != handler_of(6);
}

/* A TSS of 4 GiB. */
static bool huge_task(const struct comparison *c)
{
    u16 error = pushed_error(c->theirs);
    const u8 *d = c->theirs->ram + GDT + (error & ~7u) % (GDT_ENTRIES * 8);
    return c->theirs->state.rip == handler_of(10) && c->ours->state.rip != handler_of(10) && !(error & 4) &&
           (d[5] & 0x15) == 1 && load(d, 0, 2) == 0xffff && (d[6] & 0x8f) == 0x8f;
}

static bool task16_in_long_mode(const struct comparison *c)
{
    const u8 *code = c->g->ram + CODE;
    bool asked =
        memmem(code, c->g->code_length, "\x0f\x02", 2) || memmem(code, c->g->code_length, "\x0f\x03", 2);
    return asked && modes[c->g->mode].wide && c->differences <= 3 && /* one where the flags were pushed */
           (c->theirs->state.rflags & ~c->ours->state.rflags & ARITHMETIC) == 0x40;
}

/* Ours is in the handler of a single step whose frame tells of an STI as the instruction before. */
static bool step_behind_sti(const struct comparison *c)
{
    const struct state *s = &c->ours->state;
    u64 handler = modes[c->g->mode].protected ? handler_of(1) : 1 * 16 + 1;
    u64 stack = (in_64bit(s) ? 0 : s->segment[SS].base) + s->gpr[RSP];
    u64 behind = c->g->state.segment[CS].base + load(c->ours->ram, (unsigned)stack % (COMPARED_END - 8), 2);
    return s->rip == handler && (s->dr[6] & BIT(14)) && behind > CODE && behind <= CODE + c->g->code_length &&
           c->g->ram[behind - 1] == 0xfb;
}

/* TCG is stopped before the HLT, which it could not have fetched. */
static bool halt_not_fetched(const struct comparison *c)
{
    return c->ours->state.rip == handler_of(14) && c->ours->state.cr2 == c->theirs->state.rip - 1 &&
           c->ours->state.cr2 >= TEST_VA;
}

static bool gate16_offset(const struct comparison *c)
{
    u64 ours = c->ours->state.rip, theirs = c->theirs->state.rip;
    return c->differences == 1 && !modes[c->g->mode].wide && ours < 0x10000 && theirs >> 16 &&
           (u16)theirs == ours;
}

/* Both name the same descriptor: a call gate that is not present, and has a type in its upper half. */
static bool upper_half_of_gate(const struct comparison *c)
{
    u16 error = pushed_error(c->ours);
    const u8 *gate = c->ours->ram + (error & 4 ? LDT : GDT) + (error & ~7u) % (GDT_ENTRIES * 8);
    return modes[c->g->mode].wide && c->ours->state.rip == handler_of(13) &&
           c->theirs->state.rip == handler_of(11) && error == pushed_error(c->theirs) &&
           (gate[5] & 0x9f) == 0xc && (gate[13] & 0x1f);
}

/* TCG's push went through, then the handler's page was not for CPL 3. */
static bool event_at_user(const struct comparison *c)
{
    const struct state *ours = &c->ours->state, *theirs = &c->theirs->state;
    if (!modes[c->g->mode].wide || ours->rip != handler_of(14) || theirs->rip != handler_of(14))
        return false;
    const u8 *frame = c->ours->ram + ours->gpr[RSP] % (COMPARED_END - 64);
    u64 pushed = load(c->theirs->ram, (unsigned)(theirs->gpr[RSP] + 32) % (COMPARED_END - 8), 8);
    return (frame[0] & 6) == 6 && (frame[16] & 3) == 3 && ours->cr2 - pushed < 56;
}

/* TCG names a segment of 64-bit code that has a limit. */
static bool call_to_64bit_limit(const struct comparison *c)
{
    u16 error = pushed_error(c->theirs);
    const u8 *d = c->theirs->ram + (error & 4 ? LDT : GDT) + (error & ~7u) % (GDT_ENTRIES * 8);
    bool is_64bit = (d[5] & 0x98) == 0x98 && (d[6] & 0x20), granular = d[6] & 0x80;
    return is_64bit && !granular && (error & ~7) && c->theirs->state.rip == handler_of(13) &&
           c->ours->state.rip != handler_of(13);
}

/* AC is set from the beginning, or by POPF or IRET; the page is one for users. */
static bool smap_with_ac(const struct comparison *c)
{
    u64 page = ALIGN_DOWN(c->ours->state.cr2, 4096);
    const u8 *code = c->g->ram + CODE;
    bool popped = memchr(code, 0x9d, c->g->code_length) || memchr(code, 0xcf, c->g->code_length);
    bool for_users = page == STACKS + 0x3000 || page >= DATA;
    return (c->g->state.cr4 & BIT(21)) && ((c->g->state.rflags & AC) || popped) && for_users &&
           c->ours->state.cr2 != c->theirs->state.cr2;
}

static bool alignment_check(const struct comparison *c)
{
    enum { AM = 18 };
    const struct state *ours = &c->ours->state;
    bool died = c->ours->end == END_SHUTDOWN && (c->g->state.rflags & AC) && c->theirs->state.rip > ours->rip;
    return (ours->cr0 & BIT(AM)) &&
           (died || (ours->rip == handler_of(17) && c->theirs->state.rip != handler_of(17)));
}

static bool table_base(const struct comparison *c)
{
    const struct state *ours = &c->ours->state, *theirs = &c->theirs->state;
    return (!is_canonical(theirs->gdtr.base) && ours->gdtr.base != theirs->gdtr.base) ||
           (!is_canonical(theirs->idtr.base) && ours->idtr.base != theirs->idtr.base);
}

static bool override_in_64bit(const struct comparison *c)
{
    u64 d = c->theirs->state.cr2 - c->ours->state.cr2;
    for (unsigned i = ES; i <= DS; i++)
        if (modes[c->g->mode].bits == 64 && c->differences == 1 && d && d == c->theirs->state.segment[i].base)
            return true;
    return false;
}

/* The TSS has such a pointer. */
static bool stack_of_task(const struct comparison *c)
{
    const struct state *ours = &c->ours->state, *theirs = &c->theirs->state;
    bool has_one = false;
    for (unsigned at = TSS + 4; at < TSS + 0x5c; at += 8)
        has_one |= !is_canonical(load(c->g->ram, at, 8)) || !is_canonical(load(c->g->ram, at, 8) - 64);
    bool refused = ours->rip == handler_of(12) && theirs->rip == handler_of(13);
    bool below = ours->cr2 >> 12 == 0x7ffffffffull && (theirs->rip == handler_of(12) || c->differences == 1);
    return modes[c->g->mode].wide && has_one && (refused || below);
}

/* Of the software KVM: it takes LAR and LSL for undefined in compatibility mode, loses IOPL, and so on. It is
 * of use where it stays on its feet. */
static bool software_kvm_fails(const struct comparison *c)
{
    const struct result *ours = c->ours, *theirs = c->theirs;
    bool undefined =
        theirs->state.rip % 0x1000 == handler_of(6) % 0x1000 && ours->state.rip != theirs->state.rip;
    return undefined || (theirs->end == END_SHUTDOWN && ours->end == END_HALT);
}

/* Of whole cases. */
static const struct {
    const char *reason;
    bool tcg; /* of TCG, else of /dev/kvm */
    bool (*applies)(const struct comparison *c);
} deviations[] = {
    {"a TSS named by an LDT selector is #GP for CALL and JMP (SDM 3A 7.2.2); TCG: #TS, or #NP", true,
     task_in_ldt},
    {"SYSRET with EFER.SCE clear is #UD (SDM 2B); TCG asks for CR0.PE first: #GP", true, sysret_in_real_mode},
    {"a stack segment that is not present is #SS for RET and IRET (SDM 2B); TCG: #NP", true, absent_stack},
    {"the null selector in SS needs RPL = CPL (SDM 2B \"MOV\"); TCG does not ask", true,
     null_stack_privilege},
    {"PUSHA begins with EAX (SDM 2B), TCG with EDI; and the order of accesses to a TSS is open", true,
     order_of_accesses},
    {"LTR does not take the null selector (SDM 2A); TCG does", true, null_task},
    {"EIP has 32 bits in a 16-bit segment too (SDM 1 3.5); TCG cuts it", true, cut_rip},
    {"from virtual-8086 mode a gate must lead to CPL 0 (SDM 2A \"INT n\"); TCG does not ask", true,
     gate_from_vm86},
    {"after a triple fault TCG shows the state before the instruction, which had switched tasks or was stepped over",
     true, late_shutdown},
    {"a transfer beyond the limit of its code segment is #GP(0) (SDM 2A); TCG names the selector, or goes there",
     true, transfer_limit},
    {"a stack from the IST without a change of CPL keeps SS (SDM 2A \"INT n\"); TCG makes it null", true,
     ist_keeps_stack_segment},
    {"stacks have limits (SDM 3A 5.3); not in TCG", true, stack_limit},
    {"an event that stays at CPL 3 pushes as CPL 3 does (4.6.1); TCG as a supervisor", true, event_at_user},
    {"64-bit code has no limit (SDM 2A \"CALL\"); TCG asks for it in a far CALL", true, call_to_64bit_limit},
    {"a gate of 16 bits has an offset of 16 bits (SDM 2A \"INT n\"); TCG takes 32", true, gate16_offset},
    {"a call gate whose upper half has a type is #GP (5.8.3.1), whether it is present or not; TCG: #NP first",
     true, upper_half_of_gate},
    {"an address of the stack that is not canonical is #SS (6.15); TCG: #GP", true, stack_not_canonical},
    {"a word of the stack at FFFF is #SS in real and virtual-8086 mode (20.1.1); TCG goes round", true,
     stack_limit_of_real_mode},
    {"CR0 with PG and no PE, or with NW and no CD, is #GP (SDM 2B \"MOV\"); TCG takes it", true,
     forbidden_cr0},
    {"TCG is stopped before an HLT, and does not see that its page cannot be executed", true,
     halt_not_fetched},
    {"SYSEXIT at CPL 1 to 3 is #GP (SDM 2B), also on AMD's processors in long mode; TCG: #UD", true,
     sysexit_privilege},
    {"LGDT and LIDT of a base that is not canonical are #GP (APM vol. 3); TCG takes it", true, table_base},
    {"64-bit code has no segments but FS and GS (SDM 1 3.4.2.1); TCG adds the base of one in a prefix", true,
     override_in_64bit},
    {"a stack pointer of the TSS that is not canonical is #SS (SDM 2A \"INT n\"), and is looked at where it is written "
     "to; TCG: #GP, or looks at the pointer",
     true, stack_of_task},
    {"a TSS may be of 4 GiB; TCG takes its limit for negative: #TS", true, huge_task},
    {"a TSS of 16 bits is invalid for LAR and LSL in IA-32e mode (SDM 2A); TCG: valid", true,
     task16_in_long_mode},
    {"STI holds off interrupts, not a single step (SDM 2B \"STI\"); TCG both", true, step_behind_sti},
    {"SMAP forbids implicit accesses to user pages whatever AC is (4.6.1); TCG looks at AC", true,
     smap_with_ac},
    {"an access that is not aligned is #AC at CPL 3 with CR0.AM and AC (SDM 3A 6.15); not in TCG", true,
     alignment_check},
    {"a software KVM that gives up by #UD or shutdown", false, software_kvm_fails},
};

static const char *known_deviation(const struct comparison *c)
{
    for (unsigned i = 0; i < ARRAY_SIZE(deviations); i++) {
        if (deviations[i].tcg == c->who->is_tcg && deviations[i].applies(c))
            return deviations[i].reason;
    }
    return NULL;
}

bool results_differ(const struct guest *g, const struct result *ours, const struct result *theirs,
                    const struct reference *who, bool quiet, const char **known)
{
    struct comparison c = {.g = g, .ours = ours, .theirs = theirs, .who = who, .quiet = quiet};
    if (ours->end != theirs->end)
        differs(&c, "  end      lodge %s (rip %llx) %s %s (rip %llx)\n", end_name[ours->end],
                (unsigned long long)ours->state.rip, who->name, end_name[theirs->end],
                (unsigned long long)theirs->state.rip);
    compare_state(&c);
    compare_ram(&c);
    *known = c.differences ? known_deviation(&c) : NULL;
    return c.differences && !*known;
}
