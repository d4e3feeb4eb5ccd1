/* notify.h - telling clients what happens to a domain */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DOMAINS_NOTIFY_H
#define DOMAINS_NOTIFY_H

#include "manager/domains/domain.h"

/* virDomainEventType and its details */
enum {
    EV_DEFINED,
    EV_UNDEFINED,
    EV_STARTED,
    EV_SUSPENDED,
    EV_RESUMED,
    EV_STOPPED,
    EV_SHUTDOWN,
    EV_PMSUSPENDED,
    EV_CRASHED
};
enum {
    DEFINED_ADDED = 0,
    DEFINED_UPDATED = 1,
    DEFINED_RENAMED = 2,
    DEFINED_FROM_SNAPSHOT = 3,
    UNDEFINED_REMOVED = 0,
    UNDEFINED_RENAMED = 1
};
enum {
    STARTED_BOOTED = 0,
    STARTED_MIGRATED = 1,
    STARTED_RESTORED = 2,
    STARTED_FROM_SNAPSHOT = 3,
    SUSPENDED_PAUSED = 0,
    SUSPENDED_MIGRATED = 1,
    SUSPENDED_IOERROR = 2,
    SUSPENDED_WATCHDOG = 3,
    SUSPENDED_RESTORED = 4,
    SUSPENDED_FROM_SNAPSHOT = 5,
    RESUMED_UNPAUSED = 0,
    RESUMED_MIGRATED = 1,
    RESUMED_FROM_SNAPSHOT = 2
};
enum {
    STOPPED_SHUTDOWN,
    STOPPED_DESTROYED,
    STOPPED_CRASHED,
    STOPPED_MIGRATED,
    STOPPED_SAVED,
    STOPPED_FAILED,
    STOPPED_FROM_SNAPSHOT
};
enum { SHUTDOWN_FINISHED, SHUTDOWN_GUEST, SHUTDOWN_HOST };

void notify_lifecycle(struct domain *d, int event, int detail);
void notify_reboot(struct domain *d);
void notify_rtc_change(struct domain *d, s64 offset);
void notify_watchdog(struct domain *d, int action);
void notify_io_error(struct domain *d, const char *path, const char *alias, int action, const char *reason);
struct params;
void notify_job_completed(struct domain *d, const struct params *p);
void notify_balloon(struct domain *d, u64 kib);
void notify_device_added(struct domain *d, const char *alias);
void notify_device_removed(struct domain *d, const char *alias);
void notify_device_removal_failed(struct domain *d, const char *alias);
void notify_metadata(struct domain *d, int type, const char *uri);
void notify_monitor(struct domain *d, const char *name, s64 seconds, u32 micros, const char *details);

#endif
