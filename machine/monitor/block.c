/* block.c - commands about block nodes: what there is, how much has gone through, a new size, an overlay */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/image/describe.h"
#include "machine/machine.h"
#include "machine/monitor/commands.h"
#include "machine/virtio/blk.h"

static json_t *number(u64 v)
{
    return json_integer((json_int_t)v);
}

/* ---- images ---- */

static unsigned depth_of(const struct disk_image *i)
{
    return i && i->backing ? 1 + depth_of(i->backing) : 0;
}

/* A part of another node has no image of its own: what its file is. */
static json_t *describe_file(const struct block_node *n)
{
    struct stat st = {0};
    (void)!stat(n->options.filename, &st);
    return json_pack("{s:o,s:s,s:s,s:o,s:b}", "virtual-size", number((u64)st.st_size), "filename",
                     n->options.filename, "format",
                     n->is_file          ? "file"
                     : n->options.format ? n->options.format
                                         : "raw",
                     "actual-size", number((u64)st.st_blocks * 512), "dirty-flag", 0);
}

/* ---- nodes ---- */

/* Numbers that its thread changes meanwhile may be a moment old. */
static json_t *describe_node(const struct block_node *n)
{
    static const char *const limits[] = {"iops",   "iops_rd", "iops_wr",        "bps",
                                         "bps_rd", "bps_wr",  "write_threshold"};
    const struct block_options *o = &n->options;
    json_t *image = n->image ? image_describe(n->image, true) : describe_file(n);
    const char *format = n->is_file ? "file" : json_string_value(json_object_get(image, "format"));
    json_t *v =
        json_pack("{s:s,s:s,s:s,s:b,s:i,s:b,s:s,s:{s:b,s:b,s:b}}", "file", o->filename, "node-name", n->name,
                  "drv", format, "ro", o->read_only, "backing_file_depth", (int)depth_of(n->image),
                  "encrypted", 0, "detect_zeroes", block_zeroes_names[o->detect_zeroes], "cache", "writeback",
                  !o->write_through, "direct", o->direct, "no-flush", o->no_flush);
    const json_t *backing = json_object_get(image, "full-backing-filename");
    if (backing)
        json_object_set(v, "backing_file", (json_t *)backing);
    for (size_t k = 0; k < ARRAY_SIZE(limits); k++)
        json_object_set_new(v, limits[k], json_integer(0));
    json_object_set_new(v, "image", image);
    return v;
}

/* As QEMU's object tree has the device. */
static char *qdev_path(struct machine *m, const struct block_node *n, char *path, size_t size)
{
    const struct pci_device *d = virtio_blk_find(&m->pci, n);
    if (d && d->id)
        snprintf(path, size, "/machine/peripheral/%s/virtio-backend", d->id);
    else if (d)
        snprintf(path, size, "/machine/peripheral-anon/device[%u]/virtio-backend", d->slot);
    return d ? path : NULL;
}

static json_t *describe_disk(struct machine *m, struct block_node *n)
{
    static const char *const statuses[] = {"ok", "failed", "nospace"};
    char path[200];
    json_t *v = json_pack("{s:s,s:s,s:b,s:b,s:o}", "device", n->drive ? n->drive : "", "type", "unknown",
                          "removable", 0, "locked", 0, "inserted", describe_node(n));
    if (qdev_path(m, n, path, sizeof(path)))
        json_object_set_new(v, "qdev", json_string(path));
    if (n->user)
        json_object_set_new(v, "io-status", json_string(statuses[n->status]));
    return v;
}

json_t *query_block(struct qmp_call *call)
{
    json_t *list = json_array();
    for (struct block_node *n = call->machine->blocks.first; n; n = n->next)
        if (n->drive || n->user)
            json_array_append_new(list, describe_disk(call->machine, n));
    return list;
}

json_t *query_named_block_nodes(struct qmp_call *call)
{
    json_t *list = json_array();
    for (struct block_node *n = call->machine->blocks.first; n; n = n->next)
        json_array_append_new(list, describe_node(n));
    return list;
}

/* ---- how much has gone through ---- */

static json_t *describe_stats(const struct block_node *n)
{
    static const struct {
        const char *name;
        enum block_op op;
    } rows[] = {{"rd", BLOCK_READ}, {"wr", BLOCK_WRITE}, {"unmap", BLOCK_DISCARD}, {"flush", BLOCK_FLUSH}};
    const struct block_stats *s = &n->stats;
    bool used = n->user;
    json_t *v = json_pack("{s:o,s:b,s:b,s:[]}", "wr_highest_offset", number(s->highest), "account_invalid",
                          used, "account_failed", used, "timed_stats");
    for (size_t k = 0; k < ARRAY_SIZE(rows); k++) {
        const u64 writes = rows[k].op == BLOCK_WRITE;
        const struct {
            const char *format;
            u64 value;
        } fields[] = {
            {"%s_bytes", s->bytes[rows[k].op] + writes * s->bytes[BLOCK_WRITE_ZEROES]},
            {"%s_operations", s->operations[rows[k].op] + writes * s->operations[BLOCK_WRITE_ZEROES]},
            {"%s_total_time_ns", s->nanoseconds[rows[k].op] + writes * s->nanoseconds[BLOCK_WRITE_ZEROES]},
            {"failed_%s_operations", s->failed[rows[k].op] + writes * s->failed[BLOCK_WRITE_ZEROES]},
            {"invalid_%s_operations", 0},
            {"%s_merged", 0},
        };
        for (size_t f = 0; f < ARRAY_SIZE(fields); f++) {
            char name[40];
            bool flush = rows[k].op == BLOCK_FLUSH && (f == 0 || f == 5); /* it has no bytes */
            snprintf(name, sizeof(name), fields[f].format, rows[k].name);
            if (!flush)
                json_object_set_new(v, name, number(fields[f].value));
        }
    }
    return v;
}

json_t *query_blockstats(struct qmp_call *call)
{
    bool nodes = qmp_bool(call, "query-nodes", false);
    json_t *list = json_array();
    for (struct block_node *n = call->machine->blocks.first; n; n = n->next) {
        char path[200];
        if (!nodes && !n->drive && !n->user)
            continue;
        json_t *v = json_pack("{s:s,s:o}", "node-name", n->name, "stats", describe_stats(n));
        if (!nodes)
            json_object_set_new(v, "device", json_string(n->drive ? n->drive : ""));
        if (!nodes && qdev_path(call->machine, n, path, sizeof(path)))
            json_object_set_new(v, "qdev", json_string(path));
        json_array_append_new(list, v);
    }
    return list;
}

/* ---- changes ---- */

static struct block_node *named_node(struct qmp_call *call)
{
    const char *device = qmp_string(call, "device", ""), *name = qmp_string(call, "node-name", "");
    struct block_node *n = block_find(&call->machine->blocks, *name ? name : device);
    if (!n || !n->image)
        qmp_fail(call, "GenericError", "Cannot find device='%.60s' nor node-name='%.60s'", device, name);
    return n && n->image ? n : NULL;
}

struct resize {
    u64 size;
    struct error *e;
};

static int resize(struct disk_image *i, void *opaque)
{
    const struct resize *r = opaque;
    if (i->read_only)
        return error_set(r->e, EROFS, "Image is read-only");
    return image_resize(i, r->size, true, r->e);
}

json_t *qmp_block_resize(struct qmp_call *call)
{
    struct machine *m = call->machine;
    struct block_node *n = named_node(call);
    s64 size = qmp_integer(call, "size", 0);
    if (!n)
        return NULL;
    if (size < 0)
        return qmp_fail(call, "GenericError", "Parameter 'size' expects a >0 size");
    if (m->snapshot.active)
        return qmp_fail(call, "GenericError", "There is a snapshot in process, please wait.");
    struct resize r = {(u64)size, &call->e};
    if (block_call(&m->blocks, n, resize, &r) < 0)
        return NULL;
    struct pci_device *d = virtio_blk_find(&m->pci, n);
    if (d)
        virtio_blk_resized(d);
    return json_object();
}

/* ---- for people ---- */

void human_info_block(struct machine *m, FILE *f)
{
    for (struct block_node *n = m->blocks.first; n; n = n->next) {
        char path[200];
        const struct block_options *o = &n->options;
        if (!n->drive && !n->user)
            continue;
        const char *format = n->image ? n->image->format->name : "raw";
        fprintf(f, n->drive ? "%s (%s): %s (%s%s)\r\n" : "%.0s%s: %s (%s%s)\r\n", n->drive ? n->drive : "",
                n->name, o->filename, format, o->read_only ? ", read-only" : "");
        if (qdev_path(m, n, path, sizeof(path)))
            fprintf(f, "    Attached to:      %s\r\n", path);
        fprintf(f, "    Cache mode:       %s%s%s\r\n", o->write_through ? "writethrough" : "writeback",
                o->direct ? ", direct" : "", o->no_flush ? ", ignore flushes" : "");
        if (o->detect_zeroes)
            fprintf(f, "    Detect zeroes:    %s\r\n", block_zeroes_names[o->detect_zeroes]);
        if (depth_of(n->image))
            fprintf(f, "    Backing file:     %s (chain depth: %u)\r\n", n->image->backing->filename,
                    depth_of(n->image));
        fprintf(f, "\r\n");
    }
}
