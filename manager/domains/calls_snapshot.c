/* calls_snapshot.c - procedures of snapshots; and of checkpoints, of which no domain has any */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdlib.h>
#include <string.h>

#include "manager/daemon/manager.h"
#include "manager/domains/definition.h"
#include "manager/domains/job.h"
#include "manager/domains/life.h"
#include "manager/domains/notify.h"
#include "manager/domains/snapshot.h"

/* A domain and its snapshots, as long as a call looks at them. */
struct view {
    struct domain *domain;
    struct snapshots all;
    struct snapshot *one; /* that the call names */
};

static int view_domain(struct call *call, struct view *v, const struct remote_domain *name)
{
    *v = (struct view){.domain = domain_find(call, name)};
    if (v->domain)
        v->all = snapshots_read(v->domain);
    return v->domain ? 0 : -1;
}

static int no_snapshot(struct call *call, const char *name)
{
    return vir_fail(&call->error, VIR_ERR_NO_DOMAIN_SNAPSHOT, "no domain snapshot with matching name '%s'",
                    name);
}

static int find_one(struct call *call, struct view *v, const char *name)
{
    v->one = snapshots_find(&v->all, name);
    if (v->one)
        return 0;
    snapshots_free(&v->all);
    return no_snapshot(call, name);
}

static int view_snapshot(struct call *call, struct view *v, const struct remote_domain_snapshot *name)
{
    return view_domain(call, v, &name->dom) < 0 ? -1 : find_one(call, v, name->name);
}

static int view_end(struct view *v)
{
    snapshots_free(&v->all);
    return 0;
}

static struct remote_domain_snapshot remote(struct call *call, const struct domain *d, const char *name)
{
    struct remote_domain_snapshot r = {arena_strdup(&call->arena, name), domain_remote(d)};
    r.dom.name = arena_strdup(&call->arena, d->name);
    return r;
}

/* ---- lists ---- */

/* virDomainSnapshotListFlags. Ours are all inside the images, with a document. */
enum {
    LIST_BELOW = 1, /* of a domain: those without a parent; of a snapshot: all that stem from it */
    LIST_METADATA = 2,
    LIST_LEAVES = 4,
    LIST_NO_LEAVES = 8,
    LIST_NO_METADATA = 16,
    LIST_INACTIVE = 32,
    LIST_ACTIVE = 64,
    LIST_DISK_ONLY = 128,
    LIST_INTERNAL = 256,
    LIST_EXTERNAL = 512,
    LIST_TOPOLOGICAL = 1024,
    LIST_ALL = 2047,
};

/* A group of flags of which none is set does not choose. */
static bool chosen(u32 flags, u32 group, u32 ours)
{
    return !(flags & group) || flags & ours;
}

static bool is_wanted(const struct view *v, const struct snapshot *s, u32 flags)
{
    bool leaf = snapshots_is_leaf(&v->all, s);
    bool below = v->one ? snapshots_descends(&v->all, s, v->one->name, flags & LIST_BELOW)
                        : !(flags & LIST_BELOW) || !s->parent;
    return below && chosen(flags, LIST_LEAVES | LIST_NO_LEAVES, leaf ? LIST_LEAVES : LIST_NO_LEAVES) &&
           chosen(flags, LIST_METADATA | LIST_NO_METADATA, LIST_METADATA) &&
           chosen(flags, LIST_INACTIVE | LIST_ACTIVE | LIST_DISK_ONLY,
                  snapshot_has_memory(s) ? LIST_ACTIVE : LIST_INACTIVE) &&
           chosen(flags, LIST_INTERNAL | LIST_EXTERNAL, LIST_INTERNAL);
}

/* Up to `most` names, in the arena; NULL: they are only counted. */
static u32 list(struct call *call, const struct view *v, u32 flags, u32 most, char **names)
{
    u32 n = 0;
    for (unsigned i = 0; i < v->all.count; i++) {
        if (!is_wanted(v, &v->all.at[i], flags))
            continue;
        if (names && n == most)
            break;
        if (names)
            names[n] = arena_strdup(&call->arena, v->all.at[i].name);
        n++;
    }
    return n;
}

static int check_list(struct call *call, u32 flags)
{
    return vir_check_flags(&call->error, flags, LIST_ALL, call->procedure->name);
}

int handle_domain_snapshot_num(struct call *call, const struct remote_domain_snapshot_num_args *args,
                               struct remote_domain_snapshot_num_ret *ret)
{
    struct view v;
    if (check_list(call, args->flags) < 0 || view_domain(call, &v, &args->dom) < 0)
        return -1;
    ret->num = (s32)list(call, &v, args->flags, 0, NULL);
    return view_end(&v);
}

int handle_domain_snapshot_num_children(struct call *call,
                                        const struct remote_domain_snapshot_num_children_args *args,
                                        struct remote_domain_snapshot_num_children_ret *ret)
{
    struct view v;
    if (check_list(call, args->flags) < 0 || view_snapshot(call, &v, &args->snap) < 0)
        return -1;
    ret->num = (s32)list(call, &v, args->flags, 0, NULL);
    return view_end(&v);
}

static u32 list_names(struct call *call, struct view *v, u32 flags, s32 maxnames, char ***names)
{
    u32 most = min((u32)max(maxnames, 0), v->all.count);
    *names = arena_array(&call->arena, char *, most);
    u32 n = list(call, v, flags, most, *names);
    view_end(v);
    return n;
}

int handle_domain_snapshot_list_names(struct call *call,
                                      const struct remote_domain_snapshot_list_names_args *args,
                                      struct remote_domain_snapshot_list_names_ret *ret)
{
    struct view v;
    if (check_list(call, args->flags) < 0 || view_domain(call, &v, &args->dom) < 0)
        return -1;
    ret->names_count = list_names(call, &v, args->flags, args->maxnames, &ret->names);
    return 0;
}

int handle_domain_snapshot_list_children_names(
    struct call *call, const struct remote_domain_snapshot_list_children_names_args *args,
    struct remote_domain_snapshot_list_children_names_ret *ret)
{
    struct view v;
    if (check_list(call, args->flags) < 0 || view_snapshot(call, &v, &args->snap) < 0)
        return -1;
    ret->names_count = list_names(call, &v, args->flags, args->maxnames, &ret->names);
    return 0;
}

static u32 list_all(struct call *call, struct view *v, u32 flags, struct remote_domain_snapshot **snapshots)
{
    char **names;
    u32 n = list_names(call, v, flags, INT32_MAX, &names);
    *snapshots = arena_array(&call->arena, struct remote_domain_snapshot, n);
    for (u32 i = 0; i < n; i++)
        (*snapshots)[i] = remote(call, v->domain, names[i]);
    return n;
}

int handle_domain_list_all_snapshots(struct call *call,
                                     const struct remote_domain_list_all_snapshots_args *args,
                                     struct remote_domain_list_all_snapshots_ret *ret)
{
    struct view v;
    if (check_list(call, args->flags) < 0 || view_domain(call, &v, &args->dom) < 0)
        return -1;
    u32 n = list_all(call, &v, args->flags, &ret->snapshots);
    ret->ret = (s32)n;
    ret->snapshots_count = args->need_results ? n : 0;
    return 0;
}

int handle_domain_snapshot_list_all_children(struct call *call,
                                             const struct remote_domain_snapshot_list_all_children_args *args,
                                             struct remote_domain_snapshot_list_all_children_ret *ret)
{
    struct view v;
    if (check_list(call, args->flags) < 0 || view_snapshot(call, &v, &args->snapshot) < 0)
        return -1;
    u32 n = list_all(call, &v, args->flags, &ret->snapshots);
    ret->ret = (s32)n;
    ret->snapshots_count = args->need_results ? n : 0;
    return 0;
}

int handle_domain_list_all_checkpoints(struct call *call,
                                       const struct remote_domain_list_all_checkpoints_args *args,
                                       struct remote_domain_list_all_checkpoints_ret *ret)
{
    ret->checkpoints_count = 0;
    return domain_find(call, &args->dom) ? 0 : -1;
}

/* ---- one ---- */

static int check_none(struct call *call, u32 flags)
{
    return vir_check_flags(&call->error, flags, 0, call->procedure->name);
}

int handle_domain_snapshot_lookup_by_name(struct call *call,
                                          const struct remote_domain_snapshot_lookup_by_name_args *args,
                                          struct remote_domain_snapshot_lookup_by_name_ret *ret)
{
    struct view v;
    if (check_none(call, args->flags) < 0 || view_domain(call, &v, &args->dom) < 0 ||
        find_one(call, &v, args->name) < 0)
        return -1;
    ret->snap = remote(call, v.domain, v.one->name);
    return view_end(&v);
}

int handle_domain_has_current_snapshot(struct call *call,
                                       const struct remote_domain_has_current_snapshot_args *args,
                                       struct remote_domain_has_current_snapshot_ret *ret)
{
    struct view v;
    if (check_none(call, args->flags) < 0 || view_domain(call, &v, &args->dom) < 0)
        return -1;
    ret->result = snapshots_current(&v.all) != NULL;
    return view_end(&v);
}

int handle_domain_snapshot_current(struct call *call, const struct remote_domain_snapshot_current_args *args,
                                   struct remote_domain_snapshot_current_ret *ret)
{
    struct view v;
    if (check_none(call, args->flags) < 0 || view_domain(call, &v, &args->dom) < 0)
        return -1;
    const struct snapshot *s = snapshots_current(&v.all);
    int r =
        s ? 0
          : vir_fail(&call->error, VIR_ERR_NO_DOMAIN_SNAPSHOT, "the domain does not have a current snapshot");
    if (s)
        ret->snap = remote(call, v.domain, s->name);
    view_end(&v);
    return r;
}

int handle_domain_snapshot_get_parent(struct call *call,
                                      const struct remote_domain_snapshot_get_parent_args *args,
                                      struct remote_domain_snapshot_get_parent_ret *ret)
{
    struct view v;
    if (check_none(call, args->flags) < 0 || view_snapshot(call, &v, &args->snap) < 0)
        return -1;
    int r = v.one->parent ? 0
                          : vir_fail(&call->error, VIR_ERR_NO_DOMAIN_SNAPSHOT,
                                     "snapshot '%s' does not have a parent", v.one->name);
    if (r == 0)
        ret->snap = remote(call, v.domain, v.one->parent);
    view_end(&v);
    return r;
}

int handle_domain_snapshot_is_current(struct call *call,
                                      const struct remote_domain_snapshot_is_current_args *args,
                                      struct remote_domain_snapshot_is_current_ret *ret)
{
    struct view v;
    if (check_none(call, args->flags) < 0 || view_snapshot(call, &v, &args->snap) < 0)
        return -1;
    ret->current = v.one->current;
    return view_end(&v);
}

int handle_domain_snapshot_has_metadata(struct call *call,
                                        const struct remote_domain_snapshot_has_metadata_args *args,
                                        struct remote_domain_snapshot_has_metadata_ret *ret)
{
    struct view v;
    if (check_none(call, args->flags) < 0 || view_snapshot(call, &v, &args->snap) < 0)
        return -1;
    ret->metadata = 1;
    return view_end(&v);
}

int handle_domain_snapshot_get_xml_desc(struct call *call,
                                        const struct remote_domain_snapshot_get_xml_desc_args *args,
                                        struct remote_domain_snapshot_get_xml_desc_ret *ret)
{
    enum { SECURE = 1 };
    struct view v;
    if (vir_check_flags(&call->error, args->flags, SECURE, call->procedure->name) < 0 ||
        view_snapshot(call, &v, &args->snap) < 0)
        return -1;
    xml_remove(v.one->xml, "active");
    char *text = xml_write(v.one->xml);
    ret->xml = arena_strdup(&call->arena, text);
    free(text);
    return view_end(&v);
}

/* ---- changes ---- */

/* In a job: the snapshots as they are now. */
static int begin(struct call *call, struct view *v, const struct remote_domain_snapshot *name)
{
    *v = (struct view){.domain = domain_find(call, &name->dom)};
    if (!v->domain || job_begin(v->domain, JOB_MODIFY, &call->error) < 0)
        return -1;
    snapshots_settle(v->domain);
    v->all = snapshots_read(v->domain);
    if (find_one(call, v, name->name) == 0)
        return 0;
    job_end(v->domain);
    return -1;
}

static int end(struct view *v, int r)
{
    view_end(v);
    job_end(v->domain);
    return r;
}

int handle_domain_snapshot_create_xml(struct call *call,
                                      const struct remote_domain_snapshot_create_xml_args *args,
                                      struct remote_domain_snapshot_create_xml_ret *ret)
{
    enum { NO_METADATA = 4, HALT = 8, ATOMIC = 128, LIVE = 256, VALIDATE = 512 };
    struct vir_error *e = &call->error;
    struct domain *d = domain_find(call, &args->dom);
    if (!d || vir_check_flags(e, args->flags, NO_METADATA | HALT | ATOMIC | LIVE | VALIDATE,
                              "virDomainSnapshotCreateXML") < 0)
        return -1;
    if (args->flags & LIVE)
        return vir_fail(e, VIR_ERR_OPERATION_UNSUPPORTED,
                        "live snapshot creation is supported only during full system snapshots");
    xmlNode *xml = xml_parse(args->xml_desc, "domainsnapshot", e);
    if (!xml || job_begin(d, JOB_MODIFY, e) < 0) {
        xml_free(xml);
        return -1;
    }
    snapshots_settle(d);
    int r = d->persistent ? snapshot_make(d, xml, !(args->flags & NO_METADATA), args->flags & HALT, e)
                          : vir_fail(e, VIR_ERR_OPERATION_INVALID,
                                     "domain '%s' is transient: it keeps no snapshots", d->name);
    if (r == 0)
        ret->snap = remote(call, d, xml_get(xml, "name"));
    job_end(d);
    xml_free(xml);
    return r;
}

/* To one of a machine that did not run. */
static int go_back(struct view *v, bool start, bool paused, struct vir_error *e)
{
    const struct life_origin from = {.image = -1, .started = STARTED_FROM_SNAPSHOT};
    struct domain *d = v->domain;
    if (domain_active(d) && life_destroy(d, false, SHUTOFF_FROM_SNAPSHOT, STOPPED_FROM_SNAPSHOT, e) < 0)
        return -1;
    int r = snapshot_go_back(d, &v->all, v->one, e);
    return r == 0 && start ? life_start(d, NULL, &from, paused, e) : r;
}

int handle_domain_revert_to_snapshot(struct call *call,
                                     const struct remote_domain_revert_to_snapshot_args *args)
{
    enum { RUNNING = 1, PAUSED = 2, FORCE = 4, RESET_NVRAM = 8 };
    struct vir_error *e = &call->error;
    struct view v;
    if (vir_check_flags(e, args->flags, RUNNING | PAUSED | FORCE | RESET_NVRAM, "virDomainRevertToSnapshot") <
            0 ||
        begin(call, &v, &args->snap) < 0)
        return -1;
    bool was_paused = xml_is(v.one->xml, "state", "paused");
    int r;
    if (!v.domain->persistent)
        r = vir_fail(e, VIR_ERR_OPERATION_INVALID,
                     "transient domain needs to request run or pause to revert to inactive snapshot");
    else if (snapshot_has_memory(v.one))
        r = snapshot_resume(v.domain, &v.all, v.one,
                            args->flags & PAUSED || (was_paused && !(args->flags & RUNNING)), e);
    else
        r = go_back(&v, args->flags & (RUNNING | PAUSED), args->flags & PAUSED, e);
    if (r == 0)
        notify_lifecycle(v.domain, EV_DEFINED, DEFINED_FROM_SNAPSHOT);
    return end(&v, r);
}

/* Those that stem from it; from the youngest on, so that none is left without its parent. */
static int remove_below(struct view *v, const char *name, bool disks, struct vir_error *e)
{
    int r = 0;
    for (unsigned i = v->all.count; i-- > 0 && r == 0;)
        if (snapshots_descends(&v->all, &v->all.at[i], name, true))
            r = snapshot_remove(v->domain, &v->all, &v->all.at[i], disks, e);
    return r;
}

int handle_domain_snapshot_delete(struct call *call, const struct remote_domain_snapshot_delete_args *args)
{
    enum { CHILDREN = 1, METADATA_ONLY = 2, CHILDREN_ONLY = 4 };
    struct vir_error *e = &call->error;
    struct view v;
    if (vir_check_flags(e, args->flags, CHILDREN | METADATA_ONLY | CHILDREN_ONLY, "virDomainSnapshotDelete") <
            0 ||
        begin(call, &v, &args->snap) < 0)
        return -1;
    bool disks = !(args->flags & METADATA_ONLY);
    int r = 0;
    if (args->flags & (CHILDREN | CHILDREN_ONLY))
        r = remove_below(&v, args->snap.name, disks, e);
    struct snapshot *one = snapshots_find(&v.all, args->snap.name);
    if (r == 0 && one && !(args->flags & CHILDREN_ONLY))
        r = snapshot_remove(v.domain, &v.all, one, disks, e);
    return end(&v, r);
}
