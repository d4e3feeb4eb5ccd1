/* perf_map.h - names of translations for Linux's perf */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TRANSLATE_PERF_MAP_H
#define TRANSLATE_PERF_MAP_H

#include "base/base.h"

struct block;
struct engine;

/* Makes /tmp/perf-PID.map, while the program may still make files. false: errno tells why. */
bool perf_map_start(void);
/* Adds a line for b to it. With the engine's lock. */
void perf_map_add(const struct engine *e, const struct block *b, u64 pc);

#endif
