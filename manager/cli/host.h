/* host.h - what `lodge check` reads of a host: this one, or one that was recorded as a folder */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A recorded host is a folder with the files of /proc, /sys and /dev that matter, and with `cpuid`: a line
 * "LEAF SUBLEAF EAX EBX ECX EDX" in hexadecimal for each leaf. `kvm-mips` has the speed of a guest on its
 * /dev/kvm, if one was tried.
 */
#ifndef CLI_HOST_H
#define CLI_HOST_H

#include "base/base.h"

struct host {
    const char *root; /* NULL: this host */
};

struct cpuid {
    u32 eax, ebx, ecx, edx;
};

/* Zeros for a leaf that is not there. */
struct cpuid host_cpuid(const struct host *h, u32 leaf, u32 subleaf);
/* The first bytes of a file, as text without its last newline; false: it cannot be read. */
bool host_text(const struct host *h, const char *path, char *text, size_t size);
bool host_exists(const struct host *h, const char *path);
/* 0, or the errno of opening it for reading and writing. */
int host_opens(const struct host *h, const char *path);
/* How many entries a folder has, 0 if there is none. */
unsigned host_count(const struct host *h, const char *path);
bool host_msr(const struct host *h, u32 index, u64 *value);
/* Whether the line of /proc/cpuinfo that begins with name has the word. *there: whether there is such a line.
 */
bool host_cpuinfo(const struct host *h, const char *name, const char *word, bool *there);
/* MIPS of a guest on /dev/kvm, or -errno. */
int host_kvm_speed(const struct host *h);

#endif
