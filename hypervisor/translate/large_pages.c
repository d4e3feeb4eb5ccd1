/* large_pages.c - the code cache and its tables in large pages of the host's (madvise(2), Linux 6.1) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a guest runs is scattered over more small pages than the host's TLB knows. To make a large one takes
 * the host 0.2 to 5 milliseconds, and a vcpu may not be away so long: a thread makes them, ahead of what is
 * in use. Where it comes too late pages stay small, as do the first, which a guest needs that has just begun.
 */
#include <signal.h>
#include <sys/prctl.h>

#include "hypervisor/large_page.h"
#include "hypervisor/translate/cache.h"
#include "hypervisor/translate/large_pages.h"

enum { AHEAD = LARGE_PAGE / 2 };

/* A vcpu may write there meanwhile. */
static void touch(u8 *p)
{
    __atomic_fetch_or(p, 0, __ATOMIC_RELAXED);
}

/* Shared memory, used through its executable view. */
static void make_code(struct engine *e, size_t at)
{
    touch(e->code_write + at);
    madvise(e->code_exec + at, LARGE_PAGE, MADV_COLLAPSE);
}

static void make_meta(struct engine *e, size_t at)
{
    madvise(e->meta + at, LARGE_PAGE, MADV_HUGEPAGE);
    touch(e->meta + at);
}

/* Makes the area's next page, if one is wanted. Called with the lock, which it gives up meanwhile. */
static bool make_next(struct engine *e, struct large_area *a, const size_t *used,
                      void (*make)(struct engine *e, size_t at))
{
    size_t at = a->done;
    if (at >= a->wanted)
        return false;
    a->done += LARGE_PAGE;
    pthread_mutex_unlock(&e->large.lock);
    if (__atomic_load_n(used, __ATOMIC_RELAXED) <= at)
        make(e, at);
    pthread_mutex_lock(&e->large.lock);
    return true;
}

static void *large_pages_main(void *arg)
{
    struct engine *e = arg;
    struct large_pages *l = &e->large;
    prctl(PR_SET_NAME, "lodge-pages");
    pthread_mutex_lock(&l->lock);
    while (!l->quit)
        if (!make_next(e, &l->code, &e->code_used, make_code) &&
            !make_next(e, &l->meta, &e->meta_used, make_meta))
            pthread_cond_wait(&l->more, &l->lock);
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

void large_pages_start(struct engine *e)
{
    struct large_pages *l = &e->large;
    sigset_t all, old;
    if (l->runs)
        return;
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->more, NULL);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    l->runs = !pthread_create(&l->thread, NULL, large_pages_main, e);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

void large_pages_end(struct engine *e)
{
    struct large_pages *l = &e->large;
    if (!l->runs)
        return;
    pthread_mutex_lock(&l->lock);
    l->quit = true;
    pthread_cond_signal(&l->more);
    pthread_mutex_unlock(&l->lock);
    pthread_join(l->thread, NULL);
    pthread_cond_destroy(&l->more);
    pthread_mutex_destroy(&l->lock);
}

static void ask(struct large_pages *l, struct large_area *a, size_t used, size_t size)
{
    if (likely(used + AHEAD <= a->asked) || a->asked == size)
        return;
    a->asked = min(ALIGN_UP(used + AHEAD, LARGE_PAGE), size);
    pthread_mutex_lock(&l->lock);
    a->wanted = a->asked;
    pthread_cond_signal(&l->more);
    pthread_mutex_unlock(&l->lock);
}

void large_pages_follow(struct engine *e)
{
    if (!e->large.runs)
        return;
    ask(&e->large, &e->large.code, e->code_used, CODE_SIZE);
    ask(&e->large, &e->large.meta, e->meta_used, META_SIZE);
}

void large_pages_release(struct engine *e)
{
    struct large_pages *l = &e->large;
    if (l->runs)
        pthread_mutex_lock(&l->lock);
    madvise(e->code_write, max(ALIGN_UP(e->code_used, 4096), l->code.done), MADV_REMOVE);
    madvise(e->meta, max(ALIGN_UP(e->meta_used, 4096), l->meta.done), MADV_DONTNEED);
    l->code = l->meta = (struct large_area){0};
    if (l->runs)
        pthread_mutex_unlock(&l->lock);
}
