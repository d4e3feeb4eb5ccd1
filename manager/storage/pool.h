/* pool.h - a storage pool: a folder of the host, whose files are its volumes */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef STORAGE_POOL_H
#define STORAGE_POOL_H

#include "manager/daemon/resource.h"

extern const struct resource_kind pool_kind;

/* The folder. */
const char *pool_folder(const struct resource *pool);

/* A volume is a file of the folder: nothing is remembered of it, so a pool shows what is there. The path, to
 * be freed; NULL with e: the name leads out of the folder, or there is no such volume, or it is none (a link,
 * say). */
char *pool_volume_path(const struct resource *pool, const char *name, struct vir_error *e);
/* The same of one that is to be made: it must not be there. */
char *pool_new_volume_path(const struct resource *pool, const char *name, struct vir_error *e);

/* Names of the volumes, sorted, in the arena. */
char **pool_volumes(const struct resource *pool, struct arena *a, u32 *count);

/* The pool, and the volume's name in it, of a path; NULL: it is of no active pool. */
struct resource *pool_of_path(struct resources *pools, const char *path, const char **name);

struct pool_space {
    u64 capacity, allocation, available; /* bytes, of the file system */
};
struct pool_space pool_space(const struct resource *pool);

#endif
