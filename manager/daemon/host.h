/* host.h - what the kernel says about the computer and about processes */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DAEMON_HOST_H
#define DAEMON_HOST_H

#include <sys/types.h>

#include "manager/daemon/text.h"

struct host_cpus {
    unsigned present, online, mhz;
    unsigned sockets, cores, threads; /* their product is at least `present` */
};

void host_cpus_read(struct host_cpus *c);
bool host_cpu_online(unsigned cpu);

/* What /proc/cpuinfo says of the first processor under that name ("vendor_id"). False: nothing. */
bool host_cpu_fact(const char *name, char *value, size_t size);

/* A line of /proc/meminfo ("MemFree:"), in KiB. */
u64 host_memory(const char *line);
/* Pages of one size that nobody has; false: the host has none of that size. */
bool host_free_pages(unsigned kib, u64 *count);

struct host_cpu_time {
    u64 kernel, user, idle, iowait; /* ns since the start of the computer */
};

/* cpu -1: of all. False: there is no such one. */
bool host_cpu_time_read(int cpu, struct host_cpu_time *t);

/* Of the computer: its own, or one made from the system's machine id. Returns text. */
char *host_uuid(char text[UUID_TEXT]);

struct process_usage {
    u64 user, system; /* ns */
    u64 resident;     /* KiB */
    int last_cpu;
};

/* How long a thread was ready to run and did not, in ns. False: the kernel does not count. */
bool thread_delay_read(pid_t pid, pid_t tid, u64 *delay);

/* tid 0: all threads of the process. False: it is gone. */
bool process_usage_read(pid_t pid, pid_t tid, struct process_usage *u);

#endif
