/* workload.h - a small workload that is repeated as often as the time allows */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef BENCH_WORKLOAD_H
#define BENCH_WORKLOAD_H

#include <stdint.h>

struct workload {
    const char *name;
    void (*run)(long n);   /* does it n times */
    void (*prepare)(void); /* before the clock runs; or NULL */
};

/* Each program has a table of its own, which ends with a row without a name. */
extern const struct workload workloads[];

/* Where results go that the compiler must not drop. */
extern volatile uint64_t sink;

/* The same sequence in every run. */
uint64_t random_next(void);

#endif
