/* arena.h - memory that lives as long as one call */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef RPC_ARENA_H
#define RPC_ARENA_H

#include <stdarg.h>

#include "base/base.h"

struct arena_block;

/* Zero-initialised: empty. */
struct arena {
    struct arena_block *blocks;
};

/* Zeroed memory, aligned for any type; never NULL: no memory ends the program, as there is no call that could
 * go on without it. */
void *arena_alloc(struct arena *a, size_t size);
char *arena_strdup(struct arena *a, const char *text);
char *arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void arena_free(struct arena *a);

#define arena_new(a, type)          ((type *)arena_alloc(a, sizeof(type)))
#define arena_array(a, type, count) ((type *)arena_alloc(a, sizeof(type) * (size_t)(count)))

#endif
