/* calls_info.c - procedures that tell how a domain is */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "manager/daemon/host.h"
#include "manager/daemon/manager.h"
#include "manager/domains/definition.h"

static u64 cpu_time(const struct domain *d)
{
    struct process_usage u;
    return d->machine.pid && process_usage_read(d->machine.pid, 0, &u) ? u.user + u.system : 0;
}

int handle_domain_get_state(struct call *call, const struct remote_domain_get_state_args *args,
                            struct remote_domain_get_state_ret *ret)
{
    struct domain *d = domain_find(call, &args->dom);
    if (!d || vir_check_flags(&call->error, args->flags, 0, "virDomainGetState") < 0)
        return -1;
    ret->state = d->state;
    ret->reason = d->reason;
    return 0;
}

int handle_domain_get_info(struct call *call, const struct remote_domain_get_info_args *args,
                           struct remote_domain_get_info_ret *ret)
{
    struct domain *d = domain_find(call, &args->dom);
    if (!d)
        return -1;
    ret->state = d->state;
    ret->maxMem = definition_memory(domain_xml(d));
    ret->memory = definition_current_memory(domain_xml(d));
    ret->nrVirtCpu = definition_vcpus(domain_xml(d));
    ret->cpuTime = cpu_time(d);
    return 0;
}

int handle_domain_get_max_memory(struct call *call, const struct remote_domain_get_max_memory_args *args,
                                 struct remote_domain_get_max_memory_ret *ret)
{
    struct domain *d = domain_find(call, &args->dom);
    if (!d)
        return -1;
    ret->memory = definition_memory(domain_xml(d));
    return 0;
}

int handle_domain_get_max_vcpus(struct call *call, const struct remote_domain_get_max_vcpus_args *args,
                                struct remote_domain_get_max_vcpus_ret *ret)
{
    struct domain *d = domain_find_active(call, &args->dom);
    if (!d)
        return -1;
    ret->num = (s32)definition_max_vcpus(d->live);
    return 0;
}

int handle_domain_get_vcpus_flags(struct call *call, const struct remote_domain_get_vcpus_flags_args *args,
                                  struct remote_domain_get_vcpus_flags_ret *ret)
{
    enum { LIVE = 1, CONFIG = 2, MAXIMUM = 4 };
    struct domain *d = domain_find(call, &args->dom);
    if (!d ||
        vir_check_flags(&call->error, args->flags, LIVE | CONFIG | MAXIMUM, "virDomainGetVcpusFlags") < 0)
        return -1;
    if (args->flags & LIVE && !domain_active(d))
        return domain_not_running(&call->error);
    if (args->flags & CONFIG && !d->persistent)
        return vir_fail(&call->error, VIR_ERR_OPERATION_INVALID,
                        "transient domains do not have any persistent config");
    xmlNode *from = args->flags & CONFIG ? d->config : domain_xml(d);
    ret->num = (s32)(args->flags & MAXIMUM ? definition_max_vcpus(from) : definition_vcpus(from));
    return 0;
}

int handle_domain_get_os_type(struct call *call, const struct remote_domain_get_os_type_args *args,
                              struct remote_domain_get_os_type_ret *ret)
{
    struct domain *d = domain_find(call, &args->dom);
    if (!d)
        return -1;
    ret->type = arena_strdup(&call->arena, xml_get(domain_xml(d), "os/type"));
    return 0;
}

int handle_domain_get_autostart(struct call *call, const struct remote_domain_get_autostart_args *args,
                                struct remote_domain_get_autostart_ret *ret)
{
    struct domain *d = domain_find(call, &args->dom);
    if (!d)
        return -1;
    ret->autostart = d->autostart;
    return 0;
}

int handle_domain_is_active(struct call *call, const struct remote_domain_is_active_args *args,
                            struct remote_domain_is_active_ret *ret)
{
    struct domain *d = domain_find(call, &args->dom);
    if (!d)
        return -1;
    ret->active = domain_active(d);
    return 0;
}

int handle_domain_is_persistent(struct call *call, const struct remote_domain_is_persistent_args *args,
                                struct remote_domain_is_persistent_ret *ret)
{
    struct domain *d = domain_find(call, &args->dom);
    if (!d)
        return -1;
    ret->persistent = d->persistent;
    return 0;
}

int handle_domain_get_control_info(struct call *call, const struct remote_domain_get_control_info_args *args,
                                   struct remote_domain_get_control_info_ret *ret)
{
    enum { OK, JOB, OCCUPIED, ERROR };
    struct domain *d = domain_find_active(call, &args->dom);
    if (!d || vir_check_flags(&call->error, args->flags, 0, "virDomainGetControlInfo") < 0)
        return -1;
    ret->state = !d->machine.qmp ? ERROR : d->job.operation ? JOB : OK;
    ret->stateTime = d->job.operation ? (loop_now() - d->job.since) / 1000000 : 0;
    return 0;
}
