/* dump.c - what the engine prints of its work */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <Zydis/Zydis.h>

#include <lodge/kvm.h>
#include "hypervisor/translate/cache.h"
#include "hypervisor/translate/decode.h"
#include "hypervisor/translate/dump.h"
#include "hypervisor/translate/mode.h"
#include "hypervisor/translate/perf_map.h"

static const struct {
    char letter;
    unsigned bit;
    const char *help;
} letters[] = {
    {'g', DUMP_GUEST, "guest code of each new translation"},
    {'h', DUMP_HOST, "host code of each new translation, beside the guest's"},
    {'x', DUMP_EXCEPTION, "exceptions and interrupts delivered to the guest"},
    {'e', DUMP_EXIT, "returns from KVM_RUN"},
    {'t', DUMP_TLB, "TLB fills and flushes"},
    {'m', DUMP_MEMORY, "changes of memory slots"},
    {'r', DUMP_RING3, "programs that run directly, and why none does"},
    {'p', DUMP_PERF, "names of translations for perf, in /tmp/perf-PID.map"},
};

/* Set once by lodge_kvm_dump, before there are VMs. */
unsigned dump_mask;
static FILE *dump_file;

static unsigned letter_bit(char c)
{
    for (size_t i = 0; i < ARRAY_SIZE(letters); i++)
        if (letters[i].letter == c)
            return letters[i].bit;
    return 0;
}

__attribute__((visibility("default"))) int lodge_kvm_dump(const char *which, const char *path)
{
    unsigned mask = 0;
    for (; *which; which++) {
        if (!letter_bit(*which)) {
            errno = EINVAL;
            return -1;
        }
        mask |= letter_bit(*which);
    }
    if (mask & DUMP_PERF && !perf_map_start())
        return -1;
    FILE *f = path ? fopen(path, "we") : stderr;
    if (!f)
        return -1;
    dump_file = f;
    dump_mask = mask;
    return 0;
}

__attribute__((visibility("default"))) const char *lodge_kvm_dump_help(void)
{
    static char text[512]; /* made anew, and the same, at each call */
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_SIZE(letters); i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%c  %s\n", letters[i].letter, letters[i].help);
    return text;
}

void dump_printf(struct vcpu *v, const char *format, ...)
{
    va_list args;
    bool live = v && v->fpu_live;
    if (live)
        fpu_put(v);
    va_start(args, format);
    vfprintf(dump_file, format, args);
    va_end(args);
    if (live)
        fpu_get(v);
}

static void format_insn(char *text, size_t size, const u8 *code, size_t n, u64 pc, unsigned bits, u8 *length)
{
    ZydisMachineMode mode = bits == 64   ? ZYDIS_MACHINE_MODE_LONG_64
                            : bits == 32 ? ZYDIS_MACHINE_MODE_LEGACY_32
                                         : ZYDIS_MACHINE_MODE_LEGACY_16;
    ZydisDisassembledInstruction d;
    if (ZYAN_SUCCESS(ZydisDisassembleATT(mode, pc, code, n, &d))) {
        snprintf(text, size, "%s", d.text);
        *length = d.info.length;
    } else {
        snprintf(text, size, "(bad)");
        *length = 1;
    }
}

static void dump_guest_insn(const struct tinsn *i, u64 base)
{
    char text[128];
    u8 length;
    format_insn(text, sizeof(text), i->in.bytes, i->in.length, base + i->in.rip, i->in.bits, &length);
    fprintf(dump_file, "%016llx  %s\n", (unsigned long long)(base + i->in.rip), text);
}

/* The host code of [from, to), offsets in the block. */
static void dump_host_range(const struct engine *e, const struct block *b, u32 from, u32 to)
{
    while (from < to) {
        char text[128];
        u8 length;
        const u8 *code = b->code + from;
        u64 pc = (uintptr_t)exec_view(e, code);
        format_insn(text, sizeof(text), code, to - from, pc, 64, &length);
        fprintf(dump_file, "%40s| %06x  %s\n", "", from, text);
        from += length;
    }
}

static const struct tinsn *insn_at(const struct tinsn *insn, unsigned n, u64 rip)
{
    for (unsigned i = 0; i < n; i++)
        if (insn[i].in.rip == rip)
            return &insn[i];
    return &insn[0];
}

static void dump_both(const struct engine *e, const struct block *b, const struct tinsn *insn, unsigned n,
                      u64 base)
{
    u16 last = 0xffff;
    for (u32 m = 0; m < b->map_count; m++) {
        const struct pc_map *p = &b->map[m];
        if (p->guest_offset != last)
            dump_guest_insn(insn_at(insn, n, b->pc + p->guest_offset), base);
        last = p->guest_offset;
        u32 end = m + 1 < b->map_count ? b->map[m + 1].host_offset : b->code_size;
        dump_host_range(e, b, p->host_offset, end);
    }
}

void dump_block(struct vcpu *v, const struct block *b, const struct tinsn *insn, unsigned n)
{
    if (dump_mask & DUMP_PERF)
        perf_map_add(v->engine, b, v->rip);
    if (!(dump_mask & (DUMP_GUEST | DUMP_HOST)))
        return;
    fprintf(dump_file, "block %016llx mode %03x: %u guest bytes, %u host bytes\n", (unsigned long long)v->rip,
            b->mode, b->length, b->code_size);
    if (dump_mask & DUMP_HOST)
        dump_both(v->engine, b, insn, n, v->rip - b->pc);
    else
        for (unsigned i = 0; i < n; i++)
            dump_guest_insn(&insn[i], v->rip - b->pc);
    fflush(dump_file);
}
