/* image.h - the verbs of `lodge image` */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MANAGER_CLI_IMAGE_H
#define MANAGER_CLI_IMAGE_H

#include "base/config/properties.h"
#include "base/image/image.h"
#include "manager/cli/verb.h"

/* What all of them may be given. argument[]: the words that are no options. */
struct image_arguments {
    const char *format, *output_format, *backing, *backing_format, *cache, *source_cache, *repair, *sparse;
    struct properties options; /* -o */
    bool json, quiet, progress, shared, shrink, compress, keep_target, chain, unsafe, salvage;
    unsigned preallocation;
    char action; /* of snapshot: l, c, a or d; 0: none */
    const char *snapshot;
    const char *word[16];
    unsigned words;
};

struct image_verb {
    const char *name, *words, *help;
    const char *letters;  /* of the options that it has */
    unsigned least, most; /* words */
    int (*run)(struct image_arguments *a, struct error *e);
    const char *own; /* getopt's letters instead of those of the others; NULL: none */
};

int image_verb_create(struct image_arguments *a, struct error *e);
int image_verb_info(struct image_arguments *a, struct error *e);
int image_verb_check(struct image_arguments *a, struct error *e);
int image_verb_convert(struct image_arguments *a, struct error *e);
int image_verb_resize(struct image_arguments *a, struct error *e);
int image_verb_snapshot(struct image_arguments *a, struct error *e);

/* -o and what stands beside it; the size is where the -o option or `size` says. 1: help has been printed. */
int image_creation(struct image_arguments *a, const char *format, const char *filename, const char *size,
                   struct image_create *c, struct error *e);

/* What the image is now, for programs. */
void image_print_json(struct disk_image *i);

/* Of a cache mode of QEMU's. */
int image_cache_mode(const char *mode, struct image_options *o, struct error *e);

void image_progress(const struct image_arguments *a, u64 done, u64 all);

#endif
