/* program.h - whether a program can be served: found, executable, and one that takes a preload library */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SHIM_PROGRAM_H
#define SHIM_PROGRAM_H

#include <stddef.h>

#include "base/error.h"

/* As execvp(3) finds it. -ENOENT, -EACCES with e. */
int program_find(const char *name, char *path, size_t size, struct error *e);

/* 0, or -ENOEXEC with e: the dynamic linker would not load the library into it. Of a script, its interpreter
 * is looked at. */
int program_check(const char *path, struct error *e);

#endif
