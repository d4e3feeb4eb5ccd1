/* image_convert.c - lodge image convert: one image, or several one behind another, into a new one */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "manager/cli/image.h"

enum { CHUNK = 2 << 20, SPARSE = 4096, MAX_SOURCES = 15 };

struct conversion {
    const struct image_arguments *a;
    struct disk_image *source[MAX_SOURCES], *target;
    unsigned sources;
    u64 size, sparse; /* sparse: zeros of that many bytes are not written; 0: all is */
    bool backed; /* the target has a backing image: zeros hide it, and what is the backing's is not copied */
    bool blank;  /* the target reads as zeros where nothing is written */
    u8 *buffer;
};

static int open_sources(struct conversion *v, struct error *e)
{
    const struct image_arguments *a = v->a;
    for (; v->sources + 1 < a->words; v->sources++) {
        struct image_options o = {
            .filename = a->word[v->sources], .format = a->format, .read_only = true, .no_lock = a->shared};
        int r = image_cache_mode(a->source_cache, &o, e);
        if (r < 0 || !(v->source[v->sources] = image_open(&o, e)))
            return r < 0 ? r : -EINVAL;
        v->size += v->source[v->sources]->size;
    }
    if (v->sources > 1 && a->backing)
        return error_set(e, EINVAL,
                         "image convert: several images cannot have one backing file: leave -B out");
    return 0;
}

/* The image is written anew: so cache=unsafe until it is there, as with qemu-img. */
static int open_target(struct conversion *v, struct image_arguments *a, struct error *e)
{
    const char *name = a->word[a->words - 1];
    struct image_create c;
    char size[32];
    snprintf(size, sizeof(size), "%llu", (unsigned long long)v->size);
    struct image_options o = {.filename = name, .format = a->output_format ? a->output_format : "raw"};
    int r = image_cache_mode(a->cache ? a->cache : "unsafe", &o, e);
    if (r == 0 && !a->keep_target && (r = image_creation(a, o.format, name, size, &c, e)) == 0) {
        v->backed = c.backing;
        v->blank = true;
        r = image_create(&c, e);
    }
    if (r)
        return r;
    if (!(v->target = image_open(&o, e)))
        return -EINVAL;
    v->backed |= v->target->backing != NULL;
    if (v->target->size < v->size)
        return error_set(e, ENOSPC, "image convert: '%s' is smaller than what it is to hold", name);
    if (a->compress && !v->target->format->write_coded)
        return error_set(e, ENOTSUP, "image convert: images of format %s are not compressed: use -O qcow2",
                         v->target->format->name);
    return 0;
}

static bool is_zero(const u8 *p, size_t bytes)
{
    return !bytes || (!*p && !memcmp(p, p + 1, bytes - 1));
}

/* The first part of a buffer that is all zeros, or has none to leave out: how long; *zero says which. Parts
 * begin and end at multiples of `sparse` in the target. */
static size_t next_part(const struct conversion *v, u64 offset, const u8 *p, size_t bytes, bool *zero)
{
    size_t done = 0;
    *zero = false;
    if (!v->sparse)
        return bytes;
    while (done < bytes) {
        size_t n = min(bytes - done, (size_t)(v->sparse - (offset + done) % v->sparse));
        bool z = is_zero(p + done, n);
        if (done && z != *zero)
            break;
        *zero = z;
        done += n;
    }
    return done;
}

static int write_zeros(struct conversion *v, u64 offset, u64 bytes)
{
    return v->blank && !v->backed ? 0 : image_zero(v->target, offset, bytes, true);
}

static int write_data(struct conversion *v, u64 offset, u8 *from, size_t bytes)
{
    while (bytes) {
        bool zero;
        size_t n = next_part(v, offset, from, bytes, &zero);
        const struct iovec iov = {from, n};
        int r = zero ? write_zeros(v, offset, n) : image_write(v->target, offset, &iov, 1);
        if (r < 0)
            return r;
        offset += n;
        from += n;
        bytes -= n;
    }
    return 0;
}

static int copy_part(struct conversion *v, struct disk_image *s, u64 at, u64 offset,
                     const struct image_extent *x)
{
    const struct iovec iov = {v->buffer, x->bytes};
    if (v->backed && x->depth && v->a->backing)
        return 0; /* it is the backing image's, and stays so */
    if (x->kind == EXTENT_ZERO)
        return write_zeros(v, offset, x->bytes);
    int r = image_read(s, at, &iov, 1);
    return r < 0 ? r : write_data(v, offset, v->buffer, x->bytes);
}

static int copy(struct conversion *v, struct disk_image *s, u64 start, struct error *e)
{
    for (u64 at = 0; at < s->size;) {
        struct image_extent x;
        int r = image_map(s, at, s->size - at, &x);
        if (r == 0 && x.kind != EXTENT_ZERO && !(x.depth && v->a->backing))
            x.bytes = min(x.bytes, (u64)CHUNK);
        if (r < 0 || (r = copy_part(v, s, at, start + at, &x)) < 0)
            return error_set(e, -r, "image convert: cannot copy '%s' at byte %llu: %s", s->filename,
                             (unsigned long long)at, strerror(-r));
        at += x.bytes;
        image_progress(v->a, start + at, v->size);
    }
    return 0;
}

/* Whole clusters of the target, each packed. */
static int copy_packed(struct conversion *v, struct disk_image *s, struct error *e)
{
    struct image_info n;
    image_get_info(v->target, &n);
    for (u64 at = 0; at < s->size; at += n.cluster_size) {
        size_t bytes = (size_t)min(n.cluster_size, s->size - at);
        const struct iovec iov = {v->buffer, bytes};
        struct image_extent x;
        int r = image_map(s, at, bytes, &x);
        bool own = !(v->a->backing && x.depth && x.bytes == bytes);
        if (r == 0 && own && (r = image_read(s, at, &iov, 1)) == 0)
            r = is_zero(v->buffer, bytes) ? write_zeros(v, at, bytes)
                                          : v->target->format->write_coded(v->target, at, v->buffer, bytes);
        if (r < 0)
            return error_set(e, -r, "image convert: cannot copy '%s' at byte %llu: %s", s->filename,
                             (unsigned long long)at, strerror(-r));
        image_progress(v->a, at + bytes, v->size);
    }
    return 0;
}

static int convert(struct conversion *v, struct image_arguments *a, struct error *e)
{
    int r = open_sources(v, e);
    u64 start = 0;
    v->sparse = SPARSE;
    if (r == 0 && a->sparse && (r = parse_size(a->sparse, 1, &v->sparse)) < 0)
        return error_set(e, -r, "image convert: -S '%s' is not a size", a->sparse);
    if (r < 0 || (r = open_target(v, a, e)))
        return min(r, 0);
    if (a->compress && v->sources > 1)
        return error_set(e, ENOTSUP,
                         "image convert: several images cannot be compressed into one: leave -c out");
    if (!(v->buffer = malloc(CHUNK)))
        return error_set(e, ENOMEM, "image convert: no memory");
    for (unsigned k = 0; k < v->sources && r == 0; k++) {
        r = a->compress ? copy_packed(v, v->source[k], e) : copy(v, v->source[k], start, e);
        start += v->source[k]->size;
    }
    int f = r == 0 ? image_flush(v->target) : 0;
    return f < 0 ? error_set(e, -f, "image convert: cannot write '%s': %s", v->target->filename, strerror(-f))
                 : r;
}

int image_verb_convert(struct image_arguments *a, struct error *e)
{
    struct conversion v = {.a = a};
    int r = convert(&v, a, e);
    if (r == 0 && a->json && v.target)
        image_print_json(v.target);
    for (unsigned k = 0; k < v.sources; k++)
        image_close(v.source[k]);
    image_close(v.target);
    free(v.buffer);
    return r;
}
