/* memory.c - streams over 64 MiB, random accesses, chains of pointers */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdlib.h>
#include <string.h>

#include "workload.h"

enum { BYTES = 64 << 20, DOUBLES = BYTES / sizeof(double), LINE = 64 };

#define BARRIER __asm__ volatile("" ::: "memory")

static double *a, *b, *c;

static void *take(size_t bytes)
{
    void *p = aligned_alloc(4096, bytes);
    if (!p)
        exit(1);
    return p;
}

static void fill_arrays(void)
{
    a = take(BYTES);
    b = take(BYTES);
    c = take(BYTES);
    for (long i = 0; i < DOUBLES; i++) {
        a[i] = (double)i;
        b[i] = (double)(2 * i);
        c[i] = (double)(3 * i);
    }
}

static void run_copy(long n)
{
    for (long i = 0; i < n; i++) {
        memcpy(a, b, BYTES);
        BARRIER;
    }
}

static void run_memset(long n)
{
    for (long i = 0; i < n; i++) {
        memset(a, (int)i, BYTES);
        BARRIER;
    }
}

__attribute__((optimize("O3"))) static void run_triad(long n)
{
    for (long k = 0; k < n; k++) {
        double factor = (double)k, *restrict x = a, *restrict y = b, *restrict z = c;
        for (long i = 0; i < DOUBLES; i++)
            x[i] = y[i] + factor * z[i];
        BARRIER;
    }
}

__attribute__((optimize("O2", "no-tree-vectorize"))) static void run_read(long n)
{
    uint64_t sum = 0;
    const uint64_t *words = (const uint64_t *)a;
    for (long k = 0; k < n; k++)
        for (long i = 0; i < DOUBLES; i++)
            sum += words[i];
    sink = sum;
}

static void run_random(long n)
{
    uint64_t *words = (uint64_t *)a;
    for (long i = 0; i < n; i++)
        words[random_next() % DOUBLES] ^= (uint64_t)i;
}

/* ---- a ring of pointers, one in each cache line, in random order ---- */
static void **at;

static void make_ring(size_t bytes)
{
    size_t lines = bytes / LINE;
    void **ring = take(bytes);
    uint32_t *order = take(lines * sizeof(*order) < 4096 ? 4096 : lines * sizeof(*order));
    for (size_t i = 0; i < lines; i++)
        order[i] = (uint32_t)i;
    for (size_t i = lines - 1; i > 0; i--) {
        size_t j = random_next() % i;
        uint32_t swapped = order[i];
        order[i] = order[j];
        order[j] = swapped;
    }
    for (size_t i = 0; i < lines; i++)
        ring[order[i] * 8] = &ring[order[(i + 1) % lines] * 8];
    free(order);
    at = ring;
}

static void ring_32k(void)
{
    make_ring(32 << 10);
}

static void ring_1m(void)
{
    make_ring(1 << 20);
}

static void ring_64m(void)
{
    make_ring(64 << 20);
}

static void run_chase(long n)
{
    void **p = at;
    for (long i = 0; i < n; i++)
        p = *p;
    at = p;
    sink = (uintptr_t)p;
}

const struct workload workloads[] = {
    {"copy64M", run_copy, fill_arrays},
    {"memset64M", run_memset, fill_arrays},
    {"triad64M", run_triad, fill_arrays},
    {"read64M", run_read, fill_arrays},
    {"random64M", run_random, fill_arrays},
    {"chase32K", run_chase, ring_32k},
    {"chase1M", run_chase, ring_1m},
    {"chase64M", run_chase, ring_64m},
    {NULL, NULL, NULL},
};
