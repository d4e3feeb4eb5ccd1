/* calls_life.c - procedures that start, stop and poke domains */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "manager/daemon/manager.h"
#include "manager/domains/definition.h"
#include "manager/domains/job.h"
#include "manager/domains/life.h"
#include "manager/domains/migrate.h"
#include "manager/domains/notify.h"
#include "manager/domains/qmp.h"
#include "manager/domains/save.h"
#include "manager/domains/save_image.h"
#include "manager/domains/store.h"

enum {
    CREATE_PAUSED = 1,
    CREATE_BYPASS_CACHE = 4,
    CREATE_FORCE_BOOT = 8,
    CREATE_VALIDATE = 16,
    DESTROY_GRACEFUL = 1
};
enum { SHUTDOWN_ACPI = 1, SHUTDOWN_AGENT = 2 };

/* As it was when it was saved; then the file has done its work. */
static int start_saved(struct domain *d, u32 flags, struct vir_error *e)
{
    struct save_image s;
    char *path = store_path(d, "save");
    xmlNode *live = save_image_open(&s, path, e) == 0 ? definition_parse(d->manager, s.xml, e) : NULL;
    int r = live ? restore_domain(d, live, &s, flags & CREATE_PAUSED ? SAVE_PAUSED : 0, e) : -1;
    if (r == 0)
        unlink(path);
    save_image_close(&s);
    free(path);
    return r;
}

static int start(struct call *call, const struct remote_domain *name, u32 flags, struct remote_domain *ret)
{
    struct domain *d = domain_find(call, name);
    u32 known = CREATE_PAUSED | CREATE_BYPASS_CACHE | CREATE_FORCE_BOOT | CREATE_VALIDATE;
    if (!d || vir_check_flags(&call->error, flags, known, "virDomainCreateWithFlags") < 0 ||
        job_begin(d, JOB_START, &call->error) < 0)
        return -1;
    /* One whose writing was cut off is none, and in the way. */
    if (!domain_active(d) && (flags & CREATE_FORCE_BOOT || !store_has_save(d)))
        store_forget_save(d);
    int r = store_has_save(d) && !domain_active(d)
                ? start_saved(d, flags, &call->error)
                : life_start(d, NULL, &life_boot, flags & CREATE_PAUSED, &call->error);
    if (ret) {
        *ret = domain_remote(d);
        ret->name = arena_strdup(&call->arena, d->name);
    }
    job_end(d);
    return r;
}

int handle_domain_create(struct call *call, const struct remote_domain_create_args *args)
{
    return start(call, &args->dom, 0, NULL);
}

int handle_domain_create_with_flags(struct call *call,
                                    const struct remote_domain_create_with_flags_args *args,
                                    struct remote_domain_create_with_flags_ret *ret)
{
    return start(call, &args->dom, args->flags, &ret->dom);
}

static int destroy(struct call *call, const struct remote_domain *name, u32 flags)
{
    struct domain *d = domain_find_active(call, name);
    if (!d || vir_check_flags(&call->error, flags, DESTROY_GRACEFUL, "virDomainDestroyFlags") < 0)
        return -1;
    return life_destroy(d, flags & DESTROY_GRACEFUL, SHUTOFF_DESTROYED, STOPPED_DESTROYED, &call->error);
}

int handle_domain_destroy(struct call *call, const struct remote_domain_destroy_args *args)
{
    return destroy(call, &args->dom, 0);
}

int handle_domain_destroy_flags(struct call *call, const struct remote_domain_destroy_flags_args *args)
{
    return destroy(call, &args->dom, args->flags);
}

int handle_domain_suspend(struct call *call, const struct remote_domain_suspend_args *args)
{
    struct domain *d = domain_find_active(call, &args->dom);
    if (d && migrate_is_sending(d))
        return migrate_suspend(d, &call->error);
    if (!d || job_begin_active(d, JOB_MODIFY, &call->error) < 0)
        return -1;
    int r = life_suspend(d, PAUSED_USER, &call->error);
    job_end(d);
    return r;
}

int handle_domain_resume(struct call *call, const struct remote_domain_resume_args *args)
{
    struct domain *d = domain_find_active(call, &args->dom);
    if (!d || job_begin_active(d, JOB_MODIFY, &call->error) < 0)
        return -1;
    int r = life_resume(d, RUNNING_UNPAUSED, &call->error);
    job_end(d);
    return r;
}

/* One command of the monitor, in a job. */
static int send_command(struct call *call, const struct remote_domain *name, const char *command,
                        json_t *arguments)
{
    struct domain *d = domain_find_active(call, name);
    if (!d || job_begin_active(d, JOB_MODIFY, &call->error) < 0) {
        json_decref(arguments);
        return -1;
    }
    int r = life_command(d, command, arguments, NULL, &call->error);
    job_end(d);
    return r;
}

/* How a guest is asked to shut down: by its power button; there is no agent. */
static int check_mode(struct call *call, u32 flags, const char *function)
{
    if (vir_check_flags(&call->error, flags, 31, function) < 0)
        return -1;
    if (!flags || flags & SHUTDOWN_ACPI)
        return 0;
    return vir_fail(&call->error, VIR_ERR_ARGUMENT_UNSUPPORTED,
                    flags & SHUTDOWN_AGENT ? "QEMU guest agent is not configured"
                                           : "the mode that there is is acpi");
}

static int power_down(struct call *call, const struct remote_domain *name, bool reboot)
{
    struct domain *d = domain_find_active(call, name);
    if (!d)
        return -1;
    bool before = d->machine.reboot;
    d->machine.reboot = reboot; /* first: the guest may be quick */
    store_state(d);
    if (send_command(call, name, "system_powerdown", NULL) == 0)
        return 0;
    if (domain_active(d))
        d->machine.reboot = before;
    return -1;
}

int handle_domain_shutdown(struct call *call, const struct remote_domain_shutdown_args *args)
{
    return power_down(call, &args->dom, false);
}

int handle_domain_shutdown_flags(struct call *call, const struct remote_domain_shutdown_flags_args *args)
{
    if (check_mode(call, args->flags, "virDomainShutdownFlags") < 0)
        return -1;
    return power_down(call, &args->dom, false);
}

/* The guest powers off, and the machine begins anew. */
int handle_domain_reboot(struct call *call, const struct remote_domain_reboot_args *args)
{
    if (check_mode(call, args->flags, "virDomainReboot") < 0)
        return -1;
    return power_down(call, &args->dom, true);
}

int handle_domain_reset(struct call *call, const struct remote_domain_reset_args *args)
{
    if (vir_check_flags(&call->error, args->flags, 0, "virDomainReset") < 0)
        return -1;
    return send_command(call, &args->dom, "system_reset", NULL);
}

int handle_domain_inject_nmi(struct call *call, const struct remote_domain_inject_nmi_args *args)
{
    if (vir_check_flags(&call->error, args->flags, 0, "virDomainInjectNMI") < 0)
        return -1;
    return send_command(call, &args->dom, "inject-nmi", NULL);
}

/* ---- the monitor itself ---- */

int handle_qemu_domain_monitor_command(struct call *call,
                                       const struct remote_qemu_domain_monitor_command_args *args,
                                       struct remote_qemu_domain_monitor_command_ret *ret)
{
    enum { HMP = 1 };
    struct vir_error *e = &call->error;
    struct domain *d = domain_find_active(call, &args->dom);
    if (!d || vir_check_flags(e, args->flags, HMP, "virDomainQemuMonitorCommand") < 0 ||
        job_begin_active(d, JOB_MODIFY, e) < 0)
        return -1;
    json_t *said = NULL;
    char *text = NULL;
    if (!(args->flags & HMP))
        text = qmp_pass(d->machine.qmp, (unsigned)call->manager->settings.monitor_timeout, args->cmd, e);
    else if (life_command(d, "human-monitor-command", json_pack("{s:s}", "command-line", args->cmd), &said,
                          e) == 0)
        text = strdup(json_string_value(said) ? json_string_value(said) : "");
    job_end(d);
    json_decref(said);
    if (!text)
        return -1;
    ret->result = arena_strdup(&call->arena, text);
    free(text);
    return 0;
}
