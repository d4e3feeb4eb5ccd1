/* pool.c - a storage pool: a folder of the host, whose files are its volumes */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "manager/daemon/manager.h"
#include "manager/daemon/text.h"
#include "manager/storage/pool.h"

const char *pool_folder(const struct resource *pool)
{
    return xml_get(resource_xml(pool), "target/path");
}

/* Without '/' at the end, and without steps that lead elsewhere. */
static int set_folder(xmlNode *config, struct vir_error *e)
{
    const char *given = xml_get(config, "target/path");
    if (!given || given[0] != '/')
        return vir_fail(e, VIR_ERR_XML_ERROR,
                        "missing storage pool target path, or it is not an absolute one");
    if (strstr(given, "/../") || strstr(given, "/./") || strlen(given) > 3000)
        return vir_fail(e, VIR_ERR_XML_ERROR,
                        "the target path '%s' is too long, or has steps like '..' in it", given);
    char *folder = text_copy(given);
    for (size_t n = strlen(folder); n > 1 && folder[n - 1] == '/'; n--)
        folder[n - 1] = 0;
    xml_set(config, "target/path", folder);
    free(folder);
    return 0;
}

static int check(struct manager *m, xmlNode *config, struct vir_error *e)
{
    const char *type = xml_get(config, "@type");
    u8 uuid[16];
    if (!type)
        return vir_fail(e, VIR_ERR_XML_ERROR, "missing storage pool type");
    if (strcmp(type, "dir"))
        return vir_fail(e, VIR_ERR_INTERNAL_ERROR,
                        "missing backend for pool type '%s': the one that there is is 'dir'", type);
    if (set_folder(config, e) < 0)
        return -1;
    uuid_parse(xml_get(config, "uuid"), uuid);
    for (unsigned i = 0; i < m->pools.count; i++) {
        const struct resource *other = m->pools.at[i];
        if (memcmp(other->uuid, uuid, 16) && resource_xml(other) &&
            !strcmp(pool_folder(other), xml_get(config, "target/path")))
            return vir_fail(e, VIR_ERR_OPERATION_FAILED, "Storage source conflict with pool: '%s'",
                            other->name);
    }
    return 0;
}

static int start(struct resource *pool, struct vir_error *e)
{
    const char *folder = pool_folder(pool);
    DIR *dir = opendir(folder);
    if (!dir)
        return vir_fail_errno(e, errno, "cannot open directory '%s'", folder);
    closedir(dir);
    return 0;
}

const struct resource_kind pool_kind = {
    .element = "pool",
    .folder = "/storage",
    .word = "storage pool",
    .not_found = VIR_ERR_NO_STORAGE_POOL,
    .event = EVENT_POOL,
    .lifecycle = PROC_STORAGE_POOL_EVENT_LIFECYCLE,
    .message = &xdr_remote_storage_pool_event_lifecycle_msg,
    .check = check,
    .start = start,
};

/* ---- volumes ---- */

static bool is_name(const char *name)
{
    return *name && !strchr(name, '/') && strcmp(name, ".") && strcmp(name, "..") && strlen(name) < 255;
}

static bool is_volume(const char *path, struct stat *st)
{
    return lstat(path, st) == 0 && (S_ISREG(st->st_mode) || S_ISBLK(st->st_mode));
}

static char *path_of(const struct resource *pool, const char *name, struct vir_error *e)
{
    if (is_name(name))
        return text_printf("%s/%s", pool_folder(pool), name);
    vir_fail(e, VIR_ERR_XML_ERROR, "volume name '%s' cannot contain '/', nor be longer than a file name",
             name);
    return NULL;
}

char *pool_volume_path(const struct resource *pool, const char *name, struct vir_error *e)
{
    struct stat st;
    char *path = is_name(name) ? path_of(pool, name, e) : NULL;
    if (path && is_volume(path, &st))
        return path;
    free(path);
    vir_fail(e, VIR_ERR_NO_STORAGE_VOL, "no storage vol with matching name '%s'", name);
    return NULL;
}

char *pool_new_volume_path(const struct resource *pool, const char *name, struct vir_error *e)
{
    struct stat st;
    char *path = path_of(pool, name, e);
    if (path && lstat(path, &st) == 0) {
        vir_fail(e, VIR_ERR_STORAGE_VOL_EXIST, "'%s'", name);
        free(path);
        return NULL;
    }
    return path;
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

char **pool_volumes(const struct resource *pool, struct arena *a, u32 *count)
{
    enum { MOST = 16384 };
    DIR *dir = opendir(pool_folder(pool));
    char **names = arena_array(a, char *, dir ? MOST : 1);
    struct dirent *entry;
    struct stat st;
    *count = 0;
    while (dir && *count < MOST && (entry = readdir(dir))) {
        char *path = text_printf("%s/%s", pool_folder(pool), entry->d_name);
        if (is_volume(path, &st))
            names[(*count)++] = arena_strdup(a, entry->d_name);
        free(path);
    }
    if (dir)
        closedir(dir);
    qsort(names, *count, sizeof(*names), compare);
    return names;
}

struct resource *pool_of_path(struct resources *pools, const char *path, const char **name)
{
    const char *slash = strrchr(path, '/');
    struct stat st;
    for (unsigned i = 0; slash && i < pools->count; i++) {
        struct resource *pool = pools->at[i];
        const char *folder = pool->active ? pool_folder(pool) : "";
        if (strlen(folder) == (size_t)(slash - path) && !strncmp(folder, path, strlen(folder)) &&
            is_name(slash + 1) && is_volume(path, &st)) {
            *name = slash + 1;
            return pool;
        }
    }
    return NULL;
}

struct pool_space pool_space(const struct resource *pool)
{
    struct statvfs v;
    if (!pool->active || statvfs(pool_folder(pool), &v) < 0)
        return (struct pool_space){0};
    u64 all = (u64)v.f_blocks * v.f_frsize, free_bytes = (u64)v.f_bfree * v.f_frsize;
    return (struct pool_space){all, all - free_bytes, free_bytes};
}
