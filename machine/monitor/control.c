/* control.c - commands that stop, continue, reset and end the machine */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "machine/machine.h"
#include "machine/monitor/commands.h"

/* Whether a guest that stands still for a dump or a snapshot goes on behind it; NULL: there is none now. */
static bool *goes_on(struct machine *m)
{
    return m->dump.status == DUMP_ACTIVE ? &m->dump.was_running
           : m->snapshot.active          ? &m->snapshot.was_running
                                         : NULL;
}

json_t *qmp_stop(struct qmp_call *call)
{
    struct machine *m = call->machine;
    bool *on = goes_on(m);
    if (on && *on) { /* it stands already, or soon does, and is to stay so */
        *on = false;
        m->state = RUN_PAUSED;
    }
    machine_stop_now(m, RUN_PAUSED);
    return json_object();
}

json_t *qmp_cont(struct qmp_call *call)
{
    struct machine *m = call->machine;
    if (m->state == RUN_INMIGRATE) {
        m->migration.autostart = true; /* when it is there */
        return json_object();
    }
    if (m->dump.status == DUMP_ACTIVE)
        return qmp_fail(call, "GenericError", "There is a dump in process, please wait.");
    if (m->snapshot.active)
        return qmp_fail(call, "GenericError", "There is a snapshot in process, please wait.");
    if (m->state == RUN_FINISH_MIGRATE)
        return qmp_fail(call, "GenericError", "Migration is not finalized yet");
    if (m->state == RUN_SHUTDOWN || m->state == RUN_INTERNAL_ERROR)
        return qmp_fail(call, "GenericError", "Resetting the Virtual Machine is required");
    if (block_activate(&m->blocks, &call->e) < 0)
        return NULL;
    machine_continue(m);
    return json_object();
}

json_t *qmp_quit(struct qmp_call *call)
{
    machine_quit(call->machine, "host-qmp-quit", "ended by a monitor");
    return json_object();
}

json_t *qmp_system_reset(struct qmp_call *call)
{
    machine_request_reset(call->machine, "host-qmp-system-reset");
    return json_object();
}

json_t *qmp_system_powerdown(struct qmp_call *call)
{
    struct machine *m = call->machine;
    for (unsigned i = 0; i < m->device_count; i++)
        if (m->device[i]->type->power_button)
            m->device[i]->type->power_button(m->device[i]);
    monitor_event(m, "POWERDOWN", NULL);
    return json_object();
}

json_t *qmp_inject_nmi(struct qmp_call *call)
{
    struct machine *m = call->machine;
    for (unsigned i = 0; i < m->vcpu_count; i++)
        vcpu_inject_nmi(&m->vcpu[i]);
    return json_object();
}

json_t *qmp_system_wakeup(struct qmp_call *call)
{
    return qmp_fail(call, "GenericError", "Unable to wake up: guest is not in suspended state");
}

/* What -action says, changed while the guest runs. Without a watchdog and a panic device, the other two are
 * taken, as there is nothing that they could be about. */
json_t *qmp_set_action(struct qmp_call *call)
{
    struct machine *m = call->machine;
    static const char *const names[] = {"reboot", "shutdown", "panic", "watchdog"};
    static const char values[][64] = {" reset shutdown ", " poweroff pause ",
                                      " pause shutdown exit-failure none ",
                                      " reset shutdown poweroff pause debug none inject-nmi "};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        const char *value = qmp_string(call, names[i], NULL);
        char word[32];
        if (value && (snprintf(word, sizeof(word), " %s ", value) >= (int)sizeof(word) ||
                      strchr(value, ' ') || !strstr(values[i], word)))
            return qmp_fail(call, "GenericError", "Parameter '%s' does not accept value '%.60s'", names[i],
                            value);
    }
    if (qmp_string(call, "reboot", NULL))
        m->no_reboot = !strcmp(qmp_string(call, "reboot", ""), "shutdown");
    if (qmp_string(call, "shutdown", NULL))
        m->no_shutdown = !strcmp(qmp_string(call, "shutdown", ""), "pause");
    return json_object();
}

json_t *qmp_human_monitor_command(struct qmp_call *call)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    if (!f)
        return qmp_fail(call, "GenericError", "no memory");
    human_run(call->machine, qmp_string(call, "command-line", ""), f);
    fclose(f);
    json_t *answer = json_string(text ? text : "");
    free(text);
    return answer ? answer : json_string("the answer is not text\r\n");
}
