/* error.h - what a user is told: the text of a host error, and the program's lines on standard error */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include <stdbool.h>

/* One line: what was being done, to what, why it failed, what to do. Made where all of that is known, printed
 * once, by main. */
struct error {
    char text[1024];
};

/* Writes the line and returns -err, so that a function can `return error_set(e, ENOEXEC, ...)`. err > 0. */
int error_set(struct error *e, int err, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Lines of `report` begin with the time from here on. */
void report_times(bool on);

/* "PROGRAM: line" on standard error. */
void report(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
