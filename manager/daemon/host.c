/* host.c - what the kernel says about the computer and about processes */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "manager/daemon/host.h"

/* Files below /proc and /sys say size 0, so file_read cannot have them. */
static bool read_text(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    size_t got = 0;
    ssize_t n;
    while (got < size - 1 && (n = read(fd, text + got, size - 1 - got)) > 0)
        got += (size_t)n;
    close(fd);
    text[got] = 0;
    return got;
}

bool host_cpu_online(unsigned cpu)
{
    char path[64], text[16];
    snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%u/online", cpu);
    return !read_text(path, text, sizeof(text)) || text[0] == '1'; /* the first one has no such file */
}

bool host_cpu_fact(const char *name, char *value, size_t size)
{
    char text[16384], key[64];
    snprintf(key, sizeof(key), "\n%s\t", name);
    const char *line = read_text("/proc/cpuinfo", text, sizeof(text)) ? strstr(text, key) : NULL;
    line = line ? strchr(line, ':') : NULL;
    if (!line)
        return false;
    line += 1 + strspn(line + 1, " ");
    snprintf(value, size, "%.*s", (int)strcspn(line, "\n"), line);
    return true;
}

static unsigned cpu_mhz(void)
{
    char mhz[32];
    return host_cpu_fact("cpu MHz", mhz, sizeof(mhz)) ? (unsigned)strtoul(mhz, NULL, 10) : 0;
}

static unsigned threads_per_core(void)
{
    char text[256];
    unsigned first, last;
    if (!read_text("/sys/devices/system/cpu/cpu0/topology/thread_siblings_list", text, sizeof(text)))
        return 1;
    return sscanf(text, "%u%*[-,]%u", &first, &last) == 2 ? 2 : 1;
}

void host_cpus_read(struct host_cpus *c)
{
    *c = (struct host_cpus){.present = (unsigned)max(sysconf(_SC_NPROCESSORS_CONF), 1l),
                            .online = (unsigned)max(sysconf(_SC_NPROCESSORS_ONLN), 1l),
                            .mhz = cpu_mhz(),
                            .sockets = 1,
                            .threads = threads_per_core()};
    c->cores = (c->present + c->threads - 1) / c->threads;
}

u64 host_memory(const char *line)
{
    char text[8192];
    const char *at = read_text("/proc/meminfo", text, sizeof(text)) ? strstr(text, line) : NULL;
    return at ? strtoull(at + strlen(line), NULL, 10) : 0;
}

bool host_cpu_time_read(int cpu, struct host_cpu_time *t)
{
    char *text = calloc(1, 1 << 20), name[32];
    ASSERT(text);
    snprintf(name, sizeof(name), cpu < 0 ? "cpu " : "cpu%d ", cpu);
    const char *at = read_text("/proc/stat", text, 1 << 20) ? strstr(text, name) : NULL;
    u64 user, nice, system, idle, iowait, irq, softirq;
    bool good = at && sscanf(at + strlen(name), "%lu %lu %lu %lu %lu %lu %lu", &user, &nice, &system, &idle,
                             &iowait, &irq, &softirq) == 7;
    if (good) {
        u64 tick = 1000000000ull / (u64)sysconf(_SC_CLK_TCK);
        *t = (struct host_cpu_time){.kernel = (system + irq + softirq) * tick,
                                    .user = (user + nice) * tick,
                                    .idle = idle * tick,
                                    .iowait = iowait * tick};
    }
    free(text);
    return good;
}

char *host_uuid(char text[UUID_TEXT])
{
    char found[128];
    u8 uuid[16] = {0};
    static const char *const places[] = {"/sys/class/dmi/id/product_uuid", "/etc/machine-id"};
    for (size_t i = 0; i < ARRAY_SIZE(places); i++)
        if (read_text(places[i], found, sizeof(found))) {
            found[strcspn(found, "\n")] = 0;
            if (uuid_parse(found, uuid))
                break;
        }
    return uuid_format(uuid, text);
}

bool process_usage_read(pid_t pid, pid_t tid, struct process_usage *u)
{
    char path[96], text[1024];
    if (tid)
        snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", (int)pid, (int)tid);
    else
        snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    const char *at = read_text(path, text, sizeof(text)) ? strrchr(text, ')') : NULL;
    u64 user, system, pages;
    int cpu;
    if (!at ||
        sscanf(at + 1,
               " %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %lu %lu %*s %*s %*s %*s %*s %*s %*s %*s %lu "
               "%*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %d",
               &user, &system, &pages, &cpu) != 4)
        return false;
    u64 tick = 1000000000ull / (u64)sysconf(_SC_CLK_TCK);
    *u = (struct process_usage){.user = user * tick,
                                .system = system * tick,
                                .resident = pages * (u64)sysconf(_SC_PAGESIZE) / 1024,
                                .last_cpu = cpu};
    return true;
}

bool thread_delay_read(pid_t pid, pid_t tid, u64 *delay)
{
    char path[96], text[128];
    snprintf(path, sizeof(path), "/proc/%d/task/%d/schedstat", (int)pid, (int)tid);
    return read_text(path, text, sizeof(text)) && sscanf(text, "%*u %lu", delay) == 1;
}

bool host_free_pages(unsigned kib, u64 *count)
{
    char path[80], text[32];
    if ((long)kib * 1024 == sysconf(_SC_PAGESIZE)) {
        *count = host_memory("MemFree:") / kib;
        return true;
    }
    snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/hugepages-%ukB/free_hugepages", kib);
    return read_text(path, text, sizeof(text)) && sscanf(text, "%lu", count) == 1;
}
