/* trim.c - the translations of a guest that idles give their memory back */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <time.h>

#include "hypervisor/gate.h"
#include "hypervisor/translate/cache.h"
#include "hypervisor/translate/execute.h"
#include "hypervisor/translate/vcpu_engine.h"

/* Most of what starting a system has translated is not run again. What is, is soon made anew. */
enum {
    QUIET_MS = 4000,
    QUIET_SHARE = 20 /* less than one part in so many of a processor */,
    KEPT_BYTES = 16 << 20
};

static u64 clock_ns(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (u64)t.tv_sec * 1000000000 + (u64)t.tv_nsec;
}

static bool is_large(const struct engine *e)
{
    return __atomic_load_n(&e->code_used, __ATOMIC_RELAXED) +
               __atomic_load_n(&e->meta_used, __ATOMIC_RELAXED) >
           KEPT_BYTES;
}

/* Has the process hardly run since the vcpu asked last, some seconds ago? */
static bool was_quiet(struct vcpu *v)
{
    u64 now = clock_ns(CLOCK_MONOTONIC_COARSE), wall = now - v->priv->quiet.since;
    if (wall < QUIET_MS * 1000000ull)
        return false;
    u64 cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID), used = cpu - v->priv->quiet.cpu;
    bool first = !v->priv->quiet.since;
    v->priv->quiet.since = now;
    v->priv->quiet.cpu = cpu;
    return !first && used < wall / QUIET_SHARE;
}

void engine_trim(struct vcpu *v)
{
    struct engine *e = v->engine;
    if (!is_large(e) || !was_quiet(v))
        return;
    vcpu_stop_others(v);
    if (is_large(e))
        cache_flush(e);
    vcpu_resume_others(v);
}
