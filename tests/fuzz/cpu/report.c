/* report.c - a failing case as a source file for tests/fuzz/cases */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>
#include <Zydis/Zydis.h>

#include "tests/fuzz/cpu/case.h"
#include "tests/fuzz/cpu/generate.h"

static void disassemble(const u8 *b, unsigned n, u64 rip, char *text, size_t size)
{
    struct decoded d;
    ZydisFormatter f;
    ZydisFormatterInit(&f, ZYDIS_FORMATTER_STYLE_ATT);
    if (!decode_bytes(&d, b, n) || !ZYAN_SUCCESS(ZydisFormatterFormatInstruction(
                                       &f, &d.i, d.op, d.i.operand_count_visible, text, size, rip, NULL)))
        snprintf(text, size, "?");
}

static void instruction(FILE *out, const u8 *b, unsigned n, u64 rip)
{
    char text[128], bytes[15 * 6 + 1] = "";
    disassemble(b, n, rip, text, sizeof(text));
    for (unsigned i = 0; i < n; i++)
        sprintf(bytes + strlen(bytes), "%s0x%02x", i ? ", " : "", b[i]);
    fprintf(out, "        .byte   %-50s /* %llx: %s */\n", bytes, (unsigned long long)rip, text);
}

void report_listing(const struct test_case *c, FILE *out, const char *prefix)
{
    char text[128];
    for (u32 i = 0; i < c->count; i++) {
        disassemble(c->item[i].bytes, c->item[i].length, c->address[i], text, sizeof(text));
        fprintf(out, "%s%llx: %s\n", prefix, (unsigned long long)c->address[i], text);
    }
}

static void set(FILE *out, const char *name, int index, u64 value, u64 usual)
{
    char where[32];
    snprintf(where, sizeof(where), index < 0 ? "STATE_%s" : "STATE_%s(%d)", name, index);
    if (value != usual)
        fprintf(out, "        set     %s, %#llx\n", where, (unsigned long long)value);
}

static u64 word(const u8 *b)
{
    u64 x;
    memcpy(&x, b, sizeof(x));
    return x;
}

static void set_wide(FILE *out, const char *name, int index, const u8 *b, unsigned n)
{
    for (unsigned at = 0; at < n; at += 8)
        if (word(b + at))
            fprintf(out, "        set     STATE_%s(%d) + %u, %#llx\n", name, index, at,
                    (unsigned long long)word(b + at));
}

static void report_state(const struct test_case *c, FILE *out)
{
    const struct state *s = &c->state;
    const struct vectors *v = &s->vectors;
    fprintf(out, "        set     STATE_RIP, %#llx\n", (unsigned long long)c->start);
    set(out, "RFLAGS", -1, s->rflags, 2 | IF);
    for (int i = 0; i < 16; i++)
        set(out, "GPR", i, s->gpr[i], 0);
    set(out, "FS", -1, s->fs, 0);
    set(out, "GS", -1, s->gs, 0);
    set(out, "FCW", -1, v->fcw | (u64)v->fsw << 16 | (u64)v->ftw << 32, 0x37f); /* one word: FCW, FSW, FTW */
    set(out, "MXCSR", -1, v->mxcsr, 0x1f80);
    for (int i = 0; i < 8; i++)
        set_wide(out, "ST", i, v->st[i], 16);
    for (int i = 0; i < 16; i++) {
        set_wide(out, "XMM", i, v->xmm[i], 16);
        set_wide(out, "YMMH", i, v->ymm_high[i], 16);
        set_wide(out, "ZMMH", i, s->wide.zmm_high[i], 32);
        set_wide(out, "ZMM", 16 + i, s->wide.zmm[i], 64);
    }
    for (int i = 0; i < 8; i++)
        set(out, "K", i, s->wide.k[i], 0);
    for (u32 i = 0; i < WINDOW_SIZE; i += 8)
        if (word(c->window + i))
            fprintf(out, "        set     %#x, %#llx\n", WINDOW_VA + i,
                    (unsigned long long)word(c->window + i));
}

void report_case(const struct job *j, FILE *out)
{
    const struct test_case *c = &j->c;
    static const u8 ud2[] = {0x0f, 0x0b};
    fprintf(out, "/* NAME.S - WHAT IS WRONG */\n/* SPDX-License-Identifier: GPL-2.0-or-later */\n/*\n");
    outcomes_agree(j, out);
    fprintf(out, " */\n#include \"tests/fuzz/cpu/replay.inc\"\n\n        fuzz_case NAME\n");
    report_state(c, out);
    fprintf(out, "        code\n");
    for (u32 i = 0; i < c->count; i++)
        instruction(out, c->item[i].bytes, c->item[i].length, c->address[i]);
    if (!c->open_end)
        instruction(out, ud2, sizeof(ud2), c->address[c->count]);
    fprintf(out, "        end_case\n");
}
