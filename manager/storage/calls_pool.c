/* calls_pool.c - procedures of storage pools */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "manager/daemon/manager.h"
#include "manager/daemon/text.h"
#include "manager/storage/pool.h"

enum { CREATE_BUILD = 1, CREATE_FLAGS = 7, POOL_INACTIVE = 0, POOL_RUNNING = 2 };

static struct remote_storage_pool remote(struct call *call, const struct resource *r)
{
    struct remote_storage_pool p = {.name = arena_strdup(&call->arena, r->name)};
    memcpy(p.uuid, r->uuid, sizeof(p.uuid));
    return p;
}

static struct resource *find(struct call *call, const struct remote_storage_pool *p)
{
    return resource_find(call, &call->manager->pools, p->uuid, p->name);
}

/* ---- lists ---- */

int handle_connect_list_all_storage_pools(struct call *call,
                                          const struct remote_connect_list_all_storage_pools_args *args,
                                          struct remote_connect_list_all_storage_pools_ret *ret)
{
    enum { STATES = 63, TYPES = 0x3ffffc0, TYPE_DIR = 64 };
    const struct resources *rs = &call->manager->pools;
    if (vir_check_flags(&call->error, args->flags, STATES | TYPES, "virConnectListAllStoragePools") < 0)
        return -1;
    ret->pools = arena_array(&call->arena, struct remote_storage_pool, rs->count);
    for (unsigned i = 0; i < rs->count; i++)
        if (resource_matches(rs->at[i], args->flags) && (!(args->flags & TYPES) || args->flags & TYPE_DIR)) {
            if (args->need_results)
                ret->pools[ret->pools_count++] = remote(call, rs->at[i]);
            ret->ret++;
        }
    return 0;
}

int handle_connect_num_of_storage_pools(struct call *call,
                                        struct remote_connect_num_of_storage_pools_ret *ret)
{
    ret->num = resources_count(&call->manager->pools, true);
    return 0;
}

int handle_connect_num_of_defined_storage_pools(struct call *call,
                                                struct remote_connect_num_of_defined_storage_pools_ret *ret)
{
    ret->num = resources_count(&call->manager->pools, false);
    return 0;
}

int handle_connect_list_storage_pools(struct call *call,
                                      const struct remote_connect_list_storage_pools_args *args,
                                      struct remote_connect_list_storage_pools_ret *ret)
{
    ret->names = resources_names(call, &call->manager->pools, true, args->maxnames, &ret->names_count);
    return 0;
}

int handle_connect_list_defined_storage_pools(
    struct call *call, const struct remote_connect_list_defined_storage_pools_args *args,
    struct remote_connect_list_defined_storage_pools_ret *ret)
{
    ret->names = resources_names(call, &call->manager->pools, false, args->maxnames, &ret->names_count);
    return 0;
}

/* ---- look-ups ---- */

int handle_storage_pool_lookup_by_name(struct call *call,
                                       const struct remote_storage_pool_lookup_by_name_args *args,
                                       struct remote_storage_pool_lookup_by_name_ret *ret)
{
    struct resource *r = resource_find_name(call, &call->manager->pools, args->name);
    if (r)
        ret->pool = remote(call, r);
    return r ? 0 : -1;
}

int handle_storage_pool_lookup_by_uuid(struct call *call,
                                       const struct remote_storage_pool_lookup_by_uuid_args *args,
                                       struct remote_storage_pool_lookup_by_uuid_ret *ret)
{
    struct resource *r = resource_find(call, &call->manager->pools, args->uuid, NULL);
    if (r)
        ret->pool = remote(call, r);
    return r ? 0 : -1;
}

int handle_storage_pool_lookup_by_volume(struct call *call,
                                         const struct remote_storage_pool_lookup_by_volume_args *args,
                                         struct remote_storage_pool_lookup_by_volume_ret *ret)
{
    struct resource *r = resource_find_name(call, &call->manager->pools, args->vol.pool);
    if (r)
        ret->pool = remote(call, r);
    return r ? 0 : -1;
}

int handle_storage_pool_lookup_by_target_path(
    struct call *call, const struct remote_storage_pool_lookup_by_target_path_args *args,
    struct remote_storage_pool_lookup_by_target_path_ret *ret)
{
    const struct resources *rs = &call->manager->pools;
    for (unsigned i = 0; i < rs->count; i++)
        if (rs->at[i]->active && !strcmp(pool_folder(rs->at[i]), args->path)) {
            ret->pool = remote(call, rs->at[i]);
            return 0;
        }
    return vir_fail(&call->error, VIR_ERR_NO_STORAGE_POOL, "no storage pool with matching target path '%s'",
                    args->path);
}

/* ---- life ---- */

static int build(const struct resource *r, struct vir_error *e)
{
    int error = folder_make(pool_folder(r), 0755);
    return error < 0 ? vir_fail_errno(e, -error, "cannot create path '%s'", pool_folder(r)) : 0;
}

int handle_storage_pool_define_xml(struct call *call, const struct remote_storage_pool_define_xml_args *args,
                                   struct remote_storage_pool_define_xml_ret *ret)
{
    enum { VALIDATE = 1 };
    if (vir_check_flags(&call->error, args->flags, VALIDATE, "virStoragePoolDefineXML") < 0)
        return -1;
    struct resource *r = resource_define(&call->manager->pools, args->xml, &call->error);
    if (r)
        ret->pool = remote(call, r);
    return r ? 0 : -1;
}

int handle_storage_pool_create_xml(struct call *call, const struct remote_storage_pool_create_xml_args *args,
                                   struct remote_storage_pool_create_xml_ret *ret)
{
    struct vir_error *e = &call->error;
    if (vir_check_flags(e, args->flags, CREATE_FLAGS, "virStoragePoolCreateXML") < 0)
        return -1;
    xmlNode *xml = args->flags & CREATE_BUILD ? xml_parse(args->xml, "pool", e) : NULL;
    const char *folder = xml ? xml_get(xml, "target/path") : NULL;
    int error = folder && folder[0] == '/' ? folder_make(folder, 0755) : 0;
    if (error < 0)
        vir_fail_errno(e, -error, "cannot create path '%s'", folder);
    xml_free(xml);
    struct resource *r = error < 0 ? NULL : resource_create(&call->manager->pools, args->xml, e);
    if (r)
        ret->pool = remote(call, r);
    return r ? 0 : -1;
}

int handle_storage_pool_create(struct call *call, const struct remote_storage_pool_create_args *args)
{
    struct resource *r = find(call, &args->pool);
    if (!r || vir_check_flags(&call->error, args->flags, CREATE_FLAGS, "virStoragePoolCreate") < 0 ||
        (args->flags & CREATE_BUILD && build(r, &call->error) < 0))
        return -1;
    return resource_start(r, &call->error);
}

int handle_storage_pool_build(struct call *call, const struct remote_storage_pool_build_args *args)
{
    enum { NO_OVERWRITE = 4, OVERWRITE = 8, KNOWN = NO_OVERWRITE | OVERWRITE | 1 };
    struct resource *r = find(call, &args->pool);
    if (!r || vir_check_flags(&call->error, args->flags, KNOWN, "virStoragePoolBuild") < 0)
        return -1;
    if (r->active)
        return vir_fail(&call->error, VIR_ERR_OPERATION_INVALID, "storage pool '%s' is already active",
                        r->name);
    return build(r, &call->error);
}

int handle_storage_pool_destroy(struct call *call, const struct remote_storage_pool_destroy_args *args)
{
    struct resource *r = find(call, &args->pool);
    return r ? resource_stop(r, &call->error) : -1;
}

int handle_storage_pool_delete(struct call *call, const struct remote_storage_pool_delete_args *args)
{
    enum { ZEROED = 1 };
    struct resource *r = find(call, &args->pool);
    if (!r || vir_check_flags(&call->error, args->flags, ZEROED, "virStoragePoolDelete") < 0)
        return -1;
    if (r->active)
        return vir_fail(&call->error, VIR_ERR_OPERATION_INVALID, "storage pool '%s' is still active",
                        r->name);
    return rmdir(pool_folder(r)) < 0
               ? vir_fail_errno(&call->error, errno, "failed to remove pool '%s'", pool_folder(r))
               : 0;
}

int handle_storage_pool_undefine(struct call *call, const struct remote_storage_pool_undefine_args *args)
{
    struct resource *r = find(call, &args->pool);
    return r ? resource_undefine(r, &call->error) : -1;
}

/* What there is is looked at each time, so that this only tells those who listen. */
int handle_storage_pool_refresh(struct call *call, const struct remote_storage_pool_refresh_args *args)
{
    struct resource *r = find(call, &args->pool);
    if (!r || vir_check_flags(&call->error, args->flags, 0, "virStoragePoolRefresh") < 0 ||
        resource_need_active(r, &call->error) < 0 || pool_kind.start(r, &call->error) < 0)
        return -1;
    struct remote_storage_pool_event_refresh_msg msg = {.pool = remote(call, r)};
    struct event e = {.class = EVENT_POOL,
                      .number = 1,
                      .uuid = r->uuid,
                      .procedure = PROC_STORAGE_POOL_EVENT_REFRESH,
                      .type = &xdr_remote_storage_pool_event_refresh_msg,
                      .message = &msg};
    event_send(&call->manager->server, &e);
    return 0;
}

/* ---- how it is ---- */

int handle_storage_pool_get_info(struct call *call, const struct remote_storage_pool_get_info_args *args,
                                 struct remote_storage_pool_get_info_ret *ret)
{
    struct resource *r = find(call, &args->pool);
    if (!r)
        return -1;
    struct pool_space s = pool_space(r);
    *ret = (struct remote_storage_pool_get_info_ret){r->active ? POOL_RUNNING : POOL_INACTIVE, s.capacity,
                                                     s.allocation, s.available};
    return 0;
}

/* As libvirt lays it out: what it is, what is in it, where it is. */
static xmlNode *describe(const struct resource *r, bool inactive)
{
    xmlNode *from = inactive && r->config ? r->config : resource_xml(r);
    xmlNode *xml = xml_new("pool");
    struct pool_space s = pool_space(r);
    struct stat st;
    xml_set(xml, "@type", "dir");
    xml_set(xml, "name", xml_get(from, "name"));
    xml_set(xml, "uuid", xml_get(from, "uuid"));
    xml_set_bytes(xml, "capacity", s.capacity);
    xml_set_bytes(xml, "allocation", s.allocation);
    xml_set_bytes(xml, "available", s.available);
    xml_add(xml, "source");
    xml_set(xml, "target/path", xml_get(from, "target/path"));
    if (r->active && !inactive && stat(pool_folder(r), &st) == 0) {
        xml_setf(xml, "target/permissions/mode", "0%o", st.st_mode & 07777);
        xml_setf(xml, "target/permissions/owner", "%u", st.st_uid);
        xml_setf(xml, "target/permissions/group", "%u", st.st_gid);
    }
    return xml;
}

int handle_storage_pool_get_xml_desc(struct call *call,
                                     const struct remote_storage_pool_get_xml_desc_args *args,
                                     struct remote_storage_pool_get_xml_desc_ret *ret)
{
    enum { INACTIVE = 1 };
    struct resource *r = find(call, &args->pool);
    if (!r || vir_check_flags(&call->error, args->flags, INACTIVE, "virStoragePoolGetXMLDesc") < 0)
        return -1;
    xmlNode *xml = describe(r, args->flags & INACTIVE);
    char *text = xml_write(xml);
    ret->xml = arena_strdup(&call->arena, text);
    free(text);
    xml_free(xml);
    return 0;
}

int handle_storage_pool_get_autostart(struct call *call,
                                      const struct remote_storage_pool_get_autostart_args *args,
                                      struct remote_storage_pool_get_autostart_ret *ret)
{
    struct resource *r = find(call, &args->pool);
    if (r)
        ret->autostart = r->autostart;
    return r ? 0 : -1;
}

int handle_storage_pool_set_autostart(struct call *call,
                                      const struct remote_storage_pool_set_autostart_args *args)
{
    struct resource *r = find(call, &args->pool);
    return r ? resource_set_autostart(r, args->autostart, &call->error) : -1;
}

int handle_storage_pool_is_active(struct call *call, const struct remote_storage_pool_is_active_args *args,
                                  struct remote_storage_pool_is_active_ret *ret)
{
    struct resource *r = find(call, &args->pool);
    if (r)
        ret->active = r->active;
    return r ? 0 : -1;
}

int handle_storage_pool_is_persistent(struct call *call,
                                      const struct remote_storage_pool_is_persistent_args *args,
                                      struct remote_storage_pool_is_persistent_ret *ret)
{
    struct resource *r = find(call, &args->pool);
    if (r)
        ret->persistent = resource_persistent(r);
    return r ? 0 : -1;
}

/* ---- its volumes ---- */

static struct resource *find_active(struct call *call, const struct remote_storage_pool *p)
{
    struct resource *r = find(call, p);
    return r && resource_need_active(r, &call->error) == 0 ? r : NULL;
}

int handle_storage_pool_num_of_volumes(struct call *call,
                                       const struct remote_storage_pool_num_of_volumes_args *args,
                                       struct remote_storage_pool_num_of_volumes_ret *ret)
{
    struct resource *r = find_active(call, &args->pool);
    u32 count = 0;
    if (r)
        pool_volumes(r, &call->arena, &count);
    ret->num = (s32)count;
    return r ? 0 : -1;
}

int handle_storage_pool_list_volumes(struct call *call,
                                     const struct remote_storage_pool_list_volumes_args *args,
                                     struct remote_storage_pool_list_volumes_ret *ret)
{
    struct resource *r = find_active(call, &args->pool);
    if (!r)
        return -1;
    ret->names = pool_volumes(r, &call->arena, &ret->names_count);
    ret->names_count = min(ret->names_count, (u32)max(args->maxnames, 0));
    return 0;
}

int handle_storage_pool_list_all_volumes(struct call *call,
                                         const struct remote_storage_pool_list_all_volumes_args *args,
                                         struct remote_storage_pool_list_all_volumes_ret *ret)
{
    struct resource *r = find_active(call, &args->pool);
    if (!r || vir_check_flags(&call->error, args->flags, 0, "virStoragePoolListAllVolumes") < 0)
        return -1;
    char **names = pool_volumes(r, &call->arena, &ret->ret);
    if (!args->need_results)
        return 0;
    ret->vols = arena_array(&call->arena, struct remote_storage_vol, ret->ret);
    for (u32 i = 0; i < ret->ret; i++)
        ret->vols[ret->vols_count++] =
            (struct remote_storage_vol){arena_strdup(&call->arena, r->name), names[i],
                                        arena_printf(&call->arena, "%s/%s", pool_folder(r), names[i])};
    return 0;
}
