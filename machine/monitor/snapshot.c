/* snapshot.c - commands that save the machine and its disks and go back (QEMU's qapi/migration.json), and the
 * jobs that do so (qapi/job.json) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <ctype.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/image/describe.h"
#include "machine/machine.h"
#include "machine/monitor/commands.h"

/* Those that clients have not dismissed are kept: no more than so many. */
enum { JOBS_MAX = 64 };

/* One of the three, on a thread of its own; it stays until a client has seen how it ended. */
struct job {
    struct machine *machine;
    const char *type; /* "snapshot-save" */
    int (*run)(struct machine *m, const struct snapshot_wanted *w, struct error *e);
    char *id;
    struct snapshot_wanted wanted;
    json_t *arguments; /* whose strings `wanted` has */
    const char *status;
    int result;
    struct error error;
    struct job *next;
};

/* ---- jobs ---- */

static void set_status(struct job *j, const char *status)
{
    j->status = status;
    monitor_event(j->machine, "JOB_STATUS_CHANGE", json_pack("{s:s,s:s}", "status", status, "id", j->id));
}

static struct job *find_job(const struct machine *m, const char *id)
{
    struct job *j = m->jobs;
    while (j && strcmp(j->id, id))
        j = j->next;
    return j;
}

static unsigned count_jobs(const struct machine *m)
{
    unsigned n = 0;
    for (const struct job *j = m->jobs; j; j = j->next)
        n++;
    return n;
}

static void free_job(struct job *j)
{
    json_decref(j->arguments);
    free((void *)j->wanted.devices);
    free(j->id);
    free(j);
}

static void *job_thread(void *arg)
{
    struct job *j = arg;
    loop_lock(&j->machine->loop);
    j->result = j->run(j->machine, &j->wanted, &j->error);
    if (j->result == 0) {
        set_status(j, "waiting");
        set_status(j, "pending");
    } else
        set_status(j, "aborting");
    set_status(j, "concluded");
    loop_unlock(&j->machine->loop);
    return NULL;
}

/* QEMU's rule: a letter, then letters, digits and -._ */
static bool is_id(const char *id)
{
    bool good = isalpha((u8)*id);
    for (const char *p = id; *p; p++)
        good &= isalnum((u8)*p) || strchr("-._", *p) != NULL;
    return good;
}

static bool take_devices(struct job *j, struct qmp_call *call)
{
    const json_t *list = json_object_get(j->arguments, "devices");
    const char **names = calloc(json_array_size(list) + 1, sizeof(*names));
    size_t i;
    json_t *one;
    j->wanted.devices = names;
    json_array_foreach(list, i, one)
    {
        if (!names || !json_is_string(one)) {
            qmp_fail(call, "GenericError", "Invalid parameter type for 'devices[%zu]', expected: string", i);
            return false;
        }
        names[i] = json_string_value(one);
    }
    j->wanted.count = (unsigned)json_array_size(list);
    return names;
}

static struct job *create_job(struct qmp_call *call, const char *type)
{
    struct job *j = calloc(1, sizeof(*j));
    if (!j)
        return NULL;
    *j = (struct job){.machine = call->machine,
                      .type = type,
                      .id = strdup(qmp_string(call, "job-id", "")),
                      .arguments = json_deep_copy(call->arguments)};
    j->wanted.tag = json_string_value(json_object_get(j->arguments, "tag"));
    j->wanted.vmstate = json_string_value(json_object_get(j->arguments, "vmstate"));
    if (j->id && j->wanted.tag && take_devices(j, call))
        return j;
    free_job(j);
    return NULL;
}

static json_t *start_job(struct qmp_call *call, const char *type,
                         int (*run)(struct machine *m, const struct snapshot_wanted *w, struct error *e))
{
    struct machine *m = call->machine;
    const char *id = qmp_string(call, "job-id", "");
    pthread_t thread;
    if (!is_id(id))
        return qmp_fail(call, "GenericError", "Invalid job ID '%.100s'", id);
    if (find_job(m, id))
        return qmp_fail(call, "GenericError", "Job ID '%.100s' already in use", id);
    if (count_jobs(m) == JOBS_MAX)
        return qmp_fail(call, "GenericError", "there are %d jobs already: dismiss some that have concluded",
                        JOBS_MAX);
    qmp_fail(call, "GenericError", "no memory for a job");
    struct job *j = create_job(call, type);
    if (!j)
        return NULL;
    j->run = run;
    int r = pthread_create(&thread, NULL, job_thread, j);
    if (r) {
        free_job(j);
        return qmp_fail(call, "GenericError", "cannot start the job: %s", strerror(r));
    }
    pthread_detach(thread);
    j->next = m->jobs;
    m->jobs = j;
    set_status(j, "created");
    set_status(j, "running"); /* the thread has no lock yet */
    return json_object();
}

static int save(struct machine *m, const struct snapshot_wanted *w, struct error *e)
{
    return snapshot_save(m, w, false, e);
}

json_t *qmp_snapshot_save(struct qmp_call *call)
{
    return start_job(call, "snapshot-save", save);
}

json_t *qmp_snapshot_load(struct qmp_call *call)
{
    return start_job(call, "snapshot-load", snapshot_load);
}

json_t *qmp_snapshot_delete(struct qmp_call *call)
{
    return start_job(call, "snapshot-delete", snapshot_delete);
}

json_t *query_jobs(struct qmp_call *call)
{
    json_t *list = json_array();
    for (const struct job *j = call->machine->jobs; j; j = j->next) {
        bool ended = !strcmp(j->status, "concluded");
        json_t *one = json_pack("{s:s,s:s,s:s,s:i,s:i}", "id", j->id, "type", j->type, "status", j->status,
                                "current-progress", ended, "total-progress", 1);
        if (ended && j->result < 0)
            json_object_set_new(one, "error", json_string(j->error.text));
        json_array_append_new(list, one);
    }
    return list;
}

json_t *qmp_job_dismiss(struct qmp_call *call)
{
    const char *id = qmp_string(call, "id", "");
    struct job *j = find_job(call->machine, id), **at = &call->machine->jobs;
    if (!j)
        return qmp_fail(call, "GenericError", "Job not found");
    if (strcmp(j->status, "concluded"))
        return qmp_fail(call, "GenericError",
                        "Job '%.100s' in state '%s' cannot accept command verb 'dismiss'", id, j->status);
    while (*at != j)
        at = &(*at)->next;
    *at = j->next;
    set_status(j, "null");
    free_job(j);
    return json_object();
}

/* ---- for people ---- */

static void tell(int r, const struct error *e, FILE *f)
{
    if (r < 0)
        fprintf(f, "Error: %s\r\n", e->text);
}

void human_savevm(struct machine *m, const char *tag, FILE *f)
{
    char named[40];
    struct error e;
    struct tm tm;
    time_t now = time(NULL);
    strftime(named, sizeof(named), "vm-%Y%m%d%H%M%S", localtime_r(&now, &tm));
    const struct snapshot_wanted w = {.tag = *tag ? tag : named};
    tell(snapshot_save(m, &w, true, &e), &e, f);
}

void human_loadvm(struct machine *m, const char *tag, FILE *f)
{
    const struct snapshot_wanted w = {.tag = tag};
    struct error e;
    tell(snapshot_load(m, &w, &e), &e, f);
}

void human_delvm(struct machine *m, const char *tag, FILE *f)
{
    const struct snapshot_wanted w = {.tag = tag};
    struct error e;
    tell(snapshot_delete(m, &w, &e), &e, f);
}

static bool is_disk(const struct block_node *n)
{
    return n->image && !n->parent && !block_read_only(n);
}

static bool all_have(const struct machine *m, const char *tag)
{
    bool all = true;
    for (const struct block_node *n = m->blocks.first; n; n = n->next)
        if (is_disk(n))
            all &= image_keeps_snapshots(n->image) && image_snapshot_find(n->image, tag);
    return all;
}

/* Those of one disk that all disks have, or that they have not. How many. */
static unsigned list(struct machine *m, const struct block_node *n, bool whole, FILE *f)
{
    struct image_info info;
    unsigned count = 0;
    image_get_info(n->image, &info);
    for (unsigned k = 0; k < info.snapshots; k++) {
        const struct image_snapshot *s = n->image->format->snapshot(n->image, k);
        if (all_have(m, s->name) != whole)
            continue;
        if (!count++ && !whole)
            fprintf(f,
                    "\r\nList of partial (non-loadable) snapshots on '%s':\r\n" IMAGE_SNAPSHOT_HEADING "\r\n",
                    n->drive ? n->drive : "");
        else if (count == 1)
            fprintf(f, IMAGE_SNAPSHOT_HEADING "\r\n");
        image_print_snapshot(f, s, whole ? "--" : s->id, "\r\n");
    }
    return count;
}

void human_info_snapshots(struct machine *m, FILE *f)
{
    struct block_node *first = NULL;
    unsigned any = 0;
    for (struct block_node *n = m->blocks.first; n; n = n->next) {
        struct image_info info = {0};
        if (!is_disk(n) || !image_keeps_snapshots(n->image))
            continue;
        first = first ? first : n;
        image_get_info(n->image, &info);
        any += info.snapshots;
    }
    if (!any) {
        fprintf(f, first ? "There is no snapshot available.\r\n"
                         : "no block device can store vmstate for snapshot\r\n");
        return;
    }
    fprintf(f, "List of snapshots present on all disks:\r\n");
    if (!list(m, first, true, f))
        fprintf(f, "None\r\n");
    for (struct block_node *n = m->blocks.first; n; n = n->next)
        if (is_disk(n) && image_keeps_snapshots(n->image))
            list(m, n, false, f);
}
