/* node.c - block nodes: made, named, lent to devices, removed */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine/block/block.h"

struct block_node *block_find(const struct block_set *s, const char *name)
{
    struct block_node *n = s->first;
    while (n && strcmp(n->name, name) && (!n->drive || strcmp(n->drive, name)))
        n = n->next;
    return n;
}

static void free_node(struct block_node *n)
{
    image_close(n->image);
    block_options_free(&n->options);
    free(n->drive);
    free(n->name);
    free(n);
}

/* What is written to it is forgotten. */
static bool forgets(const struct block_set *s, const struct block_node *n)
{
    return (n->options.snapshot || s->snapshot) && !n->options.read_only && !n->is_file;
}

static struct disk_image *open_image(const struct block_set *s, const struct block_node *n, bool passive,
                                     struct error *e)
{
    const struct block_options *o = &n->options;
    const struct image_options io = {.filename = o->filename,
                                     .format = o->format,
                                     .read_only = o->read_only || passive,
                                     .direct = o->direct,
                                     .no_flush = o->no_flush,
                                     .no_lock = passive,
                                     .backing = o->backing,
                                     .backing_format = o->backing_format};
    return forgets(s, n) ? block_open_overlay(&io, e) : image_open(&io, e);
}

/* One that another machine may have at the same time, if they take turns. */
static bool takes_turns(const struct block_set *s, const struct block_node *n)
{
    return !n->options.read_only && !forgets(s, n);
}

static int open_node(struct block_set *s, struct block_node *n, struct error *e)
{
    const struct block_options *o = &n->options;
    n->passive = s->passive && takes_turns(s, n);
    n->image = open_image(s, n, n->passive, e);
    if (n->image && !o->format && (forgets(s, n) ? n->image->backing : n->image)->format == &image_raw)
        report(
            "WARNING: Image format was not specified for '%s' and probing guessed raw.\n"
            "         Automatically detecting the format is dangerous for raw images, write operations on block 0 "
            "will be restricted.\n"
            "         Specify the 'raw' format explicitly to remove the restrictions.",
            o->filename);
    return n->image ? 0 : -EIO;
}

/* A node that is to be a part of another one. Its image is closed: who has it opens it. */
static struct block_node *take_part(struct block_set *s, const char *name, struct error *e)
{
    struct block_node *n = block_find(s, name);
    if (!n)
        error_set(e, ENODEV, "Cannot find device='' nor node-name='%s'", name);
    else if (n->user || n->parent)
        error_set(e, EBUSY, "Node '%s' is in use by '%s'", name, n->user ? n->user : n->parent->name);
    else
        return n;
    return NULL;
}

static void lend(struct block_node *part, struct block_node *to)
{
    image_close(part->image);
    part->image = NULL;
    part->parent = to;
}

/* Parts are their own again. A file that cannot be opened any more stays a name. */
static void give_parts_back(struct block_set *s, struct block_node *n)
{
    struct error e;
    for (struct block_node *part = s->first; part; part = part->next)
        if (part->parent == n) {
            part->parent = NULL;
            if (open_node(s, part, &e) < 0)
                report("%s", e.text);
        }
}

static int use_file(struct block_node *n, struct block_node *file, struct error *e)
{
    struct block_options *o = &n->options;
    if (!file->is_file)
        return error_set(e, EINVAL, "the node '%s' is no file: use one with driver=file", file->name);
    o->filename = strdup(file->options.filename);
    o->direct |= file->options.direct;
    o->no_flush |= file->options.no_flush;
    o->aio = o->aio ? o->aio : file->options.aio;
    o->discard &= file->options.discard;
    return o->filename ? 0 : error_set(e, ENOMEM, "no memory for a block node");
}

static int use_backing(struct block_node *n, struct block_node *below, struct error *e)
{
    n->options.backing = strdup(below->options.filename);
    n->options.backing_format = strdup(below->options.format ? below->options.format : "raw");
    return n->options.backing && n->options.backing_format
               ? 0
               : error_set(e, ENOMEM, "no memory for a block node");
}

static int join_parts(struct block_set *s, struct block_node *n, const struct block_words *w, struct error *e)
{
    bool has_backing = w->backing_node && *w->backing_node;
    struct block_node *file = w->file ? take_part(s, w->file, e) : NULL;
    if (w->file && (!file || use_file(n, file, e) < 0))
        return -EINVAL;
    struct block_node *below = has_backing ? take_part(s, w->backing_node, e) : NULL;
    if (has_backing && (!below || use_backing(n, below, e) < 0))
        return -EINVAL;
    if (file)
        lend(file, n);
    if (below)
        lend(below, n);
    return 0;
}

static int name_node(struct block_set *s, struct block_node *n, const struct block_words *w, struct error *e)
{
    char text[32];
    const char *taken = w->name && block_find(s, w->name) ? w->name
                        : w->id && block_find(s, w->id)   ? w->id
                                                          : NULL;
    if (taken)
        return error_set(e, EEXIST, "Duplicate nodes with node-name='%s'", taken);
    snprintf(text, sizeof(text), "#block%03u", s->numbers++);
    n->name = strdup(w->name ? w->name : text);
    n->drive = w->id ? strdup(w->id) : NULL;
    return n->name && (n->drive || !w->id) ? 0 : error_set(e, ENOMEM, "no memory for a block node");
}

static void put_last(struct block_set *s, struct block_node *n)
{
    struct block_node **at = &s->first;
    while (*at)
        at = &(*at)->next;
    *at = n;
}

/* Takes o. */
static int add_node(struct block_set *s, const struct block_words *w, struct block_options *o,
                    struct error *e)
{
    struct block_node *n = calloc(1, sizeof(*n));
    if (!n) {
        block_options_free(o);
        return error_set(e, ENOMEM, "no memory for a block node");
    }
    n->options = *o;
    n->is_file = w->is_file;
    int r = name_node(s, n, w, e);
    if (r == 0)
        r = join_parts(s, n, w, e);
    if (r == 0 && (r = open_node(s, n, e)) < 0)
        give_parts_back(s, n);
    if (r == 0)
        put_last(s, n);
    else
        free_node(n);
    return r;
}

int block_add(struct block_set *s, const struct properties *p, struct error *e)
{
    struct block_words w;
    struct block_options o;
    int r = block_read_blockdev(p, &w, &o, e);
    return r < 0 ? r : add_node(s, &w, &o, e);
}

int block_add_drive(struct block_set *s, const struct properties *p, struct error *e)
{
    struct block_words w;
    struct block_options o;
    int r = block_read_drive(p, &w, &o, e);
    return r < 0 ? r : add_node(s, &w, &o, e);
}

static void remove_node(struct block_set *s, struct block_node *n)
{
    struct block_node **at = &s->first;
    while (*at != n)
        at = &(*at)->next;
    *at = n->next;
    image_close(n->image);
    n->image = NULL;
    give_parts_back(s, n);
    free_node(n);
}

int block_remove(struct block_set *s, const char *name, struct error *e)
{
    struct block_node *n = block_find(s, name);
    if (!n)
        return error_set(e, ENODEV, "Failed to find node with node-name='%s'", name);
    if (n->user || n->parent)
        return error_set(e, EBUSY, "Node %s is in use", name);
    remove_node(s, n);
    return 0;
}

static int start_use(struct block_set *s, struct block_node *n, const struct block_use *u, struct error *e)
{
    n->options.werror = u->werror >= 0 ? (unsigned)u->werror : n->options.werror;
    n->options.rerror = u->rerror >= 0 ? (unsigned)u->rerror : n->options.rerror;
    n->options.write_through |= u->write_through;
    n->thread = io_thread_start(s, n, e);
    if (n->thread)
        n->user = u->user;
    return n->thread ? 0 : -EIO;
}

struct block_node *block_attach(struct block_set *s, const struct block_use *u, struct error *e)
{
    struct block_node *n = block_find(s, u->name);
    if (!n)
        error_set(e, ENODEV, "there is no block node '%s': name one with -blockdev or -drive", u->name);
    else if (n->user || n->parent)
        error_set(e, EBUSY, "the block node '%s' is in use by '%s'", u->name,
                  n->user ? n->user : n->parent->name);
    else if (!n->image)
        error_set(e, EIO, "the block node '%s' could not be opened again", u->name);
    else if (start_use(s, n, u, e) == 0)
        return n;
    return NULL;
}

/* A -drive goes with its device, as it came for it. */
void block_detach(struct block_set *s, struct block_node *n)
{
    block_drain(n, true);
    io_thread_stop(n->thread);
    n->thread = NULL;
    n->user = NULL;
    n->draining = false;
    if (n->drive)
        remove_node(s, n);
    else
        image_flush(n->image);
}

int block_doorbell(struct block_node *n, void (*rung)(void *opaque), void *opaque)
{
    return io_thread_doorbell(n->thread, rung, opaque);
}

u64 block_size(const struct block_node *n)
{
    return n->image ? n->image->size : 0;
}

bool block_read_only(const struct block_node *n)
{
    return n->options.read_only;
}

void block_submit(struct block_node *n, struct block_request *r)
{
    io_thread_submit(n->thread, r);
}

void block_set_write_through(struct block_node *n, bool on)
{
    __atomic_store_n(&n->options.write_through, on, __ATOMIC_RELAXED);
}

/* ---- calls ---- */

struct call {
    struct block_request request;
    pthread_cond_t done;
    bool is_done;
    int result;
};

static void call_done(struct block_request *r, int result)
{
    struct call *c = container_of(r, struct call, request);
    c->result = result;
    c->is_done = true;
    pthread_cond_signal(&c->done);
}

int block_call(struct block_set *s, struct block_node *n, int (*call)(struct disk_image *i, void *opaque),
               void *opaque)
{
    if (!n->thread)
        return n->image ? call(n->image, opaque) : -EBUSY;
    struct call c = {.request = {.op = BLOCK_CALL, .call = call, .opaque = opaque, .done = call_done},
                     .done = PTHREAD_COND_INITIALIZER};
    block_submit(n, &c.request);
    while (!c.is_done)
        pthread_cond_wait(&c.done, &s->loop->lock);
    return c.result;
}

/* ---- requests for which the guest was stopped ---- */

struct block_request *block_take_held(struct block_node *n)
{
    struct block_request *r = n->held;
    n->held = NULL;
    return r;
}

void block_wait(struct block_set *s)
{
    while (s->busy)
        pthread_cond_wait(&s->quiet, &s->loop->lock);
}

void block_retry(struct block_set *s)
{
    for (struct block_node *n = s->first; n; n = n->next) {
        n->status = STATUS_OK;
        for (struct block_request *r = block_take_held(n), *next; r; r = next) {
            next = r->next;
            block_submit(n, r);
        }
    }
}

void block_drain(struct block_node *n, bool on)
{
    n->draining = on;
    for (struct block_request *r = block_take_held(n), *next; r; r = next) {
        next = r->next;
        r->done(r, -ECANCELED);
    }
}

/* ---- a machine that moves ---- */

/* The new image is there before the old one goes: a node with a device is never without. */
static int open_anew(struct block_set *s, struct block_node *n, bool passive, struct error *e)
{
    struct disk_image *image = open_image(s, n, passive, e);
    if (!image)
        return -EIO;
    image_close(n->image);
    n->image = image;
    n->passive = passive;
    return 0;
}

int block_activate(struct block_set *s, struct error *e)
{
    if (!s->passive)
        return 0;
    for (struct block_node *n = s->first; n; n = n->next)
        if (n->image && n->passive && open_anew(s, n, false, e) < 0)
            return -EBUSY;
    s->passive = false;
    return 0;
}

int block_deactivate(struct block_set *s, struct error *e)
{
    s->passive = true;
    for (struct block_node *n = s->first; n; n = n->next) {
        if (!n->image || n->passive || !takes_turns(s, n))
            continue;
        int r = image_flush(n->image);
        if (r < 0)
            return error_set(e, -r, "cannot write '%s': %s", n->options.filename, strerror(-r));
        if (open_anew(s, n, true, e) < 0)
            return -EIO;
    }
    return 0;
}

static struct block_node *root_of(struct block_node *n)
{
    while (n->parent)
        n = n->parent;
    return n;
}

void block_close_all(struct block_set *s)
{
    while (s->first) {
        struct block_node *n = root_of(s->first);
        if (n->thread)
            io_thread_stop(n->thread);
        for (struct block_node *part = s->first; part; part = part->next)
            part->parent = part->parent == n ? NULL : part->parent; /* nobody needs it any more */
        n->thread = NULL;
        remove_node(s, n);
    }
}
