/* calls_volume.c - procedures of the volumes in storage pools */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "manager/daemon/manager.h"
#include "manager/storage/image_facts.h"
#include "manager/storage/pool.h"
#include "manager/storage/transfer.h"
#include "manager/storage/volume.h"

enum { TYPE_FILE = 0, TYPE_BLOCK = 1 };

static struct remote_storage_vol remote(struct call *call, const struct resource *pool, const char *name)
{
    return (struct remote_storage_vol){arena_strdup(&call->arena, pool->name),
                                       arena_strdup(&call->arena, name),
                                       arena_printf(&call->arena, "%s/%s", pool_folder(pool), name)};
}

/* The text moves into the arena. */
static char *keep(struct call *call, char *text)
{
    char *kept = text ? arena_strdup(&call->arena, text) : NULL;
    free(text);
    return kept;
}

static struct resource *find_pool(struct call *call, const char *name)
{
    struct resource *pool = resource_find_name(call, &call->manager->pools, name);
    return pool && resource_need_active(pool, &call->error) == 0 ? pool : NULL;
}

/* The path of a volume that is there; or NULL with the error. */
static char *find(struct call *call, const struct remote_storage_vol *vol)
{
    struct resource *pool = find_pool(call, vol->pool);
    return pool ? keep(call, pool_volume_path(pool, vol->name, &call->error)) : NULL;
}

/* ---- look-ups ---- */

int handle_storage_vol_lookup_by_name(struct call *call,
                                      const struct remote_storage_vol_lookup_by_name_args *args,
                                      struct remote_storage_vol_lookup_by_name_ret *ret)
{
    struct resource *pool = find_pool(call, args->pool.name);
    if (!pool || !keep(call, pool_volume_path(pool, args->name, &call->error)))
        return -1;
    ret->vol = remote(call, pool, args->name);
    return 0;
}

static int lookup(struct call *call, const char *path, const char *what, struct remote_storage_vol *vol)
{
    const char *name;
    struct resource *pool = pool_of_path(&call->manager->pools, path, &name);
    if (!pool)
        return vir_fail(&call->error, VIR_ERR_NO_STORAGE_VOL, "no storage vol with matching %s '%s'", what,
                        path);
    *vol = remote(call, pool, name);
    return 0;
}

int handle_storage_vol_lookup_by_key(struct call *call,
                                     const struct remote_storage_vol_lookup_by_key_args *args,
                                     struct remote_storage_vol_lookup_by_key_ret *ret)
{
    return lookup(call, args->key, "key", &ret->vol);
}

int handle_storage_vol_lookup_by_path(struct call *call,
                                      const struct remote_storage_vol_lookup_by_path_args *args,
                                      struct remote_storage_vol_lookup_by_path_ret *ret)
{
    return lookup(call, args->path, "path", &ret->vol);
}

int handle_storage_vol_get_path(struct call *call, const struct remote_storage_vol_get_path_args *args,
                                struct remote_storage_vol_get_path_ret *ret)
{
    ret->name = find(call, &args->vol);
    return ret->name ? 0 : -1;
}

/* ---- how it is ---- */

static int facts(struct call *call, const struct remote_storage_vol *vol, struct image_facts *f)
{
    *f = (struct image_facts){.path = find(call, vol)};
    int r = f->path ? image_facts_read(&call->manager->tasks, f) : -1;
    return f->path && r < 0 ? vir_fail_errno(&call->error, -r, "cannot stat file '%s'", f->path) : r;
}

int handle_storage_vol_get_info(struct call *call, const struct remote_storage_vol_get_info_args *args,
                                struct remote_storage_vol_get_info_ret *ret)
{
    struct image_facts f;
    if (facts(call, &args->vol, &f) < 0)
        return -1;
    *ret = (struct remote_storage_vol_get_info_ret){S_ISBLK(f.st.st_mode) ? TYPE_BLOCK : TYPE_FILE,
                                                    f.capacity, f.allocation};
    return 0;
}

int handle_storage_vol_get_info_flags(struct call *call,
                                      const struct remote_storage_vol_get_info_flags_args *args,
                                      struct remote_storage_vol_get_info_flags_ret *ret)
{
    enum { PHYSICAL = 1 };
    struct image_facts f;
    if (vir_check_flags(&call->error, args->flags, PHYSICAL, "virStorageVolGetInfoFlags") < 0 ||
        facts(call, &args->vol, &f) < 0)
        return -1;
    *ret = (struct remote_storage_vol_get_info_flags_ret){S_ISBLK(f.st.st_mode) ? TYPE_BLOCK : TYPE_FILE,
                                                          f.capacity,
                                                          args->flags & PHYSICAL ? f.physical : f.allocation};
    return 0;
}

static void add_time(xmlNode *xml, const char *path, struct timespec t)
{
    xml_setf(xml, path, "%ld.%09ld", (long)t.tv_sec, t.tv_nsec);
}

static void describe(xmlNode *xml, const char *name, const struct image_facts *f)
{
    xml_set(xml, "@type", S_ISBLK(f->st.st_mode) ? "block" : "file");
    xml_set(xml, "name", name);
    xml_set(xml, "key", f->path);
    xml_set_bytes(xml, "capacity", f->capacity);
    xml_set_bytes(xml, "allocation", f->allocation);
    xml_set_bytes(xml, "physical", f->physical);
    xml_set(xml, "target/path", f->path);
    xml_set(xml, "target/format/@type", f->found);
    xml_setf(xml, "target/permissions/mode", "0%o", f->st.st_mode & 07777);
    xml_setf(xml, "target/permissions/owner", "%u", f->st.st_uid);
    xml_setf(xml, "target/permissions/group", "%u", f->st.st_gid);
    add_time(xml, "target/timestamps/atime", f->st.st_atim);
    add_time(xml, "target/timestamps/mtime", f->st.st_mtim);
    add_time(xml, "target/timestamps/ctime", f->st.st_ctim);
    if (f->born.tv_sec)
        add_time(xml, "target/timestamps/btime", f->born);
    if (*f->compat) {
        xml_set(xml, "target/compat", f->compat);
        xml_add(xml_node(xml, "target"), "features");
    }
    if (*f->backing) {
        xml_set(xml, "backingStore/path", f->backing);
        if (*f->backing_format)
            xml_set(xml, "backingStore/format/@type", f->backing_format);
    }
}

int handle_storage_vol_get_xml_desc(struct call *call,
                                    const struct remote_storage_vol_get_xml_desc_args *args,
                                    struct remote_storage_vol_get_xml_desc_ret *ret)
{
    struct image_facts f;
    if (vir_check_flags(&call->error, args->flags, 0, "virStorageVolGetXMLDesc") < 0 ||
        facts(call, &args->vol, &f) < 0)
        return -1;
    xmlNode *xml = xml_new("volume");
    describe(xml, args->vol.name, &f);
    ret->xml = keep(call, xml_write(xml));
    xml_free(xml);
    return 0;
}

/* ---- making and removing ---- */

static int create(struct call *call, const struct remote_storage_pool *in, const char *text,
                  const char *source, bool preallocate, struct remote_storage_vol *vol)
{
    struct vir_error *e = &call->error;
    struct resource *pool = resource_find(call, &call->manager->pools, in->uuid, in->name);
    xmlNode *xml = pool && resource_need_active(pool, e) == 0 ? xml_parse(text, "volume", e) : NULL;
    const char *name = xml ? xml_get(xml, "name") : NULL;
    struct volume_plan plan;
    if (xml && !name)
        vir_fail(e, VIR_ERR_XML_ERROR, "missing volume name element");
    int r = name ? volume_plan_read(&plan, xml, e) : -1;
    if (r == 0) {
        plan.preallocate = preallocate;
        plan.source = source;
        plan.path = keep(call, pool_new_volume_path(pool, name, e));
        r = plan.path ? volume_make(&call->manager->tasks, &plan, e) : -1;
    }
    if (r == 0)
        *vol = remote(call, pool, name);
    xml_free(xml);
    return r;
}

enum { CREATE_PREALLOCATE = 1 };

int handle_storage_vol_create_xml(struct call *call, const struct remote_storage_vol_create_xml_args *args,
                                  struct remote_storage_vol_create_xml_ret *ret)
{
    if (vir_check_flags(&call->error, args->flags, CREATE_PREALLOCATE, "virStorageVolCreateXML") < 0)
        return -1;
    return create(call, &args->pool, args->xml, NULL, args->flags & CREATE_PREALLOCATE, &ret->vol);
}

int handle_storage_vol_create_xml_from(struct call *call,
                                       const struct remote_storage_vol_create_xml_from_args *args,
                                       struct remote_storage_vol_create_xml_from_ret *ret)
{
    if (vir_check_flags(&call->error, args->flags, CREATE_PREALLOCATE, "virStorageVolCreateXMLFrom") < 0)
        return -1;
    char *source = find(call, &args->clonevol);
    return source ? create(call, &args->pool, args->xml, source, args->flags & CREATE_PREALLOCATE, &ret->vol)
                  : -1;
}

int handle_storage_vol_delete(struct call *call, const struct remote_storage_vol_delete_args *args)
{
    enum { ZEROED = 1, WITH_SNAPSHOTS = 2 };
    if (vir_check_flags(&call->error, args->flags, ZEROED | WITH_SNAPSHOTS, "virStorageVolDelete") < 0)
        return -1;
    char *path = find(call, &args->vol);
    if (!path || (args->flags & ZEROED && volume_wipe(&call->manager->tasks, path, &call->error) < 0))
        return -1;
    return unlink(path) < 0 ? vir_fail_errno(&call->error, errno, "cannot unlink file '%s'", path) : 0;
}

int handle_storage_vol_resize(struct call *call, const struct remote_storage_vol_resize_args *args)
{
    enum { ALLOCATE = 1, DELTA = 2, SHRINK = 4 };
    struct vir_error *e = &call->error;
    struct image_facts f;
    u64 size = args->capacity;
    if (vir_check_flags(e, args->flags, ALLOCATE | DELTA | SHRINK, "virStorageVolResize") < 0 ||
        facts(call, &args->vol, &f) < 0)
        return -1;
    bool less = args->flags & SHRINK;
    if (args->flags & DELTA && (less ? __builtin_sub_overflow(f.capacity, size, &size)
                                     : __builtin_add_overflow(f.capacity, size, &size)))
        return vir_fail(e, VIR_ERR_INVALID_ARG, "the capacity would be less than nothing, or more than any");
    if (size < f.capacity && !less)
        return vir_fail(
            e, VIR_ERR_INVALID_ARG,
            "Can't shrink capacity below current capacity unless shrink flag explicitly specified");
    if (size < f.allocation && !strcmp(f.found, "raw") && !less)
        return vir_fail(e, VIR_ERR_INVALID_ARG, "can't shrink capacity below existing allocation");
    return volume_resize(&call->manager->tasks, f.path, size, less, args->flags & ALLOCATE, e);
}

static int wipe(struct call *call, const struct remote_storage_vol *vol, u32 flags)
{
    char *path = vir_check_flags(&call->error, flags, 0, "virStorageVolWipe") < 0 ? NULL : find(call, vol);
    return path ? volume_wipe(&call->manager->tasks, path, &call->error) : -1;
}

int handle_storage_vol_wipe(struct call *call, const struct remote_storage_vol_wipe_args *args)
{
    return wipe(call, &args->vol, args->flags);
}

int handle_storage_vol_wipe_pattern(struct call *call,
                                    const struct remote_storage_vol_wipe_pattern_args *args)
{
    enum { ZERO = 0 };
    if (args->algorithm != ZERO)
        return vir_fail(&call->error, VIR_ERR_INVALID_ARG,
                        "wiping algorithm %u is not supported: the one that there is is zero (0)",
                        args->algorithm);
    return wipe(call, &args->vol, args->flags);
}

/* ---- contents ---- */

enum { STREAM_SPARSE = 1 };

int handle_storage_vol_upload(struct call *call, const struct remote_storage_vol_upload_args *args)
{
    if (vir_check_flags(&call->error, args->flags, STREAM_SPARSE, "virStorageVolUpload") < 0)
        return -1;
    char *path = find(call, &args->vol);
    return path ? upload_open(call, path, args->offset, args->length, args->flags & STREAM_SPARSE) : -1;
}

int handle_storage_vol_download(struct call *call, const struct remote_storage_vol_download_args *args)
{
    if (vir_check_flags(&call->error, args->flags, STREAM_SPARSE, "virStorageVolDownload") < 0)
        return -1;
    char *path = find(call, &args->vol);
    return path ? download_open(call, path, args->offset, args->length, args->flags & STREAM_SPARSE) : -1;
}
