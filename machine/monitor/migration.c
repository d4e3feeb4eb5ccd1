/* migration.c - commands that move the machine out and in (QEMU's qapi/migration.json) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "machine/machine.h"
#include "machine/monitor/commands.h"
#include "machine/state/migration.h"

/* The descriptor of fd:NAME, which a client has handed over, or of fd:NUMBER, which was inherited; else -1.
 */
int migration_fd(struct machine *m, const char *uri)
{
    const char *name = channel_fd_name(uri);
    char *end;
    if (!name)
        return -1;
    int fd = monitor_claim_fd(m, name);
    long number = fd < 0 && *name >= '0' && *name <= '9' ? strtol(name, &end, 10) : -1;
    return fd >= 0 || number < 3 || number > 1 << 20 || *end ? fd : (int)number;
}

json_t *qmp_migrate(struct qmp_call *call)
{
    struct machine *m = call->machine;
    const char *uri = qmp_string(call, "uri", "");
    if (qmp_bool(call, "blk", false) || qmp_bool(call, "inc", false) || qmp_bool(call, "resume", false))
        return qmp_fail(call, "GenericError", "blk, inc and resume are not supported: disks do not move");
    int fd = migration_fd(m, uri);
    if (channel_fd_name(uri) && fd < 0)
        return qmp_fail(call, "GenericError", "File descriptor named '%s' has not been found",
                        channel_fd_name(uri));
    if (migration_start(m, uri, fd, &call->e) == 0)
        return json_object();
    if (fd >= 0)
        close(fd);
    return NULL;
}

json_t *qmp_migrate_cancel(struct qmp_call *call)
{
    migration_cancel(call->machine);
    return json_object();
}

json_t *qmp_migrate_incoming(struct qmp_call *call)
{
    struct machine *m = call->machine;
    const char *uri = qmp_string(call, "uri", "");
    if (!m->migration.deferred)
        return qmp_fail(call, "GenericError",
                        m->migration.incoming ? "The incoming migration has already been started"
                                              : "'-incoming' was not specified on the command line");
    return migration_incoming(m, uri, migration_fd(m, uri), &call->e) == 0 ? json_object() : NULL;
}

static json_t *ram_info(const struct machine *m)
{
    const struct migration *g = &m->migration;
    u64 bytes = migration_is_active(g) ? g->channel.bytes : g->ram_bytes;
    return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:f,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}",
                     "transferred", (json_int_t)bytes, "remaining", (json_int_t)g->ram.remaining * 4096,
                     "total", (json_int_t)m->ram.size, "duplicate", (json_int_t)g->ram.zero, "skipped",
                     (json_int_t)0, "normal", (json_int_t)g->ram.normal, "normal-bytes",
                     (json_int_t)g->ram.normal * 4096, "dirty-pages-rate", (json_int_t)0, "mbps",
                     (double)g->bandwidth * 8 / 1e6, "dirty-sync-count", (json_int_t)g->ram.rounds,
                     "page-size", (json_int_t)4096, "postcopy-requests", (json_int_t)0, "multifd-bytes",
                     (json_int_t)0, "pages-per-second", (json_int_t)(g->bandwidth / 4096), "precopy-bytes",
                     (json_int_t)bytes, "downtime-bytes", (json_int_t)0, "postcopy-bytes", (json_int_t)0,
                     "dirty-sync-missed-zero-copy", (json_int_t)0);
}

json_t *query_migrate(struct qmp_call *call)
{
    const struct machine *m = call->machine;
    const struct migration *g = &m->migration;
    if (g->status == MIGRATION_NONE)
        return json_object();
    json_t *info = json_pack("{s:s}", "status", migration_status_names[g->status]);
    if (g->incoming)
        return info;
    if (g->status == MIGRATION_ACTIVE || g->status == MIGRATION_COMPLETED) {
        u64 total = g->status == MIGRATION_ACTIVE ? (loop_now() - g->started) / 1000000 : g->total_ms;
        json_object_set_new(info, "total-time", json_integer((json_int_t)total));
        json_object_set_new(info, "setup-time", json_integer((json_int_t)g->setup_ms));
        json_object_set_new(info, "ram", ram_info(m));
        if (g->status == MIGRATION_ACTIVE)
            json_object_set_new(info, "expected-downtime", json_integer((json_int_t)g->downtime_limit_ms));
        else
            json_object_set_new(info, "downtime", json_integer((json_int_t)g->downtime_ms));
    }
    if (g->status == MIGRATION_FAILED)
        json_object_set_new(info, "error-desc", json_string(g->error.text));
    return info;
}

json_t *qmp_migrate_set_capabilities(struct qmp_call *call)
{
    const json_t *list = json_object_get(call->arguments, "capabilities");
    bool events = call->machine->migration.events;
    size_t i;
    json_t *one;
    json_array_foreach(list, i, one)
    {
        const char *name = json_string_value(json_object_get(one, "capability"));
        const json_t *state = json_object_get(one, "state");
        if (!name || !json_is_boolean(state))
            return qmp_fail(call, "GenericError",
                            "Parameter 'capabilities' expects objects with capability and state");
        if (!strcmp(name, "events"))
            events = json_is_true(state);
        else if (json_is_true(state))
            return qmp_fail(call, "GenericError", "the capability '%s' is not supported", name);
    }
    call->machine->migration.events = events;
    return json_object();
}

json_t *query_migrate_capabilities(struct qmp_call *call)
{
    return json_pack("[{s:s,s:b}]", "capability", "events", "state", call->machine->migration.events);
}

json_t *qmp_migrate_set_parameters(struct qmp_call *call)
{
    struct migration *g = &call->machine->migration;
    s64 bandwidth = qmp_integer(call, "max-bandwidth", (s64)g->max_bandwidth);
    s64 downtime = qmp_integer(call, "downtime-limit", (s64)g->downtime_limit_ms);
    if (bandwidth < 0)
        return qmp_fail(call, "GenericError",
                        "Parameter 'max_bandwidth' expects a number of bytes per second");
    if (downtime < 0 || downtime > 2000000)
        return qmp_fail(call, "GenericError",
                        "Parameter 'downtime_limit' expects an integer in the range of 0 to 2000000 ms");
    g->max_bandwidth = (u64)bandwidth;
    g->downtime_limit_ms = (u64)downtime;
    return json_object();
}

json_t *query_migrate_parameters(struct qmp_call *call)
{
    const struct migration *g = &call->machine->migration;
    return json_pack("{s:I,s:I}", "max-bandwidth", (json_int_t)g->max_bandwidth, "downtime-limit",
                     (json_int_t)g->downtime_limit_ms);
}
