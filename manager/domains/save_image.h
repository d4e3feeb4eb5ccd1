/* save_image.h - the file of a saved domain: libvirt's header, the document, and what the machine wrote */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DOMAINS_SAVE_IMAGE_H
#define DOMAINS_SAVE_IMAGE_H

#include "manager/rpc/vir_error.h"

struct save_image {
    int fd; /* at the machine's own bytes */
    char *xml;
    bool was_running;
};

/* Makes the file, or empties it, and writes all that comes before the machine's bytes; it is marked as
 * incomplete. A descriptor at the place of these; or -1 with e. */
int save_image_create(const char *path, const char *xml, bool running, struct vir_error *e);
/* What comes before is true from now on; everything is on disk. May take as long as the disk does. 0 or
 * -errno. */
int save_image_complete(int fd);

/* Whether there is one, with all that belongs to it: one whose writing was cut off is none. */
bool save_image_there(const char *path);

/* Opens one that is complete. 0, or -1 with e. */
int save_image_open(struct save_image *s, const char *path, struct vir_error *e);
void save_image_close(struct save_image *s);

/* Another document in the place of the old one, which must be as long at least; running: -1 leaves that. */
int save_image_change(const char *path, const char *xml, int running, struct vir_error *e);

#endif
