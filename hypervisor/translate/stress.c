/* stress.c - LODGE_STRESS: random modes of the engine, for tests */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hypervisor/translate/stress.h"

static const struct {
    const char *name;
    unsigned modes;
} names[] = {
    {"block", STRESS_BLOCK}, {"cache", STRESS_CACHE},   {"tlb", STRESS_TLB},         {"slow", STRESS_SLOW},
    {"exit", STRESS_EXIT},   {"direct", STRESS_DIRECT}, {"checked", STRESS_CHECKED}, {"all", 0x5f},
};

static void take_word(struct stress *s, const char *word, size_t n)
{
    if (n > 5 && !strncmp(word, "seed=", 5)) {
        s->state = strtoull(word + 5, NULL, 0) | 1;
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (strlen(names[i].name) == n && !strncmp(word, names[i].name, n)) {
            s->modes |= names[i].modes;
            return;
        }
    fprintf(
        stderr,
        "lodge: LODGE_STRESS: no mode '%.*s': use block, cache, tlb, slow, exit, direct, checked, all or seed=N\n",
        (int)n, word);
}

void stress_init(struct stress *s)
{
    s->state = 0x9e3779b97f4a7c15;
    const char *word = getenv("LODGE_STRESS");
    while (word && *word) {
        size_t n = strcspn(word, ",");
        if (n)
            take_word(s, word, n);
        word += n + (word[n] == ',');
    }
}

/* How much it holds is chosen anew each time, small as often as large: with a few blocks all the time, a
 * kernel's timer interrupt takes longer than the time to the next. */
bool stress_cache_full(struct stress *s)
{
    enum { SMALLEST = 4, DOUBLINGS = 14 };
    if (likely(!(s->modes & STRESS_CACHE)) || s->room-- > 0)
        return false;
    s->room = (unsigned)(stress_random(s) % ((u64)SMALLEST << stress_random(s) % DOUBLINGS)) + SMALLEST;
    return true;
}
