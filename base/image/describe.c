/* describe.c - what an image is, as QAPI's ImageInfo */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/image/describe.h"

enum { NS_PER_S = 1000000000 };

static json_t *number(u64 v)
{
    return json_integer((json_int_t)v);
}

static json_t *describe_snapshot(const struct image_snapshot *s)
{
    json_t *o = json_pack("{s:s,s:s,s:o,s:o,s:o,s:o,s:o}", "id", s->id, "name", s->name, "vm-state-size",
                          number(s->vm_state_size), "date-sec", number(s->date_sec), "date-nsec",
                          number(s->date_nsec), "vm-clock-sec", number(s->clock / NS_PER_S), "vm-clock-nsec",
                          number(s->clock % NS_PER_S));
    if (s->icount != ~0ull)
        json_object_set_new(o, "icount", number(s->icount));
    return o;
}

static void describe_backing(json_t *o, const struct disk_image *i, const struct image_info *n)
{
    char *path = i->backing ? NULL : image_relative_path(n->filename, n->backing);
    const char *full = i->backing ? i->backing->filename : path ? path : n->backing;
    json_object_set_new(o, "backing-filename", json_string(n->backing));
    json_object_set_new(o, "full-backing-filename", json_string(full));
    if (n->backing_format)
        json_object_set_new(o, "backing-filename-format", json_string(n->backing_format));
    free(path);
}

/* Version 2 of qcow2 has no flags to tell of. */
static json_t *describe_format(const struct image_info *n)
{
    json_t *data = json_pack("{s:s,s:s,s:i}", "compat", n->compat, "compression-type", n->compression,
                             "refcount-bits", (int)n->refcount_bits);
    if (strcmp(n->compat, "0.10")) {
        json_object_set_new(data, "lazy-refcounts", json_boolean(n->lazy_refcounts));
        json_object_set_new(data, "corrupt", json_boolean(n->corrupt));
        json_object_set_new(data, "extended-l2", json_false());
    }
    return json_pack("{s:s,s:o}", "type", n->format, "data", data);
}

json_t *image_describe(struct disk_image *i, bool chain)
{
    struct image_info n;
    image_get_info(i, &n);
    json_t *o = json_pack("{s:o,s:s,s:s,s:o,s:b}", "virtual-size", number(n.size), "filename", n.filename,
                          "format", n.format, "actual-size", number(n.allocated), "dirty-flag", n.dirty);
    if (n.cluster_size)
        json_object_set_new(o, "cluster-size", number(n.cluster_size));
    if (n.compat)
        json_object_set_new(o, "format-specific", describe_format(&n));
    if (n.backing)
        describe_backing(o, i, &n);
    if (n.snapshots)
        json_object_set_new(o, "snapshots", json_array());
    for (unsigned k = 0; k < n.snapshots; k++)
        json_array_append_new(json_object_get(o, "snapshots"), describe_snapshot(i->format->snapshot(i, k)));
    if (chain && i->backing)
        json_object_set_new(o, "backing-image", image_describe(i->backing, true));
    return o;
}

const char *image_size_text(u64 bytes, char text[32])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double v = (double)bytes;
    unsigned k = 0;
    for (; v >= 1000 && k + 1 < ARRAY_SIZE(units); k++)
        v /= 1024;
    snprintf(text, 32, "%0.3g %s", v, units[k]);
    return text;
}

void image_print_snapshot(FILE *f, const struct image_snapshot *s, const char *id, const char *end)
{
    char size[32], date[64], icount[24] = "";
    time_t when = s->date_sec;
    struct tm tm;
    localtime_r(&when, &tm);
    strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S", &tm);
    u64 ms = s->clock / 1000000;
    if (s->icount != ~0ull)
        snprintf(icount, sizeof(icount), "%" PRIu64, s->icount);
    fprintf(f, "%-10s%-17s%8s%20s %02" PRIu64 ":%02" PRIu64 ":%02" PRIu64 ".%03" PRIu64 "%11s%s", id, s->name,
            image_size_text(s->vm_state_size, size), date, ms / 3600000, ms / 60000 % 60, ms / 1000 % 60,
            ms % 1000, icount, end);
}
