/* aio_pool.c - reads and writes by a few threads */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "machine/block/aio.h"

enum { THREADS = 4, MAX_IOV = 1024 };

struct list {
    struct aio_job *first, **last;
};

struct pool {
    struct aio aio;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t work, news;
    struct list todo, done;
    bool kicked, stop;
    pthread_t thread[THREADS];
    unsigned threads;
};

static struct pool *from(struct aio *a)
{
    return container_of(a, struct pool, aio);
}

static void list_init(struct list *l)
{
    l->first = NULL;
    l->last = &l->first;
}

static void list_put(struct list *l, struct aio_job *j)
{
    j->next = NULL;
    *l->last = j;
    l->last = &j->next;
}

static struct aio_job *list_take(struct list *l)
{
    struct aio_job *j = l->first;
    if (j && !(l->first = j->next))
        l->last = &l->first;
    return j;
}

static s64 run(const struct aio_job *j)
{
    int n = (int)min(j->count, (unsigned)MAX_IOV);
    ssize_t r;
    do
        r = j->write ? pwritev(j->fd, j->iov, n, (off_t)j->offset)
                     : preadv(j->fd, j->iov, n, (off_t)j->offset);
    while (r < 0 && errno == EINTR);
    return r < 0 ? -errno : r;
}

static void *worker(void *arg)
{
    struct pool *p = arg;
    pthread_mutex_lock(&p->lock);
    while (!p->stop) {
        struct aio_job *j = list_take(&p->todo);
        if (!j) {
            pthread_cond_wait(&p->work, &p->lock);
            continue;
        }
        pthread_mutex_unlock(&p->lock);
        j->result = run(j);
        pthread_mutex_lock(&p->lock);
        list_put(&p->done, j);
        pthread_cond_signal(&p->news);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

static void destroy(struct aio *a)
{
    struct pool *p = from(a);
    pthread_mutex_lock(&p->lock);
    p->stop = true;
    pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->lock);
    while (p->threads)
        pthread_join(p->thread[--p->threads], NULL);
    free(p);
}

/* The owner's thread blocks all signals, and so do these. */
static struct aio *create(void)
{
    struct pool *p = calloc(1, sizeof(*p));
    int r = p ? 0 : ENOMEM;
    if (!p) {
        errno = r;
        return NULL;
    }
    p->aio.type = &aio_pool;
    p->aio.kick_fd = -1;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->work, NULL);
    pthread_cond_init(&p->news, NULL);
    list_init(&p->todo);
    list_init(&p->done);
    for (; p->threads < THREADS && r == 0; p->threads += r == 0)
        r = pthread_create(&p->thread[p->threads], NULL, worker, p);
    if (p->threads)
        return &p->aio;
    destroy(&p->aio);
    errno = r;
    return NULL;
}

static void submit(struct aio *a, struct aio_job *j)
{
    struct pool *p = from(a);
    pthread_mutex_lock(&p->lock);
    list_put(&p->todo, j);
    pthread_cond_signal(&p->work);
    pthread_mutex_unlock(&p->lock);
}

static void wait_for(struct aio *a, bool sleep)
{
    struct pool *p = from(a);
    pthread_mutex_lock(&p->lock);
    while (sleep && !p->kicked && !p->done.first)
        pthread_cond_wait(&p->news, &p->lock);
    p->kicked = false;
    struct aio_job *j = p->done.first, *next;
    list_init(&p->done);
    pthread_mutex_unlock(&p->lock);
    for (; j; j = next) {
        next = j->next;
        a->in_flight--;
        j->done(j, j->result);
    }
}

static void kick(struct aio *a)
{
    struct pool *p = from(a);
    pthread_mutex_lock(&p->lock);
    p->kicked = true;
    pthread_cond_signal(&p->news);
    pthread_mutex_unlock(&p->lock);
}

const struct aio_type aio_pool = {"threads", create, destroy, submit, wait_for, kick};
