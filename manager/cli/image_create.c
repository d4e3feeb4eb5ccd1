/* image_create.c - lodge image create and resize, and the options of new images */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "manager/cli/image.h"

/* What the tables fill. */
struct creation {
    u64 size, cluster_size;
    const char *backing, *backing_format;
    unsigned compat, compression, preallocation, fixed;
    u32 refcount_bits;
    bool lazy_refcounts;
};

#define FIELD(f) offsetof(struct creation, f)

static const char *const compats[] = {"1.1", "v3", "0.10", "v2", NULL};
enum { FIRST_V2 = 2 };
static const char *const compressions[] = {"zlib", "zstd", NULL};
static const char *const preallocations[] = {"off", "metadata", "falloc", "full", NULL};
static const char *const raw_preallocations[] = {"off", "falloc", "full", NULL};
static const char *const only_off[] = {"off", NULL};

static const struct property_row qcow2_rows[] = {
    {"size", PROPERTY_SIZE, FIELD(size), NULL, "of the disk"},
    {"backing_file", PROPERTY_TEXT, FIELD(backing), NULL,
     "what is not written to this image is read from there"},
    {"backing_fmt", PROPERTY_TEXT, FIELD(backing_format), NULL, "its format"},
    {"cluster_size", PROPERTY_SIZE, FIELD(cluster_size), "65536", "from 512 to 2M"},
    {"compat", PROPERTY_CHOICE, FIELD(compat), "1.1", "1.1 (v3) or 0.10 (v2)", .choices = compats},
    {"compression_type", PROPERTY_CHOICE, FIELD(compression), "zlib", "for convert -c",
     .choices = compressions},
    {"lazy_refcounts", PROPERTY_BOOL, FIELD(lazy_refcounts), "off", "counts may be late"},
    {"preallocation", PROPERTY_CHOICE, FIELD(preallocation), "off", "what is taken at once",
     .choices = preallocations},
    {"refcount_bits", PROPERTY_U32, FIELD(refcount_bits), "16", "width of a count", 1, 64},
    {"extended_l2", PROPERTY_CHOICE, FIELD(fixed), NULL, "there are no subclusters", .choices = only_off},
    {"encryption", PROPERTY_CHOICE, FIELD(fixed), NULL, "there is no encryption", .choices = only_off},
    {"nocow", PROPERTY_CHOICE, FIELD(fixed), NULL, "the file system's own is kept", .choices = only_off},
    {0}};

static const struct property_row raw_rows[] = {{"size", PROPERTY_SIZE, FIELD(size), NULL, "of the disk"},
                                               {"preallocation", PROPERTY_CHOICE, FIELD(preallocation), "off",
                                                "what is taken at once", .choices = raw_preallocations},
                                               {0}};

/* The size of the backing image, and that it is one. */
static int look_at_backing(const struct image_create *c, u64 *size, struct error *e)
{
    char *path = image_relative_path(c->filename, c->backing);
    const struct image_options o = {
        .filename = path, .format = c->backing_format, .read_only = true, .no_lock = true};
    struct disk_image *i = path ? image_open(&o, e) : NULL;
    free(path);
    if (!i)
        return -EINVAL;
    *size = i->size;
    image_close(i);
    return 0;
}

static int take_size(const struct creation *o, const char *size, const struct image_arguments *a,
                     struct image_create *c, struct error *e)
{
    u64 backing = 0;
    int r = c->backing && !a->unsafe ? look_at_backing(c, &backing, e) : 0;
    if (r < 0)
        return r;
    c->size = size ? 0 : o->size ? o->size : backing;
    if (size && (r = parse_size(size, 1, &c->size)) < 0)
        return error_set(e, -r, "image: '%s' is not a size: use a number, or one with K, M, G or T", size);
    if (!size && !o->size && !(c->backing && !a->unsafe))
        return error_set(e, EINVAL,
                         "image: the size of '%s' is missing: use a number, or one with K, M, G or T",
                         c->filename);
    if (c->size > INT64_MAX)
        return error_set(e, EFBIG, "image: '%s' is larger than images can be", size ? size : "size");
    return 0;
}

int image_creation(struct image_arguments *a, const char *format, const char *filename, const char *size,
                   struct image_create *c, struct error *e)
{
    bool raw = !strcmp(format, "raw");
    const struct property_row *rows = raw ? raw_rows : qcow2_rows;
    struct creation o = {0};
    if (!image_format_find(format))
        return error_set(e, ENOTSUP, "image format '%s' is not supported: use raw or qcow2", format);
    if (properties_get(&a->options, "help")) {
        properties_help(rows);
        return 1;
    }
    int r = properties_read(&a->options, rows, &o, "-o", e);
    if (r < 0)
        return r;
    *c = (struct image_create){.filename = filename,
                               .format = format,
                               .backing = a->backing ? a->backing : o.backing,
                               .backing_format = a->backing_format ? a->backing_format : o.backing_format,
                               .preallocation = o.preallocation + (raw && o.preallocation),
                               .cluster_size = o.cluster_size,
                               .version = o.compat >= FIRST_V2 ? 2 : 3,
                               .compression = o.compression,
                               .refcount_bits = o.refcount_bits,
                               .lazy_refcounts = o.lazy_refcounts};
    if (raw && c->backing)
        return error_set(e, EINVAL, "image: raw images have no backing file: use -f qcow2");
    if (c->backing && !c->backing_format)
        return error_set(e, EINVAL, "image: the format of the backing file '%s' is missing: use -F FORMAT",
                         c->backing);
    if (c->backing_format && !image_format_find(c->backing_format))
        return error_set(e, ENOTSUP, "image format '%s' is not supported: use raw or qcow2",
                         c->backing_format);
    return take_size(&o, size, a, c, e);
}

static void print_created(const struct image_create *c)
{
    printf("Formatting '%s', fmt=%s", c->filename, c->format);
    if (strcmp(c->format, "raw"))
        printf(" cluster_size=%" PRIu64 " compression_type=%s lazy_refcounts=%s refcount_bits=%u",
               c->cluster_size, compressions[c->compression], c->lazy_refcounts ? "on" : "off",
               c->refcount_bits);
    if (c->backing)
        printf(" backing_file=%s backing_fmt=%s", c->backing, c->backing_format);
    if (c->preallocation)
        printf(" preallocation=%s", preallocations[c->preallocation]);
    printf(" size=%" PRIu64 "\n", c->size);
}

/* The same for programs. Whatever its backing file is, it is not looked at: -u makes images that have none
 * yet. */
static int print_made(const struct image_create *c, struct error *e)
{
    const struct image_options o = {
        .filename = c->filename, .format = c->format, .read_only = true, .no_lock = true, .check = true};
    struct disk_image *i = image_open(&o, e);
    if (!i)
        return -EINVAL;
    image_print_json(i);
    image_close(i);
    return 0;
}

int image_verb_create(struct image_arguments *a, struct error *e)
{
    struct image_create c;
    int r =
        image_creation(a, a->format ? a->format : "raw", a->word[0], a->words > 1 ? a->word[1] : NULL, &c, e);
    if (r)
        return min(r, 0);
    if ((r = image_create(&c, e)) == 0 && a->json)
        return print_made(&c, e);
    if (r == 0 && !a->quiet)
        print_created(&c);
    return r;
}

/* SIZE, or what is added to or taken from it. */
static int new_size(const char *text, u64 old, u64 *size, struct error *e)
{
    bool plus = *text == '+', minus = *text == '-';
    int r = parse_size(text + (plus || minus), 1, size);
    if (r < 0)
        return error_set(e, -r, "image resize: '%s' is not a size: use a number, or one with K, M, G or T",
                         text);
    if (minus && *size > old)
        return error_set(e, EINVAL, "image resize: the image has only %" PRIu64 " bytes", old);
    if (plus && __builtin_add_overflow(old, *size, size))
        *size = UINT64_MAX;
    if (minus)
        *size = old - *size;
    return *size > INT64_MAX ? error_set(e, EFBIG, "image resize: '%s' is larger than images can be", text)
                             : 0;
}

int image_verb_resize(struct image_arguments *a, struct error *e)
{
    const struct image_options o = {.filename = a->word[0], .format = a->format};
    struct disk_image *i = image_open(&o, e);
    u64 size, old;
    if (!i)
        return -EINVAL;
    old = i->size;
    if (!a->format && i->format == &image_raw && !a->quiet)
        report("image resize: the format of '%s' is taken to be raw: use -f raw if that is so", a->word[0]);
    int r = new_size(a->word[1], old, &size, e);
    if (r == 0)
        r = image_resize(i, size, a->shrink, e);
    if (r == 0 && a->preallocation && size > old)
        r = a->preallocation == PREALLOCATE_FULL ? image_write_zeros(i, old, size - old)
                                                 : error_set(e, ENOTSUP,
                                                             "image resize: of preallocations only off "
                                                             "and full are supported");
    if (r == 0 && a->json)
        image_print_json(i);
    else if (r == 0 && !a->quiet)
        puts("Image resized.");
    image_close(i);
    return r;
}
