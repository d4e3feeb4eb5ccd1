/* describe.h - what an image is, as QAPI's ImageInfo */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef IMAGE_DESCRIBE_H
#define IMAGE_DESCRIBE_H

#include <jansson.h>

#include "base/image/image.h"

/* chain: with the images below it, each within the one above. A new reference. */
json_t *image_describe(struct disk_image *i, bool chain);

#endif
