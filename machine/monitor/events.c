/* events.c - the events of QMP: one row each */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "machine/monitor/monitor.h"

const struct qmp_event qmp_events[] = {
    {"BALLOON_CHANGE", "actual:i"},
    {"BLOCK_IO_ERROR", "device:s node-name:s? operation:s action:s nospace:b? reason:s"},
    {"DEVICE_DELETED", "device:s? path:s"},
    {"DUMP_COMPLETED", "result:o error:s?"},
    {"JOB_STATUS_CHANGE", "id:s status:s"},
    {"MIGRATION", "status:s"},
    {"NIC_RX_FILTER_CHANGED", "name:s? path:s"},
    {"POWERDOWN", ""},
    {"RESET", "guest:b reason:s"},
    {"RESUME", ""},
    {"SHUTDOWN", "guest:b reason:s"},
    {"STOP", ""},
    {"VSERPORT_CHANGE", "id:s open:b"},
};
const unsigned qmp_event_count = ARRAY_SIZE(qmp_events);

bool qmp_event_is_known(const char *name)
{
    for (unsigned i = 0; i < qmp_event_count; i++)
        if (!strcmp(qmp_events[i].name, name))
            return true;
    return false;
}
