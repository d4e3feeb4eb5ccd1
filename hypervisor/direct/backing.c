/* backing.c - the VM's RAM as a file that other processes can map (memfd_create(2), proc_pid_pagemap(5)) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Private anonymous memory of the program around us, which no other process can share, is replaced by memory
 * of a file, at the same address, when it becomes a slot: before the machine runs, so that nothing writes to
 * it but what prepares it, which is what called us. Memory that is in a slot for the first time later is
 * replaced only where nobody has touched it yet.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hypervisor/direct/backing.h"

enum { MAX_RANGES = 64, HUGE_PAGE = 2 << 20 };

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

struct range {
    u8 *host;
    u64 size, offset;
    _Atomic u64 *touched; /* bitmap of its pieces of HUGE_PAGE bytes, from its first whole one on; or NULL */
};

struct backing {
    int fd;
    unsigned long inode;
    u64 size;
    unsigned count;
    struct range range[MAX_RANGES];
};

struct backing *backing_create(void)
{
    struct backing *b = calloc(1, sizeof(*b));
    if (!b)
        return NULL;
    b->fd = memfd_create("guest-memory", MFD_CLOEXEC);
    struct stat s;
    if (b->fd < 0 || fstat(b->fd, &s) < 0) {
        backing_destroy(b);
        return NULL;
    }
    b->inode = s.st_ino;
    return b;
}

void backing_destroy(struct backing *b)
{
    for (unsigned i = 0; i < b->count; i++)
        free(b->range[i].touched);
    if (b->fd >= 0)
        close(b->fd);
    free(b);
}

int backing_fd(const struct backing *b)
{
    return b->fd;
}

bool backing_find(const struct backing *b, const u8 *host, u64 *offset)
{
    for (unsigned i = 0; i < b->count; i++)
        if ((u64)(host - b->range[i].host) < b->range[i].size) {
            *offset = b->range[i].offset + (u64)(host - b->range[i].host);
            return true;
        }
    return false;
}

/* A file's memory gets large pages where the host is asked for each, whatever its settings say of shared
 * memory (Linux 6.1). An older one gives many small ones at once, which at least saves a fault for each. */
static void make_large(u8 *piece)
{
    __atomic_fetch_or(piece, 0, __ATOMIC_RELAXED); /* there is something to make large */
    if (madvise(piece, HUGE_PAGE, MADV_COLLAPSE))
        madvise(piece, HUGE_PAGE, MADV_POPULATE_WRITE);
}

void backing_touch(struct backing *b, u8 *host)
{
    for (unsigned i = 0; i < b->count; i++) {
        struct range *r = &b->range[i];
        u8 *piece = (u8 *)ALIGN_DOWN((uintptr_t)host, HUGE_PAGE);
        if ((u64)(host - r->host) >= r->size)
            continue;
        if (!r->touched || piece < r->host || piece + HUGE_PAGE > r->host + r->size)
            return;
        u64 n = (u64)(piece - r->host) / HUGE_PAGE;
        if (!(atomic_load(&r->touched[n / 64]) >> n % 64 & 1) &&
            !(atomic_fetch_or(&r->touched[n / 64], BIT(n % 64)) >> n % 64 & 1))
            make_large(piece);
        return;
    }
}

/* The program has mapped other memory there since. */
static void forget(struct backing *b, const u8 *host, u64 size)
{
    for (unsigned i = 0; i < b->count;) {
        struct range *r = &b->range[i];
        if (host < r->host + r->size && r->host < host + size) {
            fallocate(b->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)r->offset, (off_t)r->size);
            free(r->touched);
            *r = b->range[--b->count];
        } else {
            i++;
        }
    }
}

/* ---- what is there now ---- */

struct area {
    bool plain; /* private, anonymous, readable and writable, with nothing about it that we would lose */
    bool huge, no_fork, no_dump;
    unsigned long inode;
};

static void take_flags(struct area *a, const char *line)
{
    a->huge = strstr(line, " hg");
    a->no_fork = strstr(line, " dc");
    a->no_dump = strstr(line, " dd");
    a->plain &= !strstr(line, " lo") && !strstr(line, " wf") && !strstr(line, " um") && !strstr(line, " uw");
}

/* One area of /proc/self/smaps has all of the range. */
static bool area_find(const u8 *host, u64 size, struct area *a)
{
    FILE *f = fopen("/proc/self/smaps", "re");
    char line[512];
    bool found = false;
    *a = (struct area){0};
    while (f && fgets(line, sizeof(line), f)) {
        unsigned long from, to, inode;
        char rights[5];
        if (sscanf(line, "%lx-%lx %4s %*x %*x:%*x %lu", &from, &to, rights, &inode) == 4) {
            if (found)
                break;
            found = from <= (uintptr_t)host && (uintptr_t)host + size <= to;
            a->inode = inode;
            a->plain = found && !strcmp(rights, "rw-p") && !inode && !strchr(line, '[');
        } else if (found && !strncmp(line, "VmFlags:", 8)) {
            take_flags(a, line);
        }
    }
    if (f)
        fclose(f);
    return found;
}

/* Calls f with each page that is in memory or in swap. false: it could not be found out, or f said so. */
static bool each_page(u8 *host, u64 size, bool (*f)(void *to, const u8 *page, u64 offset), void *to)
{
    enum { CHUNK = 4096 };
    u64 *entry = malloc(CHUNK * sizeof(u64));
    int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    bool good = entry && fd >= 0;
    for (u64 page = 0; good && page < size >> 12; page += CHUNK) {
        size_t n = min((u64)CHUNK, (size >> 12) - page);
        good = pread(fd, entry, n * 8, (off_t)((((uintptr_t)host >> 12) + page) * 8)) == (ssize_t)(n * 8);
        for (size_t i = 0; good && i < n; i++)
            if (entry[i] >> 62) /* present, swapped */
                good = f(to, host + ((page + i) << 12), (page + i) << 12);
    }
    if (fd >= 0)
        close(fd);
    free(entry);
    return good;
}

static bool refuse(void *to, const u8 *page, u64 offset)
{
    (void)to, (void)page, (void)offset;
    return false;
}

static bool copy(void *to, const u8 *page, u64 offset)
{
    memcpy((u8 *)to + offset, page, 4096);
    return true;
}

/* ---- replacing it ---- */

static void advise(u8 *host, u64 size, const struct area *a)
{
    if (a->huge)
        madvise(host, size, MADV_HUGEPAGE);
    if (a->no_fork)
        madvise(host, size, MADV_DONTFORK);
    if (a->no_dump)
        madvise(host, size, MADV_DONTDUMP);
}

/* Made elsewhere and moved over the old memory, which is one step. */
static bool replace(struct backing *b, u8 *host, u64 size, u64 offset, const struct area *a)
{
    u8 *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, b->fd, (off_t)offset);
    if (p == MAP_FAILED)
        return false;
    if (!each_page(host, size, copy, p) ||
        mremap(p, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, host) == MAP_FAILED) {
        munmap(p, size);
        return false;
    }
    advise(host, size, a);
    return true;
}

/* setrlimit(2): to grow a file past RLIMIT_FSIZE would end the process with SIGXFSZ. */
static bool grow(const struct backing *b, u64 size)
{
    struct rlimit most;
    return !getrlimit(RLIMIT_FSIZE, &most) && size <= most.rlim_cur && !ftruncate(b->fd, (off_t)size);
}

void backing_adopt(struct backing *b, u8 *host, u64 size, bool in_use)
{
    struct area a;
    if (!area_find(host, size, &a) || a.inode == b->inode)
        return;
    forget(b, host, size);
    if (b->count == MAX_RANGES || !a.plain || (in_use && !each_page(host, size, refuse, NULL)))
        return;
    u64 offset = ALIGN_UP(b->size, HUGE_PAGE) + ((uintptr_t)host & (HUGE_PAGE - 1));
    if (!grow(b, offset + size))
        return;
    if (replace(b, host, size, offset, &a)) {
        void *touched = a.huge ? calloc(size / HUGE_PAGE / 64 + 1, sizeof(u64)) : NULL;
        b->range[b->count++] = (struct range){host, size, offset, touched};
    }
    b->size = offset + size;
}
