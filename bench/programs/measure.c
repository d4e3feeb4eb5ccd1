/* measure.c - main of the programs with a table of workloads: PROGRAM NAME SECONDS SEGMENTS */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "marks.h"
#include "workload.h"

volatile uint64_t sink;

uint64_t random_next(void)
{
    static uint64_t state = 88172645463325252ull;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static double took(const struct workload *w, long n)
{
    double start = now();
    w->run(n);
    return now() - start;
}

/* How often it can be done in so many seconds. Each guess is tried twice: the first time may pay for what is
 * paid only once, pages and translations. */
static long calibrate(const struct workload *w, double wanted)
{
    for (long n = 1;;) {
        took(w, n);
        double t = took(w, n);
        if (t >= wanted / 4 || n > 1l << 50)
            return (double)n * wanted / t < 1 ? 1 : (long)((double)n * wanted / t);
        n *= t < wanted / 32 ? 8 : 2;
    }
}

static const struct workload *find(const char *name)
{
    for (const struct workload *w = workloads; w->name; w++)
        if (strcmp(w->name, name) == 0)
            return w;
    return NULL;
}

int main(int argc, char **argv)
{
    const struct workload *w = argc == 4 ? find(argv[1]) : NULL;
    if (!w) {
        fprintf(stderr, "usage: %s NAME SECONDS SEGMENTS, NAME is one of:", argv[0]);
        for (w = workloads; w->name; w++)
            fprintf(stderr, " %s", w->name);
        fprintf(stderr, "\n");
        return 2;
    }
    marks_pin();
    if (w->prepare)
        w->prepare();
    long n = calibrate(w, atof(argv[2]));
    for (int segments = atoi(argv[3]); segments > 0; segments--) {
        mark_begin();
        w->run(n);
        mark_end(n);
    }
    return 0;
}
