/* perf_map.h - names of translations for Linux's perf */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TRANSLATE_PERF_MAP_H
#define TRANSLATE_PERF_MAP_H

struct block;
struct engine;

/* Adds a line for b to /tmp/perf-PID.map. With the engine's lock. */
void perf_map_add(const struct engine *e, const struct block *b, u64 pc);

#endif
