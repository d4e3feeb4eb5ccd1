/* life.c - a domain's life: start, stop, what the machine reports, and finding it again */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <limits.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "manager/daemon/manager.h"
#include "manager/daemon/process.h"
#include "manager/daemon/text.h"
#include "manager/domains/command.h"
#include "manager/domains/console.h"
#include "manager/domains/definition.h"
#include "manager/domains/device.h"
#include "manager/domains/hotplug.h"
#include "manager/domains/job.h"
#include "manager/domains/life.h"
#include "manager/domains/migrate.h"
#include "manager/domains/monitor_event.h"
#include "manager/domains/notify.h"
#include "manager/domains/pin.h"
#include "manager/domains/qmp.h"
#include "manager/domains/save.h"
#include "manager/domains/snapshot.h"
#include "manager/domains/store.h"

/* Where a machine's state comes from, if not from a descriptor. */
enum { IMAGE_NONE = -1, IMAGE_LATER = -2 };
enum { TERM_SECONDS = 10, KILL_SECONDS = 15 };

int life_command(struct domain *d, const char *command, json_t *arguments, json_t **result,
                 struct vir_error *e)
{
    if (!d->machine.qmp) {
        json_decref(arguments);
        return domain_not_running(e);
    }
    return qmp_call(d->machine.qmp, (unsigned)d->manager->settings.monitor_timeout, command, arguments,
                    result, e);
}

int life_send_fd(struct domain *d, int fd, const char *name, struct vir_error *e)
{
    if (!d->machine.qmp)
        return domain_not_running(e);
    return qmp_call_fd(d->machine.qmp, (unsigned)d->manager->settings.monitor_timeout, fd, "getfd",
                       json_pack("{s:s}", "fdname", name), e);
}

/* ---- the process ends ---- */

/* What the state becomes, by what is known of the end. */
static void judge_end(const struct domain *d, int *reason, int *detail)
{
    const struct machine *m = &d->machine;
    *reason = m->stopping ? m->stop_reason : m->shutdown_seen ? SHUTOFF_SHUTDOWN : SHUTOFF_CRASHED;
    *detail = m->stopping ? m->stop_detail : m->shutdown_seen ? STOPPED_SHUTDOWN : STOPPED_FAILED;
}

static void forget_process(struct domain *d)
{
    struct machine *m = &d->machine;
    if (m->exit.fd >= 0) {
        loop_remove(&d->manager->loop, &m->exit);
        close(m->exit.fd);
    }
    if (m->qmp)
        qmp_close(m->qmp);
    if (m->pid)
        waitpid(m->pid, NULL, WNOHANG); /* a child of an earlier daemon is not ours to reap */
    struct wait *gone = m->gone;
    *m = (struct machine){.exit = {.fd = -1}};
    if (gone)
        task_wake(&d->manager->tasks, gone);
}

/* Where the socket of a channel is for which the document names no place. */
static void channel_place(const struct domain *d, xmlNode *channel, char path[PATH_MAX])
{
    snprintf(path, PATH_MAX, "%s/domains/%s.%s", d->manager->settings.run_dir, d->name,
             xml_get_or(channel, "alias/@name", ""));
}

static void forget_channels(struct domain *d)
{
    char path[PATH_MAX];
    xml_each(channel, xml_node(d->live, "devices"), "channel")
    {
        channel_place(d, channel, path);
        if (xml_is(channel, "source/@path", path))
            unlink(path);
    }
}

static void life_ended(struct domain *d)
{
    int reason, detail;
    judge_end(d, &reason, &detail);
    domain_get(d);
    consoles_close(d);
    forget_process(d);
    forget_channels(d);
    store_forget_state(d);
    d->id = -1;
    d->updated = false;
    xml_free(d->live);
    d->live = NULL;
    domain_set_state(d, DOMAIN_SHUTOFF, reason);
    notify_lifecycle(d, EV_STOPPED, detail);
    if (!d->persistent)
        domain_unlist(d);
    migrate_machine_ended(d);
    domain_put(d);
}

static void process_ended(struct loop_watch *w, short revents)
{
    (void)revents;
    life_ended(container_of(w, struct domain, machine.exit));
}

static int watch_process(struct domain *d)
{
    int fd = process_watch(d->machine.pid);
    if (fd < 0)
        return fd;
    d->machine.exit = (struct loop_watch){.fd = fd, .events = POLLIN, .ready = process_ended};
    loop_add(&d->manager->loop, &d->machine.exit);
    return 0;
}

static bool wait_gone(struct domain *d, unsigned seconds)
{
    struct wait gone = {0};
    d->machine.gone = &gone;
    bool in_time = task_wait(&d->manager->tasks, &gone, loop_now() + seconds * 1000000000ull);
    if (!in_time)
        d->machine.gone = NULL;
    return in_time;
}

int life_destroy(struct domain *d, bool graceful, int reason, int detail, struct vir_error *e)
{
    struct machine *m = &d->machine;
    if (!domain_active(d) || !m->pid)
        return domain_not_running(e);
    if (m->gone)
        return vir_fail(e, VIR_ERR_OPERATION_INVALID, "domain '%s' is being stopped already", d->name);
    domain_get(d);
    m->stopping = true;
    m->stop_reason = reason;
    m->stop_detail = detail;
    store_state(d);
    kill(m->pid, SIGTERM);
    bool gone = wait_gone(d, TERM_SECONDS);
    if (!gone && !graceful) {
        kill(m->pid, SIGKILL);
        gone = wait_gone(d, KILL_SECONDS);
    }
    domain_put(d);
    return gone ? 0 : vir_fail(e, VIR_ERR_OPERATION_FAILED, "Failed to terminate process: it does not react");
}

/* ---- start ---- */

/* The log of its starts and of what the program prints. */
static int open_log(struct domain *d, struct vir_error *e)
{
    char *path = store_path(d, "log");
    struct stat st;
    int flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC;
    if (stat(path, &st) == 0 && (u64)st.st_size > d->manager->settings.log_max)
        flags |= O_TRUNC;
    int fd = open(path, flags, 0600);
    if (fd < 0)
        vir_fail_errno(e, errno, "cannot open the log '%s'", path);
    free(path);
    return fd;
}

static void log_command(int log, char *const *argv)
{
    char when[64];
    time_t now = time(NULL);
    struct tm tm;
    strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S%z", localtime_r(&now, &tm));
    dprintf(log, "%s: starting\n", when);
    for (; *argv; argv++)
        dprintf(log, argv[1] ? "'%s' " : "'%s'\n", *argv);
}

/* What the program printed since it was started last: the end of that, if it is long. */
static const char *last_words(const char *log)
{
    static const char starting[] = ": starting\n";
    const char *start = log;
    for (const char *at = log; (at = strstr(at, starting)); start = at)
        at += strlen(starting);
    if (start > log) /* the command line */
        start = strchr(start, '\n') ? strchr(start, '\n') + 1 : start;
    size_t n = strlen(start);
    return start + (n > 600 ? n - 600 : 0);
}

void life_quote_log(struct domain *d, const char *what, struct vir_error *e)
{
    char *path = store_path(d, "log"), *text;
    if (file_read(path, &text, NULL) == 0) {
        vir_fail(e, VIR_ERR_INTERNAL_ERROR, "%s: %s", what, last_words(text));
        free(text);
    }
    free(path);
}

static void remember_process(void *opaque, pid_t pid)
{
    struct domain *d = opaque;
    d->machine.pid = pid;
    d->machine.start_time = process_start_time(pid);
    domain_set_state(d, DOMAIN_PAUSED, PAUSED_STARTING_UP);
}

int life_launch(struct manager *m, xmlNode *domain, struct launch *l, struct vir_error *e)
{
    *l = (struct launch){.networks = &m->networks,
                         .emulator = emulator_find(m, definition_emulator(domain), e)};
    if (!l->emulator)
        return -1;
    if (!l->emulator->lodge && xml_is(domain, "@type", "kvm") && !emulator_host_has_kvm(m))
        l->kvm = m->settings.kvm;
    return 0;
}

static int execute(struct domain *d, char **argv, struct vir_error *e)
{
    int log = open_log(d, e), null = open("/dev/null", O_RDONLY | O_CLOEXEC), r = -1;
    if (log >= 0 && null >= 0) {
        log_command(log, argv);
        pid_t pid = process_spawn((const char *const *)argv, null, log, log, remember_process, d);
        r = pid > 0 ? 0 : vir_fail_errno(e, -pid, "cannot execute '%s'", argv[0]);
    }
    if (log >= 0)
        close(log);
    if (null >= 0)
        close(null);
    return r;
}

static int spawn(struct domain *d, const struct life_origin *from, struct vir_error *e)
{
    char incoming[32];
    struct launch l;
    char *monitor = store_path(d, "monitor");
    int r = life_launch(d->manager, d->live, &l, e);
    l.monitor = monitor;
    l.loadvm = from->snapshot;
    unlink(monitor);
    /* The program gets the descriptor under its own number. */
    int inherited = r == 0 && from->image >= 0 ? fcntl(from->image, F_DUPFD, 3) : -1;
    snprintf(incoming, sizeof(incoming), "fd:%d", inherited);
    if (from->image != IMAGE_NONE)
        l.incoming = from->image == IMAGE_LATER ? "defer" : incoming;
    char **argv = r == 0 ? command_line(d->live, &l, e) : NULL;
    r = argv ? execute(d, argv, e) : -1;
    if (inherited >= 0)
        close(inherited);
    command_free(argv);
    free(monitor);
    return r;
}

static void monitor_lost(void *opaque)
{
    struct domain *d = opaque;
    /* The process ends at the same time, as a rule; one that only closes its monitor cannot be managed any
     * more. */
    struct qmp *q = d->machine.qmp;
    d->machine.qmp = NULL;
    if (q)
        qmp_close(q);
}

static void monitor_event(void *opaque, const char *name, json_t *data, json_t *whole)
{
    monitor_event_take(opaque, name, data, whole);
}

static const struct qmp_ops monitor_ops = {.event = monitor_event, .lost = monitor_lost};

static int connect_monitor(struct domain *d, struct vir_error *e)
{
    char *path = store_path(d, "monitor");
    bool *gone = calloc(1, sizeof(*gone));
    ASSERT(gone);
    u64 deadline = loop_now() + d->manager->settings.monitor_timeout * 1000000000ull;
    struct qmp *q = NULL;
    /* In short rounds, so that the end of the process is noticed. */
    while (!q && domain_active(d) && loop_now() < deadline)
        q = qmp_connect(&d->manager->tasks, path, min(deadline, loop_now() + 200000000ull), gone,
                        &monitor_ops, d, e);
    free(gone);
    free(path);
    if (q && !domain_active(d)) {
        qmp_close(q);
        q = NULL;
    }
    if (!q)
        return -1;
    d->machine.qmp = q;
    return 0;
}

/* Terminals and ports that the program chose. */
static int learn_chardevs(struct domain *d, struct vir_error *e)
{
    json_t *list, *one;
    size_t i;
    if (life_command(d, "query-chardev", NULL, &list, e) < 0)
        return -1;
    json_array_foreach(list, i, one)
    {
        const char *label = json_string_value(json_object_get(one, "label"));
        const char *file = json_string_value(json_object_get(one, "filename"));
        xmlNode *device = label && !strncmp(label, "char", 4) ? device_find_alias(d->live, label + 4) : NULL;
        if (!device || !file || strncmp(file, "pty:", 4))
            continue;
        xml_set(device, "source/@path", file + 4);
        xmlNode *console = xml_node(d->live, "devices/console");
        if (console && xml_is(console, "alias/@name", label + 4)) {
            xml_set(console, "source/@path", file + 4);
            xml_set(console, "@tty", file + 4);
        }
    }
    json_decref(list);
    return 0;
}

static void learn_graphics(struct domain *d)
{
    json_t *vnc;
    struct vir_error e;
    if (!xml_node(d->live, "devices/graphics") || life_command(d, "query-vnc", NULL, &vnc, &e) < 0)
        return;
    const char *port = json_string_value(json_object_get(vnc, "service"));
    xmlNode *graphics = xml_node(d->live, "devices/graphics");
    if (port && graphics)
        xml_set(graphics, "@port", port);
    json_decref(vnc);
}

/* Where the program has put each device, so that a saved machine comes back with the same places. */
static void learn_place(struct domain *d, json_t *function)
{
    const char *id = json_string_value(json_object_get(function, "qdev_id"));
    xmlNode *device = id && *id ? device_find_alias(d->live, id) : NULL;
    const char *kind = device ? xml_name(device) : "";
    bool placed = !strcmp(kind, "interface") || !strcmp(kind, "memballoon") || !strcmp(kind, "rng") ||
                  (!strcmp(kind, "disk") && xml_is(device, "target/@bus", "virtio"));
    if (!placed || xml_get(device, "address/@type"))
        return;
    xml_set(device, "address/@type", "pci");
    xml_set(device, "address/@domain", "0x0000");
    xml_set(device, "address/@bus", "0x00");
    xml_setf(device, "address/@slot", "0x%02llx", json_integer_value(json_object_get(function, "slot")));
    xml_setf(device, "address/@function", "0x%llx",
             json_integer_value(json_object_get(function, "function")));
}

void life_learn_places(struct domain *d)
{
    json_t *buses, *bus, *function;
    size_t i, k;
    struct vir_error e;
    if (life_command(d, "query-pci", NULL, &buses, &e) < 0)
        return; /* lodge-vm gives its places in the order of the command line alone */
    json_array_foreach(buses, i, bus) if (json_integer_value(json_object_get(bus, "bus")) == 0)
        json_array_foreach(json_object_get(bus, "devices"), k, function) learn_place(d, function);
    json_decref(buses);
}

/* A machine with memory that the guest does not have yet. */
static void set_balloon(struct domain *d)
{
    u64 most = definition_memory(d->live), now = definition_current_memory(d->live);
    struct vir_error e;
    if (now < most && !xml_is(d->live, "devices/memballoon/@model", "none") &&
        life_command(d, "balloon", json_pack("{s:I}", "value", (json_int_t)(now << 10)), NULL, &e) < 0)
        report("domain '%s': %s", d->name, e.text);
}

/* -incoming: the guest is not there before its memory is. */
int life_wait_incoming(struct domain *d, u64 deadline, struct vir_error *e)
{
    for (;;) {
        json_t *status;
        if (life_command(d, "query-status", NULL, &status, e) < 0)
            return -1;
        bool coming = !strcmp(json_string_value(json_object_get(status, "status")) ?: "", "inmigrate");
        json_decref(status);
        if (!coming)
            return 0;
        if (deadline && loop_now() >= deadline)
            return vir_fail(e, VIR_ERR_OPERATION_FAILED, "the state of domain '%s' has not come", d->name);
        task_sleep(&d->manager->tasks, 20000000);
    }
}

static int bring_up(struct domain *d, const struct life_origin *from, bool paused, struct vir_error *e)
{
    if (spawn(d, from, e) < 0)
        return -1;
    if (watch_process(d) < 0)
        return vir_fail(e, VIR_ERR_INTERNAL_ERROR, "the machine's process ended at once");
    if (connect_monitor(d, e) < 0 || learn_chardevs(d, e) < 0 ||
        (from->image >= 0 && life_wait_incoming(d, 0, e) < 0)) {
        if (!domain_active(d))
            life_quote_log(d, "process exited while connecting to monitor", e);
        return -1;
    }
    learn_graphics(d);
    life_learn_places(d);
    hotplug_set_links(d);
    if (pin_apply_all(d, e) < 0)
        return -1;
    if (from->image == IMAGE_NONE && !from->snapshot)
        set_balloon(d);
    if (!paused && life_command(d, "cont", NULL, NULL, e) < 0)
        return -1;
    return domain_active(d) ? 0 : domain_not_running(e);
}

/* Undoes a start that failed half way. */
static void give_up(struct domain *d)
{
    struct vir_error e;
    if (domain_active(d) && d->machine.pid)
        life_destroy(d, false, SHUTOFF_FAILED, STOPPED_FAILED, &e);
    else if (domain_active(d))
        life_ended(d);
    d->reason = SHUTOFF_FAILED;
}

static void set_channels(struct domain *d)
{
    char path[PATH_MAX];
    xml_each(channel, xml_node(d->live, "devices"), "channel")
    {
        if (!xml_is(channel, "@type", "unix") ||
            (xml_get(channel, "source/@path") && *xml_get(channel, "source/@path")))
            continue;
        channel_place(d, channel, path);
        xml_set(channel, "source/@path", path);
        xml_set(channel, "source/@mode", "bind");
        xml_put_first(xml_node(channel, "source"));
    }
}

const struct life_origin life_boot = {.image = IMAGE_NONE, .started = STARTED_BOOTED};

/* It goes on from a snapshot: that is why it runs, or stands. */
static void announce_snapshot(struct domain *d, bool paused)
{
    if (paused)
        domain_set_state(d, DOMAIN_PAUSED, PAUSED_FROM_SNAPSHOT);
    else
        domain_set_state(d, DOMAIN_RUNNING, RUNNING_FROM_SNAPSHOT);
    notify_lifecycle(d, EV_STARTED, STARTED_FROM_SNAPSHOT);
    notify_lifecycle(d, paused ? EV_SUSPENDED : EV_RESUMED,
                     paused ? SUSPENDED_FROM_SNAPSHOT : RESUMED_FROM_SNAPSHOT);
}

static void announce(struct domain *d, const struct life_origin *from, bool paused)
{
    if (paused)
        domain_set_state(d, DOMAIN_PAUSED, PAUSED_USER);
    else
        domain_set_state(d, DOMAIN_RUNNING, from->image >= 0 ? RUNNING_RESTORED : RUNNING_BOOTED);
    if (!paused)
        notify_lifecycle(d, EV_RESUMED, RESUMED_UNPAUSED);
    notify_lifecycle(d, EV_STARTED, from->started);
    if (paused)
        notify_lifecycle(d, EV_SUSPENDED, SUSPENDED_PAUSED);
}

/* The document, the id, the machine. */
static int begin(struct domain *d, xmlNode *live, const struct life_origin *from, bool paused,
                 struct vir_error *e)
{
    if (domain_active(d)) {
        xml_free(live);
        return vir_fail(e, VIR_ERR_OPERATION_INVALID, "domain is already running");
    }
    d->live = live ? live : xml_copy(d->config);
    device_set_all_live(d->live);
    set_channels(d);
    d->id = d->manager->domains.next_id++;
    xml_setf(d->live, "@id", "%d", d->id);
    if (bring_up(d, from, paused, e) < 0) {
        give_up(d);
        return -1;
    }
    d->machine.shutdown_seen = false;
    return 0;
}

int life_prepare(struct domain *d, xmlNode *live, struct vir_error *e)
{
    const struct life_origin later = {.image = IMAGE_LATER};
    if (begin(d, live, &later, true, e) < 0)
        return -1;
    domain_set_state(d, DOMAIN_PAUSED, PAUSED_MIGRATION);
    return 0;
}

int life_start(struct domain *d, xmlNode *live, const struct life_origin *from, bool paused,
               struct vir_error *e)
{
    if (begin(d, live, from, paused, e) < 0)
        return -1;
    if (from->snapshot)
        announce_snapshot(d, paused);
    else
        announce(d, from, paused);
    return 0;
}

/* ---- pause ---- */

int life_suspend(struct domain *d, int reason, struct vir_error *e)
{
    if (d->state == DOMAIN_PAUSED)
        return 0;
    if (d->state != DOMAIN_RUNNING)
        return vir_fail(e, VIR_ERR_OPERATION_INVALID, "domain is not running");
    if (life_command(d, "stop", NULL, NULL, e) < 0)
        return -1;
    domain_set_state(d, DOMAIN_PAUSED, reason);
    notify_lifecycle(d, EV_SUSPENDED, SUSPENDED_PAUSED);
    return 0;
}

int life_resume(struct domain *d, int reason, struct vir_error *e)
{
    if (d->state == DOMAIN_RUNNING)
        return vir_fail(e, VIR_ERR_OPERATION_INVALID, "domain is already running");
    if (d->state != DOMAIN_PAUSED)
        return vir_fail(e, VIR_ERR_OPERATION_INVALID, "domain is not paused: it cannot go on");
    if (life_command(d, "cont", NULL, NULL, e) < 0)
        return -1;
    domain_set_state(d, DOMAIN_RUNNING, reason);
    notify_lifecycle(d, EV_RESUMED, RESUMED_UNPAUSED);
    return 0;
}

/* ---- finding it again ---- */

/* The state that the machine says it is in, where it differs from the one that was written. */
static void adopt_status(struct domain *d, const char *status)
{
    if (!strcmp(status, "running")) {
        if (d->state != DOMAIN_RUNNING)
            domain_set_state(d, DOMAIN_RUNNING, RUNNING_UNPAUSED);
    } else if (!strcmp(status, "shutdown"))
        monitor_event_shutdown(d, true);
    else if (!strcmp(status, "io-error"))
        domain_set_state(d, DOMAIN_PAUSED, PAUSED_IOERROR);
    else if (!strcmp(status, "guest-panicked"))
        domain_set_state(d, DOMAIN_CRASHED, 1);
    else if (d->state == DOMAIN_RUNNING)
        domain_set_state(d, DOMAIN_PAUSED, PAUSED_UNKNOWN);
}

static int reconnect(struct domain *d, struct vir_error *e)
{
    json_t *status;
    if (connect_monitor(d, e) < 0)
        return -1;
    if (d->migration.phase)
        migrate_recover(d);
    snapshots_settle(d);
    if (life_command(d, "query-status", NULL, &status, e) < 0)
        return -1;
    if (d->state == DOMAIN_PAUSED && (d->reason == PAUSED_SAVE || d->reason == PAUSED_DUMP))
        save_recover(d);
    else
        adopt_status(d, json_string_value(json_object_get(status, "status")) ?: "");
    json_decref(status);
    return 0;
}

static void reconnect_task(void *arg)
{
    struct domain *d = arg;
    struct vir_error e;
    if (job_begin(d, JOB_MODIFY, &e) == 0) {
        bool half_started = (d->state == DOMAIN_PAUSED && d->reason == PAUSED_STARTING_UP) ||
                            d->migration.phase == MIGRATION_PREPARED;
        if (half_started || d->machine.stopping)
            life_destroy(d, false, d->machine.stopping ? d->machine.stop_reason : SHUTOFF_FAILED,
                         !d->machine.stopping                         ? STOPPED_FAILED
                         : d->machine.stop_reason == SHUTOFF_MIGRATED ? STOPPED_MIGRATED
                                                                      : STOPPED_DESTROYED,
                         &e);
        else {
            /* It runs: a managed save is older than its disks, and would destroy what is on them. */
            store_forget_save(d);
            if (reconnect(d, &e) < 0 && domain_active(d))
                report("domain '%s' (pid %d) cannot be managed, only destroyed: %s", d->name,
                       (int)d->machine.pid, e.text);
        }
        job_end(d);
    }
    domain_put(d);
}

void life_reconnect(struct domain *d)
{
    if (process_start_time(d->machine.pid) != d->machine.start_time || watch_process(d) < 0) {
        d->machine.pid = 0; /* another process has the number now */
        report("domain '%s' ended while lodged was not running", d->name);
        life_ended(d);
        return;
    }
    domain_get(d);
    task_start(&d->manager->tasks, reconnect_task, d);
}

static void autostart_task(void *arg)
{
    struct domain *d = arg;
    struct vir_error e;
    if (job_begin(d, JOB_START, &e) < 0)
        report("autostart of '%s': %s", d->name, e.text);
    else {
        if (!domain_active(d) && life_start(d, NULL, &life_boot, false, &e) < 0)
            report("autostart of '%s': %s", d->name, e.text);
        job_end(d);
    }
    domain_put(d);
}

void life_release_all(struct manager *m)
{
    struct domains *ds = &m->domains;
    while (ds->count) {
        struct domain *d = ds->at[0];
        consoles_close(d);
        if (d->machine.exit.fd >= 0) {
            loop_remove(&m->loop, &d->machine.exit);
            close(d->machine.exit.fd);
        }
        if (d->machine.qmp)
            qmp_close(d->machine.qmp);
        d->machine = (struct machine){.exit = {.fd = -1}};
        domain_unlist(d);
    }
    free(ds->at);
    *ds = (struct domains){0};
}

void life_autostart(struct manager *m)
{
    for (unsigned i = 0; i < m->domains.count; i++)
        if (m->domains.at[i]->autostart && !domain_active(m->domains.at[i])) {
            domain_get(m->domains.at[i]);
            task_start(&m->tasks, autostart_task, m->domains.at[i]);
        }
}
