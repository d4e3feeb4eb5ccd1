/* compare.c - what must agree between the host's CPU and the guest's */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/cpu/generate.h"

static const char *const gpr_name[16] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                         "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};

static bool number(FILE *out, const char *name, u64 native, u64 guest)
{
    if (native != guest && out)
        fprintf(out, "  %-10s native %#018llx  guest %#018llx\n", name, (unsigned long long)native,
                (unsigned long long)guest);
    return native == guest;
}

static void print_bytes(FILE *out, const u8 *b, unsigned n)
{
    while (n-- > 0)
        fprintf(out, "%02x", b[n]);
}

static bool bytes(FILE *out, const char *name, unsigned index, const void *native, const void *guest,
                  unsigned n)
{
    if (!memcmp(native, guest, n))
        return true;
    if (out) {
        fprintf(out, "  %s%-*u native ", name, (int)(10 - strlen(name)), index);
        print_bytes(out, native, n);
        fprintf(out, "\n  %-10s guest  ", "");
        print_bytes(out, guest, n);
        fprintf(out, "\n");
    }
    return false;
}

/* The host's kernel calls every page fault above its programs' addresses a protection violation. */
#define HOST_KERNEL 0x7ffffffff000ull
static u32 error_compared(const struct outcome *o)
{
    return o->vector == 14 && o->cr2 >= HOST_KERNEL ? ~1u : ~0u;
}

/* The processor accesses the x87 environment and state in pieces, in an order of its own. */
static bool is_accessed_in_pieces(const struct test_case *c, u64 rip)
{
    struct decoded d;
    u64 at = rip - c->start;
    if (at >= c->code_length || !decode_bytes(&d, c->code + at, (unsigned)(c->code_length - at)))
        return false;
    switch (d.i.mnemonic) {
    case ZYDIS_MNEMONIC_FLDENV:
    case ZYDIS_MNEMONIC_FNSTENV:
    case ZYDIS_MNEMONIC_FRSTOR:
    case ZYDIS_MNEMONIC_FNSAVE: return true;
    default: return false;
    }
}

static u64 address_compared(const struct job *j)
{
    return is_accessed_in_pieces(&j->c, j->native.state.rip) ? ALIGN_DOWN(~0ull, PAGE) : ~0ull;
}

static bool ends_agree(const struct job *j, FILE *out)
{
    const struct outcome *n = &j->native, *g = &j->guest;
    u64 address = address_compared(j);
    bool same = number(out, "vector", n->vector, g->vector);
    u32 mask = error_compared(n);
    same &= number(out, "error", n->error & mask, g->error & mask);
    if (n->vector == 14 && g->vector == 14)
        same &= number(out, "cr2", n->cr2 & address, g->cr2 & address);
    if (g->vector == VECTOR_EXIT && out)
        fprintf(out, "  guest left with exit reason %u\n", g->exit_reason);
    return same;
}

static bool registers_agree(const struct outcome *n, const struct outcome *g, FILE *out)
{
    const u64 flags = ARITHMETIC | TF | IF | DF | NT | RF | AC | ID;
    bool same = number(out, "rip", n->state.rip, g->state.rip);
    for (unsigned i = 0; i < 16; i++)
        same &= number(out, gpr_name[i], n->state.gpr[i], g->state.gpr[i]);
    same &= number(out, "rflags", n->state.rflags & flags, g->state.rflags & flags);
    same &= number(out, "fs", n->state.fs, g->state.fs);
    return same & number(out, "gs", n->state.gs, g->state.gs);
}

static bool vectors_agree(const struct vectors *n, const struct vectors *g, FILE *out)
{
    bool same = number(out, "fcw", n->fcw, g->fcw);
    same &= number(out, "fsw", n->fsw, g->fsw);
    same &= number(out, "ftw", n->ftw, g->ftw);
    same &= number(out, "mxcsr", n->mxcsr, g->mxcsr);
    same &= number(out, "fop", n->fop, g->fop);
    same &= number(out, "fip", n->fip, g->fip);
    same &= number(out, "fdp", n->fdp, g->fdp);
    for (unsigned i = 0; i < 8; i++)
        same &= bytes(out, "st", i, n->st[i], g->st[i], 10);
    for (unsigned i = 0; i < 16; i++) {
        same &= bytes(out, "xmm", i, n->xmm[i], g->xmm[i], 16);
        same &= bytes(out, "ymmh", i, n->ymm_high[i], g->ymm_high[i], 16);
    }
    return same;
}

static bool wide_agree(const struct wide *n, const struct wide *g, FILE *out)
{
    bool same = true;
    for (unsigned i = 0; i < 8; i++)
        same &= bytes(out, "k", i, &n->k[i], &g->k[i], 8);
    for (unsigned i = 0; i < 16; i++)
        same &= bytes(out, "zmmh", i, n->zmm_high[i], g->zmm_high[i], 32);
    for (unsigned i = 0; i < 16; i++)
        same &= bytes(out, "zmm", 16 + i, n->zmm[i], g->zmm[i], 64);
    return same;
}

static bool windows_agree(const u8 *native, const u8 *guest, FILE *out)
{
    bool same = !memcmp(native, guest, WINDOW_SIZE);
    unsigned shown = 0;
    for (u32 i = 0; i < WINDOW_SIZE && !same && out && shown < 8; i += 8)
        if (memcmp(native + i, guest + i, 8)) {
            fprintf(out, "  %#x  native ", WINDOW_VA + i);
            print_bytes(out, native + i, 8);
            fprintf(out, "  guest ");
            print_bytes(out, guest + i, 8);
            fprintf(out, "\n");
            shown++;
        }
    return same;
}

bool outcomes_agree(const struct job *j, FILE *out)
{
    const struct outcome *n = &j->native, *g = &j->guest;
    bool same = ends_agree(j, out);
    same &= registers_agree(n, g, out);
    same &= vectors_agree(&n->state.vectors, &g->state.vectors, out);
    same &= wide_agree(&n->state.wide, &g->state.wide, out);
    return same & windows_agree(n->window, g->window, out);
}

static bool reads_rsp(const struct decoded *d)
{
    for (unsigned i = 0; i < d->i.operand_count_visible; i++)
        if (d->op[i].type == ZYDIS_OPERAND_TYPE_REGISTER && d->op[i].reg.value != ZYDIS_REGISTER_NONE &&
            ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, d->op[i].reg.value) ==
                ZYDIS_REGISTER_RSP)
            return true;
    return false;
}

/* VPBROADCASTD, VCVTSI2SD and such right after a PUSH or POP see the old RSP on a Zen 5: what EVEX moves from
 * a general to a vector register misses the stack engine's offset. */
static bool moves_rsp_to_vector(const struct test_case *c)
{
    struct decoded d;
    if (!__builtin_cpu_is("amd"))
        return false;
    for (u32 at = 0; at < c->code_length; at += d.i.length) {
        if (!decode_bytes(&d, c->code + at, c->code_length - at))
            return false;
        if (d.i.encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX && reads_rsp(&d))
            return true;
    }
    return false;
}

/* The case jumped into the middle of an instruction and found there what is left out. */
static bool found_left_out(const struct job *j, u64 at)
{
    bool int1 = j->native.vector == 1 && at < j->c.code_length && j->c.code[at] == 0xf1;
    return int1 || (j->native.vector == 13 && j->native.error); /* a selector */
}

/* AMD's processors want the offset of an operand to be canonical, and not just its sum with the base of FS or
 * GS. */
static bool is_based(const struct decoded *d)
{
    for (unsigned i = 0; i < d->i.operand_count; i++)
        if (d->op[i].type == ZYDIS_OPERAND_TYPE_MEMORY &&
            (d->op[i].mem.segment == ZYDIS_REGISTER_FS || d->op[i].mem.segment == ZYDIS_REGISTER_GS))
            return __builtin_cpu_is("amd");
    return false;
}

static bool runs_directly(void)
{
    const char *modes = getenv("LODGE_STRESS");
    return modes && strstr(modes, "direct");
}

/* Where code runs directly, the translator does an instruction that has faulted once more, to raise the
 * fault: the frames that ENTER had pushed by then may have changed what it reads. */
static bool enters_twice(const struct job *j, const struct decoded *d)
{
    return runs_directly() && j->native.vector == 14 && d->i.mnemonic == ZYDIS_MNEMONIC_ENTER &&
           (d->op[1].imm.value.u & 31) > 1;
}

/* FNSTENV and FNSAVE show the pointers whether an exception waits or not. */
static bool stores_pointers(const struct test_case *c)
{
    struct decoded d;
    for (u32 i = 0; i < c->count; i++)
        if (decode_bytes(&d, c->item[i].bytes, c->item[i].length) &&
            (d.i.mnemonic == ZYDIS_MNEMONIC_FNSTENV || d.i.mnemonic == ZYDIS_MNEMONIC_FNSAVE))
            return true;
    return false;
}

bool lost_pointers(const struct job *j)
{
    static struct job other;
    if (!runs_directly() || !__builtin_cpu_is("amd"))
        return false;
    if (stores_pointers(&j->c))
        return true;
    other = *j;
    struct vectors *g = &other.guest.state.vectors;
    const struct vectors *n = &j->native.state.vectors;
    if (g->fop || g->fip || g->fdp)
        return false;
    g->fop = n->fop;
    g->fip = n->fip;
    g->fdp = n->fdp;
    return outcomes_agree(&other, NULL);
}

/* What the engine is known not to do: #GP of an indirect branch itself where its target is not
 * canonical; #GP of what is both undefined and too long; #GP of is_based; enters_twice. */
bool is_known_difference(const struct job *j)
{
    struct decoded d;
    u64 at = j->native.state.rip - j->c.start;
    if (found_left_out(j, at) || moves_rsp_to_vector(&j->c))
        return true;
    if (at >= j->c.code_length)
        return false;
    if (!decode_bytes(&d, j->c.code + at, (unsigned)(j->c.code_length - at)))
        return j->native.vector == 13 && j->guest.vector == 6;
    if (j->native.vector != 13)
        return enters_twice(j, &d);
    if (j->guest.vector != 13)
        return is_based(&d);
    return d.i.meta.branch_type == ZYDIS_BRANCH_TYPE_NEAR;
}
