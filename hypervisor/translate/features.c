/* features.c - instructions that the host's CPU lacks (SDM 2A table 3-8) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * They would raise #UD on the host anyway, but only after the translated code has looked at their memory
 * operand.
 */
#include <cpuid.h>

#include "hypervisor/translate/features.h"

enum { EAX, EBX, ECX, EDX };

/* One part of AVX-512, whatever the length of its vectors. */
#define AVX512(name) ZYDIS_ISA_SET_AVX512_##name##_128, ZYDIS_ISA_SET_AVX512_##name##_512
#define ONE(name)    ZYDIS_ISA_SET_##name, ZYDIS_ISA_SET_##name

/* Leaf 7's bits; subleaf NEVER: of no processor that Lodge runs on, or not offered. */
enum { NEVER = 0xff };
static const struct part {
    u16 first, last; /* of Zydis's sets, by name */
    u8 subleaf, reg, bit;
} parts[] = {
    {AVX512(IFMA), 0, EBX, 21},
    {AVX512(VBMI), 0, ECX, 1},
    {AVX512(VBMI2), 0, ECX, 6},
    {AVX512(VNNI), 0, ECX, 11},
    {AVX512(BITALG), 0, ECX, 12},
    {AVX512(VPOPCNTDQ), 0, ECX, 14},
    {ZYDIS_ISA_SET_AVX512_FP16_128, ZYDIS_ISA_SET_AVX512_FP16_SCALAR, 0, EDX, 23},
    {AVX512(BF16), 1, EAX, 5},
    {AVX512(GFNI), 0, ECX, 8},
    {AVX512(VAES), 0, ECX, 9},
    {AVX512(VPCLMULQDQ), 0, ECX, 10},
    {AVX512(VP2INTERSECT), NEVER, 0, 0},
    {ZYDIS_ISA_SET_AVX512_4FMAPS_512, ZYDIS_ISA_SET_AVX512_4VNNIW_512, NEVER, 0, 0},
    {ZYDIS_ISA_SET_AVX512ER_512, ZYDIS_ISA_SET_AVX512ER_SCALAR, NEVER, 0, 0},
    {ONE(AVX512PF_512), NEVER, 0, 0},
    {ONE(GFNI), 0, ECX, 8},
    {ONE(AVX_GFNI), 0, ECX, 8},
    {ONE(VAES), 0, ECX, 9},
    {ONE(VPCLMULQDQ), 0, ECX, 10},
    {ONE(AVX_VNNI), 1, EAX, 4},
    {ONE(ADOX_ADCX), 0, EBX, 19},
    {ONE(SHA), 0, EBX, 29},
};

static bool lacking[ZYDIS_ISA_SET_MAX_VALUE + 1];

static __attribute__((constructor)) void find_lacking(void)
{
    u32 leaf[2][4] = {{0}};
    for (unsigned i = 0; i < ARRAY_SIZE(leaf); i++)
        if (!i || leaf[0][EAX] >= i)
            __get_cpuid_count(7, i, &leaf[i][EAX], &leaf[i][EBX], &leaf[i][ECX], &leaf[i][EDX]);
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        const struct part *p = &parts[i];
        bool has = p->subleaf != NEVER && leaf[p->subleaf][p->reg] & BIT(p->bit);
        for (unsigned set = p->first; set <= p->last; set++)
            lacking[set] = !has;
    }
}

bool host_lacks(const struct decoded *d)
{
    return lacking[d->i.meta.isa_set];
}
