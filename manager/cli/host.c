/* host.c - what `lodge check` reads of a host: this one, or one that was recorded as a folder */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <cpuid.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/kvm_probe.h"
#include "manager/cli/host.h"

/* A path too long for a file to have stands for one that is not there. */
static const char *path_of(const struct host *h, const char *path, char full[PATH_MAX])
{
    return snprintf(full, PATH_MAX, "%s%s", h->root ? h->root : "", path) < PATH_MAX ? full : "";
}

static struct cpuid recorded_cpuid(const struct host *h, u32 leaf, u32 subleaf)
{
    char full[PATH_MAX];
    struct cpuid r = {0};
    u32 l, s;
    FILE *f = fopen(path_of(h, "/cpuid", full), "re");

    while (f && fscanf(f, "%x %x %x %x %x %x", &l, &s, &r.eax, &r.ebx, &r.ecx, &r.edx) == 6)
        if (l == leaf && s == subleaf) {
            fclose(f);
            return r;
        }
    if (f)
        fclose(f);
    return (struct cpuid){0};
}

struct cpuid host_cpuid(const struct host *h, u32 leaf, u32 subleaf)
{
    struct cpuid r = {0};

    if (h->root)
        return recorded_cpuid(h, leaf, subleaf);
    if (leaf >> 16 == 0x4000)
        __cpuid_count(leaf, subleaf, r.eax, r.ebx, r.ecx, r.edx);
    else if (!__get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx))
        return (struct cpuid){0};
    return r;
}

bool host_text(const struct host *h, const char *path, char *text, size_t size)
{
    char full[PATH_MAX];
    int fd = open(path_of(h, path, full), O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);

    if (fd >= 0)
        close(fd);
    text[max(n, (ssize_t)0)] = 0;
    if (n > 0 && text[n - 1] == '\n')
        text[n - 1] = 0;
    return n >= 0;
}

bool host_exists(const struct host *h, const char *path)
{
    char full[PATH_MAX];
    return !access(path_of(h, path, full), F_OK);
}

int host_opens(const struct host *h, const char *path)
{
    char full[PATH_MAX];
    int fd = open(path_of(h, path, full), O_RDWR | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0)
        return errno;
    close(fd);
    return 0;
}

unsigned host_count(const struct host *h, const char *path)
{
    char full[PATH_MAX];
    unsigned n = 0;
    DIR *d = opendir(path_of(h, path, full));

    for (struct dirent *e; d && (e = readdir(d));)
        n += e->d_name[0] != '.';
    if (d)
        closedir(d);
    return n;
}

bool host_msr(const struct host *h, u32 index, u64 *value)
{
    char full[PATH_MAX];
    int fd = open(path_of(h, "/dev/cpu/0/msr", full), O_RDONLY | O_CLOEXEC);
    bool good = fd >= 0 && pread(fd, value, sizeof(*value), (off_t)index) == sizeof(*value);

    if (fd >= 0)
        close(fd);
    return good;
}

static bool has_word(const char *line, const char *word)
{
    size_t n = strlen(word);

    for (const char *p = line; (p = strstr(p, word)); p += n)
        if (p > line && strchr(" \t:", p[-1]) && (!p[n] || strchr(" \n", p[n])))
            return true;
    return false;
}

bool host_cpuinfo(const struct host *h, const char *name, const char *word, bool *there)
{
    char full[PATH_MAX], *line = NULL;
    size_t size = 0, n = strlen(name);
    bool found = false;
    FILE *f = fopen(path_of(h, "/proc/cpuinfo", full), "re");

    *there = false;
    while (f && !*there && getline(&line, &size, f) > 0) {
        *there =
            !strncmp(line, name, n) && strchr(" \t:", line[n]) && line[n + strspn(line + n, " \t")] == ':';
        found = *there && has_word(line, word);
    }
    free(line);
    if (f)
        fclose(f);
    return found;
}

int host_kvm_speed(const struct host *h)
{
    char text[32];

    if (h->root)
        return host_text(h, "/kvm-mips", text, sizeof(text)) ? atoi(text) : -ENODEV;
    int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    int r = fd < 0 ? -errno : kvm_probe_speed(fd);
    if (fd >= 0)
        close(fd);
    return r;
}
