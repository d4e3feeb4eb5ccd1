/* io_thread.c - the thread that does a block node's I/O */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine/block/block.h"
#include "machine/sandbox.h"

struct io_thread {
    struct block_set *set;
    struct block_node *node;
    struct aio *aio;
    pthread_t thread;
    pthread_mutex_t lock; /* of what follows */
    struct block_request *first, **last;
    bool stop;
    /* under the loop's lock */
    void (*rung)(void *opaque); /* NULL: nobody rings */
    void *opaque;
    bool ringing; /* what is submitted now, the thread itself submits */
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

static void complete(struct io_thread *t, struct block_request *r, int result)
{
    struct block_set *s = t->set;
    if (result == 0 && changes(r->op) && __atomic_load_n(&t->node->options.write_through, __ATOMIC_RELAXED))
        result = image_flush(t->node->image);
    loop_lock(s->loop);
    account(&t->node->stats, r, loop_now() - r->started, result);
    if (result == 0 || !failed(t, r, &result))
        r->done(r, result);
    if (--s->busy == 0)
        pthread_cond_broadcast(&s->quiet);
    loop_unlock(s->loop);
}

/* ---- what can go on by itself ---- */

static bool is_aligned(const struct disk_image *i, const struct block_request *r)
{
    u64 all = r->offset;
    for (unsigned k = 0; k < r->iov_count; k++)
        all |= (uintptr_t)r->iov[k].iov_base | r->iov[k].iov_len;
    return all % i->align == 0;
}

/* A piece of a file that stands behind the whole request: nothing of the image has to change for it. */
static bool is_plain(const struct io_thread *t, const struct block_request *r, struct image_extent *x)
{
    const struct block_node *n = t->node;
    bool write = r->op == BLOCK_WRITE;
    if ((!write && r->op != BLOCK_READ) || !r->bytes || !is_aligned(n->image, r) ||
        (write &&
         (n->options.detect_zeroes || n->image->guessed_raw || n->image->corrupt || n->image->read_only)))
        return false;
    return image_map(n->image, r->offset, r->bytes, x) == 0 && x->kind == EXTENT_DATA &&
           x->bytes == r->bytes && (!write || (x->in_place && x->at == n->image));
}

/* What the host did only a part of is done again, in the way that knows all cases. */
static void job_done(struct aio_job *j, s64 result)
{
    struct block_request *r = container_of(j, struct block_request, job);
    bool whole = result == (s64)r->bytes;
    complete(r->thread, r, whole ? 0 : run(r->thread, r));
}

static void wait_for_all(struct io_thread *t)
{
    while (t->aio->in_flight)
        aio_wait(t->aio, true);
}

/* Whoever gives clusters up, or writes more of the file than the guest asked for, is alone. */
static bool wants_to_be_alone(const struct io_thread *t, const struct block_request *r)
{
    bool data = r->op == BLOCK_READ || r->op == BLOCK_WRITE;
    return data ? !is_aligned(t->node->image, r) : r->op != BLOCK_FLUSH;
}

static void begin(struct io_thread *t, struct block_request *r)
{
    struct image_extent x;
    r->started = loop_now();
    r->thread = t;
    if (is_plain(t, r, &x)) {
        r->job = (struct aio_job){.fd = x.at->fd,
                                  .write = r->op == BLOCK_WRITE,
                                  .offset = x.host,
                                  .iov = r->iov,
                                  .count = r->iov_count,
                                  .done = job_done};
        aio_submit(t->aio, &r->job);
        return;
    }
    if (wants_to_be_alone(t, r))
        wait_for_all(t);
    complete(t, r, run(t, r));
}

/* ---- the thread ---- */

/* All that has been submitted; *stop: and nothing more will be. */
static struct block_request *take_all(struct io_thread *t, bool *stop)
{
    pthread_mutex_lock(&t->lock);
    struct block_request *r = t->first;
    t->first = NULL;
    t->last = &t->first;
    *stop = t->stop;
    pthread_mutex_unlock(&t->lock);
    return r;
}

/* The first disks are there before the sandbox is. */
static bool confine(const struct io_thread *t)
{
    struct sandbox *const *at = t->set->sandbox;
    const struct sandbox *s = at ? __atomic_load_n(at, __ATOMIC_ACQUIRE) : NULL;
    if (s)
        sandbox_enter(s, SANDBOX_IO);
    return s;
}

static void ring(struct io_thread *t)
{
    t->aio->kicked = false;
    loop_lock(t->set->loop);
    t->ringing = true;
    if (t->rung)
        t->rung(t->opaque);
    t->ringing = false;
    loop_unlock(t->set->loop);
}

static void *io_main(void *arg)
{
    struct io_thread *t = arg;
    bool stop = false, confined = false;
    while (!stop || t->aio->in_flight) {
        confined = confined || confine(t);
        if (t->aio->kicked)
            ring(t);
        struct block_request *r = take_all(t, &stop), *next;
        bool idle = !r;
        for (; r; r = next) {
            next = r->next;
            begin(t, r);
        }
        aio_wait(t->aio, idle && (!stop || t->aio->in_flight));
    }
    return NULL;
}

/* As the node says, or the best that the host allows. */
static struct aio *create_aio(const struct block_node *n)
{
    const struct aio_type *type = block_aio_types[n->options.aio];
    struct aio *a = type ? type->create() : aio_uring.create();
    return a || type ? a : aio_pool.create();
}

/* Signals are for the main thread and the processors'. */
static int start(struct io_thread *t)
{
    sigset_t all, before;
    char name[16];
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    t->aio = create_aio(t->node);
    int r = t->aio ? pthread_create(&t->thread, NULL, io_main, t) : errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    snprintf(name, sizeof(name), "io:%s", t->node->name);
    if (r == 0)
        pthread_setname_np(t->thread, name);
    return r;
}

static void free_thread(struct io_thread *t)
{
    if (t && t->aio)
        t->aio->type->destroy(t->aio);
    free(t);
}

struct io_thread *io_thread_start(struct block_set *s, struct block_node *n, struct error *e)
{
    struct io_thread *t = calloc(1, sizeof(*t));
    int r = ENOMEM;
    if (t) {
        *t = (struct io_thread){.set = s, .node = n};
        t->last = &t->first;
        pthread_mutex_init(&t->lock, NULL);
        r = start(t);
    }
    if (r == 0)
        return t;
    free_thread(t);
    error_set(e, r, "cannot start the I/O of '%s': %s%s", n->name, strerror(r),
              block_aio_types[n->options.aio] == &aio_uring ? ": use aio=threads" : "");
    return NULL;
}

void io_thread_submit(struct io_thread *t, struct block_request *r)
{
    r->next = NULL;
    t->set->busy++;
    pthread_mutex_lock(&t->lock);
    bool was_empty = !t->first;
    *t->last = r;
    t->last = &r->next;
    pthread_mutex_unlock(&t->lock);
    if (was_empty && !t->ringing)
        aio_kick(t->aio);
}

int io_thread_doorbell(struct io_thread *t, void (*rung)(void *opaque), void *opaque)
{
    t->rung = rung;
    t->opaque = opaque;
    return t->aio->kick_fd;
}

void io_thread_stop(struct io_thread *t)
{
    struct loop *loop = t->set->loop;
    pthread_mutex_lock(&t->lock);
    t->stop = true;
    pthread_mutex_unlock(&t->lock);
    aio_kick(t->aio);
    loop_unlock(loop);
    pthread_join(t->thread, NULL);
    loop_lock(loop);
    free_thread(t);
}
