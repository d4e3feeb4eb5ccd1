/* large_pages.h - the code cache and its tables in large pages of the host's */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TRANSLATE_LARGE_PAGES_H
#define TRANSLATE_LARGE_PAGES_H

#include <pthread.h>

#include "base/base.h"

struct engine;

/* One of the cache's two memories, in bytes from its start. */
struct large_area {
    size_t asked;  /* up to where the thread has been asked for large pages: of the engine's lock */
    size_t wanted; /* the same, as the thread has it: of large_pages.lock, as the next */
    size_t done;
};

struct large_pages {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t more;
    bool runs, quit;
    struct large_area code, meta;
};

/* A vcpu has been made. Without the thread, should there be none to have, all pages are small. */
void large_pages_start(struct engine *e);
void large_pages_end(struct engine *e);
/* More of the cache may be in use. With the engine's lock. */
void large_pages_follow(struct engine *e);
/* Gives back all memory of the cache, of which nothing is in use any more. */
void large_pages_release(struct engine *e);

#endif
