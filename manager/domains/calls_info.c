/* calls_info.c - procedures that tell how a domain is */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "manager/daemon/host.h"
#include "manager/daemon/manager.h"
#include "manager/domains/definition.h"
#include "manager/domains/device.h"
#include "manager/rpc/params.h"

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

int handle_domain_is_updated(struct call *call, const struct remote_domain_is_updated_args *args,
                             struct remote_domain_is_updated_ret *ret)
{
    struct domain *d = domain_find(call, &args->dom);
    if (!d)
        return -1;
    ret->updated = d->updated;
    return 0;
}

/* ---- what libvirt has more of ---- */

/* No security driver labels machines. */
static s32 *letters(struct call *call, const char *text, u32 *count)
{
    *count = (u32)strlen(text) + 1;
    s32 *at = arena_array(&call->arena, s32, *count);
    for (u32 i = 0; i < *count; i++)
        at[i] = text[i];
    return at;
}

int handle_node_get_security_model(struct call *call, struct remote_node_get_security_model_ret *ret)
{
    ret->model = letters(call, "none", &ret->model_count);
    ret->doi = letters(call, "0", &ret->doi_count);
    return 0;
}

int handle_domain_get_security_label(struct call *call,
                                     const struct remote_domain_get_security_label_args *args,
                                     struct remote_domain_get_security_label_ret *ret)
{
    ret->label = letters(call, "", &ret->label_count);
    return domain_find(call, &args->dom) ? 0 : -1;
}

/* Nothing taints a domain, and nothing of it is deprecated. */
int handle_domain_get_messages(struct call *call, const struct remote_domain_get_messages_args *args,
                               struct remote_domain_get_messages_ret *ret)
{
    enum { DEPRECATION = 1, TAINTING = 2 };
    ret->msgs_count = 0;
    return domain_find(call, &args->dom) && vir_check_flags(&call->error, args->flags, DEPRECATION | TAINTING,
                                                            "virDomainGetMessages") == 0
               ? 0
               : -1;
}

/* I/O threads are lodge-vm's own business: the document has none. */
int handle_domain_get_iothread_info(struct call *call,
                                    const struct remote_domain_get_iothread_info_args *args,
                                    struct remote_domain_get_iothread_info_ret *ret)
{
    ret->info_count = 0;
    return domain_find(call, &args->dom) ? 0 : -1;
}

/* No procedure starts a block job. */
int handle_domain_get_block_job_info(struct call *call,
                                     const struct remote_domain_get_block_job_info_args *args,
                                     struct remote_domain_get_block_job_info_ret *ret)
{
    struct domain *d = domain_find_active(call, &args->dom);
    if (!d)
        return -1;
    if (!device_find_disk(d->live, args->path))
        return vir_fail(&call->error, VIR_ERR_INVALID_ARG, "disk '%s' not found in domain", args->path);
    ret->found = 0;
    return 0;
}

int handle_domain_get_cpu_stats(struct call *call, const struct remote_domain_get_cpu_stats_args *args,
                                struct remote_domain_get_cpu_stats_ret *ret)
{
    enum { ALL = -1, PARAM_STRING_OKAY = 4 };
    struct domain *d = domain_find_active(call, &args->dom);
    struct params p = {.arena = &call->arena};
    struct process_usage u;
    struct host_cpus cpus;
    if (!d || vir_check_flags(&call->error, args->flags, PARAM_STRING_OKAY, "virDomainGetCPUStats") < 0)
        return -1;
    if (args->start_cpu != ALL) { /* how many there are; the kernel does not count for each of them */
        host_cpus_read(&cpus);
        ret->nparams = args->ncpus ? 0 : (s32)cpus.present;
        return 0;
    }
    if (!process_usage_read(d->machine.pid, 0, &u))
        return domain_not_running(&call->error);
    params_u64(&p, u.user + u.system, "cpu_time");
    params_u64(&p, u.user, "user_time");
    params_u64(&p, u.system, "system_time");
    ret->nparams = (s32)p.count;
    ret->params = p.at;
    ret->params_count = min(p.count, args->nparams);
    return 0;
}
