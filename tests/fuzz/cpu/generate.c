/* generate.c - a random case: state, window, up to sixteen instructions, sometimes in a loop */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "tests/fuzz/cpu/generate.h"

enum { MAX_INSNS = 16, ITEMS_PER_INSN = 6, LOOP_ITEMS = 3 };

void generate_start(void)
{
    choose_start();
}

static void add_random_insn(struct test_case *c, struct random *r)
{
    struct decoded d;
    struct item item = {0};
    if (random_percent(r, 1)) {
        item.length = (u8)random_undefined(r, item.bytes);
        *item_add(c) = item;
        return;
    }
    item.length = (u8)random_insn(r, &d, item.bytes);
    place_operands(c, r, &d, &item);
    *item_add(c) = item;
}

/* ---- loops: a counter in memory, as registers belong to the random instructions ---- */

static void add_bytes(struct test_case *c, const u8 *bytes, u8 n, u32 counter)
{
    struct item *it = item_add(c);
    memcpy(it->bytes, bytes, n);
    memcpy(it->bytes + 3, &counter, sizeof(counter));
    it->length = n;
    it->setup = true;
}

static void loop_begin(struct test_case *c, struct random *r, u32 counter)
{
    const u8 movl[] = {0xc7, 0x04, 0x25, 0, 0, 0, 0, (u8)(2 + random_below(r, 10)), 0, 0, 0};
    add_bytes(c, movl, sizeof(movl), counter);
}

static void loop_end(struct test_case *c, u32 counter, u32 first)
{
    static const u8 decl[] = {0xff, 0x0c, 0x25, 0, 0, 0, 0};
    add_bytes(c, decl, sizeof(decl), counter);
    struct item *jnz = item_add(c);
    *jnz = (struct item){
        .bytes = {0x0f, 0x85}, .length = 6, .setup = true, .fix = FIX_REL32, .fix_at = 2, .target = first};
}

/* ---- where the code lies ---- */

static u64 random_start(struct random *r)
{
    if (random_percent(r, 60))
        return CODE_VA + random_below(r, PAGE);
    return CODE_VA + (1 + random_below(r, 2)) * PAGE - random_below(r, 120);
}

static bool contains(const struct test_case *c, const u8 *bytes, u32 n)
{
    for (u32 i = 0; i + n <= c->code_length; i++)
        if (!memcmp(c->code + i, bytes, n))
            return true;
    return false;
}

/* A branch into the middle of an instruction must not find a system call or a call of the host's hypervisor
 * there. */
static bool is_harmless(const struct test_case *c)
{
    static const u8 syscall[] = {0x0f, 0x05}, sysenter[] = {0x0f, 0x34}, int80[] = {0xcd, 0x80},
                    system[] = {0x0f, 0x01};
    return !contains(c, syscall, 2) && !contains(c, sysenter, 2) && !contains(c, int80, 2) &&
           !contains(c, system, 2);
}

/* Moves the code to the end of the last page, so that what runs on faults. */
static bool place_at_end(struct test_case *c, struct random *r)
{
    c->open_end = random_percent(r, 50);
    if (!case_layout(c))
        return false;
    c->start = CODE_END - c->code_length;
    return case_layout(c);
}

static bool try_generate(struct test_case *c, struct random *r)
{
    c->count = c->pointers = 0;
    c->open_end = false;
    random_state(r, &c->state);
    random_window(r, c->window);
    c->start = random_start(r);
    bool loops = random_percent(r, 8);
    u32 counter = WINDOW_VA + 8 * random_below(r, PAGE / 8);
    if (loops)
        loop_begin(c, r, counter);
    u32 first = c->count, n = 1 + random_below(r, MAX_INSNS);
    while (n-- > 0 && c->count + ITEMS_PER_INSN + LOOP_ITEMS < MAX_ITEMS)
        add_random_insn(c, r);
    if (loops)
        loop_end(c, counter, first);
    bool fits = random_percent(r, 8) ? place_at_end(c, r) : case_layout(c);
    return fits && is_harmless(c);
}

void generate(struct test_case *c, u64 seed, u64 number)
{
    struct random r = {.state = (seed + 1) * 0x9e3779b97f4a7c15 ^ (number + 1) * 0xbf58476d1ce4e5b9};
    r.state |= !r.state;
    random64(&r);
    random64(&r);
    c->number = number;
    while (!try_generate(c, &r)) {
    }
}
