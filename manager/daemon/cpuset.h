/* cpuset.h - sets of the host's processors: as text ("0-3,^2,7"), as libvirt's maps, as the kernel's */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DAEMON_CPUSET_H
#define DAEMON_CPUSET_H

#include <sched.h>

#include "base/base.h"

enum { CPUSET_TEXT = 8192 };

/* False: it is not such a list, or names a processor beyond CPU_SETSIZE, or is empty. */
bool cpuset_parse(const char *text, cpu_set_t *set);
/* Returns text. */
char *cpuset_format(const cpu_set_t *set, char text[CPUSET_TEXT]);

/* A map: bit N of its bytes, the lowest first, is processor N. */
void cpuset_from_map(cpu_set_t *set, const u8 *map, u32 size);
void cpuset_to_map(const cpu_set_t *set, u8 *map, u32 size);

/* All that the host has. */
void cpuset_all(cpu_set_t *set);

#endif
