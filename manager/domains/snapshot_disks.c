/* snapshot_disks.c - what snapshots do to a domain's images: by its machine while it runs (QEMU's jobs
 * snapshot-save and -delete), else in the files */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/image/image.h"
#include "manager/daemon/manager.h"
#include "manager/daemon/text.h"
#include "manager/daemon/work.h"
#include "manager/domains/device.h"
#include "manager/domains/life.h"
#include "manager/domains/snapshot_disks.h"

/* ---- the files ---- */

typedef int act(struct disk_image *i, const char *name, struct error *e);

/* What is done to images, by a thread of its own. */
struct work {
    act *act;
    bool look; /* it changes nothing, and somebody else may have them open */
    const char *name;
    char *path[SNAPSHOT_DISKS_MAX];
    unsigned count, done;
    struct error e;
};

/* The disks that a snapshot's document names, of its own definition. */
static void find_paths(xmlNode *snapshot, struct work *w)
{
    xml_each(disk, xml_node(snapshot, "disks"), "disk")
    {
        xml_each(of, xml_node(snapshot, "domain/devices"), "disk")
        {
            const char *name = xml_get(disk, "@name"), *path = xml_get(of, "source/@file");
            if (xml_is(disk, "@snapshot", "internal") && name && path && xml_is(of, "target/@dev", name) &&
                w->count < SNAPSHOT_DISKS_MAX)
                w->path[w->count++] = text_copy(path);
        }
    }
}

static bool has_path(const struct work *w, const char *path)
{
    for (unsigned k = 0; path && k < w->count; k++)
        if (!strcmp(w->path[k], path))
            return true;
    return false;
}

static void free_paths(struct work *w)
{
    for (unsigned k = 0; k < w->count; k++)
        free(w->path[k]);
    w->count = 0;
}

static int act_on_one(struct work *w, const char *path, act *act)
{
    const struct image_options o = {
        .filename = path, .format = "qcow2", .read_only = w->look, .no_lock = w->look};
    struct disk_image *i = image_open(&o, &w->e);
    int r = i ? act(i, w->name, &w->e) : -EINVAL;
    image_close(i);
    return r;
}

static int delete_if_there(struct disk_image *i, const char *name, struct error *e)
{
    return image_snapshot_find(i, name) ? image_snapshot_delete(i, name, e) : 0;
}

static int act_on_all(void *arg)
{
    struct work *w = arg;
    int r = 0;
    for (w->done = 0; w->done < w->count && r == 0; w->done++)
        r = act_on_one(w, w->path[w->done], w->act);
    if (r == 0 || w->act != image_snapshot_create)
        return r;
    struct work undo = {.name = w->name};
    for (unsigned k = 0; k + 1 < w->done; k++) /* all have it, or none */
        act_on_one(&undo, w->path[k], delete_if_there);
    return r;
}

static int run(struct domain *d, struct work *w, struct vir_error *e)
{
    int r = w->count ? work_run(&d->manager->tasks, act_on_all, w) : 0;
    free_paths(w);
    return r < 0 ? vir_fail(e, VIR_ERR_OPERATION_FAILED, "%s", w->e.text) : 0;
}

static int is_free(struct disk_image *i, const char *name, struct error *e)
{
    return image_snapshot_find(i, name) ? error_set(e, EEXIST,
                                                    "there is a snapshot '%s' of '%s' already: use another "
                                                    "name",
                                                    name, i->filename)
                                        : 0;
}

static int is_there(struct disk_image *i, const char *name, struct error *e)
{
    return image_snapshot_find(i, name)
               ? 0
               : error_set(e, ENOENT, "there is no snapshot '%s' of '%s'", name, i->filename);
}

int snapshot_disks_apply(struct domain *d, xmlNode *snapshot, const char *name, struct vir_error *e)
{
    struct work w = {.act = image_snapshot_apply, .name = name};
    find_paths(snapshot, &w);
    return run(d, &w, e);
}

int snapshot_disks_check_there(struct domain *d, xmlNode *snapshot, const char *name, struct vir_error *e)
{
    struct work w = {.act = is_there, .name = name, .look = true};
    find_paths(snapshot, &w);
    return run(d, &w, e);
}

/* ---- the machine ---- */

static const char job_id[] = "lodged-snapshot";
enum { POLL_NS = 20000000 };

static const char *text(json_t *o, const char *name)
{
    const char *s = json_string_value(json_object_get(o, name));
    return s ? s : "";
}

/* The job: 1: it is there; with e, where it failed; 0: there is none; -1 with e. A machine
 * that is busy with it may be silent for long. */
static int look_at_job(struct domain *d, bool *ended, bool *failed, struct vir_error *e)
{
    json_t *jobs, *one;
    size_t i;
    int r = 0;
    while (life_command(d, "query-jobs", NULL, &jobs, e) < 0)
        if (e->code != VIR_ERR_OPERATION_TIMEOUT || !domain_active(d))
            return -1;
    json_array_foreach(jobs, i, one)
    {
        if (strcmp(text(one, "id"), job_id))
            continue;
        r = 1;
        *ended = !strcmp(text(one, "status"), "concluded");
        *failed = json_object_get(one, "error") != NULL;
        if (*failed)
            vir_fail(e, VIR_ERR_OPERATION_FAILED, "%s", text(one, "error"));
    }
    json_decref(jobs);
    return r;
}

/* 1: it came to a good end; 0: there is none; -1 with e. It stays known to the machine, so that a daemon that
 * dies now does not lose how it ended. */
static int wait_for_job(struct domain *d, struct vir_error *e)
{
    bool ended = false, failed = false;
    int r;
    while ((r = look_at_job(d, &ended, &failed, e)) > 0 && !ended)
        task_sleep(&d->manager->tasks, POLL_NS);
    return r > 0 && failed ? -1 : r;
}

bool snapshot_disks_settle(struct domain *d)
{
    struct vir_error e;
    return domain_active(d) && wait_for_job(d, &e) > 0;
}

static void forget_job(struct domain *d)
{
    struct vir_error ignored;
    if (wait_for_job(d, &ignored) != 0)
        life_command(d, "job-dismiss", json_pack("{s:s}", "id", job_id), NULL, &ignored);
}

/* Takes arguments. */
static int run_job(struct domain *d, const char *command, json_t *arguments, struct vir_error *e)
{
    forget_job(d);
    json_object_set_new(arguments, "job-id", json_string(job_id));
    if (life_command(d, command, arguments, NULL, e) < 0)
        return -1;
    int r = wait_for_job(d, e);
    return r > 0 ? 0 : r < 0 ? -1 : vir_fail(e, VIR_ERR_OPERATION_FAILED, "the machine's job is gone");
}

/* The nodes of those paths, in the machine's order, in which it looks for who has its state. NULL with e. */
static json_t *find_nodes(struct domain *d, const struct work *w, struct vir_error *e)
{
    json_t *blocks, *one, *nodes = json_array();
    size_t i;
    if (life_command(d, "query-block", NULL, &blocks, e) < 0) {
        json_decref(nodes);
        return NULL;
    }
    json_array_foreach(blocks, i, one)
    {
        const char *id = text(one, "device"), *node = text(json_object_get(one, "inserted"), "node-name");
        xmlNode *disk = d->live && !strncmp(id, "drive-", 6) ? device_find_alias(d->live, id + 6) : NULL;
        if (disk && *node && has_path(w, xml_get(disk, "source/@file")))
            json_array_append_new(nodes, json_string(node));
    }
    json_decref(blocks);
    return nodes;
}

static int save(struct domain *d, const struct work *w, struct vir_error *e)
{
    json_t *nodes = find_nodes(d, w, e);
    if (!nodes)
        return -1;
    if (json_array_size(nodes) != w->count) {
        json_decref(nodes);
        return vir_fail(e, VIR_ERR_OPERATION_FAILED, "a disk is not in the machine");
    }
    struct vir_error why;
    int r = run_job(
        d, "snapshot-save",
        json_pack("{s:s,s:O,s:o}", "tag", w->name, "vmstate", json_array_get(nodes, 0), "devices", nodes),
        &why);
    return r < 0 ? vir_fail(e, why.code, "Failed to take snapshot: %s", why.text) : 0;
}

int snapshot_disks_prepare(struct domain *d, xmlNode *snapshot, const char *name, struct vir_error *e)
{
    struct work w = {.act = is_free, .name = name, .look = true};
    find_paths(snapshot, &w);
    if (run(d, &w, e) < 0)
        return -1;
    if (domain_active(d))
        forget_job(d);
    return 0;
}

int snapshot_disks_make(struct domain *d, xmlNode *snapshot, const char *name, struct vir_error *e)
{
    struct work w = {.act = image_snapshot_create, .name = name};
    find_paths(snapshot, &w);
    if (!domain_active(d))
        return run(d, &w, e);
    int r = save(d, &w, e);
    free_paths(&w);
    return r;
}

/* Those that the machine has are its own; the others lie there as files. */
static void leave_out_attached(struct domain *d, struct work *w)
{
    unsigned n = 0;
    for (unsigned k = 0; k < w->count; k++) {
        bool attached = false;
        xml_each(disk, xml_node(d->live, "devices"), "disk") attached |=
            xml_is(disk, "source/@file", w->path[k]);
        if (attached)
            free(w->path[k]);
        else
            w->path[n++] = w->path[k];
    }
    w->count = n;
}

int snapshot_disks_remove(struct domain *d, xmlNode *snapshot, const char *name, struct vir_error *e)
{
    struct work w = {.act = delete_if_there, .name = name};
    find_paths(snapshot, &w);
    json_t *nodes = domain_active(d) ? find_nodes(d, &w, e) : json_array();
    int r = nodes ? 0 : -1;
    if (r == 0 && json_array_size(nodes))
        r = run_job(d, "snapshot-delete", json_pack("{s:s,s:O}", "tag", name, "devices", nodes), e);
    json_decref(nodes);
    if (domain_active(d))
        leave_out_attached(d, &w);
    if (r == 0)
        return run(d, &w, e);
    free_paths(&w);
    return r;
}
