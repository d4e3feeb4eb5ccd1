/* volume.h - making, copying, growing and wiping the images that volumes are */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef STORAGE_VOLUME_H
#define STORAGE_VOLUME_H

#include "manager/daemon/task.h"
#include "manager/daemon/xml.h"

/* What a new volume is to be. */
struct volume_plan {
    const char *path, *format, *backing, *backing_format; /* backing NULL: none */
    const char *source;                                   /* a copy of this image; NULL: empty */
    u64 capacity, allocation;
    bool preallocate;
    unsigned mode;
};

/* From the document of a volume; its strings are the document's. 0, or -1 with e. */
int volume_plan_read(struct volume_plan *p, xmlNode *xml, struct vir_error *e);

/* In a task, as each takes as long as the disks do. 0, or -1 with e: then nothing is left of it. */
int volume_make(struct tasks *t, const struct volume_plan *p, struct vir_error *e);
int volume_resize(struct tasks *t, const char *path, u64 capacity, bool shrink, bool allocate,
                  struct vir_error *e);
int volume_wipe(struct tasks *t, const char *path, struct vir_error *e);

#endif
