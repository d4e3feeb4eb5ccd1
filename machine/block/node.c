/* node.c - block nodes: made from options, named, lent to devices, removed */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine/block/block.h"

/* What the tables below fill. */
struct node_options {
    unsigned driver, format, cache, aio, discard, file_driver, media, detect_zeroes, fixed;
    const char *name, *filename, *file, *backing;
    bool read_only, direct, no_flush, write_through, snapshot, auto_read_only;
};

enum { DRIVER_RAW, DRIVER_FILE, DRIVER_HOST_DEVICE };
static const char *const drivers[] = {"raw", "file", "host_device", NULL};
static const char *const file_drivers[] = {"file", "host_device", NULL};
static const char *const aio_names[] = {"threads", NULL};
static const char *const discard_names[] = {"ignore", "unmap", "off", "on", NULL};
static const char *const media_names[] = {"disk", "cdrom", NULL};
static const char *const only_off[] = {"off", NULL};
static const char *const report_or_auto[] = {"report", "auto", NULL}, *const werrors[] = {"report", "enospc",
                                                                                          NULL};

#define FIELD(f) offsetof(struct node_options, f)

static const struct property_row blockdev_rows[] = {
    {"driver", PROPERTY_CHOICE, FIELD(driver), NULL, "the format, or the kind of file", .choices = drivers},
    {"node-name", PROPERTY_TEXT, FIELD(name), .help = "by which devices name it"},
    {"filename", PROPERTY_TEXT, FIELD(filename), .help = "the path, with driver=file or host_device"},
    {"file", PROPERTY_TEXT, FIELD(file), .help = "the node-name of the file, with a format"},
    {"file.driver", PROPERTY_CHOICE, FIELD(file_driver), "file", "or the file itself",
     .choices = file_drivers},
    {"file.filename", PROPERTY_TEXT, FIELD(filename), .help = "its path"},
    {"file.aio", PROPERTY_CHOICE, FIELD(aio), "threads", "how the host is asked", .choices = aio_names},
    {"aio", PROPERTY_CHOICE, FIELD(aio), "threads", "the same", .choices = aio_names},
    {"read-only", PROPERTY_BOOL, FIELD(read_only), "off", "nothing is written"},
    {"auto-read-only", PROPERTY_BOOL, FIELD(auto_read_only), "off", "(nothing)"},
    {"cache.direct", PROPERTY_BOOL, FIELD(direct), "off", "past the host's page cache"},
    {"cache.no-flush", PROPERTY_BOOL, FIELD(no_flush), "off", "a flush does nothing"},
    {"discard", PROPERTY_CHOICE, FIELD(discard), "unmap", "what a discard does", .choices = discard_names},
    {"detect-zeroes", PROPERTY_CHOICE, FIELD(detect_zeroes), NULL, "zeros are written as such",
     .choices = only_off},
    {0}};

static const char *const formats[] = {"raw", "auto", NULL};
static const char *const caches[] = {"writeback", "none", "writethrough", "directsync", "unsafe", NULL};
enum { CACHE_WRITEBACK, CACHE_NONE, CACHE_WRITETHROUGH, CACHE_DIRECTSYNC, CACHE_UNSAFE };
enum { FORMAT_AUTO = 1 };

static const struct property_row drive_rows[] = {
    {"file", PROPERTY_TEXT, FIELD(filename), .help = "the path of the image"},
    {"format", PROPERTY_CHOICE, FIELD(format), "auto", "of the image; auto: what its first bytes say",
     .choices = formats},
    {"id", PROPERTY_TEXT, FIELD(name), .help = "by which devices name it"},
    {"readonly", PROPERTY_BOOL, FIELD(read_only), "off", "nothing is written"},
    {"read-only", PROPERTY_BOOL, FIELD(read_only), NULL, "the same"},
    {"cache", PROPERTY_CHOICE, FIELD(cache), "writeback", "of the host, and when writes are done",
     .choices = caches},
    {"aio", PROPERTY_CHOICE, FIELD(aio), "threads", "how the host is asked", .choices = aio_names},
    {"discard", PROPERTY_CHOICE, FIELD(discard), "unmap", "what a discard does", .choices = discard_names},
    {"snapshot", PROPERTY_BOOL, FIELD(snapshot), "off", "what is written is forgotten at the end"},
    {"media", PROPERTY_CHOICE, FIELD(media), "disk", "a cdrom is read only", .choices = media_names},
    {"rerror", PROPERTY_CHOICE, FIELD(fixed), NULL, "the guest is told", .choices = report_or_auto},
    {"werror", PROPERTY_CHOICE, FIELD(fixed), NULL, "the guest is told", .choices = werrors},
    {"detect-zeroes", PROPERTY_CHOICE, FIELD(detect_zeroes), NULL, "zeros are written as such",
     .choices = only_off},
    {0}};

void block_help(void)
{
    puts("-blockdev and blockdev-add:");
    properties_help(blockdev_rows);
    puts("-drive:");
    properties_help(drive_rows);
}

struct block_node *block_find(const struct block_set *s, const char *name)
{
    struct block_node *n = s->first;
    while (n && strcmp(n->name, name))
        n = n->next;
    return n;
}

static void free_node(struct block_node *n)
{
    image_close(n->image);
    free(n->name);
    free(n);
}

static int open_node(struct block_set *s, struct block_node *n, const struct image_options *o, bool snapshot,
                     bool write_through, struct error *e)
{
    if (snapshot)
        return error_set(e, ENOTSUP, "-snapshot is not supported yet");
    n->image = image_open(o, e);
    n->thread = n->image ? io_thread_start(s, n, write_through, e) : NULL;
    return n->thread ? 0 : -EIO;
}

static int add_node(struct block_set *s, const char *name, const struct image_options *o, bool snapshot,
                    bool write_through, bool drive, struct error *e)
{
    if (block_find(s, name))
        return error_set(e, EEXIST, "the block node '%s' is there already: use another name", name);
    struct block_node *n = calloc(1, sizeof(*n));
    if (!n || !(n->name = strdup(name))) {
        free(n);
        return error_set(e, ENOMEM, "no memory for the block node '%s'", name);
    }
    n->removed_with_device = drive;
    int r = open_node(s, n, o, snapshot || s->snapshot, write_through, e);
    if (r < 0) {
        free_node(n);
        return r;
    }
    n->next = s->first;
    s->first = n;
    return 0;
}

/* A format on a file that is a node of its own: that node goes up in this one. */
static int take_file(struct block_set *s, struct node_options *o, char **filename, struct error *e)
{
    struct block_node *file = o->file ? block_find(s, o->file) : NULL;
    if (o->file && !file)
        return error_set(e, ENODEV, "-blockdev: file '%s' is no block node", o->file);
    if (file && (file->user || file->image->format != &image_raw))
        return error_set(e, EBUSY, "-blockdev: the node '%s' is in use", o->file);
    *filename = strdup(file ? file->image->filename : o->filename ? o->filename : "");
    if (!*filename)
        return error_set(e, ENOMEM, "-blockdev: no memory");
    if (file) {
        o->direct |= file->image->direct;
        o->no_flush |= file->image->no_flush;
        return block_remove(s, o->file, e);
    }
    return 0;
}

int block_add(struct block_set *s, const struct properties *p, struct error *e)
{
    struct node_options o = {0};
    char *filename = NULL;
    int r = properties_read(p, blockdev_rows, &o, "-blockdev", e);
    if (r < 0)
        return r;
    if (!o.name)
        return error_set(e, EINVAL, "-blockdev: 'node-name' is missing");
    if ((r = take_file(s, &o, &filename, e)) < 0)
        return r;
    const struct image_options io = {.filename = filename,
                                     .format = "raw",
                                     .read_only = o.read_only,
                                     .direct = o.direct,
                                     .no_flush = o.no_flush};
    r = *filename
            ? add_node(s, o.name, &io, false, false, false, e)
            : error_set(e, EINVAL, "-blockdev '%s': the file is missing: use file.filename=PATH", o.name);
    free(filename);
    return r;
}

int block_add_drive(struct block_set *s, const struct properties *p, struct error *e)
{
    struct node_options o = {0};
    int r = properties_read(p, drive_rows, &o, "-drive", e);
    if (r < 0)
        return r;
    if (!o.filename || !*o.filename || !o.name)
        return error_set(e, EINVAL, "-drive: '%s' is missing", o.name ? "file" : "id");
    const struct image_options io = {.filename = o.filename,
                                     .format = o.format == FORMAT_AUTO ? NULL : formats[o.format],
                                     .read_only = o.read_only || o.media,
                                     .direct = o.cache == CACHE_NONE || o.cache == CACHE_DIRECTSYNC,
                                     .no_flush = o.cache == CACHE_UNSAFE};
    bool through = o.cache == CACHE_WRITETHROUGH || o.cache == CACHE_DIRECTSYNC;
    return add_node(s, o.name, &io, o.snapshot, through, true, e);
}

static void remove_node(struct block_set *s, struct block_node *n)
{
    struct block_node **at = &s->first;
    while (*at != n)
        at = &(*at)->next;
    *at = n->next;
    io_thread_stop(n->thread);
    free_node(n);
}

int block_remove(struct block_set *s, const char *name, struct error *e)
{
    struct block_node *n = block_find(s, name);
    if (!n)
        return error_set(e, ENODEV, "there is no block node '%s'", name);
    if (n->user)
        return error_set(e, EBUSY, "the block node '%s' is in use by '%s'", name, n->user);
    remove_node(s, n);
    return 0;
}

struct block_node *block_attach(struct block_set *s, const char *name, const char *user, struct error *e)
{
    struct block_node *n = block_find(s, name);
    if (!n)
        error_set(e, ENODEV, "there is no block node '%s': name one with -blockdev or -drive", name);
    else if (n->user)
        error_set(e, EBUSY, "the block node '%s' is in use by '%s'", name, n->user);
    else
        n->user = user;
    return n && n->user == user ? n : NULL;
}

void block_detach(struct block_set *s, struct block_node *n)
{
    n->user = NULL;
    if (n->removed_with_device)
        remove_node(s, n);
}

u64 block_size(const struct block_node *n)
{
    return n->image->size;
}

bool block_read_only(const struct block_node *n)
{
    return n->image->read_only;
}

void block_submit(struct block_node *n, struct block_request *r)
{
    io_thread_submit(n->thread, r);
}

void block_close_all(struct block_set *s)
{
    while (s->first)
        remove_node(s, s->first);
}
