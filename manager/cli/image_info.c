/* image_info.c - lodge image info and check: what an image is, and whether it is whole */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/image/describe.h"
#include "manager/cli/image.h"

enum { CHECK_DAMAGED = 2, CHECK_LEAKS = 3, CHECK_NOTHING = 63, MAX_LINES = 1000 };

static struct disk_image *open_one(const struct image_arguments *a, bool read_only, bool check,
                                   struct error *e)
{
    const struct image_options o = {.filename = a->word[0],
                                    .format = a->format,
                                    .read_only = read_only,
                                    .no_lock = a->shared,
                                    .check = check};
    return image_open(&o, e);
}

static void print_json(json_t *value)
{
    char *text = json_dumps(value, JSON_INDENT(4));
    puts(text ? text : "");
    free(text);
    json_decref(value);
}

void image_print_json(struct disk_image *i)
{
    print_json(image_describe(i, false));
}

static json_t *number(u64 v)
{
    return json_integer((json_int_t)v);
}

static void print_snapshots(struct disk_image *i, const struct image_info *n)
{
    if (n->snapshots)
        printf("Snapshot list:\n" IMAGE_SNAPSHOT_HEADING "\n");
    for (unsigned k = 0; k < n->snapshots; k++) {
        const struct image_snapshot *one = i->format->snapshot(i, k);
        image_print_snapshot(stdout, one, one->id, "\n");
    }
}

/* Version 2 has no flags to tell of. */
static void print_format(const struct image_info *n)
{
    bool flags = strcmp(n->compat, "0.10");
    printf("Format specific information:\n    compat: %s\n    compression type: %s\n", n->compat,
           n->compression);
    if (flags)
        printf("    lazy refcounts: %s\n", n->lazy_refcounts ? "true" : "false");
    printf("    refcount bits: %u\n", n->refcount_bits);
    if (flags)
        printf("    corrupt: %s\n    extended l2: false\n", n->corrupt ? "true" : "false");
}

static void print_info(struct disk_image *i)
{
    struct image_info n;
    char a[32], b[32];
    image_get_info(i, &n);
    printf("image: %s\nfile format: %s\nvirtual size: %s (%" PRIu64 " bytes)\ndisk size: %s\n", n.filename,
           n.format, image_size_text(n.size, a), n.size, image_size_text(n.allocated, b));
    if (n.cluster_size)
        printf("cluster_size: %" PRIu64 "\n", n.cluster_size);
    if (n.dirty)
        puts("cleanly shut down: no");
    if (n.backing)
        printf("backing file: %s\n", n.backing);
    if (n.backing && n.backing_format)
        printf("backing file format: %s\n", n.backing_format);
    print_snapshots(i, &n);
    if (n.compat)
        print_format(&n);
}

/* Without the chain, an image whose backing file is not there can be looked at as well. */
int image_verb_info(struct image_arguments *a, struct error *e)
{
    struct disk_image *first = open_one(a, true, !a->chain, e);
    json_t *list = json_array();
    if (!first) {
        json_decref(list);
        return -EINVAL;
    }
    for (struct disk_image *i = first; i; i = a->chain ? i->backing : NULL) {
        if (!a->json && i != first)
            putchar('\n');
        if (a->json)
            json_array_append_new(list, image_describe(i, false));
        else
            print_info(i);
    }
    if (a->json)
        print_json(a->chain ? json_incref(list) : json_incref(json_array_get(list, 0)));
    json_decref(list);
    image_close(first);
    return EXIT_SUCCESS;
}

/* ---- check ---- */

static void print_line(void *opaque, const char *line)
{
    unsigned *lines = opaque;
    if (++*lines <= MAX_LINES)
        fprintf(stderr, "%s\n", line);
    else if (*lines == MAX_LINES + 1)
        fprintf(stderr, "(more of them are not shown)\n");
}

static void print_check_json(const struct image_arguments *a, const struct disk_image *i,
                             const struct image_check *c)
{
    json_t *o = json_pack("{s:s,s:s,s:o,s:o,s:o}", "filename", a->word[0], "format", i->format->name,
                          "image-end-offset", number(c->image_end), "total-clusters",
                          number(c->total_clusters), "check-errors", number(c->errors));
    const struct {
        const char *name;
        u64 value;
    } rest[] = {{"allocated-clusters", c->allocated_clusters},
                {"fragmented-clusters", c->fragmented_clusters},
                {"compressed-clusters", c->compressed_clusters},
                {"corruptions", c->corruptions - c->corruptions_fixed},
                {"leaks", c->leaks - c->leaks_fixed},
                {"corruptions-fixed", c->corruptions_fixed},
                {"leaks-fixed", c->leaks_fixed}};
    for (size_t k = 0; k < ARRAY_SIZE(rest); k++)
        if (rest[k].value)
            json_object_set_new(o, rest[k].name, number(rest[k].value));
    print_json(o);
}

static void print_check(const struct image_check *c)
{
    u64 bad = c->corruptions - c->corruptions_fixed, leaks = c->leaks - c->leaks_fixed;
    if (c->corruptions_fixed || c->leaks_fixed)
        printf("The following inconsistencies were found and repaired:\n\n    %" PRIu64
               " leaked clusters\n    %" PRIu64 " corruptions\n\n",
               c->leaks_fixed, c->corruptions_fixed);
    if (!bad && !leaks && !c->errors)
        puts("No errors were found on the image.");
    if (bad)
        printf("\n%" PRIu64
               " errors were found on the image.\nData may be corrupted, or further writes to the image "
               "may corrupt it.\n",
               bad);
    if (leaks)
        printf("\n%" PRIu64
               " leaked clusters were found on the image.\nThis means waste of disk space, but no harm to "
               "data.\n",
               leaks);
    if (c->errors)
        printf("\n%" PRIu64 " internal errors have occurred during the check.\n", c->errors);
    if (c->total_clusters && c->allocated_clusters)
        printf("%" PRIu64 "/%" PRIu64
               " = %0.2f%% allocated, %0.2f%% fragmented, %0.2f%% compressed clusters\n",
               c->allocated_clusters, c->total_clusters,
               (double)c->allocated_clusters * 100 / (double)c->total_clusters,
               (double)c->fragmented_clusters * 100 / (double)c->allocated_clusters,
               (double)c->compressed_clusters * 100 / (double)c->allocated_clusters);
    if (c->image_end)
        printf("Image end offset: %" PRIu64 "\n", c->image_end);
}

/* qemu-img's status. */
static int status_of(const struct image_check *c)
{
    if (c->errors)
        return EXIT_FAILURE;
    if (c->corruptions > c->corruptions_fixed)
        return CHECK_DAMAGED;
    return c->leaks > c->leaks_fixed ? CHECK_LEAKS : EXIT_SUCCESS;
}

int image_verb_check(struct image_arguments *a, struct error *e)
{
    unsigned lines = 0;
    struct image_check c = {.tell = a->quiet ? NULL : print_line, .opaque = &lines};
    if (a->repair && strcmp(a->repair, "leaks") && strcmp(a->repair, "all"))
        return error_set(e, EINVAL, "image check: -r '%s' is not supported: use leaks or all", a->repair);
    if (a->repair)
        c.fix = strcmp(a->repair, "all") ? IMAGE_FIX_LEAKS : IMAGE_FIX_ALL;
    struct disk_image *i = open_one(a, !a->repair, true, e);
    if (!i)
        return -EINVAL;
    if (!i->format->check) {
        if (!a->quiet)
            report("image check: images of format %s have nothing that could be checked", i->format->name);
        image_close(i);
        return CHECK_NOTHING;
    }
    int r = image_check(i, &c, e);
    if (r == 0 && a->repair && (c.corruptions_fixed || c.leaks_fixed) && !c.errors) {
        struct image_check again = {0}; /* what is left is what counts */
        r = image_check(i, &again, e);
        c.corruptions = again.corruptions + c.corruptions_fixed;
        c.leaks = again.leaks + c.leaks_fixed;
        c.image_end = again.image_end;
    }
    if (r == 0 && a->json)
        print_check_json(a, i, &c);
    else if (r == 0 && !a->quiet)
        print_check(&c);
    image_close(i);
    return r < 0 ? r : status_of(&c);
}

/* ---- snapshot ---- */

static void list_snapshots(const struct image_arguments *a, struct disk_image *i)
{
    struct image_info n;
    image_get_info(i, &n);
    if (!a->json) {
        print_snapshots(i, &n);
        return;
    }
    json_t *o = image_describe(i, false), *list = json_object_get(o, "snapshots");
    print_json(list ? json_incref(list) : json_array());
    json_decref(o);
}

int image_verb_snapshot(struct image_arguments *a, struct error *e)
{
    bool list = !a->action || a->action == 'l';
    struct disk_image *i = open_one(a, list, false, e);
    if (!i)
        return -EINVAL;
    int r = a->action == 'c'   ? image_snapshot_create(i, a->snapshot, e)
            : a->action == 'a' ? image_snapshot_apply(i, a->snapshot, e)
            : a->action == 'd' ? image_snapshot_delete(i, a->snapshot, e)
                               : 0;
    if (r == 0 && (list || a->json))
        list_snapshots(a, i);
    image_close(i);
    return r;
}
