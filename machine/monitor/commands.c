/* commands.c - the commands of QMP: one row each */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "machine/monitor/commands.h"

const struct qmp_command qmp_commands[] = {
    {"qmp_capabilities", "enable:a?", qmp_capabilities_again},
    {"query-commands", "", query_commands},
    {"query-version", "", query_version},
    {"query-status", "", query_status},
    {"query-kvm", "", query_kvm},
    {"query-name", "", query_name},
    {"query-uuid", "", query_uuid},
    {"query-cpus-fast", "", query_cpus_fast},
    {"query-chardev", "", query_chardev},
    {"query-chardev-backends", "", query_chardev_backends},
    {"query-machines", "", query_machines},
    {"query-target", "", query_target},
    {"query-memory-size-summary", "", query_memory_size_summary},

    {"stop", "", qmp_stop},
    {"cont", "", qmp_cont},
    {"quit", "", qmp_quit},
    {"system_reset", "", qmp_system_reset},
    {"system_powerdown", "", qmp_system_powerdown},
    {"inject-nmi", "", qmp_inject_nmi},
    {"human-monitor-command", "command-line:s cpu-index:i?", qmp_human_monitor_command},

    {"device_add", "driver:s bus:s? id:s?*", qmp_device_add},
    {"device_del", "id:s", qmp_device_del},
    {"netdev_add", "type:s id:s*", qmp_netdev_add},
    {"netdev_del", "id:s", qmp_netdev_del},
    {"blockdev-add", "driver:s node-name:s?*", qmp_blockdev_add},
    {"blockdev-del", "node-name:s", qmp_blockdev_del},
    {"object-add", "qom-type:s id:s*", qmp_object_add},
    {"object-del", "id:s", qmp_object_del},
    {"getfd", "fdname:s", qmp_getfd},
    {"closefd", "fdname:s", qmp_closefd},

};
const unsigned qmp_command_count = ARRAY_SIZE(qmp_commands);
