/* statistics.c - what the engine of a VM has done, for a person to read (lodge_kvm_statistics) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "hypervisor/api/object.h"
#include "hypervisor/direct/direct.h"
#include "hypervisor/translate/cache.h"
#include "lodge/kvm.h"

struct text {
    char *at;
    size_t left, length;
};

__attribute__((format(printf, 2, 3))) static void text_add(struct text *t, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(t->at, t->left, format, args);
    va_end(args);
    size_t fits = t->left ? min((size_t)n, t->left - 1) : 0;
    t->at += fits;
    t->left -= fits;
    t->length += (size_t)n;
}

static unsigned long long count(const u64 *counter)
{
    return __atomic_load_n(counter, __ATOMIC_RELAXED); /* its vcpu may be running */
}

static const char *const exit_names[STAT_EXITS] = {
    [STAT_OTHER] = "other",        [STAT_IO] = "port I/O",
    [STAT_MMIO] = "device memory", [STAT_HALT] = "halt",
    [STAT_SIGNAL] = "interrupted", [STAT_DEBUG] = "debugger",
    [STAT_SHUTDOWN] = "shutdown",  [STAT_IRQ_WINDOW] = "interrupt window",
};

static void vcpu_text(struct text *t, const struct vcpu *v)
{
    text_add(t, "vcpu %u: exits %llu", v->id, count(&v->stat_exits));
    const char *before = " (";
    for (unsigned i = 0; i < STAT_EXITS; i++)
        if (count(&v->stat_exit[i])) {
            text_add(t, "%s%s %llu", before, exit_names[i], count(&v->stat_exit[i]));
            before = ", ";
        }
    text_add(t,
             "%s, exceptions and interrupts %llu, translations %llu, TLB misses %llu, stores to code %llu\n",
             *before == ',' ? ")" : "", count(&v->stat_injections), count(&v->stat_translations),
             count(&v->stat_tlb_misses), count(&v->stat_invalidations));
}

static void direct_text(struct text *t, const struct vcpu *v)
{
    struct direct_statistics s;
    direct_statistics(v, &s);
    if (s.entries)
        text_add(
            t,
            "vcpu %u, ring 3 run directly: %llu ms in %llu entries, left for system calls %llu, page faults %llu, "
            "others %llu, kicks %llu; pages mapped %llu\n",
            v->id, count(&s.nanoseconds) / 1000000, count(&s.entries), count(&s.system_calls),
            count(&s.faults), count(&s.others), count(&s.kicks), count(&s.mapped));
}

static void cache_text(struct text *t, const struct engine *e)
{
    text_add(t,
             "code cache: %u blocks, %zu of %d KiB of code, %zu of %d KiB of tables, %d of %d crossings, "
             "emptied %llu times\n",
             __atomic_load_n(&e->block_count, __ATOMIC_RELAXED),
             __atomic_load_n(&e->code_used, __ATOMIC_RELAXED) >> 10, CODE_SIZE >> 10,
             __atomic_load_n(&e->meta_used, __ATOMIC_RELAXED) >> 10, META_SIZE >> 10,
             __atomic_load_n(&e->crossing_count, __ATOMIC_RELAXED), CROSSINGS, count(&e->flushes));
}

__attribute__((visibility("default"))) int lodge_kvm_statistics(int fd, char *buffer, size_t size)
{
    struct text t = {buffer, size, 0};
    struct object *o = object_get(fd);
    if (!o || o->kind != OBJECT_VM || !object_is_own(o)) {
        if (o)
            object_put(o);
        errno = EBADF;
        return -1;
    }
    struct vm *vm = o->target;
    if (size)
        *buffer = 0;
    pthread_mutex_lock(&vm->lock);
    for (unsigned i = 0; i < vm->vcpu_count; i++)
        if (vm->vcpu[i]) {
            vcpu_text(&t, vm->vcpu[i]);
            direct_text(&t, vm->vcpu[i]);
        }
    cache_text(&t, vm->engine);
    pthread_mutex_unlock(&vm->lock);
    object_put(o);
    return (int)t.length;
}
