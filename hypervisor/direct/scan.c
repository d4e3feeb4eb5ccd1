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

enum { PAGE = 4096, LONGEST = 15, NEAR = 64, BEFORE = 128, BEHIND = 32 };

/* The page with what lies before and behind it, as far as that is known. */
struct text {
    u8 byte[BEFORE + PAGE + BEHIND];
    unsigned from, end;
};

/* ---- by their bytes: what may be one ---- */

/* By the byte behind 0F 01. */
static bool group_0f01(const struct scan_rules *r, u8 modrm)
{
    unsigned reg = modrm >> 3 & 7;
    if (modrm < 0xc0)
        return reg == 0 || reg == 1 || reg == 4; /* SGDT, SIDT, SMSW */
    switch (modrm) {
    case 0xd0: return r->more_xcr0; /* XGETBV */
    case 0xca:
    case 0xcb: /* CLAC, STAC: #UD */
    case 0xd5:
    case 0xd6: /* XEND, XTEST: as the guest's CPUID has it, or #UD */
    case 0xf8:
    case 0xf9:
    case 0xfc:               /* SWAPGS traps, RDTSCP traps, CLZERO */
    case 0xe8: return false; /* SERIALIZE */
    default: return true;    /* VMCALL, VMMCALL, RDPKRU, WRPKRU, MONITORX, RDPRU, SMSW ... */
    }
}

/* XSAVE, XRSTOR, XSAVEOPT; 0F C7 /4: XSAVEC. */
static bool group_0fae(const struct scan_rules *r, u8 modrm)
{
    unsigned reg = modrm >> 3 & 7;
    return r->more_xcr0 && modrm < 0xc0 && reg >= 4 && reg <= 6;
}

static bool group_0fc7(const struct scan_rules *r, u8 modrm)
{
    if (modrm < 0xc0)
        return r->more_xcr0 && (modrm >> 3 & 7) == 4;
    return modrm >= 0xf8; /* RDPID, and RDSEED with it */
}

static bool tells(const struct scan_rules *r, u8 second, u8 third)
{
    switch (second) {
    case 0x00: return (third >> 3 & 7) != 2 && (third >> 3 & 7) != 3; /* SLDT, STR, VERR, VERW */
    case 0x01: return group_0f01(r, third);
    case 0x02:
    case 0x03: /* LAR, LSL */
    case 0x34:
    case 0x35: return true; /* SYSENTER, SYSEXIT */
    case 0xa2: return !r->cpuid_traps;
    case 0xae: return group_0fae(r, third);
    case 0xc7: return group_0fc7(r, third);
    default: return false;
    }
}

/* Bytes at `at`, of which the page's end may cut off some. */
static bool is_suspect(const struct scan_rules *r, const struct text *t, unsigned at)
{
    const u8 *b = t->byte + at;
    if (*b == 0xcd) /* INT 80H: the kernel cuts rax to 32 bits before ptrace sees it */
        return at + 1 >= t->end || b[1] == 0x80;
    if (*b != 0x0f)
        return false;
    if (at + 1 >= t->end ||
        (at + 2 >= t->end && (b[1] <= 0x01 || b[1] == 0xc7 || (b[1] == 0xae && r->more_xcr0))))
        return true;
    return tells(r, b[1], b[2]);
}

/* ---- by the code before them: what is one ---- */

static bool is_prefix(u8 b)
{
    return b == 0xf2 || b == 0xf3 || b == 0x66 || b == 0x67 || b == 0x2e || b == 0x36 || b == 0x3e ||
           b == 0x26 || b == 0x64 || b == 0x65 || (b & 0xf0) == 0x40;
}

static bool is_opcode_of(const struct text *t, unsigned from, unsigned at)
{
    while (from < at && is_prefix(t->byte[from]))
        from++;
    return from == at;
}

/* Where the instruction begins whose opcode is at `at`, if decoding from `from` comes to one; or 0. seen:
 * where others have been, with whom it falls in. */
static unsigned look_from(const ZydisDecoder *z, const struct text *t, unsigned from, unsigned at,
                          bool seen[NEAR])
{
    ZydisDecodedInstruction i;
    while (from < at && !is_opcode_of(t, from, at)) {
        if (seen[at - from - 1] ||
            !ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(z, NULL, t->byte + from, t->end - from, &i)))
            return 0;
        seen[at - from - 1] = true;
        from += i.length;
    }
    return from <= at ? from : 0;
}

enum verdict { NONE, SITE, UNCLEAR };

/* Of fifteen places in a row, one begins an instruction; from the others, decoding falls in with the
 * program's instructions soon, as x86 code is. So all begin some way before. */
static enum verdict look(const ZydisDecoder *z, const struct text *t, unsigned at, unsigned *begin)
{
    bool seen[NEAR] = {0};
    unsigned from = max(t->from, at - NEAR);
    if (at - from < LONGEST) /* it may have begun in the page before */
        return UNCLEAR;
    *begin = 0;
    for (unsigned n = from; n < from + LONGEST; n++) {
        unsigned b = look_from(z, t, n, at, seen);
        if (b && *begin && b != *begin)
            return UNCLEAR;
        *begin = b ? b : *begin;
    }
    return !*begin ? NONE : *begin < BEFORE ? UNCLEAR : SITE;
}

/* ---- XSAVE and its like, with a mask that means the same in the guest ---- */

/* What is known of the mask in edx:eax. */
struct mask {
    bool low, high; /* whether */
    u32 eax, edx;
};

static bool writes(const ZydisDecodedOperand *o, ZydisRegister wide)
{
    return o->type == ZYDIS_OPERAND_TYPE_REGISTER && (o->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) &&
           ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, o->reg.value) == wide;
}

static void follow_mask(struct mask *m, const ZydisDecodedInstruction *i, const ZydisDecodedOperand *o)
{
    const ZydisDecodedOperand *from = &o[1];
    bool mov = i->mnemonic == ZYDIS_MNEMONIC_MOV && from->type == ZYDIS_OPERAND_TYPE_IMMEDIATE &&
               i->operand_width >= 32;
    bool zero = i->mnemonic == ZYDIS_MNEMONIC_XOR && from->type == ZYDIS_OPERAND_TYPE_REGISTER &&
                from->reg.value == o->reg.value && i->operand_width >= 32;
    u32 value = mov ? (u32)from->imm.value.u : 0;
    if (i->meta.branch_type != ZYDIS_BRANCH_TYPE_NONE)
        m->low = m->high = false;
    for (unsigned n = 0; n < i->operand_count; n++) {
        if (writes(&o[n], ZYDIS_REGISTER_RAX))
            m->low = n == 0 && (mov || zero), m->eax = value;
        if (writes(&o[n], ZYDIS_REGISTER_RDX))
            m->high = n == 0 && (mov || zero), m->edx = value;
    }
}

/* false: decoding from `from` does not come to begin. */
static bool find_mask(const ZydisDecoder *z, const struct text *t, unsigned from, unsigned begin,
                      struct mask *m)
{
    ZydisDecodedInstruction i;
    ZydisDecodedOperand o[ZYDIS_MAX_OPERAND_COUNT];
    *m = (struct mask){0};
    while (from < begin) {
        if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(z, t->byte + from, t->end - from, &i, o)))
            return false;
        follow_mask(m, &i, o);
        from += i.length;
    }
    return from == begin;
}

static bool has_mask(const ZydisDecoder *z, const struct text *t, unsigned begin)
{
    ZydisDecodedInstruction i;
    if (!ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(z, NULL, t->byte + begin, t->end - begin, &i)))
        return false;
    switch (i.mnemonic) {
    case ZYDIS_MNEMONIC_XSAVE:
    case ZYDIS_MNEMONIC_XSAVE64:
    case ZYDIS_MNEMONIC_XSAVEC:
    case ZYDIS_MNEMONIC_XSAVEC64:
    case ZYDIS_MNEMONIC_XSAVEOPT:
    case ZYDIS_MNEMONIC_XSAVEOPT64:
    case ZYDIS_MNEMONIC_XRSTOR:
    case ZYDIS_MNEMONIC_XRSTOR64: return true;
    default: return false;
    }
}

/* From wherever the code before it is looked at. */
static bool is_harmless(const struct scan_rules *r, const struct text *t, unsigned begin)
{
    ZydisDecoder z;
    struct mask m;
    bool found = false;
    unsigned from = max(t->from, begin - BEFORE);
    ZydisDecoderInit(&z, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    if (!r->more_xcr0 || !has_mask(&z, t, begin))
        return false;
    for (unsigned n = from; n < from + LONGEST; n++)
        if (find_mask(&z, t, n, begin, &m)) {
            if (!m.low || !m.high || (((u64)m.edx << 32 | m.eax) & r->more_xcr0))
                return false;
            found = true;
        }
    return found;
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

int scan_page(const struct scan_rules *r, const u8 *before, const u8 *page, const u8 *behind,
              u16 site[SCAN_SITES])
{
    struct text t;
    ZydisDecoder z;
    int count = 0;
    unsigned begin;
    ZydisDecoderInit(&z, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    ZydisDecoderEnableMode(&z, ZYDIS_DECODER_MODE_MINIMAL, true);
    take_text(&t, before, page, behind);
    for (unsigned at = BEFORE; at < BEFORE + PAGE; at++) {
        enum verdict verdict = is_suspect(r, &t, at) ? look(&z, &t, at, &begin) : NONE;
        if (verdict == UNCLEAR)
            return -1;
        if (verdict == SITE && !is_harmless(r, &t, begin) && count++ < SCAN_SITES)
            site[count - 1] = (u16)(begin - BEFORE);
    }
    return count;
}

/* Four words at a time, as a multiplication takes a while. */
static u64 mix(u64 key, const u8 *bytes, unsigned size)
{
    const u64 *w = (const u64 *)(const void *)bytes, odd = 0x9e3779b97f4a7c15;
    u64 lane[4] = {key, odd, ~key, 1};
    for (unsigned i = 0; bytes && i < size / 8; i += 4)
        for (unsigned n = 0; n < 4; n++) {
            lane[n] = (lane[n] ^ w[i + n]) * odd;
            lane[n] ^= lane[n] >> 32;
        }
    return ((lane[0] * odd ^ lane[1]) * odd ^ lane[2]) * odd ^ lane[3];
}

const struct scan_result *scan_known(struct scan_result *known, const struct scan_rules *r, const u8 *before,
                                     const u8 *page, const u8 *behind)
{
    u64 key = mix(r->more_xcr0 << 1 | r->cpuid_traps, before ? before + PAGE - BEFORE : NULL, BEFORE);
    key = mix(mix(key, page, PAGE), behind, BEHIND);
    struct scan_result *s = &known[key % SCAN_RESULTS];
    if (s->key != key) {
        s->count = (s16)scan_page(r, before, page, behind, s->site);
        s->key = key;
    }
    return s;
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
