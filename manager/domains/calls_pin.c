/* calls_pin.c - procedures about the processors of a domain: what each has done, and where it may run */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "manager/daemon/host.h"
#include "manager/daemon/manager.h"
#include "manager/domains/definition.h"
#include "manager/domains/job.h"
#include "manager/domains/pin.h"
#include "manager/domains/stats.h"
#include "manager/domains/store.h"

/* ---- setting ---- */

static int pin_config(struct domain *d, int which, const cpu_set_t *set, struct vir_error *e)
{
    xmlNode *config = xml_copy(d->config);
    pin_write(config, which, set);
    return domain_replace_config(d, config, e);
}

static int pin_live(struct domain *d, int which, const cpu_set_t *set, struct vir_error *e)
{
    if (pin_apply(d, which, set, e) < 0)
        return -1;
    if (!domain_active(d))
        return domain_not_running(e);
    pin_write(d->live, which, set);
    store_state(d);
    return 0;
}

static int check_vcpu(const struct domain *d, const struct affect *a, int which, struct vir_error *e)
{
    if (a->live && which >= (int)definition_vcpus(d->live))
        return vir_fail(e, VIR_ERR_INVALID_ARG, "vcpu %d is out of range of live cpu count %u", which,
                        definition_vcpus(d->live));
    if (a->config && which >= (int)definition_max_vcpus(d->config))
        return vir_fail(e, VIR_ERR_INVALID_ARG, "vcpu %d is out of range of persistent cpu count %u", which,
                        definition_max_vcpus(d->config));
    return 0;
}

static int pin(struct call *call, const struct remote_domain *name, int which, const u8 *map, u32 size,
               u32 flags)
{
    struct vir_error *e = &call->error;
    struct domain *d = domain_find(call, name);
    struct affect a;
    cpu_set_t set;
    if (!d || vir_check_flags(e, flags, AFFECT_LIVE | AFFECT_CONFIG, "virDomainPinVcpuFlags") < 0)
        return -1;
    cpuset_from_map(&set, map, size);
    if (!CPU_COUNT(&set))
        return vir_fail(e, VIR_ERR_INVALID_ARG, "Empty cpu list for pinning");
    if (job_begin(d, JOB_MODIFY, e) < 0)
        return -1;
    int r = domain_affect(d, flags, &a, e);
    if (r == 0)
        r = check_vcpu(d, &a, which, e);
    if (r == 0 && a.live)
        r = pin_live(d, which, &set, e);
    if (r == 0 && a.config)
        r = pin_config(d, which, &set, e);
    job_end(d);
    return r;
}

/* Of a number that no domain has, "out of range" is said; it must not become negative. */
static int vcpu_number(u32 vcpu)
{
    return (int)min(vcpu, 1000000u);
}

int handle_domain_pin_vcpu(struct call *call, const struct remote_domain_pin_vcpu_args *args)
{
    return pin(call, &args->dom, vcpu_number(args->vcpu), args->cpumap, args->cpumap_count, AFFECT_LIVE);
}

int handle_domain_pin_vcpu_flags(struct call *call, const struct remote_domain_pin_vcpu_flags_args *args)
{
    return pin(call, &args->dom, vcpu_number(args->vcpu), args->cpumap, args->cpumap_count, args->flags);
}

int handle_domain_pin_emulator(struct call *call, const struct remote_domain_pin_emulator_args *args)
{
    return pin(call, &args->dom, PIN_EMULATOR, args->cpumap, args->cpumap_count, args->flags);
}

/* ---- asking ---- */

static int check_maps(struct call *call, s64 count, s64 length)
{
    if (count >= 0 && length >= 0 && count <= 16384 && count * length <= 8388608)
        return 0;
    return vir_fail(&call->error, VIR_ERR_INVALID_ARG, "more processors, or longer maps, than there can be");
}

static u8 *new_maps(struct call *call, u32 count, u32 length, u32 *size)
{
    *size = count * length;
    return arena_alloc(&call->arena, *size + 1);
}

/* Where the thread may run now. */
static void read_affinity(pid_t tid, u8 *map, u32 length)
{
    cpu_set_t set, present;
    cpuset_all(&present);
    if (!tid || sched_getaffinity(tid, sizeof(set), &set) < 0)
        set = present;
    CPU_AND(&set, &set, &present);
    cpuset_to_map(&set, map, length);
}

int handle_domain_get_vcpus(struct call *call, const struct remote_domain_get_vcpus_args *args,
                            struct remote_domain_get_vcpus_ret *ret)
{
    enum { RUNNING = 1 };
    struct domain *d = domain_find(call, &args->dom);
    if (!d || check_maps(call, args->maxinfo, args->maplen) < 0)
        return -1;
    if (!domain_active(d))
        return vir_fail(&call->error, VIR_ERR_OPERATION_INVALID,
                        "cannot retrieve vcpu information for inactive domain");
    json_t *cpus = stats_ask(d, "query-cpus-fast", &call->error), *cpu;
    u32 most = min((u32)json_array_size(cpus), (u32)args->maxinfo), length = (u32)args->maplen;
    size_t i;
    ret->info = arena_array(&call->arena, struct remote_vcpu_info, most);
    ret->cpumaps = new_maps(call, most, length, &ret->cpumaps_count);
    json_array_foreach(cpus, i, cpu)
    {
        struct process_usage u = {.last_cpu = -1};
        pid_t tid = (pid_t)json_integer_value(json_object_get(cpu, "thread-id"));
        if (i >= most)
            break;
        if (tid)
            process_usage_read(d->machine.pid, tid, &u);
        read_affinity(tid, ret->cpumaps + i * length, length);
        ret->info[ret->info_count++] =
            (struct remote_vcpu_info){(u32)i, RUNNING, u.user + u.system, u.last_cpu};
    }
    int r = cpus ? 0 : -1;
    json_decref(cpus);
    return r;
}

/* The document that the question is about; NULL with the call's error. */
static xmlNode *document(struct call *call, const struct remote_domain *name, u32 flags, const char *function)
{
    struct domain *d = domain_find(call, name);
    struct affect a;
    if (!d || vir_check_flags(&call->error, flags, AFFECT_LIVE | AFFECT_CONFIG, function) < 0 ||
        domain_affect(d, flags, &a, &call->error) < 0)
        return NULL;
    return a.live ? d->live : d->config;
}

int handle_domain_get_vcpu_pin_info(struct call *call,
                                    const struct remote_domain_get_vcpu_pin_info_args *args,
                                    struct remote_domain_get_vcpu_pin_info_ret *ret)
{
    xmlNode *domain = document(call, &args->dom, args->flags, "virDomainGetVcpuPinInfo");
    if (!domain || check_maps(call, args->ncpumaps, args->maplen) < 0)
        return -1;
    u32 count = min(definition_max_vcpus(domain), (u32)args->ncpumaps), length = (u32)args->maplen;
    ret->cpumaps = new_maps(call, count, length, &ret->cpumaps_count);
    ret->num = (s32)count;
    for (u32 i = 0; i < count; i++) {
        cpu_set_t set;
        pin_read(domain, (int)i, &set);
        cpuset_to_map(&set, ret->cpumaps + i * length, length);
    }
    return 0;
}

int handle_domain_get_emulator_pin_info(struct call *call,
                                        const struct remote_domain_get_emulator_pin_info_args *args,
                                        struct remote_domain_get_emulator_pin_info_ret *ret)
{
    cpu_set_t set;
    xmlNode *domain = document(call, &args->dom, args->flags, "virDomainGetEmulatorPinInfo");
    if (!domain || check_maps(call, 1, args->maplen) < 0)
        return -1;
    pin_read(domain, PIN_EMULATOR, &set);
    ret->cpumaps = new_maps(call, 1, (u32)args->maplen, &ret->cpumaps_count);
    cpuset_to_map(&set, ret->cpumaps, ret->cpumaps_count);
    ret->ret = 1;
    return 0;
}
