/* error.c - what a user is told: the text of a host error, and the program's lines on standard error */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "base/error.h"

int error_set(struct error *e, int err, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(e->text, sizeof(e->text), fmt, ap);
    va_end(ap);
    return -err;
}

/* Of the process, as standard error is. */
static bool with_times;

void report_times(bool on)
{
    with_times = on;
}

static void print_time(char *text, size_t size)
{
    struct timespec t;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &t);
    gmtime_r(&t.tv_sec, &utc);
    size_t n = strftime(text, size, "%FT%T", &utc);
    snprintf(text + n, size - n, ".%06ldZ ", t.tv_nsec / 1000);
}

void report(const char *fmt, ...)
{
    char line[2048], when[48] = "";
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    /* One call, so that lines of several threads do not mix. */
    if (with_times)
        print_time(when, sizeof(when));
    fprintf(stderr, "%s%s: %s\n", when, program_invocation_short_name, line);
}
