/* commands.h - what the commands of QMP do: the functions of the table */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MONITOR_COMMANDS_H
#define MONITOR_COMMANDS_H

#include "machine/monitor/monitor.h"

#define COMMAND(name) json_t *name(struct qmp_call *call)

/* query.c */
COMMAND(qmp_capabilities_again);
COMMAND(query_commands);
COMMAND(query_version);
COMMAND(query_status);
COMMAND(query_kvm);
COMMAND(query_name);
COMMAND(query_uuid);
COMMAND(query_cpus_fast);
COMMAND(query_chardev);
COMMAND(query_chardev_backends);
COMMAND(query_machines);
COMMAND(query_target);
COMMAND(query_memory_size_summary);

/* schema.c */
COMMAND(query_qmp_schema);

/* probe.c */
COMMAND(query_nothing);
COMMAND(query_not_enabled);
COMMAND(query_current_machine);
COMMAND(query_display_options);
COMMAND(query_memdev);
COMMAND(query_hotpluggable_cpus);
COMMAND(query_command_line_options);
COMMAND(query_cpu_definitions);
COMMAND(query_cpu_model_expansion);

/* devices.c */
COMMAND(query_balloon);
COMMAND(qmp_balloon);
COMMAND(query_pci);
COMMAND(qmp_chardev_add);
COMMAND(qmp_chardev_remove);
COMMAND(qmp_set_link);
COMMAND(qmp_announce_self);
COMMAND(query_rx_filter);
COMMAND(query_netdev_stats);

/* block.c */
COMMAND(query_block);
COMMAND(query_blockstats);
COMMAND(query_named_block_nodes);
COMMAND(qmp_block_resize);

/* qom.c */
COMMAND(qmp_qom_list);
COMMAND(qmp_qom_get);
COMMAND(qmp_qom_set);
COMMAND(qmp_qom_list_types);
COMMAND(qmp_device_list_properties);

/* control.c */
COMMAND(qmp_stop);
COMMAND(qmp_cont);
COMMAND(qmp_quit);
COMMAND(qmp_system_reset);
COMMAND(qmp_system_powerdown);
COMMAND(qmp_inject_nmi);
COMMAND(qmp_system_wakeup);
COMMAND(qmp_set_action);
COMMAND(qmp_human_monitor_command);

/* keys.c */
COMMAND(qmp_send_key);
json_t *keys_parse(const char *text, size_t length);

/* objects.c */
COMMAND(qmp_device_add);
COMMAND(qmp_device_del);
COMMAND(qmp_netdev_add);
COMMAND(qmp_netdev_del);
COMMAND(qmp_blockdev_add);
COMMAND(qmp_blockdev_del);
COMMAND(qmp_object_add);
COMMAND(qmp_object_del);
COMMAND(qmp_getfd);
COMMAND(qmp_closefd);

/* dump.c */
COMMAND(qmp_dump_guest_memory);
COMMAND(query_dump);
COMMAND(query_dump_capability);

/* snapshot.c */
COMMAND(qmp_snapshot_save);
COMMAND(qmp_snapshot_load);
COMMAND(qmp_snapshot_delete);
COMMAND(query_jobs);
COMMAND(qmp_job_dismiss);

/* migration.c */
COMMAND(qmp_migrate);
COMMAND(qmp_migrate_cancel);
COMMAND(qmp_migrate_incoming);
COMMAND(query_migrate);
COMMAND(qmp_migrate_set_capabilities);
COMMAND(query_migrate_capabilities);
COMMAND(qmp_migrate_set_parameters);
COMMAND(query_migrate_parameters);
/* Of -incoming too: see there. */
int migration_fd(struct machine *m, const char *uri);

#undef COMMAND

#endif
