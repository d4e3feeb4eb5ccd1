/* aio.h - reads and writes of files that go on by themselves: by io_uring, or by a few threads */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef BLOCK_AIO_H
#define BLOCK_AIO_H

#include <sys/uio.h>

#include "base/base.h"

/* All but aio_kick are for one thread, the owner's; `done` is called by aio_wait. */

struct aio_job {
    int fd;
    bool write;
    u64 offset;
    const struct iovec *iov;
    unsigned count;
    void (*done)(struct aio_job *j, s64 result); /* bytes, which may be fewer than wanted, or -errno */
    struct aio_job *next;
    s64 result;
};

struct aio {
    const struct aio_type *type;
    int kick_fd; /* an eventfd that is as good as aio_kick; -1: there is none */
    bool kicked; /* since the owner has set it to false */
    unsigned in_flight;
};

struct aio_type {
    const char *name;               /* as -drive aio= has it */
    struct aio *(*create)(void);    /* NULL with errno */
    void (*destroy)(struct aio *a); /* nothing is in flight */
    void (*submit)(struct aio *a, struct aio_job *j);
    void (*wait)(struct aio *a, bool sleep);
    void (*kick)(struct aio *a);
};
extern const struct aio_type aio_uring, aio_pool;

static inline void aio_submit(struct aio *a, struct aio_job *j)
{
    a->in_flight++;
    a->type->submit(a, j);
}

/* Begins what has been submitted, and ends what is done. sleep: until there is something, or a kick. */
static inline void aio_wait(struct aio *a, bool sleep)
{
    a->type->wait(a, sleep);
}

/* From any thread: the next sleep, or that which goes on, ends. */
static inline void aio_kick(struct aio *a)
{
    a->type->kick(a);
}

#endif
