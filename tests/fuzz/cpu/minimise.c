/* minimise.c - makes a failing case small: fewer instructions, and nothing in registers and memory that is
 * not needed */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/cpu/case.h"

static struct job *job;

static bool fails(void)
{
    if (!case_layout(&job->c))
        return false;
    native_run(1);
    if (job->native.vector >= VECTOR_TIMEOUT)
        return false;
    guest_run(job);
    return !outcomes_agree(job, NULL) && !is_known_difference(job);
}

/* Keeps what change does to the case if it still fails. */
static bool try(void (*change)(struct test_case *c, u32 n), u32 n)
{
    static struct test_case before;
    before = job->c;
    change(&job->c, n);
    if (fails())
        return true;
    job->c = before;
    return false;
}

static void remove_item(struct test_case *c, u32 n)
{
    memmove(&c->item[n], &c->item[n + 1], (c->count - n - 1) * sizeof(c->item[0]));
    c->count--;
    for (u32 i = 0; i < c->count; i++) {
        struct item *it = &c->item[i];
        bool names_item = it->fix == FIX_REL8 || it->fix == FIX_REL32 || it->fix == FIX_IMM64;
        if (names_item && it->target > n)
            it->target--;
    }
    for (u32 i = 0; i < c->pointers; i++)
        if (c->pointer[i].item > n)
            c->pointer[i].item--;
}

static bool remove_items(void)
{
    bool removed = false;
    for (u32 n = job->c.count; n-- > 0;)
        removed |= try(remove_item, n);
    return removed;
}

static void drop_pointers(struct test_case *c, u32 n)
{
    (void)n;
    c->pointers = 0;
}

static void close_end(struct test_case *c, u32 n)
{
    (void)n;
    c->open_end = false;
}

static void move_to_start(struct test_case *c, u32 n)
{
    (void)n;
    c->start = CODE_VA;
}

static void clear_gpr(struct test_case *c, u32 n)
{
    c->state.gpr[n] = 0;
}

static void clear_ymm(struct test_case *c, u32 n)
{
    memset(c->state.vectors.xmm[n], 0, 16);
    memset(c->state.vectors.ymm_high[n], 0, 16);
}

static void clear_wide(struct test_case *c, u32 n)
{
    memset(c->state.wide.zmm_high[n], 0, 32);
    memset(c->state.wide.zmm[n], 0, 64);
}

static void clear_mask(struct test_case *c, u32 n)
{
    c->state.wide.k[n] = 0;
}

static void clear_st(struct test_case *c, u32 n)
{
    memset(c->state.vectors.st[n], 0, 16);
}

static void reset_x87(struct test_case *c, u32 n)
{
    (void)n;
    c->state.vectors.fcw = 0x37f;
    c->state.vectors.fsw = 0;
    c->state.vectors.ftw = 0;
}

static void reset_mxcsr(struct test_case *c, u32 n)
{
    (void)n;
    c->state.vectors.mxcsr = 0x1f80;
}

static void reset_flags(struct test_case *c, u32 n)
{
    (void)n;
    c->state.rflags = 2 | IF;
}

static void reset_bases(struct test_case *c, u32 n)
{
    (void)n;
    c->state.fs = c->state.gs = 0;
}

static void clear_window(struct test_case *c, u32 n)
{
    static const u32 sizes[] = {PAGE, 512, 64, 8};
    u32 size = sizes[n & 3], at = n >> 2;
    memset(c->window + at, 0, size);
}

static bool is_clear(const u8 *b, u32 n)
{
    while (n > 0 && !*b)
        b++, n--;
    return n == 0;
}

/* Clears what can be cleared of the window in blocks of the level's size, and within those that resist,
 * smaller ones. */
static void simplify_window(u32 at, u32 end, u32 level)
{
    static const u32 sizes[] = {PAGE, 512, 64, 8};
    for (; at < end; at += sizes[level]) {
        if (is_clear(job->c.window + at, sizes[level]) || try(clear_window, at << 2 | level))
            continue;
        if (level < 3)
            simplify_window(at, at + sizes[level], level + 1);
    }
}

static void simplify_state(void)
{
    static void (*const resets[])(struct test_case * c, u32 n) = {
        drop_pointers, close_end, move_to_start, reset_x87, reset_mxcsr, reset_flags, reset_bases};
    for (size_t i = 0; i < ARRAY_SIZE(resets); i++)
        try(resets[i], 0);
    for (u32 n = 0; n < 16; n++) {
        try(clear_gpr, n);
        try(clear_ymm, n);
        try(clear_wide, n);
        if (n < 8) {
            try(clear_st, n);
            try(clear_mask, n);
        }
    }
    simplify_window(0, WINDOW_SIZE, 0);
}

void minimise(struct job *jobs)
{
    job = jobs;
    while (remove_items()) {
    }
    simplify_state();
    fails(); /* the outcomes of what remains */
}
