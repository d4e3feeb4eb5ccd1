/* replay.c - the kept cases, tests/fuzz/cases: linked into this program */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "tests/fuzz/cpu/case.h"
#include "tests/fuzz/cpu/state_offsets.h"

_Static_assert(offsetof(struct vectors, mxcsr) == STATE_MXCSR && offsetof(struct vectors, st) == STATE_ST(0),
               "");
_Static_assert(offsetof(struct vectors, xmm) == STATE_XMM(0) &&
                   offsetof(struct vectors, ymm_high) == STATE_YMMH(0),
               "");
_Static_assert(offsetof(struct state, gpr) == STATE_GPR(0) && offsetof(struct state, rip) == STATE_RIP, "");
_Static_assert(offsetof(struct state, rflags) == STATE_RFLAGS && offsetof(struct state, fs) == STATE_FS, "");
_Static_assert(offsetof(struct state, gs) == STATE_GS && offsetof(struct state, wide.k) == STATE_K(0), "");
_Static_assert(offsetof(struct state, wide.zmm_high) == STATE_ZMMH(0), "");
_Static_assert(offsetof(struct state, wide.zmm) == STATE_ZMM(16), "");

/* One row for each fuzz_case (replay.inc). */
struct kept {
    const char *name;
    const struct setting {
        u64 where, value;
    } * settings;
    const u8 *code, *end;
    u64 amd_only; /* what the manuals leave open, as AMD's processors do it (docs/engine.md) */
};
extern const struct kept __start_fuzz_cases[] __attribute__((weak)),
    __stop_fuzz_cases[] __attribute__((weak));

static bool apply(struct test_case *c, const struct setting *s)
{
    u64 in_window = s->where - WINDOW_VA;
    if (in_window <= WINDOW_SIZE - 8)
        memcpy(c->window + in_window, &s->value, 8);
    else if (s->where <= sizeof(c->state) - 8)
        memcpy((u8 *)&c->state + s->where, &s->value, 8);
    else
        return false;
    return true;
}

static bool load(struct test_case *c, const struct kept *k)
{
    memset(c, 0, sizeof(*c));
    c->state.rflags = 2 | IF;
    c->state.vectors.fcw = 0x37f;
    c->state.vectors.mxcsr = 0x1f80;
    for (const struct setting *s = k->settings; (const u8 *)s < k->code; s++)
        if (!apply(c, s))
            return false;
    c->state.vectors.xstate_bv = 7;
    c->start = c->state.rip;
    c->code_length = (u32)(k->end - k->code);
    if (c->code_length > CODE_MAX || c->start < CODE_VA || c->start + c->code_length > CODE_END)
        return false;
    memcpy(c->code, k->code, c->code_length);
    return true;
}

/* Where hosts are held up at the bus locks of their programs, one may take longer than cases have. */
static void run_natively(struct job *j)
{
    enum { TRIES = 20 };
    for (unsigned i = 0; i < TRIES; i++) {
        native_run(1);
        if (j->native.vector != VECTOR_TIMEOUT)
            return;
    }
}

static bool passes(struct job *j, const struct kept *k)
{
    if (!load(&j->c, k)) {
        printf("%s: not a case\n", k->name);
        return false;
    }
    run_natively(j);
    guest_run(j);
    if (outcomes_agree(j, NULL))
        return true;
    printf("%s: the guest differs from the CPU:\n", k->name);
    outcomes_agree(j, stdout);
    return false;
}

unsigned replay(struct job *jobs, const char *name)
{
    unsigned run = 0, failed = 0, skipped = 0;
    for (const struct kept *k = __start_fuzz_cases; k < __stop_fuzz_cases; k++) {
        if (name && strcmp(name, k->name))
            continue;
        if (k->amd_only && !__builtin_cpu_is("amd")) {
            skipped++;
            continue;
        }
        run++;
        failed += !passes(jobs, k);
    }
    printf("%u kept cases, %u failed, %u are for AMD's processors\n", run, failed, skipped);
    return failed + (name && !run);
}
