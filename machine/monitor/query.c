/* query.c - commands that tell how the machine is */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/version.h"
#include "machine/machine.h"
#include "machine/monitor/commands.h"

json_t *qmp_capabilities_again(struct qmp_call *call)
{
    return qmp_fail(call, "CommandNotFound", "Capabilities negotiation is already complete, command ignored");
}

json_t *query_commands(struct qmp_call *call)
{
    json_t *list = json_array();
    (void)call;
    for (unsigned i = 0; i < qmp_command_count; i++)
        json_array_append_new(list, json_pack("{s:s}", "name", qmp_commands[i].name));
    return list;
}

/* Programs look here for what they may ask: the answers are those of QEMU 7.2. */
json_t *query_version(struct qmp_call *call)
{
    (void)call;
    return json_pack("{s:{s:i,s:i,s:i},s:s}", "qemu", "micro", 0, "minor", 2, "major", 7, "package",
                     "lodge-" LODGE_VERSION);
}

json_t *query_status(struct qmp_call *call)
{
    const struct machine *m = call->machine;
    return json_pack("{s:s,s:b,s:b}", "status", run_state_names[m->state], "singlestep", 0, "running",
                     !m->stopped);
}

json_t *query_kvm(struct qmp_call *call)
{
    (void)call;
    return json_pack("{s:b,s:b}", "enabled", 1, "present", 1);
}

json_t *query_name(struct qmp_call *call)
{
    const char *name = call->machine->config->name;
    return name ? json_pack("{s:s}", "name", name) : json_object();
}

json_t *query_uuid(struct qmp_call *call)
{
    const char *uuid = call->machine->config->uuid;
    return json_pack("{s:s}", "UUID", uuid ? uuid : "00000000-0000-0000-0000-000000000000");
}

static json_t *cpu_properties(const struct machine *m, unsigned i)
{
    const struct processor_place at = processor_place(m, i);
    return json_pack("{s:i,s:i,s:i,s:i}", "core-id", (int)at.core, "thread-id", (int)at.thread, "die-id",
                     (int)at.die, "socket-id", (int)at.socket);
}

json_t *query_cpus_fast(struct qmp_call *call)
{
    const struct machine *m = call->machine;
    json_t *list = json_array();
    char path[160];
    for (unsigned i = 0; i < m->vcpu_count; i++) {
        processor_path(m, i, path, sizeof(path));
        json_array_append_new(list, json_pack("{s:i,s:s,s:i,s:o,s:s}", "cpu-index", (int)i, "target",
                                              "x86_64", "thread-id", (int)m->vcpu[i].tid, "props",
                                              cpu_properties(m, i), "qom-path", path));
    }
    return list;
}

/* The highest first, as QEMU lists them; those that are there have a path. */
json_t *query_hotpluggable_cpus(struct qmp_call *call)
{
    const struct machine *m = call->machine;
    json_t *list = json_array();
    char path[160];
    for (unsigned i = m->config->smp.maxcpus; i-- > 0;) {
        json_t *one = json_pack("{s:i,s:s,s:o}", "vcpus-count", 1, "type", PROCESSOR_DRIVER, "props",
                                cpu_properties(m, i));
        processor_path(m, i, path, sizeof(path));
        if (i < m->vcpu_count)
            json_object_set_new(one, "qom-path", json_string(path));
        json_array_append_new(list, one);
    }
    return list;
}

json_t *query_chardev(struct qmp_call *call)
{
    const struct chardevs *s = &call->machine->chardevs;
    json_t *list = json_array();
    for (unsigned i = 0; i < s->count; i++) {
        char text[400];
        chardev_describe(s->all[i], text, sizeof(text));
        json_array_append_new(list, json_pack("{s:b,s:s,s:s}", "frontend-open",
                                              s->all[i]->used && !s->all[i]->front_closed, "filename", text,
                                              "label", s->all[i]->label));
    }
    return list;
}

json_t *query_chardev_backends(struct qmp_call *call)
{
    (void)call;
    return json_pack("[{s:s},{s:s},{s:s},{s:s},{s:s}]", "name", "null", "name", "stdio", "name", "file",
                     "name", "socket", "name", "pty");
}

json_t *query_machines(struct qmp_call *call)
{
    json_t *list = json_array();
    (void)call;
    for (unsigned i = 0; machine_names[i]; i++) {
        json_t *one = json_pack("{s:b,s:s,s:b,s:i,s:b}", "hotpluggable-cpus", 1, "name", machine_names[i],
                                "numa-mem-supported", 0, "cpu-max", MACHINE_MAX_VCPUS, "deprecated", 0);
        if (i == 0)
            json_object_set_new(one, "is-default", json_true());
        json_array_append_new(list, one);
    }
    return list;
}

json_t *query_target(struct qmp_call *call)
{
    (void)call;
    return json_pack("{s:s}", "arch", "x86_64");
}

json_t *query_memory_size_summary(struct qmp_call *call)
{
    return json_pack("{s:I,s:I}", "base-memory", (json_int_t)call->machine->ram.size, "plugged-memory",
                     (json_int_t)0);
}
