/* smp-order.c - the order in which processors see each other's stores: litmus tests (SDM 3A 8.2.3) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/guests/lib/cpus.h"

enum { ROUNDS = 20000 };

/* Each in a line of its own. */
static volatile struct {
    u32 v;
} __attribute__((aligned(64))) x[ROUNDS], y[ROUNDS], r[4][ROUNDS];

/* A round has the processors start it as closely together as a spin allows. */
static void together(unsigned i, unsigned who, unsigned of)
{
    static volatile u32 arrived[2][ROUNDS];
    unsigned set = of == 4;
    (void)who;
    __atomic_fetch_add(&arrived[set][i], 1, __ATOMIC_SEQ_CST);
    for (unsigned spins = 0; arrived[set][i] < of && spins < 2000; spins++)
        pause();
}

static void clear(void)
{
    memset((void *)x, 0, sizeof(x));
    memset((void *)y, 0, sizeof(y));
    memset((void *)r, 0xff, sizeof(r));
}

/* 8.2.3.2: stores and loads each keep their order. */
static void message_work(unsigned cpu)
{
    for (unsigned i = 0; i < ROUNDS && cpu < 2; i++) {
        if (cpu == 0) {
            x[i].v = 1;
            y[i].v = 1;
        } else {
            r[0][i].v = y[i].v;
            r[1][i].v = x[i].v;
        }
    }
}

static void message_passing(void)
{
    unsigned bad = 0;
    clear();
    cpus_run(message_work);
    for (unsigned i = 0; i < ROUNDS; i++)
        bad += r[0][i].v == 1 && r[1][i].v == 0;
    check_eq("message passing: the flag without the data", bad, 0);
}

/* 8.2.3.3: a store does not pass an earlier load. */
static void load_work(unsigned cpu)
{
    for (unsigned i = 0; i < ROUNDS && cpu < 2; i++) {
        together(i, cpu, 2);
        if (cpu == 0) {
            r[0][i].v = x[i].v;
            y[i].v = 1;
        } else {
            r[1][i].v = y[i].v;
            x[i].v = 1;
        }
    }
}

static void load_buffering(void)
{
    unsigned bad = 0;
    clear();
    cpus_run(load_work);
    for (unsigned i = 0; i < ROUNDS; i++)
        bad += r[0][i].v == 1 && r[1][i].v == 1;
    check_eq("load buffering: both loads see the later stores", bad, 0);
}

/* 8.2.3.4 allows both loads to come first; 8.2.5: not with MFENCE, nor with a locked instruction, between. */
static void store_work(unsigned cpu)
{
    for (unsigned i = 0; i < ROUNDS && cpu < 2; i++) {
        if (cpu == 0) {
            x[i].v = 1;
            __asm__ volatile("mfence" ::: "memory");
            r[0][i].v = y[i].v;
        } else {
            y[i].v = 1;
            __asm__ volatile("lock orl $0, (%%rsp)" ::: "memory", "cc");
            r[1][i].v = x[i].v;
        }
    }
}

static void store_buffering(void)
{
    unsigned bad = 0;
    clear();
    cpus_run(store_work);
    for (unsigned i = 0; i < ROUNDS; i++)
        bad += r[0][i].v == 0 && r[1][i].v == 0;
    check_eq("store buffering with fences: neither load sees a store", bad, 0);
}

/* 8.2.3.7: other processors agree on the order of two stores. */
static void independent_work(unsigned cpu)
{
    for (unsigned i = 0; i < ROUNDS && cpu < 4; i++) {
        if (cpu == 0)
            x[i].v = 1;
        else if (cpu == 1)
            y[i].v = 1;
        else if (cpu == 2) {
            r[0][i].v = x[i].v;
            r[1][i].v = y[i].v;
        } else {
            r[2][i].v = y[i].v;
            r[3][i].v = x[i].v;
        }
    }
}

static void independent_reads(void)
{
    unsigned bad = 0;
    if (cpu_count < 4) {
        skip("independent reads", "it takes four processors");
        return;
    }
    clear();
    cpus_run(independent_work);
    for (unsigned i = 0; i < ROUNDS; i++)
        bad += r[0][i].v == 1 && r[1][i].v == 0 && r[2][i].v == 1 && r[3][i].v == 0;
    check_eq("independent reads: two orders of the same stores", bad, 0);
}

/* Loads and stores of 8 aligned bytes are not torn (8.1.1), and of one location never go back. */
static volatile u64 whole __attribute__((aligned(64)));
static volatile u64 torn[MAX_CPUS], back[MAX_CPUS];

static void whole_work(unsigned cpu)
{
    u64 last = 0;
    for (u64 i = 1; i <= 50 * ROUNDS; i++) {
        if (cpu == 0) {
            whole = i << 32 | i;
            continue;
        }
        u64 now = whole;
        torn[cpu] += now >> 32 != (u32)now;
        back[cpu] += now < last;
        last = now;
    }
}

static void whole_accesses(void)
{
    cpus_run(whole_work);
    check_eq("8 bytes, torn", total(torn, cpu_count), 0);
    check_eq("8 bytes, an older value after a newer one", total(back, cpu_count), 0);
}

int main(void)
{
    cpus_start();
    check("several processors", cpu_count > 1);
    message_passing();
    load_buffering();
    store_buffering();
    independent_reads();
    whole_accesses();
    return 0;
}
