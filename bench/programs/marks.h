/* marks.h - where a measured segment begins and ends, told to the host (the other end: bench/machines.py) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef BENCH_MARKS_H
#define BENCH_MARKS_H

/* Stay on the processor that this runs on now, with all children. */
void marks_pin(void);

/* Prints "@begin" and waits for a line. What is computed between here and mark_end counts. */
void mark_begin(void);

/* Prints "@end COUNT WALL CPU", both in nanoseconds and by the clocks of whoever runs this, and waits for a
 * line. CPU is that of this process and of the children that it has waited for. */
void mark_end(long count);

/* CLOCK_MONOTONIC in seconds. */
double now(void);

#endif
