/* migrate_peer.c - a migration that the source leads: it is the destination's client */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdlib.h>
#include <string.h>

#include "manager/rpc/connection.h"
#include "manager/daemon/manager.h"
#include "manager/daemon/text.h"
#include "manager/daemon/work.h"
#include "manager/domains/job.h"
#include "manager/domains/migrate_cookie.h"
#include "manager/domains/migrate_steps.h"
#include "manager/rpc/params.h"

/* How long the destination may take for a step: it starts a machine in one. How often it is asked again what
 * has become of the last one, if the connection breaks there. */
enum { PATIENCE_SECONDS = 60, ASK_AGAIN = 20, ASK_PAUSE_NS = 500000000 };

/* One call, on a thread: the connection waits for its answers. */
struct peer {
    struct connection connection;
    struct target target;
    struct tasks *tasks;
    struct remote_domain_migrate_prepare3_params_args prepare;
    struct remote_domain_migrate_prepare3_params_ret prepared;
    struct remote_domain_migrate_finish3_params_args finish;
    struct remote_domain_migrate_finish3_params_ret finished;
    struct remote_domain domain;
    s32 state, reason;
    struct error error;
};

static int open_work(void *arg)
{
    struct peer *p = arg;
    return connection_open(&p->connection, &p->target, &p->error);
}

static int close_work(void *arg)
{
    connection_close(&((struct peer *)arg)->connection);
    return 0;
}

static int prepare_work(void *arg)
{
    struct peer *p = arg;
    return connection_call(&p->connection, PROC_DOMAIN_MIGRATE_PREPARE3_PARAMS,
                           &xdr_remote_domain_migrate_prepare3_params_args, &p->prepare,
                           &xdr_remote_domain_migrate_prepare3_params_ret, &p->prepared, &p->error);
}

static int finish_work(void *arg)
{
    struct peer *p = arg;
    return connection_call(&p->connection, PROC_DOMAIN_MIGRATE_FINISH3_PARAMS,
                           &xdr_remote_domain_migrate_finish3_params_args, &p->finish,
                           &xdr_remote_domain_migrate_finish3_params_ret, &p->finished, &p->error);
}

static int state_work(void *arg)
{
    struct peer *p = arg;
    return connection_state(&p->connection, &p->domain, &p->state, &p->reason, &p->error);
}

/* The destination's own words, or the connection's. */
static int fail(struct peer *p, struct vir_error *e)
{
    s32 code = p->connection.error_code;
    if (!code)
        return vir_fail(e, VIR_ERR_SYSTEM_ERROR, "%s", p->error.text);
    *e = (struct vir_error){.code = (enum vir_error_code)code, .domain = VIR_FROM_QEMU};
    strcpy(e->text, p->error.text);
    return -1;
}

static int step(struct peer *p, int (*work)(void *arg), struct vir_error *e)
{
    return work_run(p->tasks, work, p) < 0 ? fail(p, e) : 0;
}

/* What can be opened: a daemon's socket on this computer. */
static int open_peer(struct peer *p, const char *uri, struct vir_error *e)
{
    bool local = uri && (*uri == '/' || (!strncmp(uri, "qemu+unix:", 10) && strstr(uri, "socket=")));
    if (!local)
        return vir_fail(e, VIR_ERR_NO_CONNECT,
                        "'%s': of its own accord lodged connects to UNIX sockets alone "
                        "(qemu+unix:///system?socket=PATH); without --p2p the client reaches other hosts",
                        uri ? uri : "");
    p->target = (struct target){.connect = uri, .patience = PATIENCE_SECONDS};
    return step(p, open_work, e);
}

/* ---- the steps ---- */

static void set_params(struct params *p, const struct migrate_args *a, const char *xml, const char *name,
                       const char *uri)
{
    params_string(p, xml, "destination_xml");
    params_string(p, name, "destination_name");
    if (uri)
        params_string(p, uri, "migrate_uri");
    if (a->listen_address)
        params_string(p, a->listen_address, "listen_address");
    if (a->bandwidth)
        params_u64(p, a->bandwidth, "bandwidth");
}

static int prepare(struct call *call, struct peer *p, const struct migrate_args *a,
                   const struct migrate_answer *begun, const char *name)
{
    struct params params = {.arena = &call->arena};
    set_params(&params, a, begun->xml, name, a->uri);
    p->prepare =
        (struct remote_domain_migrate_prepare3_params_args){.params = params.at,
                                                            .params_count = params.count,
                                                            .cookie_in = (u8 *)begun->cookie,
                                                            .cookie_in_count = (u32)strlen(begun->cookie) + 1,
                                                            .flags = a->flags};
    return step(p, prepare_work, &call->error);
}

static int finish(struct call *call, struct peer *p, const struct migrate_args *a,
                  const struct migrate_answer *begun, const char *name, const char *cookie, bool cancelled,
                  struct vir_error *e)
{
    struct params params = {.arena = &call->arena};
    set_params(&params, a, begun->xml, name, p->prepared.uri_out);
    p->finish = (struct remote_domain_migrate_finish3_params_args){.params = params.at,
                                                                   .params_count = params.count,
                                                                   .cookie_in = (u8 *)cookie,
                                                                   .cookie_in_count =
                                                                       cookie ? (u32)strlen(cookie) + 1 : 0,
                                                                   .flags = a->flags,
                                                                   .cancelled = cancelled};
    return step(p, finish_work, e);
}

/* The connection broke in the last step: does it run there? 1: yes; 0: it never will; -1: there is no
 * telling. */
static int ask_again(struct peer *p, struct domain *d, const struct migrate_args *a)
{
    struct vir_error e;
    p->domain = domain_remote(d);
    for (unsigned i = 0; i < ASK_AGAIN; i++) {
        if (p->connection.fd >= 0)
            work_run(p->tasks, close_work, p);
        if (i)
            task_sleep(p->tasks, ASK_PAUSE_NS);
        if (open_peer(p, a->destination, &e) < 0)
            continue;
        bool known = step(p, state_work, &e) == 0;
        if (!known && p->connection.error_code == VIR_ERR_NO_DOMAIN)
            return 0;
        if (!known || (p->state == DOMAIN_PAUSED && p->reason == PAUSED_MIGRATION))
            continue; /* it is being thrown away, or let go on, at this moment */
        return p->state == DOMAIN_SHUTOFF ? 0 : 1;
    }
    return -1;
}

/* All has been sent: the destination is to go on, or the guest goes on here. */
static int hand_over(struct call *call, struct peer *p, struct domain *d, const struct migrate_args *a,
                     const struct migrate_answer *begun, const char *name, const char *cookie)
{
    struct vir_error *e = &call->error;
    int there = finish(call, p, a, begun, name, cookie, false, e) == 0 ? 1
                : p->connection.error_code                             ? 0
                                                                       : ask_again(p, d, a);
    if (there > 0)
        return source_end(call, d, a);
    if (there == 0) {
        source_run_on(d);
        return -1;
    }
    return vir_fail(e, VIR_ERR_OPERATION_FAILED,
                    "the connection to the destination broke while it took domain '%s' over: whether it runs "
                    "there is not known, so that it stays paused here (virsh resume)",
                    d->name);
}

static int lead(struct call *call, struct peer *p, struct domain *d, const struct migrate_args *a)
{
    struct migrate_answer begun = {0}, sent = {0};
    const char *name = a->name ? a->name : arena_strdup(&call->arena, d->name);
    struct migrate_args there = *a;
    struct vir_error ignored;
    char uuid[UUID_TEXT];
    if (source_describe(call, d, a, &begun) < 0 || prepare(call, p, a, &begun, name) < 0)
        return -1;
    if (a->flags & MIGRATE_OFFLINE)
        return hand_over(call, p, d, a, &begun, name, NULL);
    there.uri = p->prepared.uri_out;
    xmlNode *cookie = cookie_read(call->manager, p->prepared.cookie_out, p->prepared.cookie_out_count,
                                  d->name, uuid_format(d->uuid, uuid), &call->error);
    int r = cookie ? source_send(call, d, &there, &sent) : -1;
    xml_free(cookie);
    if (r < 0) {
        finish(call, p, a, &begun, name, NULL, true, &ignored);
        return -1;
    }
    return hand_over(call, p, d, a, &begun, name, sent.cookie);
}

int peer_migrate(struct call *call, struct domain *d, const struct migrate_args *a)
{
    struct vir_error *e = &call->error;
    struct migrate_args flags = *a;
    if (a->cookie_size)
        return vir_fail(e, VIR_ERR_OPERATION_INVALID, "received unexpected cookie with P2P migration");
    if (d->migration.phase)
        return vir_fail(e, VIR_ERR_OPERATION_INVALID, "domain '%s' is being migrated already", d->name);
    struct peer *p = calloc(1, sizeof(*p));
    ASSERT(p);
    p->tasks = &call->manager->tasks;
    p->connection.fd = -1;
    bool offline = a->flags & MIGRATE_OFFLINE;
    int r = open_peer(p, a->destination, e);
    if (r == 0)
        r = offline ? job_begin(d, JOB_MIGRATION_OUT, e) : job_begin_active(d, JOB_MIGRATION_OUT, e);
    if (r == 0) {
        d->migration.phase = MIGRATION_BEGUN;
        d->migration.offline = offline;
        d->migration.busy = true;
        if (d->state == DOMAIN_PAUSED)
            flags.flags |= MIGRATE_PAUSED;
        r = lead(call, p, d, &flags);
        migrate_release(d);
    }
    if (p->connection.fd >= 0)
        work_run(p->tasks, close_work, p);
    free(p);
    return r;
}
