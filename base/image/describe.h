/* describe.h - what an image is, as QAPI's ImageInfo */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef IMAGE_DESCRIBE_H
#define IMAGE_DESCRIBE_H

#include <jansson.h>
#include <stdio.h>

#include "base/image/image.h"

/* chain: with the images below it, each within the one above. A new reference. */
json_t *image_describe(struct disk_image *i, bool chain);

/* ---- for people ---- */

/* "10 GiB", as QEMU prints it: three digits. */
const char *image_size_text(u64 bytes, char text[32]);
/* A row of the table of snapshots, as QEMU prints it; id: what stands for its own. */
#define IMAGE_SNAPSHOT_HEADING \
    "ID        TAG               VM SIZE                DATE     VM CLOCK     ICOUNT"
void image_print_snapshot(FILE *f, const struct image_snapshot *s, const char *id, const char *end);

#endif
