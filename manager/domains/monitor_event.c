/* monitor_event.c - what a machine says by itself, a row for each event (QEMU's QMP reference) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdlib.h>
#include <string.h>

#include "manager/daemon/manager.h"
#include "manager/domains/hotplug.h"
#include "manager/domains/job.h"
#include "manager/domains/life.h"
#include "manager/domains/monitor_event.h"
#include "manager/domains/notify.h"

static const char *text(json_t *data, const char *name)
{
    const char *s = json_string_value(json_object_get(data, name));
    return s ? s : "";
}

/* After a power-off the program waits (-no-shutdown) to be told what becomes of the machine. */
static void shutdown_task(void *arg)
{
    struct domain *d = arg;
    struct vir_error e;
    bool again = domain_active(d) && (d->machine.reboot || xml_is(d->live, "on_poweroff", "restart"));
    d->machine.reboot = false;
    if (again && job_begin_active(d, JOB_MODIFY, &e) == 0) {
        d->machine.shutdown_seen = false;
        if (life_command(d, "system_reset", NULL, NULL, &e) == 0 &&
            life_command(d, "cont", NULL, NULL, &e) == 0)
            domain_set_state(d, DOMAIN_RUNNING, RUNNING_BOOTED);
        job_end(d);
    } else if (domain_active(d))
        life_destroy(d, false, SHUTOFF_SHUTDOWN, STOPPED_SHUTDOWN, &e);
    domain_put(d);
}

void monitor_event_shutdown(struct domain *d, bool by_guest)
{
    int why = d->machine.stopping ? d->machine.stop_reason : 0;
    if (why == SHUTOFF_MIGRATED || why == SHUTOFF_FROM_SNAPSHOT)
        return; /* it runs elsewhere, or from an earlier time on: nothing of the guest's ends */
    d->machine.shutdown_seen = true;
    domain_set_state(d, DOMAIN_SHUTDOWN, 0);
    notify_lifecycle(d, EV_SHUTDOWN, by_guest ? SHUTDOWN_GUEST : SHUTDOWN_HOST);
    if (d->machine.stopping)
        return;
    domain_get(d);
    task_start(&d->manager->tasks, shutdown_task, d);
}

static void on_shutdown(struct domain *d, json_t *data)
{
    monitor_event_shutdown(d, json_is_true(json_object_get(data, "guest")));
}

static void on_reset(struct domain *d, json_t *data)
{
    (void)data;
    notify_reboot(d);
}

static void on_stop(struct domain *d, json_t *data)
{
    (void)data;
    if (d->state == DOMAIN_RUNNING && d->job.operation == JOB_MIGRATION_OUT) {
        domain_set_state(d, DOMAIN_PAUSED, PAUSED_MIGRATION);
        notify_lifecycle(d, EV_SUSPENDED, SUSPENDED_MIGRATED);
    }
    if (d->state != DOMAIN_RUNNING || d->job.operation)
        return; /* a call of ours: it says why itself */
    domain_set_state(d, DOMAIN_PAUSED, PAUSED_UNKNOWN);
    notify_lifecycle(d, EV_SUSPENDED, SUSPENDED_PAUSED);
}

static void on_resume(struct domain *d, json_t *data)
{
    (void)data;
    if (d->state != DOMAIN_PAUSED || d->job.operation)
        return;
    domain_set_state(d, DOMAIN_RUNNING, RUNNING_UNPAUSED);
    notify_lifecycle(d, EV_RESUMED, RESUMED_UNPAUSED);
}

static void on_balloon(struct domain *d, json_t *data)
{
    u64 kib = (u64)json_integer_value(json_object_get(data, "actual")) >> 10;
    xml_setf(d->live, "currentMemory", "%lu", kib);
    notify_balloon(d, kib);
}

static void on_rtc(struct domain *d, json_t *data)
{
    notify_rtc_change(d, json_integer_value(json_object_get(data, "offset")));
}

static void on_io_error(struct domain *d, json_t *data)
{
    bool stops = !strcmp(text(data, "action"), "stop");
    const char *node = text(data, "device");
    notify_io_error(d, "", !strncmp(node, "drive-", 6) ? node + 6 : node, stops ? 1 : 2,
                    text(data, "reason"));
    if (!stops)
        return;
    domain_set_state(d, DOMAIN_PAUSED, PAUSED_IOERROR);
    notify_lifecycle(d, EV_SUSPENDED, SUSPENDED_IOERROR);
}

static void panic_task(void *arg)
{
    struct domain *d = arg;
    struct vir_error e;
    if (domain_active(d))
        life_destroy(d, false, SHUTOFF_CRASHED, STOPPED_CRASHED, &e);
    domain_put(d);
}

static void on_panic(struct domain *d, json_t *data)
{
    (void)data;
    if (d->state == DOMAIN_CRASHED)
        return;
    domain_set_state(d, DOMAIN_CRASHED, 1);
    notify_lifecycle(d, EV_CRASHED, 0);
    domain_get(d);
    task_start(&d->manager->tasks, panic_task, d);
}

static void on_device_deleted(struct domain *d, json_t *data)
{
    if (*text(data, "device"))
        hotplug_removed(d, text(data, "device"));
}

static void on_unplug_error(struct domain *d, json_t *data)
{
    hotplug_refused(d, text(data, "device"));
}

static const struct {
    const char *name;
    void (*take)(struct domain *d, json_t *data);
} events[] = {
    {"SHUTDOWN", on_shutdown},
    {"RESET", on_reset},
    {"STOP", on_stop},
    {"RESUME", on_resume},
    {"BALLOON_CHANGE", on_balloon},
    {"RTC_CHANGE", on_rtc},
    {"BLOCK_IO_ERROR", on_io_error},
    {"GUEST_PANICKED", on_panic},
    {"DEVICE_DELETED", on_device_deleted},
    {"DEVICE_UNPLUG_GUEST_ERROR", on_unplug_error},
};

void monitor_event_take(struct domain *d, const char *name, json_t *data, json_t *whole)
{
    json_t *when = json_object_get(whole, "timestamp");
    char *details = data ? json_dumps(data, JSON_COMPACT) : NULL;
    notify_monitor(d, name, json_integer_value(json_object_get(when, "seconds")),
                   (u32)json_integer_value(json_object_get(when, "microseconds")), details);
    free(details);
    for (size_t i = 0; i < ARRAY_SIZE(events); i++)
        if (!strcmp(events[i].name, name) && domain_active(d))
            events[i].take(d, data);
}
