/* marks.c - where a measured segment begins and ends, told to the host */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "marks.h"

static double wall_start, cpu_start;

double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double seconds(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec * 1e-6;
}

static double cpu(void)
{
    struct rusage self, children;
    getrusage(RUSAGE_SELF, &self);
    getrusage(RUSAGE_CHILDREN, &children);
    return seconds(self.ru_utime) + seconds(self.ru_stime) + seconds(children.ru_utime) +
           seconds(children.ru_stime);
}

/* The host reads its clocks between our line and its own. */
static void wait_for_line(void)
{
    char c = 0;
    while (c != '\n')
        if (read(STDIN_FILENO, &c, 1) != 1)
            exit(1);
}

void marks_pin(void)
{
    cpu_set_t set;
    int cpu = sched_getcpu();
    CPU_ZERO(&set);
    CPU_SET(cpu < 0 ? 0 : (size_t)cpu, &set);
    sched_setaffinity(0, sizeof(set), &set);
}

void mark_begin(void)
{
    dprintf(STDOUT_FILENO, "@begin\n");
    wait_for_line();
    cpu_start = cpu();
    wall_start = now();
}

void mark_end(long count)
{
    double wall = now() - wall_start, used = cpu() - cpu_start;
    dprintf(STDOUT_FILENO, "@end %ld %.0f %.0f\n", count, wall * 1e9, used * 1e9);
    wait_for_line();
}
