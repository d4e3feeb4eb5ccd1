/* aio_uring.c - reads and writes by io_uring */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "machine/block/aio.h"

enum { ENTRIES = 128 };

struct uring {
    struct aio aio;
    struct io_uring ring;
    u64 kicks;      /* what the read of it gives */
    bool listening; /* that read is in the ring */
};

static struct uring *from(struct aio *a)
{
    return container_of(a, struct uring, aio);
}

/* EINVAL, ENOSYS, EPERM: the host does not have it, or does not allow it. */
static struct aio *create(void)
{
    struct uring *u = calloc(1, sizeof(*u));
    int r = u ? io_uring_queue_init(ENTRIES, &u->ring, 0) : -ENOMEM;
    if (r == 0 && (u->aio.kick_fd = eventfd(0, EFD_CLOEXEC)) < 0) {
        r = -errno;
        io_uring_queue_exit(&u->ring);
    }
    if (r == 0) {
        u->aio.type = &aio_uring;
        return &u->aio;
    }
    free(u);
    errno = -r;
    return NULL;
}

static void destroy(struct aio *a)
{
    struct uring *u = from(a);
    io_uring_queue_exit(&u->ring);
    close(u->aio.kick_fd);
    free(u);
}

static struct io_uring_sqe *entry(struct uring *u)
{
    struct io_uring_sqe *e;
    while (!(e = io_uring_get_sqe(&u->ring)))
        io_uring_submit(&u->ring); /* it is full */
    return e;
}

static void submit(struct aio *a, struct aio_job *j)
{
    struct io_uring_sqe *e = entry(from(a));
    if (j->write)
        io_uring_prep_writev(e, j->fd, j->iov, j->count, j->offset);
    else
        io_uring_prep_readv(e, j->fd, j->iov, j->count, j->offset);
    io_uring_sqe_set_data(e, j);
}

static void listen_to_kicks(struct uring *u)
{
    if (u->listening)
        return;
    struct io_uring_sqe *e = entry(u);
    io_uring_prep_read(e, u->aio.kick_fd, &u->kicks, sizeof(u->kicks), 0);
    io_uring_sqe_set_data(e, NULL);
    u->listening = true;
}

/* Completions are taken out before `done` is called, which may submit. */
static bool reap(struct uring *u)
{
    struct io_uring_cqe *c;
    if (io_uring_peek_cqe(&u->ring, &c) < 0 || !c)
        return false;
    struct aio_job *j = io_uring_cqe_get_data(c);
    s64 result = c->res;
    io_uring_cqe_seen(&u->ring, c);
    if (!j) {
        u->listening = false;
        u->aio.kicked = true;
        return true;
    }
    u->aio.in_flight--;
    j->done(j, result);
    return true;
}

static void wait_for(struct aio *a, bool sleep)
{
    struct uring *u = from(a);
    listen_to_kicks(u);
    int r = sleep ? io_uring_submit_and_wait(&u->ring, 1) : io_uring_submit(&u->ring);
    if (r < 0 && r != -EINTR && r != -EAGAIN && r != -EBUSY)
        ASSERT(!"io_uring_enter fails with arguments that are right");
    while (reap(u))
        ;
}

static void kick(struct aio *a)
{
    const u64 one = 1;
    (void)!write(a->kick_fd, &one, sizeof(one));
}

const struct aio_type aio_uring = {"io_uring", create, destroy, submit, wait_for, kick};
