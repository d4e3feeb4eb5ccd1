/* choose.c - random instructions that the guest is offered, and that behave the same way twice */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <cpuid.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/cpu/generate.h"

enum { EAX, EBX, ECX, EDX };

/* The CPUID bit that offers an extension (SDM 2A table 3-8); leaf 0: always there. */
static const struct extension {
    u16 ext;
    u8 reg, bit;
    u32 leaf, subleaf;
} extensions[] = {
    {ZYDIS_ISA_EXT_BASE, 0, 0, 0, 0},
    {ZYDIS_ISA_EXT_LONGMODE, 0, 0, 0, 0},
    {ZYDIS_ISA_EXT_X87, 0, 0, 0, 0},
    {ZYDIS_ISA_EXT_PAUSE, 0, 0, 0, 0},
    {ZYDIS_ISA_EXT_CET, 0, 0, 0, 0}, /* not offered: partly no-operations, partly undefined */
    {ZYDIS_ISA_EXT_CLDEMOTE, 0, 0, 0, 0},
    {ZYDIS_ISA_EXT_AMD3DNOW_PREFETCH, ECX, 8, 0x80000001, 0},
    {ZYDIS_ISA_EXT_CLFSH, EDX, 19, 1, 0},
    {ZYDIS_ISA_EXT_MMX, EDX, 23, 1, 0},
    {ZYDIS_ISA_EXT_SSE, EDX, 25, 1, 0},
    {ZYDIS_ISA_EXT_SSE2, EDX, 26, 1, 0},
    {ZYDIS_ISA_EXT_SSE3, ECX, 0, 1, 0},
    {ZYDIS_ISA_EXT_PCLMULQDQ, ECX, 1, 1, 0},
    {ZYDIS_ISA_EXT_SSSE3, ECX, 9, 1, 0},
    {ZYDIS_ISA_EXT_FMA, ECX, 12, 1, 0},
    {ZYDIS_ISA_EXT_SSE4, ECX, 20, 1, 0},
    {ZYDIS_ISA_EXT_MOVBE, ECX, 22, 1, 0},
    {ZYDIS_ISA_EXT_AES, ECX, 25, 1, 0},
    {ZYDIS_ISA_EXT_AVX, ECX, 28, 1, 0},
    {ZYDIS_ISA_EXT_AVX_VNNI, 0, 0, 0, 0}, /* this and GFNI, VAES, VPCLMULQDQ: undefined where missing */
    {ZYDIS_ISA_EXT_AVXAES, ECX, 28, 1, 0},
    {ZYDIS_ISA_EXT_F16C, ECX, 29, 1, 0},
    {ZYDIS_ISA_EXT_RDWRFSGS, EBX, 0, 7, 0},
    {ZYDIS_ISA_EXT_BMI1, EBX, 3, 7, 0},
    {ZYDIS_ISA_EXT_AVX2, EBX, 5, 7, 0},
    {ZYDIS_ISA_EXT_AVX2GATHER, EBX, 5, 7, 0},
    {ZYDIS_ISA_EXT_BMI2, EBX, 8, 7, 0},
    {ZYDIS_ISA_EXT_ADOX_ADCX, EBX, 19, 7, 0},
    {ZYDIS_ISA_EXT_CLFLUSHOPT, EBX, 23, 7, 0},
    {ZYDIS_ISA_EXT_CLWB, EBX, 24, 7, 0},
    {ZYDIS_ISA_EXT_SHA, EBX, 29, 7, 0},
    {ZYDIS_ISA_EXT_GFNI, 0, 0, 0, 0},
    {ZYDIS_ISA_EXT_VAES, 0, 0, 0, 0},
    {ZYDIS_ISA_EXT_VPCLMULQDQ, 0, 0, 0, 0},
    {ZYDIS_ISA_EXT_LZCNT, ECX, 5, 0x80000001, 0},
    {ZYDIS_ISA_EXT_SERIALIZE, EDX, 14, 7, 0},
    {ZYDIS_ISA_EXT_AVX512EVEX, EBX, 16, 7, 0}, /* its parts that are missing are undefined */
    {ZYDIS_ISA_EXT_AVX512VEX, EBX, 16, 7, 0},
};

/* What gives other results each time, asks the host's kernel, depends on its tables, or is for other tests.
 */
static const u16 excluded[] = {
    /* Where the host is virtual itself, rip is not always the next instruction's. */
    ZYDIS_MNEMONIC_INT1,
    /* System calls, and what is never twice the same. */
    ZYDIS_MNEMONIC_SYSCALL,
    ZYDIS_MNEMONIC_SYSENTER,
    ZYDIS_MNEMONIC_SYSRET,
    ZYDIS_MNEMONIC_SYSEXIT,
    ZYDIS_MNEMONIC_INT,
    ZYDIS_MNEMONIC_CPUID,
    ZYDIS_MNEMONIC_RDTSC,
    ZYDIS_MNEMONIC_RDPMC,
    ZYDIS_MNEMONIC_XGETBV,
    /* The host's kernel answers these for its programs where UMIP is set; others read its descriptor tables.
     */
    ZYDIS_MNEMONIC_SGDT,
    ZYDIS_MNEMONIC_SIDT,
    ZYDIS_MNEMONIC_SLDT,
    ZYDIS_MNEMONIC_STR,
    ZYDIS_MNEMONIC_SMSW,
    ZYDIS_MNEMONIC_LAR,
    ZYDIS_MNEMONIC_LSL,
    ZYDIS_MNEMONIC_VERR,
    ZYDIS_MNEMONIC_VERW,
    ZYDIS_MNEMONIC_LFS,
    ZYDIS_MNEMONIC_LGS,
    ZYDIS_MNEMONIC_LSS,
    ZYDIS_MNEMONIC_IRET,
    ZYDIS_MNEMONIC_IRETD,
    ZYDIS_MNEMONIC_IRETQ,
};

static bool ext_offered[ZYDIS_ISA_EXT_MAX_VALUE + 1];
static bool mnemonic_excluded[ZYDIS_MNEMONIC_MAX_VALUE + 1];
static ZydisDecoder decoder;

static bool host_is_amd(void)
{
    u32 a, b, c, d;
    return __get_cpuid(0, &a, &b, &c, &d) && b == signature_AMD_ebx;
}

void choose_start(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(extensions); i++) {
        const struct extension *e = &extensions[i];
        ext_offered[e->ext] = !e->leaf || guest_cpuid(e->leaf, e->subleaf, e->reg, e->bit);
    }
    for (size_t i = 0; i < ARRAY_SIZE(excluded); i++)
        mnemonic_excluded[excluded[i]] = true;
    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    ZydisDecoderEnableMode(&decoder, ZYDIS_DECODER_MODE_MPX, ZYAN_FALSE);
    ZydisDecoderEnableMode(&decoder, ZYDIS_DECODER_MODE_AMD_BRANCHES, host_is_amd());
}

bool decode_bytes(struct decoded *d, const u8 *b, unsigned n)
{
    return ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, b, n, &d->i, d->op));
}

static bool writes_segment(const struct decoded *d)
{
    for (unsigned i = 0; i < d->i.operand_count_visible; i++)
        if (d->op[i].type == ZYDIS_OPERAND_TYPE_REGISTER &&
            d->op[i].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE &&
            ZydisRegisterGetClass(d->op[i].reg.value) == ZYDIS_REGCLASS_SEGMENT)
            return true;
    return false;
}

bool may_run(const struct decoded *d)
{
    bool encoding = d->i.encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY ||
                    d->i.encoding == ZYDIS_INSTRUCTION_ENCODING_VEX ||
                    d->i.encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX;
    if (!encoding || !ext_offered[d->i.meta.isa_ext] || mnemonic_excluded[d->i.mnemonic])
        return false;
    return d->i.meta.branch_type != ZYDIS_BRANCH_TYPE_FAR && !writes_segment(d);
}

/* ---- bytes ---- */

static unsigned legacy_prefixes(struct random *r, u8 *b)
{
    static const u8 segments[] = {0x64, 0x65, 0x64, 0x65, 0x2e, 0x36, 0x3e, 0x26};
    unsigned n = 0;
    if (random_percent(r, 5))
        b[n++] = segments[random_below(r, sizeof(segments))];
    if (random_percent(r, 5))
        b[n++] = 0x67;
    if (random_percent(r, 22))
        b[n++] = 0x66;
    if (random_percent(r, 20))
        b[n++] = random_percent(r, 50) ? 0xf2 : 0xf3;
    if (random_percent(r, 6))
        b[n++] = 0xf0;
    if (random_percent(r, 60))
        b[n++] = (u8)(0x40 | random_below(r, 16));
    return n;
}

static unsigned legacy_opcode(struct random *r, u8 *b, unsigned map)
{
    unsigned n = 0;
    if (map)
        b[n++] = 0x0f;
    if (map >= 2)
        b[n++] = map == 2 ? 0x38 : 0x3a;
    b[n++] = map == 4 ? (u8)(0xd8 + random_below(r, 8)) : (u8)random64(r);
    if (map == 4)
        b[0] = b[n - 1], n = 1;
    return n;
}

/* C5 or C4 and its two bytes, and the opcode. */
static unsigned vex_opcode(struct random *r, u8 *b)
{
    unsigned n = 0;
    if (random_percent(r, 5))
        b[n++] = random_percent(r, 50) ? 0x67 : 0x64 + (u8)random_below(r, 2);
    u8 vvvv = random_percent(r, 30) ? 15 : (u8)random_below(r, 16);
    u8 last = (u8)(random_below(r, 2) << 7 | vvvv << 3 | random_below(r, 8));
    if (random_percent(r, 30)) {
        b[n++] = 0xc5;
        b[n++] = last;
    } else {
        b[n++] = 0xc4;
        b[n++] = (u8)(random_below(r, 8) << 5 | (1 + random_below(r, 3)));
        b[n++] = last;
    }
    b[n++] = (u8)random64(r);
    return n;
}

/* 62, its three bytes, and the opcode. */
static unsigned evex_opcode(struct random *r, u8 *b)
{
    static const u8 maps[] = {1, 2, 3, 1, 2, 3, 5, 6};
    unsigned n = 0;
    if (random_percent(r, 5))
        b[n++] = random_percent(r, 50) ? 0x67 : 0x64 + (u8)random_below(r, 2);
    u8 v = random_percent(r, 30) ? 0x1f : (u8)random_below(r, 32);
    b[n++] = 0x62;
    b[n++] = (u8)(random_below(r, 16) << 4 | maps[random_below(r, sizeof(maps))]);
    b[n++] = (u8)(random_below(r, 2) << 7 | (v & 15) << 3 | 4 | random_below(r, 4));
    b[n++] = (u8)(random_below(r, 16) << 4 | (v & 16) >> 1 | random_below(r, 8));
    b[n++] = (u8)random64(r);
    return n;
}

/* ModRM, SIB, displacement, immediate: whichever of them the opcode has. */
static void operand_bytes(struct random *r, u8 *b, unsigned n)
{
    static const u8 mod_weights[4] = {18, 18, 14, 50};
    u64 x[2] = {random64(r), random64(r)};
    memcpy(b, x, n);
    b[0] = (u8)((b[0] & 0x3f) | random_choice(r, mod_weights, 4) << 6);
}

/* AMD's processors know them: LOCK MOV CR0 is CR8, which the guest is not offered (AltMovCr8); VERR and VERW
 * overlook a LOCK prefix. */
static bool is_known_with_lock(const u8 *opcode)
{
    return opcode[0] == 0x0f && ((opcode[1] & 0xfd) == 0x20 || opcode[1] == 0);
}

unsigned random_undefined(struct random *r, u8 *b)
{
    struct decoded d;
    unsigned opcode, n;
    do {
        opcode = legacy_prefixes(r, b);
        n = opcode + legacy_opcode(r, b + opcode, random_below(r, 4));
        operand_bytes(r, b + n, 15 - n);
    } while ((memchr(b, 0xf0, opcode) && is_known_with_lock(b + opcode)) || decode_bytes(&d, b, 15));
    return 15;
}

enum map { MAP_ONE, MAP_0F, MAP_0F38, MAP_0F3A, MAP_X87, MAP_VEX, MAP_EVEX, MAPS };

unsigned random_insn(struct random *r, struct decoded *d, u8 *b)
{
    static const u8 weights[MAPS] = {26, 20, 6, 4, 5, 19, 20};
    for (;;) {
        enum map map = (enum map)random_choice(r, weights, MAPS);
        unsigned n;
        if (map == MAP_VEX) {
            n = vex_opcode(r, b);
        } else if (map == MAP_EVEX) {
            n = evex_opcode(r, b);
        } else {
            n = legacy_prefixes(r, b);
            n += legacy_opcode(r, b + n, map);
        }
        operand_bytes(r, b + n, 15 - n);
        if (!decode_bytes(d, b, 15) || !may_run(d))
            continue;
        bool ends = d->i.attributes & ZYDIS_ATTRIB_IS_PRIVILEGED ||
                    d->i.meta.category == ZYDIS_CATEGORY_INTERRUPT || d->i.mnemonic == ZYDIS_MNEMONIC_UD0 ||
                    d->i.mnemonic == ZYDIS_MNEMONIC_UD1 || d->i.mnemonic == ZYDIS_MNEMONIC_UD2 ||
                    d->i.meta.category == ZYDIS_CATEGORY_IO ||
                    d->i.meta.category == ZYDIS_CATEGORY_IOSTRINGOP;
        if (!ends || random_percent(r, 4))
            return d->i.length;
    }
}
