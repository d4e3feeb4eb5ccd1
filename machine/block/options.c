/* options.c - what -blockdev, blockdev-add and -drive can say about a node */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine/block/block.h"

/* What the tables fill. */
struct node_words {
    unsigned driver, format, cache, aio, discard, file_driver, media, fixed, locking;
    const char *filename, *backing_driver, *backing_filename;
    bool read_only, auto_read_only, direct, no_flush, snapshot;
    unsigned detect_zeroes, werror, rerror;
    struct block_words words;
};

enum { DRIVER_QCOW2, DRIVER_RAW, DRIVER_FILE, DRIVER_HOST_DEVICE };
static const char *const drivers[] = {"qcow2", "raw", "file", "host_device", NULL};
static const char *const file_drivers[] = {"file", "host_device", NULL};
static const char *const aio_names[] = {"auto", "threads", "io_uring", NULL};
const struct aio_type *const block_aio_types[] = {NULL, &aio_pool, &aio_uring};
static const char *const discard_names[] = {"ignore", "unmap", "off", "on", NULL};
static const char *const media_names[] = {"disk", "cdrom", NULL};
static const char *const locking_names[] = {"auto", "on", "off", NULL};
const char *const block_policies[] = {"report", "ignore", "stop", "enospc", "auto", NULL};
static const char *const read_policies[] = {"report", "ignore", "stop", "auto", NULL};
const char *const block_zeroes_names[] = {"off", "on", "unmap", NULL};
enum { READ_AUTO = 3, WRITE_AUTO = 4, LOCKING_OFF = 2 };

#define FIELD(f) offsetof(struct node_words, f)

static const struct property_row blockdev_rows[] = {
    {"driver", PROPERTY_CHOICE, FIELD(driver), NULL, "the format, or the kind of file", .choices = drivers},
    {"node-name", PROPERTY_TEXT, FIELD(words.name), .help = "by which devices name it"},
    {"filename", PROPERTY_TEXT, FIELD(filename), .help = "the path, with driver=file or host_device"},
    {"file", PROPERTY_TEXT, FIELD(words.file), .help = "the node-name of the file, with a format"},
    {"file.driver", PROPERTY_CHOICE, FIELD(file_driver), "file", "or the file itself",
     .choices = file_drivers},
    {"file.filename", PROPERTY_TEXT, FIELD(filename), .help = "its path"},
    {"file.aio", PROPERTY_CHOICE, FIELD(aio), "auto", "how the host is asked", .choices = aio_names},
    {"file.locking", PROPERTY_CHOICE, FIELD(locking), "auto", "of the file", .choices = locking_names},
    {"backing", PROPERTY_TEXT, FIELD(words.backing_node),
     .help = "the node-name of the backing image, or nothing: none; default: as the image says"},
    {"backing.driver", PROPERTY_TEXT, FIELD(backing_driver), .help = "or the backing image's format"},
    {"backing.file.driver", PROPERTY_CHOICE, FIELD(file_driver), NULL, "and the file itself",
     .choices = file_drivers},
    {"backing.file.filename", PROPERTY_TEXT, FIELD(backing_filename), .help = "its path"},
    {"aio", PROPERTY_CHOICE, FIELD(aio), "auto", "how the host is asked", .choices = aio_names},
    {"locking", PROPERTY_CHOICE, FIELD(locking), "auto", "of the file", .choices = locking_names},
    {"read-only", PROPERTY_BOOL, FIELD(read_only), "off", "nothing is written"},
    {"auto-read-only", PROPERTY_BOOL, FIELD(auto_read_only), "off", "(nothing)"},
    {"cache.direct", PROPERTY_BOOL, FIELD(direct), "off", "past the host's page cache"},
    {"cache.no-flush", PROPERTY_BOOL, FIELD(no_flush), "off", "a flush does nothing"},
    {"discard", PROPERTY_CHOICE, FIELD(discard), "ignore", "unmap: what is discarded goes back to the host",
     .choices = discard_names},
    {"detect-zeroes", PROPERTY_CHOICE, FIELD(detect_zeroes), "off", "zeros are written as such",
     .choices = block_zeroes_names},
    {0}};

static const char *const formats[] = {"raw", "qcow2", "auto", NULL};
static const char *const caches[] = {"writeback", "none", "writethrough", "directsync", "unsafe", NULL};
enum { CACHE_WRITEBACK, CACHE_NONE, CACHE_WRITETHROUGH, CACHE_DIRECTSYNC, CACHE_UNSAFE };
enum { FORMAT_AUTO = 2 };

static const struct property_row drive_rows[] = {
    {"file", PROPERTY_TEXT, FIELD(filename), .help = "the path of the image"},
    {"format", PROPERTY_CHOICE, FIELD(format), "auto", "of the image; auto: what its first bytes say",
     .choices = formats},
    {"id", PROPERTY_TEXT, FIELD(words.id), .help = "by which devices name it"},
    {"node-name", PROPERTY_TEXT, FIELD(words.name), .help = "another name of it"},
    {"readonly", PROPERTY_BOOL, FIELD(read_only), "off", "nothing is written"},
    {"read-only", PROPERTY_BOOL, FIELD(read_only), NULL, "the same"},
    {"cache", PROPERTY_CHOICE, FIELD(cache), "writeback", "of the host, and when writes are done",
     .choices = caches},
    {"cache.direct", PROPERTY_BOOL, FIELD(direct), "off", "past the host's page cache"},
    {"cache.no-flush", PROPERTY_BOOL, FIELD(no_flush), "off", "a flush does nothing"},
    {"aio", PROPERTY_CHOICE, FIELD(aio), "auto", "how the host is asked", .choices = aio_names},
    {"discard", PROPERTY_CHOICE, FIELD(discard), "ignore", "unmap: what is discarded goes back to the host",
     .choices = discard_names},
    {"snapshot", PROPERTY_BOOL, FIELD(snapshot), "off", "what is written is forgotten at the end"},
    {"media", PROPERTY_CHOICE, FIELD(media), "disk", "a cdrom is read only", .choices = media_names},
    {"file.locking", PROPERTY_CHOICE, FIELD(locking), "auto", "of the file", .choices = locking_names},
    {"rerror", PROPERTY_CHOICE, FIELD(rerror), "auto", "what an error of the host does; auto: report",
     .choices = read_policies},
    {"werror", PROPERTY_CHOICE, FIELD(werror), "auto", "the same of writes; auto: enospc",
     .choices = block_policies},
    {"detect-zeroes", PROPERTY_CHOICE, FIELD(detect_zeroes), "off", "zeros are written as such",
     .choices = block_zeroes_names},
    {0}};

void block_help(void)
{
    puts("-blockdev and blockdev-add:");
    properties_help(blockdev_rows);
    puts("-drive:");
    properties_help(drive_rows);
}

void block_options_free(struct block_options *o)
{
    free(o->filename);
    free(o->format);
    free(o->backing);
    free(o->backing_format);
    *o = (struct block_options){0};
}

static int copy(char **to, const char *from, struct error *e)
{
    *to = from ? strdup(from) : NULL;
    return from && !*to ? error_set(e, ENOMEM, "no memory for a block node") : 0;
}

static int finish(const struct node_words *n, struct block_words *w, struct block_options *o,
                  const char *format, struct error *e)
{
    *w = n->words;
    *o = (struct block_options){
        .read_only = n->read_only,
        .direct = n->direct,
        .no_flush = n->no_flush,
        .snapshot = n->snapshot,
        .aio = n->aio,
        .discard = n->discard & 1,
        .detect_zeroes = n->detect_zeroes,
        .werror = n->werror >= WRITE_AUTO ? POLICY_ENOSPC : n->werror,
        .rerror = n->rerror >= READ_AUTO ? POLICY_REPORT : n->rerror,
    };
    if (n->detect_zeroes == ZEROES_UNMAP && !o->discard)
        return error_set(e, EINVAL, "detect-zeroes=unmap wants discard=unmap as well");
    const char *none = w->backing_node && !*w->backing_node ? "" : n->backing_filename;
    int r = copy(&o->filename, n->filename, e);
    if (r < 0 || (r = copy(&o->format, format, e)) < 0 || (r = copy(&o->backing, none, e)) < 0 ||
        (r = copy(&o->backing_format, n->backing_driver, e)) < 0)
        block_options_free(o);
    return r;
}

int block_read_blockdev(const struct properties *p, struct block_words *w, struct block_options *o,
                        struct error *e)
{
    struct node_words n = {.werror = WRITE_AUTO, .rerror = READ_AUTO};
    int r = properties_read(p, blockdev_rows, &n, "-blockdev", e);
    if (r < 0)
        return r;
    if (!n.words.name)
        return error_set(e, EINVAL, "-blockdev: 'node-name' is missing");
    n.words.is_file = n.driver >= DRIVER_FILE;
    if (n.words.is_file && !n.filename)
        return error_set(e, EINVAL, "Parameter 'filename' is missing");
    if (!n.words.is_file && !n.filename && !n.words.file)
        return error_set(e, EINVAL, "Parameter 'file' is missing");
    return finish(&n, w, o, n.words.is_file ? "raw" : drivers[n.driver], e);
}

int block_read_drive(const struct properties *p, struct block_words *w, struct block_options *o,
                     struct error *e)
{
    struct node_words n = {0};
    int r = properties_read(p, drive_rows, &n, "-drive", e);
    if (r < 0)
        return r;
    if (!n.filename || !*n.filename || !n.words.id)
        return error_set(e, EINVAL, "-drive: '%s' is missing", n.words.id ? "file" : "id");
    n.read_only |= n.media;
    n.direct |= n.cache == CACHE_NONE || n.cache == CACHE_DIRECTSYNC;
    n.no_flush |= n.cache == CACHE_UNSAFE;
    r = finish(&n, w, o, n.format == FORMAT_AUTO ? NULL : formats[n.format], e);
    o->write_through = n.cache == CACHE_WRITETHROUGH || n.cache == CACHE_DIRECTSYNC;
    return r;
}
