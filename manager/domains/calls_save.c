/* calls_save.c - procedures that save, restore and dump domains, and tell how far that is */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "manager/daemon/manager.h"
#include "manager/daemon/text.h"
#include "manager/domains/definition.h"
#include "manager/domains/job.h"
#include "manager/domains/life.h"
#include "manager/domains/save.h"
#include "manager/domains/save_image.h"
#include "manager/domains/store.h"
#include "manager/rpc/params.h"

enum { SAVE_FLAGS = SAVE_BYPASS_CACHE | SAVE_RUNNING | SAVE_PAUSED | SAVE_RESET_NVRAM };

static int check_flags(struct call *call, u32 flags)
{
    if (vir_check_flags(&call->error, flags, SAVE_FLAGS, call->procedure->name) < 0)
        return -1;
    return (flags & SAVE_RUNNING) && (flags & SAVE_PAUSED)
               ? vir_fail(&call->error, VIR_ERR_INVALID_ARG,
                          "running and paused flags are mutually exclusive")
               : 0;
}

/* ---- save ---- */

static int save(struct call *call, const struct remote_domain *name, const char *path, const char *xml,
                u32 flags)
{
    struct vir_error *e = &call->error;
    struct domain *d = domain_find_active(call, name);
    if (!d || check_flags(call, flags) < 0)
        return -1;
    if (path[0] != '/')
        return vir_fail(e, VIR_ERR_INVALID_ARG, "the path '%s' is not an absolute one", path);
    if (job_begin_active(d, JOB_SAVE, e) < 0)
        return -1;
    int r = save_domain(d, path, xml, flags, e);
    job_end(d);
    return r;
}

int handle_domain_save(struct call *call, const struct remote_domain_save_args *args)
{
    return save(call, &args->dom, args->to, NULL, 0);
}

int handle_domain_save_flags(struct call *call, const struct remote_domain_save_flags_args *args)
{
    return save(call, &args->dom, args->to, args->dxml, args->flags);
}

int handle_domain_managed_save(struct call *call, const struct remote_domain_managed_save_args *args)
{
    struct domain *d = domain_find_active(call, &args->dom);
    if (!d)
        return -1;
    if (!d->persistent)
        return vir_fail(&call->error, VIR_ERR_OPERATION_INVALID,
                        "cannot do managed save for transient domain");
    char *path = store_path(d, "save");
    int r = save(call, &args->dom, path, NULL, args->flags);
    free(path);
    return r;
}

/* ---- restore ---- */

/* The domain that the document is of: one that is defined and does not run, or a new, transient one. */
static struct domain *find_or_make(struct manager *m, xmlNode *xml, struct vir_error *e)
{
    struct domain *d;
    if (domains_find_same(m, xml, &d, e) < 0)
        return NULL;
    if (!d)
        return domain_new_transient(m, xml);
    if (!domain_active(d))
        return d;
    vir_fail(e, VIR_ERR_OPERATION_INVALID, "domain '%s' is already active", d->name);
    return NULL;
}

static int restore(struct call *call, const char *path, const char *other, u32 flags)
{
    struct vir_error *e = &call->error;
    struct save_image s;
    if (check_flags(call, flags) < 0 || save_image_open(&s, path, e) < 0)
        return -1;
    xmlNode *xml = definition_parse(call->manager, other ? other : s.xml, e);
    struct domain *d = xml ? find_or_make(call->manager, xml, e) : NULL;
    int r = d && job_begin(d, JOB_RESTORE, e) == 0 ? 0 : -1;
    if (r == 0) {
        r = restore_domain(d, xml, &s, flags, e); /* takes the document over */
        if (r < 0 && !d->persistent)
            domain_unlist(d);
        job_end(d);
    } else
        xml_free(xml);
    save_image_close(&s);
    return r;
}

int handle_domain_restore(struct call *call, const struct remote_domain_restore_args *args)
{
    return restore(call, args->from, NULL, 0);
}

int handle_domain_restore_flags(struct call *call, const struct remote_domain_restore_flags_args *args)
{
    return restore(call, args->from, args->dxml, args->flags);
}

/* ---- the files ---- */

static int get_document(struct call *call, const char *path, char **xml)
{
    struct save_image s;
    if (save_image_open(&s, path, &call->error) < 0)
        return -1;
    *xml = arena_strdup(&call->arena, s.xml);
    save_image_close(&s);
    return 0;
}

static int change_document(struct call *call, const char *path, const char *text, u32 flags)
{
    xmlNode *xml = check_flags(call, flags) == 0 ? definition_parse(call->manager, text, &call->error) : NULL;
    if (!xml)
        return -1;
    char *written = xml_write(xml);
    int r = save_image_change(path, written,
                              flags & SAVE_RUNNING  ? 1
                              : flags & SAVE_PAUSED ? 0
                                                    : -1,
                              &call->error);
    free(written);
    xml_free(xml);
    return r;
}

int handle_domain_save_image_get_xml_desc(struct call *call,
                                          const struct remote_domain_save_image_get_xml_desc_args *args,
                                          struct remote_domain_save_image_get_xml_desc_ret *ret)
{
    enum { SECURE = 1 };
    if (vir_check_flags(&call->error, args->flags, SECURE, "virDomainSaveImageGetXMLDesc") < 0)
        return -1;
    return get_document(call, args->file, &ret->xml);
}

int handle_domain_save_image_define_xml(struct call *call,
                                        const struct remote_domain_save_image_define_xml_args *args)
{
    return change_document(call, args->file, args->dxml, args->flags);
}

/* The path of a domain's managed save, in the arena; NULL with the error: there is none. */
static char *managed(struct call *call, const struct remote_domain *name)
{
    struct domain *d = domain_find(call, name);
    if (!d)
        return NULL;
    char *path = store_path(d, "save"), *kept = arena_strdup(&call->arena, path);
    free(path);
    if (access(kept, F_OK) == 0)
        return kept;
    vir_fail(&call->error, VIR_ERR_OPERATION_INVALID, "domain does not have managed save image");
    return NULL;
}

int handle_domain_has_managed_save_image(struct call *call,
                                         const struct remote_domain_has_managed_save_image_args *args,
                                         struct remote_domain_has_managed_save_image_ret *ret)
{
    struct domain *d = domain_find(call, &args->dom);
    if (d)
        ret->result = store_has_save(d);
    return d ? 0 : -1;
}

int handle_domain_managed_save_remove(struct call *call,
                                      const struct remote_domain_managed_save_remove_args *args)
{
    struct domain *d = domain_find(call, &args->dom);
    if (d)
        store_forget_save(d);
    return d ? 0 : -1;
}

int handle_domain_managed_save_get_xml_desc(struct call *call,
                                            const struct remote_domain_managed_save_get_xml_desc_args *args,
                                            struct remote_domain_managed_save_get_xml_desc_ret *ret)
{
    char *path = managed(call, &args->dom);
    return path ? get_document(call, path, &ret->xml) : -1;
}

int handle_domain_managed_save_define_xml(struct call *call,
                                          const struct remote_domain_managed_save_define_xml_args *args)
{
    char *path = managed(call, &args->dom);
    return path ? change_document(call, path, args->dxml ? args->dxml : "", args->flags) : -1;
}

/* ---- dump ---- */

static int dump(struct call *call, const struct remote_domain *name, const char *path, u32 format, u32 flags)
{
    enum { KNOWN = DUMP_CRASH | DUMP_LIVE | DUMP_BYPASS_CACHE | DUMP_RESET | DUMP_MEMORY_ONLY };
    struct vir_error *e = &call->error;
    struct domain *d = domain_find_active(call, name);
    if (!d || vir_check_flags(e, flags, KNOWN, "virDomainCoreDump") < 0)
        return -1;
    if (path[0] != '/')
        return vir_fail(e, VIR_ERR_INVALID_ARG, "the path '%s' is not an absolute one", path);
    if (job_begin_active(d, JOB_DUMP, e) < 0)
        return -1;
    int r = dump_domain(d, path, format, flags, e);
    job_end(d);
    return r;
}

int handle_domain_core_dump(struct call *call, const struct remote_domain_core_dump_args *args)
{
    return dump(call, &args->dom, args->to, 0, args->flags);
}

int handle_domain_core_dump_with_format(struct call *call,
                                        const struct remote_domain_core_dump_with_format_args *args)
{
    return dump(call, &args->dom, args->to, args->dumpformat, args->flags);
}

/* ---- how far it is ---- */

enum { JOB_TYPE_NONE = 0, JOB_TYPE_UNBOUNDED = 2, JOB_TYPE_COMPLETED = 3 };

/* 1, 0, or -1 with e. */
static int has_progress(const struct domain *d, struct vir_error *e)
{
    if (d->job.operation == JOB_MIGRATION_IN)
        return vir_fail(e, VIR_ERR_OPERATION_UNSUPPORTED,
                        "migration statistics are available only on the source host");
    return d->job.operation == JOB_SAVE || d->job.operation == JOB_DUMP ||
           d->job.operation == JOB_MIGRATION_OUT;
}

int handle_domain_get_job_info(struct call *call, const struct remote_domain_get_job_info_args *args,
                               struct remote_domain_get_job_info_ret *ret)
{
    struct domain *d = domain_find_active(call, &args->dom);
    if (!d)
        return -1;
    const struct job *j = &d->job;
    int r = has_progress(d, &call->error);
    if (r <= 0)
        return r;
    ret->type = JOB_TYPE_UNBOUNDED;
    ret->timeElapsed = (loop_now() - j->since) / 1000000;
    ret->dataTotal = ret->memTotal = j->total;
    ret->dataProcessed = ret->memProcessed = j->processed;
    ret->dataRemaining = ret->memRemaining = j->remaining;
    return 0;
}

int handle_domain_get_job_stats(struct call *call, const struct remote_domain_get_job_stats_args *args,
                                struct remote_domain_get_job_stats_ret *ret)
{
    enum { COMPLETED = 1, KEEP = 2 };
    struct domain *d = domain_find(call, &args->dom);
    struct params p = {.arena = &call->arena};
    int r = 0;
    if (!d || vir_check_flags(&call->error, args->flags, COMPLETED | KEEP, "virDomainGetJobStats") < 0)
        return -1;
    if (args->flags & COMPLETED && d->finished.operation) {
        ret->type = JOB_TYPE_COMPLETED;
        job_tell(&d->finished, d->finished.since, &p);
        if (!(args->flags & KEEP))
            d->finished = (struct job){0};
    } else if (args->flags & COMPLETED)
        ret->type = JOB_TYPE_NONE;
    else if (!domain_active(d))
        return domain_not_running(&call->error);
    else if ((r = has_progress(d, &call->error)) > 0) {
        ret->type = JOB_TYPE_UNBOUNDED;
        job_tell(&d->job, loop_now() - d->job.since, &p);
    }
    ret->params = p.at;
    ret->params_count = p.count;
    return min(r, 0);
}

int handle_domain_abort_job(struct call *call, const struct remote_domain_abort_job_args *args)
{
    struct domain *d = domain_find_active(call, &args->dom);
    return d ? save_abort(d, &call->error) : -1;
}

int handle_domain_abort_job_flags(struct call *call, const struct remote_domain_abort_job_flags_args *args)
{
    struct domain *d = domain_find_active(call, &args->dom);
    if (!d || vir_check_flags(&call->error, args->flags, 0, "virDomainAbortJobFlags") < 0)
        return -1;
    return save_abort(d, &call->error);
}
