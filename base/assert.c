/* assert.c - the end of a program that found its own bug */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>
#include <stdlib.h>

#include "base/base.h"

_Noreturn void assert_failed(const char *what, const char *file, int line)
{
    fprintf(stderr, "lodge: internal error at %s:%d: %s\n", file, line, what);
    abort();
}
