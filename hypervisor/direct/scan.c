/* scan.c - whether a page of code may run directly (SDM 2, APM 3: the unprivileged instructions that tell) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Privileged instructions trap, and so do RDTSC and RDTSCP (PR_SET_TSC). What is looked for is what would
 * neither trap nor be the guest's: it tells about the host's processor, or enters something of the host's.
 * None of that lets guest code do more than any process of the host may; it would give wrong answers. So what
 * counts is instructions of the program, not bytes in the midst of others: where the bytes of one are found,
 * the code before them is decoded to see whether it comes to them.
 */
#include <string.h>
#include <Zydis/Zydis.h>

#include "hypervisor/direct/scan.h"

enum { PAGE = 4096, LONGEST = 15, BEFORE = 64, BEHIND = 16 };

/* By the byte behind 0F 01. */
static bool group_0f01(u8 modrm)
{
    unsigned reg = modrm >> 3 & 7;
    if (modrm < 0xc0)
        return reg == 0 || reg == 1 || reg == 4; /* SGDT, SIDT, SMSW */
    switch (modrm) {
    case 0xca:
    case 0xcb: /* CLAC, STAC: #UD */
    case 0xd0: /* XGETBV: XCR0 is the same */
    case 0xd5:
    case 0xd6: /* XEND, XTEST: as the guest's CPUID has it, or #UD */
    case 0xf8:
    case 0xf9:
    case 0xfc:               /* SWAPGS traps, RDTSCP traps, CLZERO */
    case 0xe8: return false; /* SERIALIZE */
    default: return true;    /* VMCALL, VMMCALL, RDPKRU, WRPKRU, MONITORX, RDPRU, SMSW ... */
    }
}

static bool tells(u8 second, u8 third)
{
    switch (second) {
    case 0x00: return (third >> 3 & 7) != 2 && (third >> 3 & 7) != 3; /* SLDT, STR, VERR, VERW */
    case 0x01: return group_0f01(third);
    case 0x02:
    case 0x03: /* LAR, LSL */
    case 0x34:
    case 0x35:                       /* SYSENTER, SYSEXIT */
    case 0xa2: return true;          /* CPUID */
    case 0xc7: return third >= 0xf8; /* RDPID, and RDSEED with it */
    default: return false;
    }
}

static bool is_prefix(u8 b)
{
    return b == 0xf2 || b == 0xf3 || b == 0x66 || b == 0x67 || b == 0x2e || b == 0x36 || b == 0x3e ||
           b == 0x26 || b == 0x64 || b == 0x65 || (b & 0xf0) == 0x40;
}

/* The page with what lies before and behind it, as far as that is known. */
struct text {
    u8 byte[BEFORE + PAGE + BEHIND];
    unsigned from, end;
};

enum verdict { INSIDE_ANOTHER, BEGINS_HERE, UNCLEAR };

/* What decoding from `from` says of the bytes at `at`. */
static enum verdict look_from(const ZydisDecoder *z, const struct text *t, unsigned from, unsigned at)
{
    ZydisDecodedInstruction i;
    while (from < at) {
        unsigned n = from;
        while (n < at && is_prefix(t->byte[n]))
            n++;
        if (n == at)
            return UNCLEAR; /* prefixes of it */
        if (!ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(z, NULL, t->byte + from, t->end - from, &i)))
            return INSIDE_ANOTHER;
        from += i.length;
    }
    return from == at ? BEGINS_HERE : INSIDE_ANOTHER;
}

/* Of fifteen places in a row, one begins an instruction; from the others, decoding falls in with the
 * program's instructions soon, as x86 code is. So all begin some way before. */
static enum verdict look(const struct text *t, unsigned at)
{
    ZydisDecoder z;
    ZydisDecoderInit(&z, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    unsigned from = max(t->from, at - BEFORE);
    enum verdict worst = INSIDE_ANOTHER;
    if (at - from < LONGEST) /* it may have begun in the page before */
        return UNCLEAR;
    for (unsigned n = from; n < from + LONGEST; n++)
        worst = max(worst, look_from(&z, t, n, at));
    return worst;
}

static void take_text(struct text *t, const u8 *before, const u8 *page, const u8 *behind)
{
    t->from = before ? 0 : BEFORE;
    t->end = BEFORE + PAGE + (behind ? BEHIND : 0);
    if (before)
        memcpy(t->byte, before + PAGE - BEFORE, BEFORE);
    memcpy(t->byte + BEFORE, page, PAGE);
    if (behind)
        memcpy(t->byte + BEFORE + PAGE, behind, BEHIND);
}

/* Bytes at `at` that may be an instruction to look for, of which the page's end may cut off some. */
static bool is_suspect(const struct text *t, unsigned at)
{
    const u8 *b = t->byte + at;
    if (*b == 0xcd) /* INT 80H: the kernel cuts rax to 32 bits before ptrace sees it */
        return at + 1 >= t->end || b[1] == 0x80;
    if (*b != 0x0f)
        return false;
    if (at + 1 >= t->end || (at + 2 >= t->end && (b[1] <= 0x01 || b[1] == 0xc7)))
        return true;
    return tells(b[1], b[2]);
}

int scan_page(const u8 *before, const u8 *page, const u8 *behind, u16 site[SCAN_SITES])
{
    struct text t;
    int count = 0;
    take_text(&t, before, page, behind);
    for (unsigned at = BEFORE; at < BEFORE + PAGE; at++) {
        enum verdict verdict = is_suspect(&t, at) ? look(&t, at) : INSIDE_ANOTHER;
        if (verdict == UNCLEAR || (verdict == BEGINS_HERE && count == SCAN_SITES))
            return -1;
        if (verdict == BEGINS_HERE)
            site[count++] = (u16)(at - BEFORE);
    }
    return count;
}

u32 scan_sum(const u8 *page)
{
    u64 a = 0, b = 0, c = 0;
    const u64 *w = (const u64 *)page;
    for (unsigned i = 0; i + 3 <= PAGE / 8; i += 3)
        __asm__("crc32q %3, %0\n\tcrc32q %4, %1\n\tcrc32q %5, %2"
                : "+r"(a), "+r"(b), "+r"(c)
                : "rm"(w[i]), "rm"(w[i + 1]), "rm"(w[i + 2]));
    for (unsigned i = PAGE / 8 / 3 * 3; i < PAGE / 8; i++)
        __asm__("crc32q %1, %0" : "+r"(a) : "rm"(w[i]));
    return (u32)(a ^ b * 3 ^ c * 5);
}
