/* io_thread.c - the thread that does a block node's I/O */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine/block/block.h"

struct io_thread {
    struct block_set *set;
    struct block_node *node;
    pthread_t thread;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t work;
    struct block_request *first, **last;
    bool stop;
};

static bool is_zero(const struct iovec *iov, unsigned count)
{
    for (unsigned k = 0; k < count; k++) {
        const u8 *p = iov[k].iov_base;
        size_t n = iov[k].iov_len;
        if (n && (*p || memcmp(p, p + 1, n - 1)))
            return false;
    }
    return true;
}

static int do_write(const struct block_node *n, const struct block_request *r)
{
    if (n->options.detect_zeroes != ZEROES_OFF && is_zero(r->iov, r->iov_count))
        return image_zero(n->image, r->offset, r->bytes, n->options.detect_zeroes == ZEROES_UNMAP);
    return image_write(n->image, r->offset, r->iov, r->iov_count);
}

static int run(struct io_thread *t, struct block_request *r)
{
    const struct block_node *n = t->node;
    struct disk_image *i = n->image;
    switch (r->op) {
    case BLOCK_READ: return image_read(i, r->offset, r->iov, r->iov_count);
    case BLOCK_WRITE: return do_write(n, r);
    case BLOCK_DISCARD: return n->options.discard ? image_discard(i, r->offset, r->bytes) : 0;
    case BLOCK_WRITE_ZEROES: return image_zero(i, r->offset, r->bytes, r->unmap && n->options.discard);
    case BLOCK_CALL: return r->call(i, r->opaque);
    default: return image_flush(i);
    }
}

static bool changes(enum block_op op)
{
    return op == BLOCK_WRITE || op == BLOCK_WRITE_ZEROES;
}

static void account(struct block_stats *s, const struct block_request *r, u64 took, int result)
{
    s->nanoseconds[r->op] += took;
    s->operations[r->op] += result == 0;
    s->failed[r->op] += result < 0;
    s->bytes[r->op] += result == 0 ? r->bytes : 0;
    if (changes(r->op) && result == 0)
        s->highest = max(s->highest, r->offset + r->bytes);
}

/* As the node's policy says; the guest hears of the error, does not, or is stopped until it is gone. */
static enum block_policy action_of(const struct block_node *n, const struct block_request *r, int result)
{
    unsigned policy = r->op == BLOCK_READ ? n->options.rerror : n->options.werror;
    if (policy == POLICY_ENOSPC)
        policy = result == -ENOSPC ? POLICY_STOP : POLICY_REPORT;
    return policy == POLICY_STOP && n->draining ? POLICY_REPORT : (enum block_policy)policy;
}

/* true: the request is held. */
static bool failed(struct io_thread *t, struct block_request *r, int *result)
{
    struct block_node *n = t->node;
    enum block_policy action = action_of(n, r, *result);
    if (r->op == BLOCK_CALL)
        return false;
    if (action == POLICY_STOP) {
        n->status = *result == -ENOSPC ? STATUS_NOSPACE : STATUS_FAILED;
        r->next = n->held;
        n->held = r;
    }
    if (t->set->failed)
        t->set->failed(t->set->opaque, n, r, -*result, action);
    if (action == POLICY_IGNORE)
        *result = 0;
    return action == POLICY_STOP;
}

static void complete(struct io_thread *t, struct block_request *r, u64 took, int result)
{
    struct block_set *s = t->set;
    loop_lock(s->loop);
    account(&t->node->stats, r, took, result);
    if (result == 0 || !failed(t, r, &result))
        r->done(r, result);
    loop_unlock(s->loop);
}

static struct block_request *next_request(struct io_thread *t)
{
    pthread_mutex_lock(&t->lock);
    while (!t->first && !t->stop)
        pthread_cond_wait(&t->work, &t->lock);
    struct block_request *r = t->first;
    if (r && !(t->first = r->next))
        t->last = &t->first;
    pthread_mutex_unlock(&t->lock);
    return r;
}

static void *io_main(void *arg)
{
    struct io_thread *t = arg;
    struct block_request *r;
    while ((r = next_request(t))) {
        u64 start = loop_now();
        int result = run(t, r);
        if (result == 0 && t->node->options.write_through && changes(r->op))
            result = image_flush(t->node->image);
        complete(t, r, loop_now() - start, result);
    }
    return NULL;
}

/* Signals are for the main thread and the processors'. */
static int start(struct io_thread *t)
{
    sigset_t all, before;
    char name[16];
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int r = pthread_create(&t->thread, NULL, io_main, t);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    snprintf(name, sizeof(name), "io:%s", t->node->name);
    if (r == 0)
        pthread_setname_np(t->thread, name);
    return r;
}

struct io_thread *io_thread_start(struct block_set *s, struct block_node *n, struct error *e)
{
    struct io_thread *t = calloc(1, sizeof(*t));
    int r = ENOMEM;
    if (t) {
        *t = (struct io_thread){.set = s, .node = n};
        t->last = &t->first;
        pthread_mutex_init(&t->lock, NULL);
        pthread_cond_init(&t->work, NULL);
        r = start(t);
    }
    if (r == 0)
        return t;
    free(t);
    error_set(e, r, "cannot start the I/O thread of '%s': %s", n->name, strerror(r));
    return NULL;
}

void io_thread_submit(struct io_thread *t, struct block_request *r)
{
    r->next = NULL;
    pthread_mutex_lock(&t->lock);
    *t->last = r;
    t->last = &r->next;
    pthread_cond_signal(&t->work);
    pthread_mutex_unlock(&t->lock);
}

void io_thread_stop(struct io_thread *t)
{
    struct loop *loop = t->set->loop;
    pthread_mutex_lock(&t->lock);
    t->stop = true;
    pthread_cond_signal(&t->work);
    pthread_mutex_unlock(&t->lock);
    loop_unlock(loop);
    pthread_join(t->thread, NULL);
    loop_lock(loop);
    free(t);
}
