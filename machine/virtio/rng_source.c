/* rng_source.c - where random numbers come from: the kernel, or a file or device that one names */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "machine/virtio/rng.h"

struct rng_source {
    struct object object;
    const char *filename; /* while it is opened */
    int fd;               /* -1: getrandom(2) */
};

size_t rng_bytes(const struct object *o, u8 *bytes, size_t size)
{
    int fd = o ? container_of(o, const struct rng_source, object)->fd : -1;
    ssize_t n = fd < 0 ? getrandom(bytes, size, 0) : read(fd, bytes, size);
    return n > 0 ? (size_t)n : 0;
}

static const struct property_row random_rows[] = {
    {"filename", PROPERTY_TEXT, offsetof(struct rng_source, filename), "/dev/urandom", "a file or device"},
    {0}};
static const struct property_row builtin_rows[] = {{0}};

static struct rng_source *create(const struct property_row *rows, const struct properties *p,
                                 const char *what, struct error *e)
{
    struct rng_source *r = calloc(1, sizeof(*r));
    if (!r) {
        error_set(e, ENOMEM, "%s: no memory", what);
        return NULL;
    }
    r->fd = -1;
    if (properties_read(p, rows, r, what, e) == 0)
        return r;
    free(r);
    return NULL;
}

static struct object *builtin_create(const struct object_place *place, const struct properties *p,
                                     struct error *e)
{
    (void)place;
    struct rng_source *r = create(builtin_rows, p, "-object rng-builtin", e);
    return r ? &r->object : NULL;
}

static struct object *random_create(const struct object_place *place, const struct properties *p,
                                    struct error *e)
{
    (void)place;
    struct rng_source *r = create(random_rows, p, "-object rng-random", e);
    if (!r)
        return NULL;
    r->fd = open(r->filename, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (r->fd >= 0) {
        r->filename = NULL; /* it was the property list's */
        return &r->object;
    }
    error_set(e, errno, "Could not open '%s': %s", r->filename, strerror(errno));
    free(r);
    return NULL;
}

static void source_destroy(struct object *o)
{
    struct rng_source *r = container_of(o, struct rng_source, object);
    if (r->fd >= 0)
        close(r->fd);
    free(r);
}

const struct object_type rng_builtin = {.name = "rng-builtin",
                                        .help = "random numbers of the kernel's",
                                        .rows = builtin_rows,
                                        .create = builtin_create,
                                        .destroy = source_destroy};
const struct object_type rng_random = {.name = "rng-random",
                                       .help = "random numbers from a file or device",
                                       .rows = random_rows,
                                       .create = random_create,
                                       .destroy = source_destroy};
