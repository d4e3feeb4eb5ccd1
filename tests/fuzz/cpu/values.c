/* values.c - random contents of registers and memory, with those that are known to matter */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "tests/fuzz/cpu/generate.h"

u64 random_value(struct random *r)
{
    static const u64 special[] = {
        0,    1,    ~0ull, BIT(63), BIT(63) - 1, BIT(31), BIT(31) - 1, BIT(32),    0xffffffff,
        0x80, 0x7f, 0xff,  0x8000,  0x7fff,      0xffff,  ~0ull << 31, 0xffffff80, 0x8000000080008080};
    u64 x = random64(r);
    switch (random_below(r, 7)) {
    case 0: return special[random_below(r, ARRAY_SIZE(special))];
    case 1: return random_below(r, 80);
    case 2: return (u64) - (s64)random_below(r, 80);
    case 3: return (u32)x;
    case 4: return BIT(x & 63);
    case 5: return random_address(r, 8, true);
    default: return x;
    }
}

/* ---- floating point ---- */

static u32 random_f32(struct random *r)
{
    static const u32 special[] = {0,          0x80000000, 0x3f800000, 0xbf800000, 0x7f800000,
                                  0xff800000, 0x7fc00000, 0x7fa00001, 0xffc12345, 1,
                                  0x807fffff, 0x7f7fffff, 0x00800000, 0x4f000000};
    u32 x = (u32)random64(r);
    if (random_percent(r, 30))
        return special[x % ARRAY_SIZE(special)];
    return (x & 0x807fffff) | (120 + random_below(r, 16)) << 23;
}

static u64 random_f64(struct random *r)
{
    static const u64 special[] = {0,
                                  BIT(63),
                                  0x3ff0000000000000,
                                  0xbff0000000000000,
                                  0x7ff0000000000000,
                                  0xfff0000000000000,
                                  0x7ff8000000000000,
                                  0x7ff4000000000001,
                                  0xfff8000012345678,
                                  1,
                                  0x800fffffffffffff,
                                  0x7fefffffffffffff,
                                  0x0010000000000000,
                                  0x43e0000000000000};
    u64 x = random64(r);
    if (random_percent(r, 30))
        return special[x % ARRAY_SIZE(special)];
    return (x & 0x800fffffffffffff) | (u64)(1016 + random_below(r, 16)) << 52;
}

enum lanes { LANES_BITS, LANES_F32, LANES_F64, LANES_SMALL32, LANES_SMALL64, LANES_VALUES, LANES_KINDS };

static u64 random_lane(struct random *r, enum lanes kind)
{
    switch (kind) {
    case LANES_F32: return random_f32(r) | (u64)random_f32(r) << 32;
    case LANES_F64: return random_f64(r);
    case LANES_SMALL32: return (u32)(random_below(r, 600) - 300) | (u64)(random_below(r, 600) - 300) << 32;
    case LANES_SMALL64: return (u64)random_below(r, 600) - 300;
    case LANES_VALUES: return random_value(r);
    default: return random64(r);
    }
}

static void random_lanes(struct random *r, u8 *to, unsigned n)
{
    enum lanes kind = (enum lanes)random_below(r, LANES_KINDS);
    for (unsigned i = 0; i < n; i += 8) {
        u64 lane = random_lane(r, kind);
        memcpy(to + i, &lane, 8);
    }
}

/* An 80-bit value of any class, also those that the CPU no longer makes (SDM 1 8.2.2). */
static void random_st(struct random *r, u8 *st)
{
    static const u16 exponents[] = {0, 1, 0x3ffe, 0x3fff, 0x4000, 0x403e, 0x7ffe, 0x7fff};
    u64 mantissa = random64(r);
    u16 exponent = random_percent(r, 50) ? (u16)(0x3ff0 + random_below(r, 32))
                                         : exponents[random_below(r, ARRAY_SIZE(exponents))];
    if (random_percent(r, 85))
        mantissa |= BIT(63);
    if (random_percent(r, 25))
        mantissa &= 7ull << 61;
    exponent |= (u16)(random_below(r, 2) << 15);
    memcpy(st, &mantissa, 8);
    memcpy(st + 8, &exponent, 2);
}

static void random_x87(struct random *r, struct vectors *v)
{
    v->fcw = 0x37f;
    if (random_percent(r, 50))
        v->fcw = 0x7f | (u16)(random_below(r, 16) << 8);
    if (random_percent(r, 8))
        v->fcw &= (u16)~random_below(r, 64);
    v->fcw &= 0xf7f;
    v->fsw = (u16)(random64(r) & 0x7f00); /* top, condition codes */
    v->fsw |= (u16)(random_below(r, 64) & v->fcw);
    v->ftw = random_percent(r, 40) ? 0xff : (u8)random64(r);
    if (random_percent(r, 20))
        v->ftw = 0;
    for (unsigned i = 0; i < 8; i++)
        random_st(r, v->st[i]);
}

static u32 random_mxcsr(struct random *r)
{
    u32 x = 0x1f80;
    if (random_percent(r, 40))
        x |= (u32)random64(r) & 0xe07f; /* rounding, FZ, DAZ, flags */
    if (random_percent(r, 8))
        x &= ~(random_below(r, 64) << 7);
    return x;
}

static void random_vectors(struct random *r, struct vectors *v)
{
    memset(v, 0, sizeof(*v));
    random_x87(r, v);
    v->mxcsr = random_mxcsr(r);
    v->xstate_bv = 7;
    for (unsigned i = 0; i < 16; i++) {
        u8 ymm[32];
        random_lanes(r, ymm, 32);
        memcpy(v->xmm[i], ymm, 16);
        memcpy(v->ymm_high[i], ymm + 16, 16);
    }
}

static u64 random_mask(struct random *r)
{
    switch (random_below(r, 4)) {
    case 0: return ~0ull;
    case 1: return BIT(random_below(r, 64)) - 1;
    case 2: return BIT(random_below(r, 16));
    default: return random64(r);
    }
}

static void random_wide(struct random *r, struct wide *w)
{
    for (unsigned i = 0; i < 8; i++)
        w->k[i] = random_mask(r);
    for (unsigned i = 0; i < 16; i++) {
        random_lanes(r, w->zmm_high[i], 32);
        random_lanes(r, w->zmm[i], 64);
    }
}

void random_state(struct random *r, struct state *s)
{
    memset(&s->wide, 0, sizeof(s->wide));
    if (vectors_components() & BIT(5))
        random_wide(r, &s->wide);
    random_vectors(r, &s->vectors);
    for (unsigned i = 0; i < 16; i++)
        s->gpr[i] = random_percent(r, 30) ? random_address(r, 16, true) : random_value(r);
    s->gpr[RSP] = WINDOW_STACK + 8 * (u64)random_below(r, 64) - 256;
    s->rflags = 2 | IF | (random64(r) & ARITHMETIC);
    if (random_percent(r, 15))
        s->rflags |= DF;
    if (random_percent(r, 5))
        s->rflags |= random64(r) & (NT | ID);
    s->fs = 0x12345000;
    s->gs = 0x7000;
}

/* Windows are cut from one pool, at a random place: filling one anew costs more than running a case. */
enum { POOL = 16 * WINDOW_SIZE };

void random_window(struct random *r, u8 *window)
{
    static u8 pool[POOL];
    static bool filled;
    if (!filled) {
        struct random own = {.state = 0x9e3779b97f4a7c15};
        for (u32 i = 0; i < POOL; i += 32)
            random_lanes(&own, pool + i, 32);
        filled = true;
    }
    memcpy(window, pool + 8 * random_below(r, (POOL - WINDOW_SIZE) / 8), WINDOW_SIZE);
}
