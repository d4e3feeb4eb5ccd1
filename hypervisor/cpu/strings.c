/* strings.c - MOVS, STOS, LODS, CMPS, SCAS (SDM 1 7.3.9; 2A, 2B) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Elements are done one by one, each complete with its registers before the next, so that a fault or an
 * interrupt finds the instruction restartable. But the elements that lie in one page of RAM are a run, which
 * the host's own instruction does in one go: overlapping runs need no thought, as it is the same instruction
 * on the same bytes.
 */
#include "hypervisor/cpu/debug.h"
#include "hypervisor/cpu/handlers.h"
#include "hypervisor/cpu/strings.h"
#include "hypervisor/cpu/vendor.h"

enum { PAGE = 4096 };

static u64 offset_mask(unsigned addrsize)
{
    return addrsize == 8 ? ~0ull : BIT(addrsize * 8) - 1;
}

static void register_set(struct vcpu *v, u8 gpr, unsigned size, u64 value)
{
    static const struct insn no_high_bytes = {.rex = true};
    reg_write(v, &no_high_bytes, gpr, size, value);
}

static bool is_down(const struct vcpu *v)
{
    return v->rflags & FLAG_DF;
}

struct string_pointer string_source(const struct insn *in, unsigned size)
{
    return (struct string_pointer){GPR_RSI, in->mem.seg, in->addrsize, (u8)size};
}

struct string_pointer string_destination(const struct insn *in, unsigned size)
{
    return (struct string_pointer){GPR_RDI, SEG_ES, in->addrsize, (u8)size};
}

u64 string_count(const struct vcpu *v, unsigned addrsize)
{
    return v->gpr[GPR_RCX] & offset_mask(addrsize);
}

void string_set_count(struct vcpu *v, unsigned addrsize, u64 count)
{
    register_set(v, GPR_RCX, addrsize, count);
}

static u64 offset_of(const struct vcpu *v, const struct string_pointer *p)
{
    return v->gpr[p->gpr] & offset_mask(p->addrsize);
}

gva string_linear(struct vcpu *v, const struct string_pointer *p, bool write)
{
    gva a = segment_linear(v, p->seg, offset_of(v, p), p->size, write);
    require_alignment(v, a, p->size);
    return a;
}

void string_advance(struct vcpu *v, const struct string_pointer *p, u64 n)
{
    u64 distance = n * p->size;
    register_set(v, p->gpr, p->addrsize, offset_of(v, p) + (is_down(v) ? -distance : distance));
}

/* Bytes upwards from offset to the end of its segment. 64-bit mode has none. */
static u64 segment_room(const struct vcpu *v, const struct string_pointer *p, u64 offset)
{
    const struct segment *d = &v->seg[p->seg];
    bool expand_down = (d->attributes & 0xc) == 4;
    u64 end = offset_mask(p->addrsize);
    if (!in_64bit(v) && expand_down)
        return p->size;
    if (!in_64bit(v))
        end = min(end, (u64)d->limit);
    return end - offset + 1 ? end - offset + 1 : ~0ull;
}

u64 string_run(struct vcpu *v, const struct string_pointer *p, u64 count, bool write)
{
    gva a = string_linear(v, p, write);
    u64 offset = offset_of(v, p), in_page = a & (PAGE - 1), bytes;
    if (in_page + p->size > PAGE || unlikely(v->debug.write)) /* breakpoints are looked for in elements */
        return 0;
    if (is_down(v))
        bytes = min(in_page, offset) + p->size;
    else
        bytes = min(PAGE - in_page, segment_room(v, p, offset));
    return min(bytes / p->size, count);
}

void *string_run_host(struct vcpu *v, const struct string_pointer *p, u64 n, bool write)
{
    u64 before = is_down(v) ? (n - 1) * p->size : 0;
    gva first = string_linear(v, p, write);
    unsigned bytes = (unsigned)n * p->size;
    u8 *host;
    if (write) {
        guest_probe_write(v, first, p->size, AS_CPL); /* a fault names the first element */
        host = guest_rmw_address(v, first - before, bytes, AS_CPL);
    } else {
        guest_probe_read(v, first, p->size, AS_CPL);
        host = (u8 *)guest_read_address(v, first - before, bytes, AS_CPL);
    }
    return host ? host + before : NULL;
}

/* ---- the host's instructions on one run, by width ---- */

#define MOVE(name, insn)                                                                                   \
    static void name(void *to, const void *from, u64 n, bool down)                                         \
    {                                                                                                      \
        if (down)                                                                                          \
            __asm__ volatile("std; rep " insn "; cld" : "+D"(to), "+S"(from), "+c"(n) : : "memory", "cc"); \
        else                                                                                               \
            __asm__ volatile("rep " insn : "+D"(to), "+S"(from), "+c"(n) : : "memory");                    \
    }
MOVE(move_1, "movsb")
MOVE(move_2, "movsw")
MOVE(move_4, "movsl")
MOVE(move_8, "movsq")
static void (*const move[])(void *to, const void *from, u64 n, bool down) = {move_1, move_2, move_4, move_8};

#define FILL(name, insn)                                                                                  \
    static void name(void *to, u64 value, u64 n, bool down)                                               \
    {                                                                                                     \
        if (down)                                                                                         \
            __asm__ volatile("std; rep " insn "; cld" : "+D"(to), "+c"(n) : "a"(value) : "memory", "cc"); \
        else                                                                                              \
            __asm__ volatile("rep " insn : "+D"(to), "+c"(n) : "a"(value) : "memory");                    \
    }
FILL(fill_1, "stosb")
FILL(fill_2, "stosw")
FILL(fill_4, "stosl")
FILL(fill_8, "stosq")
static void (*const fill[])(void *to, u64 value, u64 n, bool down) = {fill_1, fill_2, fill_4, fill_8};

/* Both return how many of n elements are left, and the flags of the last one as in vcpu.cc. */
#define COMPARE(name, rep, insn)                                             \
    static u64 name(const void *a, const void *b, u64 n, bool down, u32 *cc) \
    {                                                                        \
        u64 flags = 0;                                                       \
        if (down)                                                            \
            __asm__ volatile("std; " rep insn "; lahf; seto %%al; cld"       \
                             : "+S"(a), "+D"(b), "+c"(n), "+a"(flags)        \
                             :                                               \
                             : "memory", "cc");                              \
        else                                                                 \
            __asm__ volatile(rep insn "; lahf; seto %%al"                    \
                             : "+S"(a), "+D"(b), "+c"(n), "+a"(flags)        \
                             :                                               \
                             : "memory", "cc");                              \
        *cc = (u32)flags & 0xffff;                                           \
        return n;                                                            \
    }
#define SCAN(name, rep, insn)                                             \
    static u64 name(u64 value, const void *at, u64 n, bool down, u32 *cc) \
    {                                                                     \
        if (down)                                                         \
            __asm__ volatile("std; " rep insn "; lahf; seto %%al; cld"    \
                             : "+D"(at), "+c"(n), "+a"(value)             \
                             :                                            \
                             : "memory", "cc");                           \
        else                                                              \
            __asm__ volatile(rep insn "; lahf; seto %%al"                 \
                             : "+D"(at), "+c"(n), "+a"(value)             \
                             :                                            \
                             : "memory", "cc");                           \
        *cc = (u32)value & 0xffff;                                        \
        return n;                                                         \
    }
COMPARE(compare_e1, "repe ", "cmpsb")
COMPARE(compare_e2, "repe ", "cmpsw")
COMPARE(compare_e4, "repe ", "cmpsl")
COMPARE(compare_e8, "repe ", "cmpsq")
COMPARE(compare_n1, "repne ", "cmpsb")
COMPARE(compare_n2, "repne ", "cmpsw")
COMPARE(compare_n4, "repne ", "cmpsl")
COMPARE(compare_n8, "repne ", "cmpsq")
SCAN(scan_e1, "repe ", "scasb")
SCAN(scan_e2, "repe ", "scasw")
SCAN(scan_e4, "repe ", "scasl")
SCAN(scan_e8, "repe ", "scasq")
SCAN(scan_n1, "repne ", "scasb")
SCAN(scan_n2, "repne ", "scasw")
SCAN(scan_n4, "repne ", "scasl")
SCAN(scan_n8, "repne ", "scasq")
static u64 (*const compare[2][4])(const void *a, const void *b, u64 n, bool down, u32 *cc) = {
    {compare_e1, compare_e2, compare_e4, compare_e8}, {compare_n1, compare_n2, compare_n4, compare_n8}};
static u64 (*const scan[2][4])(u64 value, const void *at, u64 n, bool down, u32 *cc) = {
    {scan_e1, scan_e2, scan_e4, scan_e8}, {scan_n1, scan_n2, scan_n4, scan_n8}};

static unsigned width(const struct insn *in)
{
    return (unsigned)__builtin_ctz(in->opsize);
}

static bool is_repne(const struct insn *in)
{
    return in->rep == 0xf2;
}

/* ---- the instructions: a run (0: not possible here), and a single element of any kind ---- */

struct string_op {
    u64 (*run)(struct vcpu *v, const struct insn *in, u64 count);
    void (*element)(struct vcpu *v, const struct insn *in);
    bool conditional; /* ends by ZF too */
};

static u64 movs_run(struct vcpu *v, const struct insn *in, u64 count)
{
    struct string_pointer s = string_source(in, in->opsize), d = string_destination(in, in->opsize);
    u64 n = string_run(v, &s, count, false);
    const void *from = n ? string_run_host(v, &s, n, false) : NULL;
    n = from ? string_run(v, &d, n, true) : 0;
    void *to = n ? string_run_host(v, &d, n, true) : NULL;
    if (!to)
        return 0;
    move[width(in)](to, from, n, is_down(v));
    guest_rmw_done(v);
    string_advance(v, &s, n);
    string_advance(v, &d, n);
    return n;
}

static void movs_element(struct vcpu *v, const struct insn *in)
{
    struct string_pointer s = string_source(in, in->opsize), d = string_destination(in, in->opsize);
    u64 value = guest_load(v, string_linear(v, &s, false), in->opsize, AS_CPL);
    guest_store(v, string_linear(v, &d, true), in->opsize, value, AS_CPL);
    string_advance(v, &s, 1);
    string_advance(v, &d, 1);
}

static u64 stos_run(struct vcpu *v, const struct insn *in, u64 count)
{
    struct string_pointer d = string_destination(in, in->opsize);
    u64 n = string_run(v, &d, count, true);
    void *to = n ? string_run_host(v, &d, n, true) : NULL;
    if (!to)
        return 0;
    fill[width(in)](to, v->gpr[GPR_RAX], n, is_down(v));
    guest_rmw_done(v);
    string_advance(v, &d, n);
    return n;
}

static void stos_element(struct vcpu *v, const struct insn *in)
{
    struct string_pointer d = string_destination(in, in->opsize);
    guest_store(v, string_linear(v, &d, true), in->opsize, v->gpr[GPR_RAX], AS_CPL);
    string_advance(v, &d, 1);
}

/* Of a run in RAM only the last element is seen. */
static u64 lods_run(struct vcpu *v, const struct insn *in, u64 count)
{
    struct string_pointer s = string_source(in, in->opsize);
    u64 n = string_run(v, &s, count, false), value = 0;
    const u8 *from = n ? string_run_host(v, &s, n, false) : NULL;
    if (!from)
        return 0;
    u64 distance = (n - 1) * in->opsize;
    move[0](&value, is_down(v) ? from - distance : from + distance, in->opsize, false);
    register_set(v, GPR_RAX, in->opsize, value);
    string_advance(v, &s, n);
    return n;
}

static void lods_element(struct vcpu *v, const struct insn *in)
{
    struct string_pointer s = string_source(in, in->opsize);
    u64 value = guest_load(v, string_linear(v, &s, false), in->opsize, AS_CPL);
    register_set(v, GPR_RAX, in->opsize, value);
    string_advance(v, &s, 1);
}

/* Which operand is read first shows where both fault: the one at rDI, but for this. */
static bool reads_source_first(const struct insn *in)
{
    return in->rep == 0xf3 && in->opsize == 1 && repe_cmpsb_reads_source_first();
}

static u64 cmps_run(struct vcpu *v, const struct insn *in, u64 count)
{
    struct string_pointer s = string_source(in, in->opsize), d = string_destination(in, in->opsize);
    bool source_first = reads_source_first(in);
    const struct string_pointer *first = source_first ? &s : &d, *second = source_first ? &d : &s;
    u64 n = string_run(v, first, count, false);
    const void *a = n ? string_run_host(v, first, n, false) : NULL;
    n = a ? string_run(v, second, n, false) : 0;
    const void *b = n ? string_run_host(v, second, n, false) : NULL;
    if (!b)
        return 0;
    n -= compare[is_repne(in)][width(in)](source_first ? a : b, source_first ? b : a, n, is_down(v),
                                          &v->compared);
    string_advance(v, &s, n);
    string_advance(v, &d, n);
    return n;
}

static void cmps_element(struct vcpu *v, const struct insn *in)
{
    struct string_pointer s = string_source(in, in->opsize), d = string_destination(in, in->opsize);
    u64 a, b;
    if (reads_source_first(in)) {
        a = guest_load(v, string_linear(v, &s, false), in->opsize, AS_CPL);
        b = guest_load(v, string_linear(v, &d, false), in->opsize, AS_CPL);
    } else {
        b = guest_load(v, string_linear(v, &d, false), in->opsize, AS_CPL);
        a = guest_load(v, string_linear(v, &s, false), in->opsize, AS_CPL);
    }
    compare[0][width(in)](&a, &b, 1, false, &v->compared);
    string_advance(v, &s, 1);
    string_advance(v, &d, 1);
}

static u64 scas_run(struct vcpu *v, const struct insn *in, u64 count)
{
    struct string_pointer d = string_destination(in, in->opsize);
    u64 n = string_run(v, &d, count, false);
    const void *at = n ? string_run_host(v, &d, n, false) : NULL;
    if (!at)
        return 0;
    n -= scan[is_repne(in)][width(in)](v->gpr[GPR_RAX], at, n, is_down(v), &v->compared);
    string_advance(v, &d, n);
    return n;
}

static void scas_element(struct vcpu *v, const struct insn *in)
{
    struct string_pointer d = string_destination(in, in->opsize);
    u64 value = guest_load(v, string_linear(v, &d, false), in->opsize, AS_CPL);
    scan[0][width(in)](v->gpr[GPR_RAX], &value, 1, false, &v->compared);
    string_advance(v, &d, 1);
}

/* ---- repetition ---- */

static bool must_leave(const struct vcpu *v)
{
    return v->requests || v->mmio_writes || v->code_changed || v->run->immediate_exit || v->signal_came ||
           v->debug.trap;
}

/* REPE ends with ZF clear, REPNE with ZF set. */
static bool condition_ends(const struct vcpu *v, const struct insn *in)
{
    bool zf = v->compared >> 8 & FLAG_ZF;
    return zf == is_repne(in);
}

static u64 some(struct vcpu *v, const struct insn *in, const struct string_op *op, u64 count)
{
    u64 n = op->run(v, in, count);
    if (n)
        return n;
    op->element(v, in);
    return 1;
}

static void set_flags(struct vcpu *v, const struct string_op *op)
{
    if (op->conditional)
        v->cc = v->compared;
}

/* With RF, as an instruction breakpoint on it has been met (SDM 3B 17.3.1.1). */
_Noreturn void string_leave(struct vcpu *v)
{
    v->rflags |= FLAG_RF;
    vcpu_unwind(v);
}

void string_start_repetition(struct vcpu *v, const struct insn *in)
{
    if (in->addrsize != 4 || !repetitions_truncate_first())
        return;
    register_set(v, GPR_RCX, 4, v->gpr[GPR_RCX]);
    bool stos = (in->opcode & ~1) == 0xaa, movs = (in->opcode & ~1) == 0xa4;
    if (movs)
        register_set(v, GPR_RSI, 4, v->gpr[GPR_RSI]);
    if (movs || stos)
        register_set(v, GPR_RDI, 4, v->gpr[GPR_RDI]);
}

/* Left in the middle, the instruction is at rip still, with its registers updated: it goes on from there.
 * Single-stepping traps after each element (SDM 3B 17.3.1.4). */
static void repeat(struct vcpu *v, const struct insn *in, const struct string_op *op)
{
    bool step = debug_stepping(v);
    string_start_repetition(v, in);
    for (u64 count; (count = string_count(v, in->addrsize)) != 0;) {
        count -= some(v, in, op, step ? 1 : count);
        string_set_count(v, in->addrsize, count);
        guest_commit(v);
        bool ends = !count || (op->conditional && condition_ends(v, in));
        if (ends || !repeated_compares_set_flags_at_end())
            set_flags(v, op);
        if (ends)
            return;
        if (step)
            v->debug.trap |= DR6_BS;
        if (must_leave(v))
            string_leave(v);
    }
}

/* ---- what most repetitions are: upwards, in 64-bit mode, and each operand within one page of RAM ---- */

static bool is_common(const struct vcpu *v, const struct insn *in)
{
    bool based = in->mem.seg == SEG_FS || in->mem.seg == SEG_GS;
    return in->rep && in->bits == 64 && in->addrsize == 8 && !based && !is_down(v) && !v->debug.write &&
           !debug_stepping(v) && !checks_alignment(v);
}

/* Host address of the n elements at an index register, or NULL. Faults as the first of them does. */
static void *common_operand(struct vcpu *v, const struct insn *in, u8 gpr, u64 n, bool write)
{
    gva a = v->gpr[gpr];
    if (n > PAGE / in->opsize || (a & (PAGE - 1)) + n * in->opsize > PAGE || !is_canonical(a))
        return NULL;
    unsigned bytes = (unsigned)n * in->opsize;
    return write ? guest_rmw_address(v, a, bytes, AS_CPL) : (void *)guest_read_address(v, a, bytes, AS_CPL);
}

static bool movs_common(struct vcpu *v, const struct insn *in)
{
    u64 n = v->gpr[GPR_RCX];
    if (!n || !is_common(v, in))
        return false;
    const void *from = common_operand(v, in, GPR_RSI, n, false);
    void *to = from ? common_operand(v, in, GPR_RDI, n, true) : NULL;
    if (!to)
        return false;
    move[width(in)](to, from, n, false);
    guest_rmw_done(v);
    v->gpr[GPR_RSI] += n * in->opsize;
    v->gpr[GPR_RDI] += n * in->opsize;
    v->gpr[GPR_RCX] = 0;
    return true;
}

static bool stos_common(struct vcpu *v, const struct insn *in)
{
    u64 n = v->gpr[GPR_RCX];
    void *to = n && is_common(v, in) ? common_operand(v, in, GPR_RDI, n, true) : NULL;
    if (!to)
        return false;
    fill[width(in)](to, v->gpr[GPR_RAX], n, false);
    guest_rmw_done(v);
    v->gpr[GPR_RDI] += n * in->opsize;
    v->gpr[GPR_RCX] = 0;
    return true;
}

static void execute(struct vcpu *v, const struct insn *in, const struct string_op *op)
{
    if (in->rep) {
        repeat(v, in, op);
    } else {
        some(v, in, op, 1);
        set_flags(v, op);
    }
}

void insn_movs(struct vcpu *v, const struct insn *in)
{
    if (!movs_common(v, in))
        execute(v, in, &(const struct string_op){movs_run, movs_element, false});
}

void insn_stos(struct vcpu *v, const struct insn *in)
{
    if (!stos_common(v, in))
        execute(v, in, &(const struct string_op){stos_run, stos_element, false});
}

void insn_lods(struct vcpu *v, const struct insn *in)
{
    execute(v, in, &(const struct string_op){lods_run, lods_element, false});
}

void insn_cmps(struct vcpu *v, const struct insn *in)
{
    execute(v, in, &(const struct string_op){cmps_run, cmps_element, true});
}

void insn_scas(struct vcpu *v, const struct insn *in)
{
    execute(v, in, &(const struct string_op){scas_run, scas_element, true});
}
