/* backing.c - the VM's RAM as a file that other processes can map (memfd_create(2), proc_pid_pagemap(5)) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Private anonymous memory of the program around us, which no other process can share, is replaced by memory
 * of a file, at the same address, when it becomes a slot: before the machine runs, so that nothing writes to
 * it but what prepares it, which is what called us. Memory that is in a slot for the first time later is
 * replaced only where nobody has touched it yet.
 *
 * The program may still think that its memory is private. What it could find out by: that MADV_DONTNEED
 * clears (backing_advised), that a child of fork(2) has its own copy (on_fork), that it is told of faults
 * (userfaultfd(2), which would not hear of a shadow's: backing_watch).
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hypervisor/direct/backing.h"
#include "hypervisor/direct/direct.h"
#include "hypervisor/large_page.h"

enum { MAX_RANGES = 64, PIECE = 64 << 20 };

struct range {
    u8 *host;
    u64 size, offset;
    bool no_fork;         /* a child of fork(2) has nothing there */
    bool watched;         /* the program hears of each access, and shadows have nothing there */
    _Atomic u64 *touched; /* bitmap of its pieces of LARGE_PAGE bytes, from its first whole one on; or NULL */
};

struct backing {
    struct backing *next; /* of all in the process */
    struct vm *vm;
    pthread_mutex_t lock; /* of the ranges, whose changes are made while vcpus are held besides */
    int fd;
    unsigned long inode;
    u64 size;
    unsigned count;
    struct range range[MAX_RANGES];
};

/* ---- all of the process ---- */

static struct {
    pthread_mutex_t lock; /* before a backing's lock; the holder may hold vcpus */
    pthread_once_t once;
    struct backing *list;
} all = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_ONCE_INIT, NULL};

static void before_fork(void)
{
    pthread_mutex_lock(&all.lock);
    for (struct backing *b = all.list; b; b = b->next)
        pthread_mutex_lock(&b->lock);
}

static void after_fork(void)
{
    for (struct backing *b = all.list; b; b = b->next)
        pthread_mutex_unlock(&b->lock);
    pthread_mutex_unlock(&all.lock);
}

/* The child's memory is its own, but for what the parent writes to pages that the child has not written to.
 */
static void on_fork(void)
{
    for (struct backing *b = all.list; b; b = b->next)
        for (unsigned i = 0; i < b->count; i++)
            if (!b->range[i].no_fork)
                mmap(b->range[i].host, b->range[i].size, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, b->fd, (off_t)b->range[i].offset);
    after_fork();
}

static void watch_forks(void)
{
    pthread_atfork(before_fork, after_fork, on_fork);
}

struct backing *backing_create(struct vm *vm)
{
    struct backing *b = calloc(1, sizeof(*b));
    if (!b)
        return NULL;
    b->vm = vm;
    b->fd = memfd_create("guest-memory", MFD_CLOEXEC);
    struct stat s;
    if (b->fd < 0 || fstat(b->fd, &s) < 0) {
        if (b->fd >= 0)
            close(b->fd);
        free(b);
        return NULL;
    }
    b->inode = s.st_ino;
    pthread_mutex_init(&b->lock, NULL);
    pthread_once(&all.once, watch_forks);
    pthread_mutex_lock(&all.lock);
    b->next = all.list;
    all.list = b;
    pthread_mutex_unlock(&all.lock);
    return b;
}

void backing_retire(struct backing *b)
{
    struct backing **at = &all.list;
    pthread_mutex_lock(&all.lock);
    while (*at && *at != b)
        at = &(*at)->next;
    if (*at)
        *at = b->next;
    pthread_mutex_unlock(&all.lock);
}

void backing_destroy(struct backing *b)
{
    backing_retire(b);
    for (unsigned i = 0; i < b->count; i++)
        free(b->range[i].touched);
    close(b->fd);
    pthread_mutex_destroy(&b->lock);
    free(b);
}

int backing_fd(const struct backing *b)
{
    return b->fd;
}

bool backing_find(const struct backing *b, const u8 *host, u64 *offset)
{
    for (unsigned i = 0; i < b->count; i++)
        if ((u64)(host - b->range[i].host) < b->range[i].size && !b->range[i].watched) {
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
    if (madvise(piece, LARGE_PAGE, MADV_COLLAPSE))
        madvise(piece, LARGE_PAGE, MADV_POPULATE_WRITE);
}

void backing_touch(struct backing *b, u8 *host)
{
    for (unsigned i = 0; i < b->count; i++) {
        struct range *r = &b->range[i];
        u8 *piece = (u8 *)ALIGN_DOWN((uintptr_t)host, LARGE_PAGE);
        if ((u64)(host - r->host) >= r->size)
            continue;
        if (!r->touched || piece < r->host || piece + LARGE_PAGE > r->host + r->size)
            return;
        u64 n = (u64)(piece - r->host) / LARGE_PAGE;
        if (!(atomic_load(&r->touched[n / 64]) >> n % 64 & 1) &&
            !(atomic_fetch_or(&r->touched[n / 64], BIT(n % 64)) >> n % 64 & 1))
            make_large(piece);
        return;
    }
}

/* The program has mapped other memory there since. With the lock. */
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

/* ---- what the program does to its memory ---- */

/* The part of range r that lies in the other: *from and *size. */
static bool overlap(const struct range *r, const u8 *host, u64 n, u64 *from, u64 *size)
{
    const u8 *begin = max((const u8 *)r->host, host);
    const u8 *end = min((const u8 *)r->host + r->size, host + n);
    if (begin >= end)
        return false;
    *from = r->offset + (u64)(begin - r->host);
    *size = (u64)(end - begin);
    return true;
}

static bool discards(int advice)
{
    enum { DONTNEED_LOCKED = 24 };
    return advice == MADV_DONTNEED || advice == DONTNEED_LOCKED || advice == MADV_FREE;
}

static bool advised(struct backing *b, const u8 *host, u64 size, int advice)
{
    bool any = false;
    u64 from, n;
    pthread_mutex_lock(&b->lock);
    for (unsigned i = 0; i < b->count; i++) {
        struct range *r = &b->range[i];
        if (!overlap(r, host, size, &from, &n))
            continue;
        any = true;
        if (discards(advice))
            fallocate(b->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)from, (off_t)n);
        else
            r->no_fork = advice == MADV_DONTFORK;
    }
    pthread_mutex_unlock(&b->lock);
    return any;
}

bool backing_advised(const u8 *host, u64 size, int advice)
{
    bool any = false;
    if (!discards(advice) && advice != MADV_DONTFORK && advice != MADV_DOFORK)
        return false;
    pthread_mutex_lock(&all.lock);
    for (struct backing *b = all.list; b; b = b->next)
        any |= advised(b, host, ALIGN_UP(size, 4096), advice);
    pthread_mutex_unlock(&all.lock);
    return any;
}

static bool watch_ranges(struct backing *b, const u8 *host, u64 size)
{
    bool any = false;
    u64 from, n;
    pthread_mutex_lock(&b->lock);
    for (unsigned i = 0; i < b->count; i++)
        if (!b->range[i].watched && overlap(&b->range[i], host, size, &from, &n))
            any = b->range[i].watched = true;
    pthread_mutex_unlock(&b->lock);
    return any;
}

void backing_watch(const u8 *host, u64 size)
{
    pthread_mutex_lock(&all.lock);
    for (struct backing *b = all.list; b; b = b->next) {
        vm_stop_vcpus(b->vm);
        for (unsigned i = watch_ranges(b, host, size) ? b->vm->vcpu_count : 0; i-- > 0;)
            direct_forget_all(b->vm->vcpu[i]);
        vm_resume_vcpus(b->vm);
    }
    pthread_mutex_unlock(&all.lock);
}

/* ---- what is there now ---- */

struct area {
    bool plain; /* private, anonymous, readable and writable, with nothing about it that we would lose */
    bool huge, no_fork, no_dump;
    unsigned long inode;
};

/* KSM, which merges private memory only. */
static bool same_pages_are_merged(void)
{
    char c = '0';
    int fd = open("/sys/kernel/mm/ksm/run", O_RDONLY | O_CLOEXEC);
    bool told = fd >= 0 && read(fd, &c, 1) == 1;
    if (fd >= 0)
        close(fd);
    return told && c == '1';
}

static void take_flags(struct area *a, const char *line)
{
    a->huge = strstr(line, " hg");
    a->no_fork = strstr(line, " dc");
    a->no_dump = strstr(line, " dd");
    a->plain &= !strstr(line, " lo") && !strstr(line, " wf") && !strstr(line, " um") &&
                !strstr(line, " uw") && !(strstr(line, " mg") && same_pages_are_merged());
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

/* Past the functions by which the program advises. */
static void advise(u8 *host, u64 size, const struct area *a)
{
    if (a->huge)
        syscall(SYS_madvise, host, size, MADV_HUGEPAGE);
    if (a->no_fork)
        syscall(SYS_madvise, host, size, MADV_DONTFORK);
    if (a->no_dump)
        syscall(SYS_madvise, host, size, MADV_DONTDUMP);
}

/* Made elsewhere and moved over the old memory, which is one step. */
static bool replace_piece(struct backing *b, u8 *host, u64 size, u64 offset)
{
    u8 *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, b->fd, (off_t)offset);
    if (p == MAP_FAILED)
        return false;
    if (each_page(host, size, copy, p) &&
        mremap(p, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, host) != MAP_FAILED)
        return true;
    munmap(p, size);
    return false;
}

/* A piece at a time, so that memory that the program has filled is not there twice. How much was replaced. */
static u64 replace(struct backing *b, u8 *host, u64 size, u64 offset, const struct area *a)
{
    u64 done = 0;
    while (done < size && replace_piece(b, host + done, min(size - done, (u64)PIECE), offset + done))
        done += min(size - done, (u64)PIECE);
    advise(host, done, a);
    return done;
}

/* setrlimit(2): to grow a file past RLIMIT_FSIZE would end the process with SIGXFSZ. */
static bool grow(const struct backing *b, u64 size)
{
    struct rlimit most;
    return !getrlimit(RLIMIT_FSIZE, &most) && size <= most.rlim_cur && !ftruncate(b->fd, (off_t)size);
}

static void adopt(struct backing *b, u8 *host, u64 size, bool in_use, const struct area *a)
{
    forget(b, host, size);
    if (b->count == MAX_RANGES || !a->plain || (in_use && !each_page(host, size, refuse, NULL)))
        return;
    u64 offset = ALIGN_UP(b->size, LARGE_PAGE) + ((uintptr_t)host & (LARGE_PAGE - 1));
    if (!grow(b, offset + size))
        return;
    u64 done = replace(b, host, size, offset, a);
    if (done) {
        void *touched = a->huge ? calloc(done / LARGE_PAGE / 64 + 1, sizeof(u64)) : NULL;
        b->range[b->count++] = (struct range){host, done, offset, .no_fork = a->no_fork, .touched = touched};
    }
    b->size = offset + done;
}

void backing_adopt(struct backing *b, u8 *host, u64 size, bool in_use)
{
    struct area a;
    if (!area_find(host, size, &a) || a.inode == b->inode)
        return;
    pthread_mutex_lock(&b->lock);
    adopt(b, host, size, in_use, &a);
    pthread_mutex_unlock(&b->lock);
}
