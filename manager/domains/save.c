/* save.c - a machine's state goes into a file (QEMU's migrate to a descriptor), and comes back */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "manager/daemon/manager.h"
#include "manager/daemon/work.h"
#include "manager/domains/definition.h"
#include "manager/domains/life.h"
#include "manager/domains/notify.h"
#include "manager/domains/save.h"
#include "manager/domains/save_image.h"

enum { POLL_NS = 20000000 };

/* ---- the machine writes ---- */

static const char *text(json_t *o, const char *name)
{
    const char *s = json_string_value(json_object_get(o, name));
    return s ? s : "";
}

static u64 number(json_t *o, const char *name)
{
    return (u64)json_number_value(json_object_get(o, name));
}

/* As libvirt names it in errors. */
static const char *job_name(const struct domain *d)
{
    return d->job.operation == JOB_MIGRATION_OUT ? "migration out job"
           : d->job.operation == JOB_SAVE        ? "domain save job"
                                                 : "domain core dump job";
}

/* 1: it is done; 0: not yet; -1 with e. */
static int judge_progress(struct domain *d, json_t *answer, struct vir_error *e)
{
    json_t *ram = json_object_get(answer, "ram");
    const char *status = text(answer, "status");
    if (ram) {
        d->job.total = number(ram, "total");
        d->job.processed = number(ram, "transferred");
        d->job.remaining = number(ram, "remaining");
    } else {
        d->job.total = number(answer, "total");
        d->job.processed = number(answer, "completed");
        d->job.remaining = d->job.total - min(d->job.total, d->job.processed);
    }
    if (!strcmp(status, "completed")) {
        d->finished = (struct job){.operation = d->job.operation,
                                   .since = loop_now() - d->job.since,
                                   .total = d->job.total,
                                   .processed = d->job.processed};
        return 1;
    }
    if (d->job.aborted || !strcmp(status, "cancelled"))
        return vir_fail(e, VIR_ERR_OPERATION_ABORTED, "%s: canceled by client", job_name(d));
    if (d->migration.abort_on_error && d->state == DOMAIN_PAUSED && d->reason == PAUSED_IOERROR)
        return vir_fail(e, VIR_ERR_OPERATION_FAILED, "%s: failed due to I/O error", job_name(d));
    if (!strcmp(status, "failed"))
        return vir_fail(e, VIR_ERR_OPERATION_FAILED, "%s: %s", job_name(d),
                        *text(answer, "error-desc") ? text(answer, "error-desc") : "unexpectedly failed");
    return 0;
}

static int wait_written(struct domain *d, const char *query, struct vir_error *e)
{
    for (;;) {
        json_t *answer = NULL;
        if (life_command(d, query, NULL, &answer, e) < 0)
            return -1;
        int r = judge_progress(d, answer, e);
        json_decref(answer);
        if (r)
            return r < 0 ? -1 : 0;
        task_sleep(&d->manager->tasks, POLL_NS);
    }
}

/* It is some time before the machine lets go: until then it cannot go on. */
static void wait_cancelled(struct domain *d)
{
    struct vir_error e;
    json_t *answer;
    for (bool over = false; !over && life_command(d, "query-migrate", NULL, &answer, &e) == 0;) {
        const char *status = text(answer, "status");
        over = !strcmp(status, "cancelled") || !strcmp(status, "failed") || !strcmp(status, "completed") ||
               !*status;
        json_decref(answer);
        if (!over)
            task_sleep(&d->manager->tasks, POLL_NS);
    }
}

void save_cancel(struct domain *d)
{
    struct vir_error e;
    if (life_command(d, "migrate_cancel", NULL, NULL, &e) == 0)
        wait_cancelled(d);
}

int save_set_speed(struct domain *d, u64 speed, struct vir_error *e)
{
    return life_command(d, "migrate-set-parameters",
                        json_pack("{s:I}", "max-bandwidth", (json_int_t)(speed << 20)), NULL, e);
}

int save_write_state(struct domain *d, int fd, u64 speed, struct vir_error *e)
{
    struct vir_error ignored;
    save_set_speed(d, speed, &ignored);
    if (life_send_fd(d, fd, "migrate", e) < 0)
        return -1;
    if (life_command(d, "migrate", json_pack("{s:s}", "uri", "fd:migrate"), NULL, e) < 0) {
        life_command(d, "closefd", json_pack("{s:s}", "fdname", "migrate"), NULL, &ignored);
        return -1;
    }
    int r = wait_written(d, "query-migrate", e);
    if (r < 0)
        save_cancel(d);
    return r;
}

static bool has_format(struct domain *d, const char *format)
{
    struct vir_error ignored;
    json_t *answer = NULL, *one;
    bool found = false;
    size_t i;
    life_command(d, "query-dump-guest-memory-capability", NULL, &answer, &ignored);
    json_array_foreach(json_object_get(answer, "formats"), i, one) found |=
        !strcmp(json_string_value(one) ?: "", format);
    json_decref(answer);
    return found;
}

/* As virDomainCoreDumpFormat counts them. */
static const char *const dump_formats[] = {"elf", "kdump-zlib", "kdump-lzo", "kdump-snappy", "win-dmp"};

/* It cannot be taken back: the machine has no command for that. */
static int write_memory(struct domain *d, int fd, const char *format, struct vir_error *e)
{
    d->job.final = true;
    if (strcmp(format, "elf") && !has_format(d, format))
        return vir_fail(e, VIR_ERR_INVALID_ARG, "unsupported dumpformat '%s' for this QEMU binary", format);
    if (life_send_fd(d, fd, "dump", e) < 0 ||
        life_command(
            d, "dump-guest-memory",
            json_pack("{s:b,s:s,s:b,s:s}", "paging", 0, "protocol", "fd:dump", "detach", 1, "format", format),
            NULL, e) < 0)
        return -1;
    return wait_written(d, "query-dump", e);
}

static int check_format(u32 format, u32 flags, struct vir_error *e)
{
    if (format >= ARRAY_SIZE(dump_formats))
        return vir_fail(e, VIR_ERR_INVALID_ARG, "unknown dumpformat '%u'", format);
    if (format && !(flags & DUMP_MEMORY_ONLY))
        return vir_fail(e, VIR_ERR_INVALID_ARG,
                        "kdump-compressed format is only supported with memory-only dump");
    return 0;
}

/* ---- around it ---- */

static int stop_guest(struct domain *d, int reason, struct vir_error *e)
{
    if (d->state != DOMAIN_RUNNING)
        return 0;
    if (life_command(d, "stop", NULL, NULL, e) < 0)
        return -1;
    domain_set_state(d, DOMAIN_PAUSED, reason);
    return 0;
}

static void go_on(struct domain *d)
{
    struct vir_error e;
    if (domain_active(d) && life_command(d, "cont", NULL, NULL, &e) == 0)
        domain_set_state(d, DOMAIN_RUNNING, RUNNING_SAVE_CANCELED);
}

static int complete(void *arg)
{
    return save_image_complete(*(int *)arg);
}

static int sync_file(void *arg)
{
    return fdatasync(*(int *)arg) < 0 ? -errno : 0;
}

static int finish_file(struct domain *d, int (*run)(void *arg), int fd, const char *path, bool drop_cache,
                       struct vir_error *e)
{
    int r = work_run(&d->manager->tasks, run, &fd);
    if (r == 0 && drop_cache)
        posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    return r < 0 ? vir_fail_errno(e, -r, "cannot write '%s'", path) : 0;
}

/* The document that the machine comes back as: what the client says, or what runs now. */
static char *document(struct domain *d, const char *xml, struct vir_error *e)
{
    xmlNode *parsed = xml ? definition_parse(d->manager, xml, e) : xml_copy(d->live);
    if (!parsed)
        return NULL;
    if (strcmp(xml_get_or(parsed, "name", ""), d->name) ||
        strcmp(xml_get_or(parsed, "uuid", ""), xml_get(d->live, "uuid"))) {
        vir_fail(e, VIR_ERR_CONFIG_UNSUPPORTED, "the document is of another domain");
        xml_free(parsed);
        return NULL;
    }
    xml_remove(parsed, "@id");
    char *written = xml_write(parsed);
    xml_free(parsed);
    return written;
}

int save_domain(struct domain *d, const char *path, const char *xml, u32 flags, struct vir_error *e)
{
    bool running = d->state == DOMAIN_RUNNING;
    if (d->state != DOMAIN_RUNNING && d->state != DOMAIN_PAUSED)
        return vir_fail(e, VIR_ERR_OPERATION_INVALID, "domain is in a state that cannot be saved");
    char *written = document(d, xml, e);
    int fd = written ? save_image_create(path, written,
                                         flags & SAVE_RUNNING || (running && !(flags & SAVE_PAUSED)), e)
                     : -1;
    free(written);
    if (fd < 0)
        return -1;
    int r = stop_guest(d, PAUSED_SAVE, e);
    if (r == 0)
        r = save_write_state(d, fd, MIGRATION_SPEED_MAX, e);
    if (r == 0)
        r = finish_file(d, complete, fd, path, flags & SAVE_BYPASS_CACHE, e);
    close(fd);
    if (r == 0)
        return life_destroy(d, false, SHUTOFF_SAVED, STOPPED_SAVED, e);
    unlink(path);
    if (running && d->state == DOMAIN_PAUSED)
        go_on(d);
    return -1;
}

int dump_domain(struct domain *d, const char *path, u32 format, u32 flags, struct vir_error *e)
{
    bool running = d->state == DOMAIN_RUNNING;
    if (check_format(format, flags, e) < 0)
        return -1;
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return vir_fail_errno(e, errno, "Failed to create file '%s'", path);
    int r = flags & DUMP_LIVE ? 0 : stop_guest(d, PAUSED_DUMP, e);
    if (r == 0)
        r = flags & DUMP_MEMORY_ONLY ? write_memory(d, fd, dump_formats[format], e)
                                     : save_write_state(d, fd, MIGRATION_SPEED_MAX, e);
    if (r == 0)
        r = finish_file(d, sync_file, fd, path, flags & DUMP_BYPASS_CACHE, e);
    close(fd);
    if (r < 0)
        unlink(path);
    if (r == 0 && flags & DUMP_CRASH)
        return life_destroy(d, false, SHUTOFF_CRASHED, STOPPED_CRASHED, e);
    if (r == 0 && flags & DUMP_RESET)
        r = life_command(d, "system_reset", NULL, NULL, e);
    if (running && domain_active(d) && (d->state == DOMAIN_PAUSED || !(flags & DUMP_MEMORY_ONLY)))
        go_on(d); /* after a migration the machine has stopped by itself */
    return r;
}

int restore_domain(struct domain *d, xmlNode *live, struct save_image *s, u32 flags, struct vir_error *e)
{
    bool running = flags & SAVE_RUNNING || (s->was_running && !(flags & SAVE_PAUSED));
    const struct life_origin from = {.image = s->fd, .started = STARTED_RESTORED};
    return life_start(d, live, &from, !running, e);
}

int save_abort(struct domain *d, struct vir_error *e)
{
    if (d->job.operation == JOB_MIGRATION_IN)
        return vir_fail(e, VIR_ERR_OPERATION_INVALID,
                        "cannot abort incoming migration; use virDomainDestroy instead");
    if (d->job.operation != JOB_SAVE && d->job.operation != JOB_DUMP && d->job.operation != JOB_MIGRATION_OUT)
        return vir_fail(e, VIR_ERR_OPERATION_INVALID, "no job is active on the domain");
    if (d->job.final)
        return vir_fail(e, VIR_ERR_OPERATION_INVALID, "cannot abort memory-only dump");
    d->job.aborted = true;
    return 0;
}

static bool is_dumping(struct domain *d)
{
    struct vir_error e;
    json_t *answer = NULL;
    life_command(d, "query-dump", NULL, &answer, &e);
    bool active = !strcmp(text(answer, "status"), "active");
    json_decref(answer);
    return active;
}

void save_recover(struct domain *d)
{
    save_cancel(d);
    while (is_dumping(d))
        task_sleep(&d->manager->tasks, POLL_NS);
    go_on(d);
    report("domain '%s' was being saved when lodged ended: it runs on", d->name);
}
