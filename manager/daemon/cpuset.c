/* cpuset.c - sets of the host's processors */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "manager/daemon/cpuset.h"
#include "manager/daemon/host.h"

/* One number; *at goes behind it. */
static bool read_number(const char **at, unsigned *n)
{
    char *end;
    if (!isdigit((unsigned char)**at))
        return false;
    unsigned long v = strtoul(*at, &end, 10);
    *at = end;
    *n = (unsigned)v;
    return v < CPU_SETSIZE;
}

/* "7", "0-3" or "^2"; *at goes behind it. */
static bool read_part(const char **at, cpu_set_t *set)
{
    unsigned first, last;
    bool without = **at == '^';
    *at += without;
    if (!read_number(at, &first))
        return false;
    last = first;
    if (**at == '-') {
        ++*at;
        if (!read_number(at, &last) || last < first)
            return false;
    }
    for (; first <= last; first++)
        without ? CPU_CLR(first, set) : CPU_SET(first, set);
    return true;
}

bool cpuset_parse(const char *text, cpu_set_t *set)
{
    CPU_ZERO(set);
    for (const char *at = text;;) {
        at += strspn(at, " \t\n");
        if (!read_part(&at, set))
            return false;
        at += strspn(at, " \t\n");
        if (!*at)
            return CPU_COUNT(set) > 0;
        if (*at++ != ',')
            return false;
    }
}

char *cpuset_format(const cpu_set_t *set, char text[CPUSET_TEXT])
{
    size_t used = 0;
    text[0] = 0;
    for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        unsigned last = cpu;
        if (!CPU_ISSET(cpu, set))
            continue;
        while (last + 1 < CPU_SETSIZE && CPU_ISSET(last + 1, set))
            last++;
        used += (size_t)snprintf(text + used, CPUSET_TEXT - used, last > cpu ? "%s%u-%u" : "%s%u",
                                 used ? "," : "", cpu, last);
        cpu = last;
    }
    return text;
}

void cpuset_from_map(cpu_set_t *set, const u8 *map, u32 size)
{
    CPU_ZERO(set);
    for (u32 cpu = 0; cpu < CPU_SETSIZE && cpu / 8 < size; cpu++)
        if (map[cpu / 8] & 1 << cpu % 8)
            CPU_SET(cpu, set);
}

void cpuset_to_map(const cpu_set_t *set, u8 *map, u32 size)
{
    for (u32 cpu = 0; cpu < CPU_SETSIZE && cpu / 8 < size; cpu++)
        if (CPU_ISSET(cpu, set))
            map[cpu / 8] |= (u8)(1 << cpu % 8);
}

void cpuset_all(cpu_set_t *set)
{
    struct host_cpus cpus;
    host_cpus_read(&cpus);
    CPU_ZERO(set);
    for (unsigned cpu = 0; cpu < cpus.present && cpu < CPU_SETSIZE; cpu++)
        CPU_SET(cpu, set);
}
