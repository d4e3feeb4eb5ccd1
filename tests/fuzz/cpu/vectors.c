/* vectors.c - vector state as XSAVE areas have it (SDM 1 13.4) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <cpuid.h>
#include <string.h>

#include "tests/fuzz/cpu/case.h"

enum { X87 = BIT(0), SSE = BIT(1), AVX = BIT(2), OPMASK = 5, ZMM_HI256, HI16_ZMM, COMPONENTS };

/* The parts of AVX-512, which are where CPUID says. */
static const struct part {
    u16 at, size; /* in struct wide */
} parts[COMPONENTS] = {
    [OPMASK] = {offsetof(struct wide, k), sizeof(((struct wide *)0)->k)},
    [ZMM_HI256] = {offsetof(struct wide, zmm_high), sizeof(((struct wide *)0)->zmm_high)},
    [HI16_ZMM] = {offsetof(struct wide, zmm), sizeof(((struct wide *)0)->zmm)},
};
static u32 offset[COMPONENTS]; /* 0: not there */

void vectors_start(void)
{
    u32 size, unused, have = 0;
    __get_cpuid_count(0xd, 0, &have, &size, &unused, &unused);
    for (u32 n = OPMASK; n < COMPONENTS; n++)
        if (have >> n & 1)
            __get_cpuid_count(0xd, n, &size, &offset[n], &unused, &unused);
}

u64 vectors_components(void)
{
    u64 components = X87 | SSE | AVX;
    for (unsigned n = OPMASK; n < COMPONENTS; n++)
        if (offset[n])
            components |= BIT(n);
    return components;
}

void vectors_to_xsave(u8 *area, const struct state *s)
{
    struct vectors *v = (struct vectors *)area;
    memcpy(v, &s->vectors, sizeof(*v));
    v->xstate_bv = vectors_components();
    for (unsigned n = OPMASK; n < COMPONENTS; n++)
        if (offset[n])
            memcpy(area + offset[n], (const u8 *)&s->wide + parts[n].at, parts[n].size);
}

/* Components that are left out are in their initial state (SDM 1 13.6). */
void vectors_from_xsave(struct state *s, const u8 *area)
{
    struct vectors *v = &s->vectors;
    memcpy(v, area, sizeof(*v));
    if (!(v->xstate_bv & X87)) {
        v->fcw = 0x37f;
        v->fsw = v->ftw = 0;
        memset(v->st, 0, sizeof(v->st));
    }
    if (!(v->xstate_bv & SSE))
        memset(v->xmm, 0, sizeof(v->xmm));
    if (!(v->xstate_bv & AVX))
        memset(v->ymm_high, 0, sizeof(v->ymm_high));
    memset(&s->wide, 0, sizeof(s->wide));
    for (unsigned n = OPMASK; n < COMPONENTS; n++)
        if (offset[n] && v->xstate_bv >> n & 1)
            memcpy((u8 *)&s->wide + parts[n].at, area + offset[n], parts[n].size);
}
