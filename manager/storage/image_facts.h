/* image_facts.h - what a disk image on the host says of itself */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef STORAGE_IMAGE_FACTS_H
#define STORAGE_IMAGE_FACTS_H

#include <sys/stat.h>

#include "manager/daemon/task.h"

struct image_facts {
    const char *path, *format; /* in; format NULL: to be found out */
    struct stat st;
    struct timespec born;               /* tv_sec 0: the file system does not say */
    u64 capacity, allocation, physical; /* bytes: the guest's disk; used, and long, on the host */
    char found[16], compat[8], backing[1024], backing_format[16]; /* "": none */
    char why[256];                                                /* not "": the contents cannot be read */
};

/* In a task. 0, or -errno: there is no such file. */
int image_facts_read(struct tasks *t, struct image_facts *f);

#endif
