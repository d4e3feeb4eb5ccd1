/* notify.c - telling clients what happens to a domain */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "manager/daemon/manager.h"
#include "manager/domains/notify.h"
#include "manager/rpc/event.h"
#include "manager/rpc/params.h"

/* virDomainEventID */
enum {
    ID_LIFECYCLE = 0,
    ID_REBOOT = 1,
    ID_RTC_CHANGE = 2,
    ID_WATCHDOG = 3,
    ID_IO_ERROR = 4,
    ID_IO_ERROR_REASON = 6,
    ID_BALLOON_CHANGE = 13,
    ID_DEVICE_REMOVED = 15,
    ID_DEVICE_ADDED = 19,
    ID_JOB_COMPLETED = 21,
    ID_DEVICE_REMOVAL_FAILED = 22,
    ID_METADATA_CHANGE = 23,
};

static void send(struct domain *d, s32 number, s32 procedure, const struct xdr_struct *type, void *message)
{
    struct event e = {.class = EVENT_DOMAIN,
                      .number = number,
                      .uuid = d->uuid,
                      .procedure = procedure,
                      .type = type,
                      .message = message};
    event_send(&d->manager->server, &e);
}

/* The message of protocol.def called NAME, with its fields. */
#define SEND(d, number, NAME, name, ...)                                         \
    do {                                                                         \
        struct remote_##name##_msg msg = {.dom = domain_remote(d), __VA_ARGS__}; \
        send(d, number, PROC_##NAME, &xdr_remote_##name##_msg, &msg);            \
    } while (0)

void notify_lifecycle(struct domain *d, int event, int detail)
{
    SEND(d, ID_LIFECYCLE, DOMAIN_EVENT_CALLBACK_LIFECYCLE, domain_event_callback_lifecycle, .event = event,
         .detail = detail);
}

void notify_reboot(struct domain *d)
{
    SEND(d, ID_REBOOT, DOMAIN_EVENT_CALLBACK_REBOOT, domain_event_callback_reboot, .callbackID = 0);
}

void notify_rtc_change(struct domain *d, s64 offset)
{
    SEND(d, ID_RTC_CHANGE, DOMAIN_EVENT_CALLBACK_RTC_CHANGE, domain_event_callback_rtc_change,
         .offset = offset);
}

void notify_watchdog(struct domain *d, int action)
{
    SEND(d, ID_WATCHDOG, DOMAIN_EVENT_CALLBACK_WATCHDOG, domain_event_callback_watchdog, .action = action);
}

void notify_io_error(struct domain *d, const char *path, const char *alias, int action, const char *reason)
{
    SEND(d, ID_IO_ERROR, DOMAIN_EVENT_CALLBACK_IO_ERROR, domain_event_callback_io_error,
         .srcPath = (char *)path, .devAlias = (char *)alias, .action = action);
    SEND(d, ID_IO_ERROR_REASON, DOMAIN_EVENT_CALLBACK_IO_ERROR_REASON, domain_event_callback_io_error_reason,
         .srcPath = (char *)path, .devAlias = (char *)alias, .action = action, .reason = (char *)reason);
}

void notify_job_completed(struct domain *d, const struct params *p)
{
    SEND(d, ID_JOB_COMPLETED, DOMAIN_EVENT_CALLBACK_JOB_COMPLETED, domain_event_callback_job_completed,
         .params = p->at, .params_count = p->count);
}

void notify_balloon(struct domain *d, u64 kib)
{
    SEND(d, ID_BALLOON_CHANGE, DOMAIN_EVENT_CALLBACK_BALLOON_CHANGE, domain_event_callback_balloon_change,
         .actual = kib);
}

void notify_device_added(struct domain *d, const char *alias)
{
    SEND(d, ID_DEVICE_ADDED, DOMAIN_EVENT_CALLBACK_DEVICE_ADDED, domain_event_callback_device_added,
         .devAlias = (char *)alias);
}

void notify_device_removed(struct domain *d, const char *alias)
{
    SEND(d, ID_DEVICE_REMOVED, DOMAIN_EVENT_CALLBACK_DEVICE_REMOVED, domain_event_callback_device_removed,
         .devAlias = (char *)alias);
}

void notify_device_removal_failed(struct domain *d, const char *alias)
{
    SEND(d, ID_DEVICE_REMOVAL_FAILED, DOMAIN_EVENT_CALLBACK_DEVICE_REMOVAL_FAILED,
         domain_event_callback_device_removal_failed, .devAlias = (char *)alias);
}

void notify_metadata(struct domain *d, int type, const char *uri)
{
    SEND(d, ID_METADATA_CHANGE, DOMAIN_EVENT_CALLBACK_METADATA_CHANGE, domain_event_callback_metadata_change,
         .type = type, .nsuri = (char *)uri);
}

void notify_monitor(struct domain *d, const char *name, s64 seconds, u32 micros, const char *details)
{
    struct remote_qemu_domain_monitor_event_msg msg = {.dom = domain_remote(d),
                                                       .event = (char *)name,
                                                       .seconds = seconds,
                                                       .micros = micros,
                                                       .details = (char *)details};
    struct event e = {.class = EVENT_MONITOR,
                      .uuid = d->uuid,
                      .name = name,
                      .procedure = PROC_QEMU_DOMAIN_MONITOR_EVENT,
                      .type = &xdr_remote_qemu_domain_monitor_event_msg,
                      .message = &msg};
    event_send(&d->manager->server, &e);
}
