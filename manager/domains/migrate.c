/* migrate.c - the steps of a migration, in their order, on both sides */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "manager/daemon/manager.h"
#include "manager/daemon/text.h"
#include "manager/domains/definition.h"
#include "manager/domains/job.h"
#include "manager/domains/life.h"
#include "manager/domains/migrate_cookie.h"
#include "manager/domains/migrate_place.h"
#include "manager/domains/migrate_steps.h"
#include "manager/domains/notify.h"
#include "manager/domains/save.h"
#include "manager/domains/store.h"

/* A prepared machine costs memory: so many wait at most; how long is a setting. */
enum { PREPARED_MAX = 64 };

enum {
    KNOWN_FLAGS = MIGRATE_LIVE | MIGRATE_PEER2PEER | MIGRATE_PERSIST_DEST | MIGRATE_UNDEFINE_SOURCE |
                  MIGRATE_PAUSED | MIGRATE_CHANGE_PROTECTION | MIGRATE_UNSAFE | MIGRATE_OFFLINE |
                  MIGRATE_ABORT_ON_ERROR
};

/* What libvirt has and this has not. */
static const struct {
    u32 flag;
    const char *what;
} refused_flags[] = {
    {4, "tunnelled migration"},
    {64, "migration with non-shared storage (copying disks)"},
    {128, "migration with non-shared storage (copying increments of disks)"},
    {2048, "compressed migration"},
    {8192, "migration option 'auto-converge'"},
    {16384, "migration option 'rdma-pin-all'"},
    {32768, "post-copy migration"},
    {65536, "migration with TLS"},
    {131072, "migration over parallel connections"},
    {262144, "migration with synchronous writes of disks"},
    {524288, "post-copy recovery"},
    {1048576, "zero-copy migration"},
};

int migrate_check_flags(u64 flags, const char *function, struct vir_error *e)
{
    u32 refused = 0;
    for (size_t i = 0; i < ARRAY_SIZE(refused_flags); i++)
        refused |= refused_flags[i].flag;
    if (flags >> 32)
        return vir_fail(e, VIR_ERR_INVALID_ARG, "unsupported flags (0x%lx) in function %s", flags, function);
    if (vir_check_flags(e, (u32)flags, KNOWN_FLAGS | refused, function) < 0)
        return -1;
    for (size_t i = 0; i < ARRAY_SIZE(refused_flags); i++)
        if (flags & refused_flags[i].flag)
            return vir_fail(e, VIR_ERR_ARGUMENT_UNSUPPORTED, "%s is not supported", refused_flags[i].what);
    return 0;
}

/* ---- what both sides do ---- */

static void stop_listening(struct domain *d)
{
    struct migration *g = &d->migration;
    loop_cancel(&d->manager->loop, &g->late);
    if (g->port.fd >= 0) {
        loop_remove(&d->manager->loop, &g->port);
        close(g->port.fd);
    }
    g->port.fd = -1;
    if (g->path)
        unlink(g->path);
    free(g->path);
    g->path = NULL;
}

static void forget(struct domain *d)
{
    stop_listening(d);
    client_end_cancel(&d->migration.end);
    xml_free(d->migration.definition);
    d->migration = (struct migration){.port = {.fd = -1}};
}

void migrate_release(struct domain *d)
{
    forget(d);
    store_phase(d);
    job_end(d);
}

static void note_failure(struct domain *d)
{
    struct failed_migration *f = &d->manager->failed_migration;
    free(f->name);
    f->name = text_copy(d->name);
    vir_fail(&f->error, VIR_ERR_OPERATION_FAILED, "the machine has ended");
    life_quote_log(d, "qemu unexpectedly closed the monitor", &f->error);
}

/* The reason is told once. */
static bool tell_failure(struct manager *m, const char *name, struct vir_error *e)
{
    struct failed_migration *f = &m->failed_migration;
    if (!f->name || strcmp(f->name, name))
        return false;
    *e = f->error;
    free(f->name);
    f->name = NULL;
    return true;
}

void migrate_machine_ended(struct domain *d)
{
    bool ours = d->job.operation == JOB_MIGRATION_IN || d->job.operation == JOB_MIGRATION_OUT;
    if (d->migration.phase == MIGRATION_PREPARED && !d->migration.busy && d->reason == SHUTOFF_CRASHED)
        note_failure(d);
    if (d->migration.busy)
        stop_listening(d);
    else if (d->migration.phase && ours)
        migrate_release(d);
    else
        forget(d); /* of an earlier daemon's */
}

void migrate_forget_all(struct manager *m)
{
    for (unsigned i = 0; i < m->domains.count; i++)
        forget(m->domains.at[i]);
    free(m->failed_migration.name);
}

/* ---- the source ---- */

bool migrate_is_sending(const struct domain *d)
{
    return d->migration.phase == MIGRATION_SENDING;
}

int migrate_suspend(struct domain *d, struct vir_error *e)
{
    return life_command(d, "stop", NULL, NULL, e); /* the rest is done when the machine says STOP */
}

static int not_migrating(const struct domain *d, struct vir_error *e)
{
    return vir_fail(e, VIR_ERR_OPERATION_INVALID, "domain '%s' is not being migrated", d->name);
}

/* The client that leads has gone. */
static void source_left(struct client_end *end)
{
    struct domain *d = container_of(end, struct domain, migration.end);
    if (d->migration.phase == MIGRATION_SENT)
        report("domain '%s' was sent elsewhere, and whether it runs there is not known: it stays paused here",
               d->name);
    migrate_release(d);
}

/* The step has ended, and the next one may come. */
static void await_client(struct call *call, struct domain *d, void (*gone)(struct client_end *end))
{
    d->migration.busy = false;
    if (call->client->closed)
        gone(&d->migration.end);
    else
        client_end_add(call->client, &d->migration.end, gone);
}

static int take_job(struct domain *d, enum job_operation operation, bool active, struct vir_error *e)
{
    return active ? job_begin_active(d, operation, e) : job_begin(d, operation, e);
}

int migrate_begin(struct call *call, struct domain *d, const struct migrate_args *a,
                  struct migrate_answer *answer)
{
    bool protect = a->flags & MIGRATE_CHANGE_PROTECTION, offline = a->flags & MIGRATE_OFFLINE;
    if (!protect)
        return source_describe(call, d, a, answer);
    if (take_job(d, JOB_MIGRATION_OUT, !offline, &call->error) < 0)
        return -1;
    if (source_describe(call, d, a, answer) < 0) {
        job_end(d);
        return -1;
    }
    d->migration.phase = MIGRATION_BEGUN;
    d->migration.offline = offline;
    await_client(call, d, source_left);
    return 0;
}

/* The step before must have ended; without protection there was none. */
static int enter_perform(struct domain *d, const struct migrate_args *a, struct vir_error *e)
{
    struct migration *g = &d->migration;
    if (a->flags & MIGRATE_CHANGE_PROTECTION) {
        if (g->phase != MIGRATION_BEGUN || g->busy || g->offline)
            return not_migrating(d, e);
    } else if (g->phase)
        return vir_fail(e, VIR_ERR_OPERATION_INVALID, "domain '%s' is being migrated already", d->name);
    else if (job_begin_active(d, JOB_MIGRATION_OUT, e) < 0)
        return -1;
    client_end_cancel(&g->end);
    g->busy = true;
    return 0;
}

/* Nobody can have told the destination yet that all has been sent, if the client did not stay to hear it. */
static int hear_of_it(struct call *call, struct domain *d)
{
    if (!call->client->closed)
        return 0;
    source_run_on(d);
    return vir_fail(&call->error, VIR_ERR_OPERATION_ABORTED, "the client has gone");
}

int migrate_perform(struct call *call, struct domain *d, const struct migrate_args *a,
                    struct migrate_answer *answer)
{
    char uuid[UUID_TEXT];
    if (a->flags & MIGRATE_PEER2PEER)
        return peer_migrate(call, d, a);
    if (enter_perform(d, a, &call->error) < 0)
        return -1;
    xmlNode *cookie = cookie_read(call->manager, a->cookie, a->cookie_size, d->name,
                                  uuid_format(d->uuid, uuid), &call->error);
    int r = cookie ? source_send(call, d, a, answer) : -1;
    xml_free(cookie);
    if (r == 0)
        r = hear_of_it(call, d);
    if (r == 0)
        await_client(call, d, source_left);
    else
        migrate_release(d);
    return r;
}

int migrate_confirm(struct call *call, struct domain *d, const struct migrate_args *a, bool cancelled)
{
    struct migration *g = &d->migration;
    char uuid[UUID_TEXT];
    int r = 0;
    bool begun = g->phase == MIGRATION_BEGUN && (cancelled || a->flags & MIGRATE_OFFLINE);
    if (g->busy || !(begun || g->phase == MIGRATION_SENT))
        return not_migrating(d, &call->error);
    if (a->cookie_size) {
        xmlNode *cookie = cookie_read(call->manager, a->cookie, a->cookie_size, d->name,
                                      uuid_format(d->uuid, uuid), &call->error);
        if (!cookie)
            return -1;
        xml_free(cookie);
    }
    client_end_cancel(&g->end);
    g->busy = true;
    if (cancelled)
        source_run_on(d);
    else
        r = source_end(call, d, a);
    migrate_release(d);
    return r;
}

/* ---- the destination ---- */

/* What was prepared goes. */
static void drop(struct domain *d, int reason, int detail)
{
    struct vir_error e;
    d->migration.busy = true;
    stop_listening(d);
    if (domain_active(d) && life_destroy(d, false, reason, detail, &e) < 0)
        report("domain '%s', which was to come here, cannot be ended: %s", d->name, e.text);
    if (!domain_active(d) && !d->persistent)
        domain_unlist(d);
    migrate_release(d);
}

static void drop_task(void *arg)
{
    struct domain *d = arg;
    drop(d, SHUTOFF_DESTROYED, STOPPED_DESTROYED);
    domain_put(d);
}

static void drop_soon(struct domain *d)
{
    client_end_cancel(&d->migration.end);
    d->migration.busy = true;
    domain_get(d);
    task_start(&d->manager->tasks, drop_task, d);
}

static void destination_left(struct client_end *end)
{
    drop_soon(container_of(end, struct domain, migration.end));
}

/* Whoever finishes it now gets an error of its own: the state has not come. */
static void nobody_came(struct loop_timer *timer)
{
    struct domain *d = container_of(timer, struct domain, migration.late);
    report("domain '%s', which was to come here, is given up: nobody has sent it", d->name);
    stop_listening(d);
    if (!d->migration.busy)
        drop_soon(d);
}

struct arrival {
    struct domain *domain;
    int fd;
};

/* The machine reads its state from the connection. */
static void receive_task(void *arg)
{
    struct arrival *a = arg;
    struct domain *d = a->domain;
    struct vir_error e;
    if (life_send_fd(d, a->fd, "migrate", &e) < 0 ||
        life_command(d, "migrate-incoming", json_pack("{s:s}", "uri", "fd:migrate"), NULL, &e) < 0) {
        report("domain '%s', which was to come here, is given up: %s", d->name, e.text);
        life_destroy(d, false, SHUTOFF_FAILED, STOPPED_FAILED, &e);
    }
    close(a->fd);
    domain_put(d);
    free(a);
}

static void somebody_came(struct loop_watch *w, short revents)
{
    (void)revents;
    struct domain *d = container_of(w, struct domain, migration.port);
    int one = 1, fd = accept4(w->fd, NULL, NULL, SOCK_CLOEXEC);
    struct arrival *a = fd >= 0 ? malloc(sizeof(*a)) : NULL;
    if (fd < 0)
        return;
    ASSERT(a);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
    stop_listening(d);
    domain_get(d);
    *a = (struct arrival){d, fd};
    task_start(&d->manager->tasks, receive_task, a);
}

static void listen_for(struct domain *d, int fd, const struct place *p)
{
    struct migration *g = &d->migration;
    g->path = p->local ? text_copy(p->path) : NULL;
    g->port = (struct loop_watch){.fd = fd, .events = POLLIN, .ready = somebody_came};
    g->late = (struct loop_timer){.expired = nobody_came};
    loop_add(&d->manager->loop, &g->port);
    loop_arm(&d->manager->loop, &g->late,
             loop_now() + d->manager->settings.migration_timeout * 1000000000ull);
}

static int check_room(const struct manager *m, struct vir_error *e)
{
    unsigned n = 0;
    for (unsigned i = 0; i < m->domains.count; i++)
        n += m->domains.at[i]->migration.phase == MIGRATION_PREPARED;
    return n < PREPARED_MAX
               ? 0
               : vir_fail(e, VIR_ERR_OPERATION_FAILED, "%u domains are on their way here already", n);
}

/* As it comes, and under the name that it is to have here. *name: the one that it had; in the arena. */
static xmlNode *incoming_document(struct call *call, const struct migrate_args *a, const char **name)
{
    struct vir_error *e = &call->error;
    if (!a->xml) {
        vir_fail(e, VIR_ERR_INTERNAL_ERROR, "no domain XML passed");
        return NULL;
    }
    xmlNode *xml = definition_parse(call->manager, a->xml, e);
    if (!xml)
        return NULL;
    *name = arena_strdup(&call->arena, xml_get(xml, "name"));
    if (!a->name || !strcmp(a->name, *name))
        return xml;
    xml_set(xml, "name", a->name);
    char *text = xml_write(xml);
    xml_free(xml);
    xml = definition_parse(call->manager, text, e); /* the name, too, is checked */
    free(text);
    return xml;
}

/* Where the state is to come in: where the client says, or where the source finds this host. */
static int choose_place(struct place *p, const struct migrate_args *a, xmlNode *cookie, struct vir_error *e)
{
    if (a->uri)
        return place_parse(p, a->uri, e);
    *p = (struct place){.old = true};
    if (cookie_is_from_here(cookie))
        strcpy(p->host, "127.0.0.1");
    else if (gethostname(p->host, sizeof(p->host) - 1) < 0)
        return vir_fail_errno(e, errno, "cannot tell the name of this host");
    return 0;
}

/* It must not run, neither now nor when its turn has come. */
static int lock_in(struct domain *d, struct vir_error *e)
{
    if (!domain_active(d)) {
        if (job_begin(d, JOB_MIGRATION_IN, e) < 0)
            return -1;
        if (!domain_active(d) && d->listed)
            return 0;
        job_end(d);
    }
    return vir_fail(e, VIR_ERR_OPERATION_INVALID, "domain '%s' is already active", d->name);
}

/* The domain that it becomes: one that is defined and does not run, or a new one. It is locked then. xml is
 * taken over. */
static struct domain *take_in(struct call *call, xmlNode *xml, bool offline)
{
    struct vir_error *e = &call->error;
    struct domain *d;
    if (domains_find_same(call->manager, xml, &d, e) < 0 || check_room(call->manager, e) < 0) {
        xml_free(xml);
        return NULL;
    }
    bool is_new = !d;
    if (is_new)
        d = offline ? domain_new(call->manager, xml_copy(xml)) : domain_new_transient(call->manager, xml);
    domain_keep(call, d);
    if (lock_in(d, e) < 0) {
        xml_free(xml);
        return NULL;
    }
    d->migration.phase = MIGRATION_PREPARED;
    d->migration.offline = offline;
    d->migration.definition = xml;
    d->migration.busy = true;
    return d;
}

static int prepare_machine(struct call *call, struct domain *d, const struct migrate_args *a, struct place *p)
{
    xmlNode *live = d->migration.definition;
    int fd = place_listen(p, a->listen_address, &call->manager->settings, &call->error);
    if (fd < 0)
        return -1;
    d->migration.definition = NULL;
    if (life_prepare(d, live, &call->error) < 0) {
        close(fd);
        if (p->local)
            unlink(p->path);
        return -1;
    }
    listen_for(d, fd, p);
    return 0;
}

/* Of an offline migration clients want to hear of a place, too, to which nothing comes. */
static int prepare(struct call *call, struct domain *d, const struct migrate_args *a, xmlNode *cookie,
                   struct migrate_answer *answer)
{
    struct place p;
    if (choose_place(&p, a, cookie, &call->error) < 0 ||
        (!d->migration.offline && prepare_machine(call, d, a, &p) < 0))
        return -1;
    char *uri = place_uri(&p);
    answer->uri = arena_strdup(&call->arena, uri);
    free(uri);
    return 0;
}

static void answer_cookie(struct call *call, const struct domain *d, const char *name, const struct job *how,
                          struct migrate_answer *answer)
{
    char *cookie = cookie_write(d, name, NULL, how);
    answer->cookie = arena_strdup(&call->arena, cookie);
    free(cookie);
}

int migrate_prepare(struct call *call, const struct migrate_args *a, struct migrate_answer *answer)
{
    const char *name;
    xmlNode *xml = incoming_document(call, a, &name), *cookie = NULL;
    if (xml && !(cookie = cookie_read(call->manager, a->cookie, a->cookie_size, name, xml_get(xml, "uuid"),
                                      &call->error)))
        xml_free(xml);
    struct domain *d = cookie ? take_in(call, xml, a->flags & MIGRATE_OFFLINE) : NULL;
    int r = d ? prepare(call, d, a, cookie, answer) : -1;
    xml_free(cookie);
    if (r == 0) {
        answer_cookie(call, d, name, NULL, answer);
        await_client(call, d, destination_left);
    } else if (d)
        drop(d, SHUTOFF_FAILED, STOPPED_FAILED);
    return r;
}

/* From now on it is defined here, too. A failure is no reason to end a guest that runs. */
static void persist(struct domain *d, xmlNode *cookie)
{
    struct vir_error e = {.text = "there is none"};
    char *text = cookie ? cookie_persistent(cookie) : NULL;
    xmlNode *config = NULL;
    if (text) {
        config = definition_parse(d->manager, text, &e);
        free(text);
    } else if (d->live)
        config = xml_copy(d->live);
    if (!config) {
        report("domain '%s' has come, and its definition is not kept: %s", d->name, e.text);
        return;
    }
    bool had_one = d->persistent;
    xml_remove(config, "@id");
    xml_set(config, "name", d->name);
    if (domain_replace_config(d, config, &e) < 0) {
        report("domain '%s' has come, and its definition is not kept: %s", d->name, e.text);
        return;
    }
    d->persistent = true;
    notify_lifecycle(d, EV_DEFINED, had_one ? DEFINED_UPDATED : DEFINED_ADDED);
}

/* The definition alone. */
static int finish_offline(struct domain *d, struct vir_error *e)
{
    bool had_one = d->persistent;
    xmlNode *config = d->migration.definition;
    d->migration.definition = NULL;
    if (domain_replace_config(d, config, e) < 0)
        return -1;
    d->persistent = true;
    notify_lifecycle(d, EV_DEFINED, had_one ? DEFINED_UPDATED : DEFINED_ADDED);
    return 0;
}

static int finish_guest(struct domain *d, const struct migrate_args *a, xmlNode *cookie, struct vir_error *e)
{
    bool paused = a->flags & MIGRATE_PAUSED;
    u64 deadline = loop_now() + d->manager->settings.monitor_timeout * 1000000000ull;
    if (life_wait_incoming(d, deadline, e) < 0)
        return -1;
    d->migration.phase = paused ? MIGRATION_NONE : MIGRATION_ARRIVED;
    store_phase(d);
    if (!paused && life_command(d, "cont", NULL, NULL, e) < 0)
        return -1;
    if (!domain_active(d))
        return domain_not_running(e);
    domain_set_state(d, paused ? DOMAIN_PAUSED : DOMAIN_RUNNING, paused ? PAUSED_USER : RUNNING_MIGRATED);
    notify_lifecycle(d, EV_STARTED, STARTED_MIGRATED);
    if (a->flags & MIGRATE_PERSIST_DEST)
        persist(d, cookie);
    if (paused)
        notify_lifecycle(d, EV_SUSPENDED, SUSPENDED_PAUSED);
    else
        notify_lifecycle(d, EV_RESUMED, RESUMED_MIGRATED);
    return 0;
}

static struct domain *find_incoming(struct call *call, const char *name)
{
    struct domain *d = name ? domains_by_name(&call->manager->domains, name) : NULL;
    if (!name)
        vir_fail(&call->error, VIR_ERR_NO_DOMAIN, "missing domain name");
    else if ((!d || d->migration.phase != MIGRATION_PREPARED) &&
             tell_failure(call->manager, name, &call->error))
        return NULL;
    else if (!d)
        vir_fail(&call->error, VIR_ERR_NO_DOMAIN, "no domain with matching name '%s'", name);
    else if (d->migration.phase != MIGRATION_PREPARED || d->migration.busy)
        vir_fail(&call->error, VIR_ERR_OPERATION_INVALID, "domain '%s' is not processing incoming migration",
                 d->name);
    else {
        domain_keep(call, d);
        return d;
    }
    return NULL;
}

static int finish(struct call *call, struct domain *d, const struct migrate_args *a,
                  struct migrate_answer *answer)
{
    struct vir_error *e = &call->error;
    char uuid[UUID_TEXT];
    xmlNode *cookie = NULL;
    /* The source knows it by its name there, which is not known here any more. */
    if (a->cookie_size && !(cookie = cookie_read(call->manager, a->cookie, a->cookie_size, NULL,
                                                 uuid_format(d->uuid, uuid), e)))
        return -1;
    int r = d->migration.offline ? finish_offline(d, e) : finish_guest(d, a, cookie, e);
    if (r == 0) {
        if (cookie)
            cookie_progress(cookie, &d->finished);
        answer_cookie(call, d, cookie ? xml_get(cookie, "name") : d->name,
                      d->finished.operation == JOB_MIGRATION_IN ? &d->finished : NULL, answer);
    }
    xml_free(cookie);
    return r;
}

int migrate_finish(struct call *call, const struct migrate_args *a, bool cancelled, struct domain **found,
                   struct migrate_answer *answer)
{
    struct domain *d = find_incoming(call, a->name);
    if (!d)
        return -1;
    client_end_cancel(&d->migration.end);
    d->migration.busy = true;
    int r =
        cancelled ? vir_fail(&call->error, VIR_ERR_MIGRATE_FINISH_OK, "%s", "") : finish(call, d, a, answer);
    *found = d;
    if (r < 0)
        drop(d, SHUTOFF_FAILED, STOPPED_FAILED);
    else
        migrate_release(d);
    return r;
}

/* ---- after the daemon was killed ---- */

void migrate_recover(struct domain *d)
{
    struct vir_error e;
    enum migration_phase phase = d->migration.phase;
    forget(d);
    if (phase == MIGRATION_SENDING) {
        report("domain '%s' was being migrated when lodged ended: it runs on", d->name);
        save_cancel(d);
        source_run_on(d);
    } else if (phase == MIGRATION_ARRIVED && life_command(d, "cont", NULL, NULL, &e) == 0)
        domain_set_state(d, DOMAIN_RUNNING, RUNNING_MIGRATED);
    else if (phase == MIGRATION_SENT)
        report("domain '%s' was sent elsewhere, and whether it runs there is not known: it stays paused here",
               d->name);
    store_phase(d);
}
