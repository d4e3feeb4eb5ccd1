/* migration.c - a machine moves: out of this process, to a file or another process, and in */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "machine/state/machine_state.h"
#include "machine/state/migration.h"

enum { NS_PER_MS = 1000000, LAST_PAGES_MAX = 64 << 20 >> 12 /* what the last step may keep in memory */ };

const char *const migration_status_names[MIGRATION_STATUSES] = {
    [MIGRATION_NONE] = "none",           [MIGRATION_SETUP] = "setup",   [MIGRATION_CANCELLING] = "cancelling",
    [MIGRATION_CANCELLED] = "cancelled", [MIGRATION_ACTIVE] = "active", [MIGRATION_COMPLETED] = "completed",
    [MIGRATION_FAILED] = "failed",
};

/* QEMU's defaults. */
void migration_init(struct migration *g)
{
    *g = (struct migration){.max_bandwidth = 0, .downtime_limit_ms = 300, .fd = -1, .channel.fd = -1};
}

static void set_status(struct machine *m, enum migration_status status)
{
    m->migration.status = status;
    if (m->migration.events)
        monitor_event(m, "MIGRATION", json_pack("{s:s}", "status", migration_status_names[status]));
}

static u64 ms_since(u64 ns)
{
    return (loop_now() - ns) / NS_PER_MS;
}

/* ---- out ---- */

/* What went wrong with the stream, if nothing has said it yet. */
static int stream_error(int r, struct error *e)
{
    return r < 0 ? error_set(e, -r, "the machine's state cannot be written: %s", strerror(-r)) : 0;
}

static bool is_small(const struct migration *g)
{
    return g->ram.remaining <= LAST_PAGES_MAX &&
           g->ram.remaining * 4096 <= g->bandwidth * g->downtime_limit_ms / 1000;
}

/* Memory, while the guest runs, until what is left can be sent in the time that it may stand still. */
static int send_memory(struct machine *m, struct channel *c, struct error *e)
{
    struct migration *g = &m->migration;
    for (;;) {
        u64 began = loop_now(), before = c->bytes;
        int r = ram_stream_send(&g->ram, c);
        u64 ns = max(loop_now() - began, (u64)1);
        if (r < 0)
            return stream_error(r, e);
        loop_lock(&m->loop);
        g->bandwidth = (u64)((unsigned __int128)max(c->bytes - before, (u64)1 << 20) * 1000000000 / ns);
        r = ram_stream_collect(&g->ram, e);
        bool done = is_small(g) || (m->stopped && g->ram.remaining <= LAST_PAGES_MAX);
        loop_unlock(&m->loop);
        if (r < 0 || done)
            return r;
    }
}

/* The guest stands still from here on. The lock is free while processors and devices come to rest. */
static void stop_guest(struct machine *m)
{
    while (m->reset_wanted && !m->ended) {
        loop_unlock(&m->loop);
        usleep(1000);
        loop_lock(&m->loop);
    }
    machine_stop_now(m, RUN_FINISH_MIGRATE);
    m->state = RUN_FINISH_MIGRATE;
    machine_state_settle(m);
}

/* The rest of memory and all else, as of one moment, goes into a buffer, so that nobody waits for the other
 * side with the lock. */
static int take_rest(struct machine *m, struct state_buffer *b, struct error *e)
{
    struct migration *g = &m->migration;
    struct channel kept = {.fd = -1, .end = &channel_buffer, .opaque = b};
    stop_guest(m);
    if (m->ended)
        return error_set(e, ECANCELED, "the machine has ended");
    int r = ram_stream_collect(&g->ram, e);
    if (r == 0 && (r = ram_stream_send(&g->ram, &kept)) < 0)
        return stream_error(r, e);
    if (r == 0)
        r = machine_state_save(m, g->was_running, b, e);
    return r == 0 ? block_deactivate(&m->blocks, e) : r;
}

static int send_all(struct machine *m, struct channel *c, struct error *e)
{
    struct migration *g = &m->migration;
    struct state_buffer rest = {0};
    loop_lock(&m->loop);
    int r = ram_stream_begin(&g->ram, &m->slots, &m->ram, e);
    if (r == 0 && g->status == MIGRATION_SETUP)
        set_status(m, MIGRATION_ACTIVE);
    g->setup_ms = ms_since(g->started);
    c->limit = g->max_bandwidth;
    c->since = loop_now();
    loop_unlock(&m->loop);
    if (r == 0 && (r = stream_write_header(c, m)) < 0)
        return stream_error(r, e);
    if (r == 0)
        r = send_memory(m, c, e);
    u64 stopped = loop_now();
    loop_lock(&m->loop);
    g->was_running = !m->stopped;
    g->old_state = (int)m->state;
    if (r == 0)
        r = take_rest(m, &rest, e);
    loop_unlock(&m->loop);
    if (r == 0)
        r = stream_error(stream_write_parts(c, &rest), e);
    g->downtime_ms = ms_since(stopped);
    state_buffer_free(&rest);
    return r;
}

/* A guest that has not moved goes on as before. */
static void finish(struct machine *m, int r, const struct error *e)
{
    struct migration *g = &m->migration;
    g->total_ms = ms_since(g->started);
    g->ram_bytes = g->channel.bytes;
    ram_stream_end(&g->ram);
    bool stood = m->state == RUN_FINISH_MIGRATE;
    if (r == 0)
        m->state = RUN_POSTMIGRATE;
    else if (stood)
        m->state = g->was_running ? RUN_PAUSED : (enum run_state)g->old_state;
    if (r < 0)
        g->error = *e;
    set_status(m, r == 0 ? MIGRATION_COMPLETED : g->cancelled ? MIGRATION_CANCELLED : MIGRATION_FAILED);
    if (r < 0 && stood && g->was_running && !m->ended)
        machine_continue(m);
    free(g->uri);
    g->uri = NULL;
}

static void *move_out(void *arg)
{
    struct machine *m = arg;
    struct migration *g = &m->migration;
    struct error e = {0};
    g->channel = (struct channel){.fd = -1, .cancelled = &g->cancelled};
    int r = channel_open_write(&g->channel, g->uri, g->fd, &e);
    if (r == 0)
        r = send_all(m, &g->channel, &e);
    int closed = channel_close(&g->channel);
    if (r == 0 && closed < 0)
        r = error_set(&e, -closed, "%s: the command failed", g->uri);
    loop_lock(&m->loop);
    finish(m, r, &e);
    loop_unlock(&m->loop);
    return NULL;
}

static int start_thread(struct migration *g, const char *uri, int fd, void *(*run)(void *), struct machine *m,
                        struct error *e)
{
    pthread_t thread;
    g->uri = strdup(uri);
    g->fd = fd;
    g->cancelled = false;
    g->started = loop_now();
    *g->error.text = 0;
    int r = g->uri ? pthread_create(&thread, NULL, run, m) : ENOMEM;
    if (r)
        return error_set(e, r, "cannot start the migration: %s", strerror(r));
    pthread_detach(thread);
    return 0;
}

int migration_start(struct machine *m, const char *uri, int fd, struct error *e)
{
    struct migration *g = &m->migration;
    if (migration_is_active(g))
        return error_set(e, EBUSY, "There's a migration process in progress");
    if (m->dump.status == DUMP_ACTIVE)
        return error_set(e, EBUSY, "There is a dump in process, please wait.");
    if (m->snapshot.active)
        return error_set(e, EBUSY, "There is a snapshot in process, please wait.");
    if (m->state == RUN_INMIGRATE)
        return error_set(e, EBUSY, "Guest is waiting for an incoming migration");
    if (m->state == RUN_POSTMIGRATE)
        return error_set(e, EBUSY, "Can't migrate the vm that was paused due to previous migration");
    if (!channel_is_known(uri))
        return error_set(e, EINVAL, "Parameter 'uri' expects a valid migration protocol");
    g->incoming = false;
    set_status(m, MIGRATION_SETUP);
    int r = start_thread(g, uri, fd, move_out, m, e);
    if (r < 0)
        set_status(m, MIGRATION_FAILED);
    return r;
}

void migration_cancel(struct machine *m)
{
    struct migration *g = &m->migration;
    if (!migration_is_active(g) || g->incoming)
        return;
    g->cancelled = true;
    set_status(m, MIGRATION_CANCELLING);
}

/* ---- in ---- */

static void arrived(struct machine *m)
{
    struct migration *g = &m->migration;
    g->total_ms = ms_since(g->started);
    m->state = RUN_PAUSED;
    set_status(m, MIGRATION_COMPLETED);
    if (g->autostart && g->was_running)
        machine_continue(m);
}

static void *move_in(void *arg)
{
    struct machine *m = arg;
    struct migration *g = &m->migration;
    struct state_parts *parts = calloc(1, sizeof(*parts));
    struct error e = {0};
    int r = parts ? stream_read(&g->channel, m, true, parts, &e) : error_set(&e, ENOMEM, "no memory");
    channel_close(&g->channel);
    loop_lock(&m->loop);
    machine_wait_parked(m);
    if (r == 0 && !m->ended)
        r = machine_state_load(m, parts, &e);
    if (r == 0)
        r = block_activate(&m->blocks, &e);
    if (r == 0) {
        arrived(m);
    } else {
        struct error ignored;
        board_reset(m, &ignored); /* nobody sees what the stream has put there */
        set_status(m, MIGRATION_FAILED);
        machine_end(m, 1, "-incoming %s: %s", g->uri, e.text);
    }
    loop_unlock(&m->loop);
    if (parts)
        state_parts_free(parts);
    free(parts);
    return NULL;
}

int migration_incoming(struct machine *m, const char *uri, int fd, struct error *e)
{
    struct migration *g = &m->migration;
    g->channel = (struct channel){.fd = -1};
    int r = channel_open_read(&g->channel, uri, fd, e);
    if (r < 0)
        return r;
    g->incoming = true;
    g->deferred = false;
    set_status(m, MIGRATION_ACTIVE);
    return start_thread(g, uri, -1, move_in, m, e);
}
