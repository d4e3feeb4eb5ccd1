/* error.c - what a user is told: the text of a host error, and the program's lines on standard error */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/error.h"

int error_set(struct error *e, int err, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(e->text, sizeof(e->text), fmt, ap);
    va_end(ap);
    return -err;
}

void report(const char *fmt, ...)
{
    char line[2048];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    /* One call, so that lines of several threads do not mix. */
    fprintf(stderr, "%s: %s\n", program_invocation_short_name, line);
}
