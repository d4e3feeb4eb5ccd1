/* calls_tune.c - procedures that change how much memory and how many processors a domain has */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>
#include <string.h>

#include "manager/daemon/manager.h"
#include "manager/domains/definition.h"
#include "manager/domains/hotplug.h"
#include "manager/domains/job.h"
#include "manager/domains/life.h"
#include "manager/domains/pin.h"
#include "manager/domains/stats.h"
#include "manager/domains/store.h"

/* ---- memory ---- */

static int set_live_memory(struct domain *d, u64 kib, struct vir_error *e)
{
    if (kib > definition_memory(d->live))
        return vir_fail(e, VIR_ERR_INVALID_ARG, "cannot set memory higher than max memory");
    if (xml_is(d->live, "devices/memballoon/@model", "none"))
        return vir_fail(e, VIR_ERR_OPERATION_INVALID,
                        "Unable to change memory of active domain without the balloon device and guest OS "
                        "balloon driver");
    return life_command(d, "balloon", json_pack("{s:I}", "value", (json_int_t)(kib << 10)), NULL, e);
}

static int set_config_memory(struct domain *d, u64 kib, bool maximum, struct vir_error *e)
{
    if (!maximum && kib > definition_memory(d->config))
        return vir_fail(e, VIR_ERR_INVALID_ARG, "cannot set memory higher than max memory");
    xmlNode *config = xml_copy(d->config);
    if (maximum)
        xml_setf(config, "memory", "%lu", kib);
    if (!maximum || definition_current_memory(config) > kib)
        xml_setf(config, "currentMemory", "%lu", kib);
    return domain_replace_config(d, config, e);
}

static int set_memory(struct call *call, const struct remote_domain *name, u64 kib, u32 flags)
{
    enum { MAXIMUM = 4 };
    struct vir_error *e = &call->error;
    struct domain *d = domain_find(call, name);
    struct affect a;
    if (!d || vir_check_flags(e, flags, AFFECT_LIVE | AFFECT_CONFIG | MAXIMUM, "virDomainSetMemoryFlags") < 0)
        return -1;
    if (!kib || kib > 1ull << 40)
        return vir_fail(e, VIR_ERR_INVALID_ARG,
                        "memory in virDomainSetMemoryFlags must not be zero, nor more than any "
                        "machine has");
    if (job_begin(d, JOB_MODIFY, e) < 0)
        return -1;
    int r = domain_affect(d, flags & ~(u32)MAXIMUM, &a, e);
    if (r == 0 && a.live && flags & MAXIMUM)
        r = vir_fail(e, VIR_ERR_OPERATION_INVALID, "cannot resize the maximum memory on an active domain");
    if (r == 0 && a.live)
        r = set_live_memory(d, kib, e);
    if (r == 0 && a.config)
        r = set_config_memory(d, kib, flags & MAXIMUM, e);
    job_end(d);
    return r;
}

int handle_domain_set_memory(struct call *call, const struct remote_domain_set_memory_args *args)
{
    return set_memory(call, &args->dom, args->memory, AFFECT_LIVE);
}

int handle_domain_set_memory_flags(struct call *call, const struct remote_domain_set_memory_flags_args *args)
{
    return set_memory(call, &args->dom, args->memory, args->flags);
}

int handle_domain_set_max_memory(struct call *call, const struct remote_domain_set_max_memory_args *args)
{
    enum { MAXIMUM = 4 };
    return set_memory(call, &args->dom, args->memory, MAXIMUM);
}

int handle_domain_set_memory_stats_period(struct call *call,
                                          const struct remote_domain_set_memory_stats_period_args *args)
{
    struct vir_error *e = &call->error;
    struct domain *d = domain_find(call, &args->dom);
    struct affect a;
    if (!d ||
        vir_check_flags(e, args->flags, AFFECT_LIVE | AFFECT_CONFIG, "virDomainSetMemoryStatsPeriod") < 0)
        return -1;
    if (args->period < 0)
        return vir_fail(e, VIR_ERR_INVALID_ARG,
                        "period in virDomainSetMemoryStatsPeriod must not be negative");
    if (job_begin(d, JOB_MODIFY, e) < 0)
        return -1;
    int r = domain_affect(d, args->flags, &a, e);
    /* No wait between here and the command. */
    xmlNode *balloon = r == 0 ? xml_node(a.live ? d->live : d->config, "devices/memballoon") : NULL;
    if (r == 0 && (!balloon || xml_is(balloon, "@model", "none")))
        r = vir_fail(e, VIR_ERR_OPERATION_INVALID,
                     "Memory balloon model must be virtio to set the collection period");
    if (r == 0 && a.live) {
        char path[200];
        snprintf(path, sizeof(path), "/machine/peripheral/%s", xml_get_or(balloon, "alias/@name", ""));
        r = life_command(d, "qom-set",
                         json_pack("{s:s,s:s,s:i}", "path", path, "property", "guest-stats-polling-interval",
                                   "value", (int)args->period),
                         NULL, e);
    }
    if (r == 0 && a.live && domain_active(d))
        xml_setf(d->live, "devices/memballoon/stats/@period", "%d", args->period);
    if (r == 0 && a.config) {
        xmlNode *config = xml_copy(d->config);
        xml_setf(config, "devices/memballoon/stats/@period", "%d", args->period);
        r = domain_replace_config(d, config, e);
    }
    job_end(d);
    return r;
}

/* ---- processors ---- */

static void set_count(xmlNode *domain, unsigned count)
{
    if (count == definition_max_vcpus(domain))
        xml_remove(domain, "vcpu/@current");
    else
        xml_setf(domain, "vcpu/@current", "%u", count);
}

static int set_config_vcpus(struct domain *d, unsigned count, bool maximum, struct vir_error *e)
{
    if (!maximum && count > definition_max_vcpus(d->config))
        return vir_fail(e, VIR_ERR_INVALID_ARG,
                        "requested vcpus is greater than max allowable vcpus for the persistent "
                        "domain: %u > %u",
                        count, definition_max_vcpus(d->config));
    if (maximum && xml_node(d->config, "cpu/topology"))
        return vir_fail(e, VIR_ERR_INVALID_ARG, "CPU topology doesn't match the desired vcpu count");
    xmlNode *config = xml_copy(d->config);
    unsigned now = definition_vcpus(config);
    if (maximum)
        xml_setf(config, "vcpu", "%u", count);
    set_count(config, maximum ? min(now, count) : count);
    return domain_replace_config(d, config, e);
}

/* A processor that can be added: its type, and where it goes. Those that are there have a path. */
static json_t *next_vcpu(json_t *slots, unsigned number)
{
    json_t *slot, *arguments = NULL, *value;
    const char *name;
    size_t i;
    char id[32];
    json_array_foreach(slots, i, slot)
    {
        if (json_object_get(slot, "qom-path"))
            continue;
        snprintf(id, sizeof(id), "vcpu%u", number);
        arguments = json_pack("{s:O,s:s}", "driver", json_object_get(slot, "type"), "id", id);
        json_object_foreach(json_object_get(slot, "props"), name, value)
            json_object_set(arguments, name, value);
    }
    return arguments; /* the last free one: the list begins with the highest */
}

static int add_vcpu(struct domain *d, unsigned number, struct vir_error *e)
{
    json_t *slots = stats_ask(d, "query-hotpluggable-cpus", e),
           *arguments = slots ? next_vcpu(slots, number) : NULL;
    json_decref(slots);
    if (!slots)
        return -1;
    return arguments
               ? life_command(d, "device_add", arguments, NULL, e)
               : vir_fail(e, VIR_ERR_OPERATION_UNSUPPORTED, "the machine has no place for another processor");
}

/* Those that the machine began with stay. */
static int remove_vcpu(struct domain *d, unsigned number, struct vir_error *e)
{
    char path[40];
    json_t *found = NULL;
    if (!definition_is_lodge(d->live) && xml_is(d->live, "@type", "qemu"))
        return vir_fail(e, VIR_ERR_OPERATION_UNSUPPORTED,
                        "QEMU without KVM (7.2 was tried) crashes when a processor is taken away");
    snprintf(path, sizeof(path), "/machine/peripheral/vcpu%u", number);
    bool added = life_command(d, "qom-list", json_pack("{s:s}", "path", path), &found, e) == 0;
    json_decref(found);
    return added ? hotplug_remove_vcpu(d, number, e)
                 : vir_fail(e, VIR_ERR_INVALID_ARG, "vcpu %u can't be unplugged: the machine began with it",
                            number);
}

static int set_live_vcpus(struct domain *d, unsigned count, struct vir_error *e)
{
    unsigned now = definition_vcpus(d->live);
    if (count > definition_max_vcpus(d->live))
        return vir_fail(e, VIR_ERR_INVALID_ARG,
                        "requested vcpus is greater than max allowable vcpus for the live domain: "
                        "%u > %u",
                        count, definition_max_vcpus(d->live));
    while (now != count) {
        if (now < count ? add_vcpu(d, now, e) < 0 : remove_vcpu(d, now - 1, e) < 0)
            return -1;
        if (!domain_active(d))
            return domain_not_running(e);
        now += now < count ? 1 : -1u;
        set_count(d->live, now);
        store_state(d);
    }
    return pin_apply_all(d, e);
}

static int set_vcpus(struct call *call, const struct remote_domain *name, unsigned count, u32 flags)
{
    enum { MAXIMUM = 4 };
    struct vir_error *e = &call->error;
    struct domain *d = domain_find(call, name);
    struct affect a;
    if (!d || vir_check_flags(e, flags, AFFECT_LIVE | AFFECT_CONFIG | MAXIMUM, "virDomainSetVcpusFlags") < 0)
        return -1;
    if (!count || count > 255)
        return vir_fail(e, VIR_ERR_INVALID_ARG, "argument out of range: %u", count);
    if (job_begin(d, JOB_MODIFY, e) < 0)
        return -1;
    int r = domain_affect(d, flags & ~(u32)MAXIMUM, &a, e);
    if (r == 0 && a.live && flags & MAXIMUM)
        r = vir_fail(e, VIR_ERR_INVALID_ARG, "maximum vcpu count of a live domain can't be modified");
    if (r == 0 && a.live)
        r = set_live_vcpus(d, count, e);
    if (r == 0 && a.config)
        r = set_config_vcpus(d, count, flags & MAXIMUM, e);
    job_end(d);
    return r;
}

int handle_domain_set_vcpus(struct call *call, const struct remote_domain_set_vcpus_args *args)
{
    return set_vcpus(call, &args->dom, args->nvcpus, 0);
}

int handle_domain_set_vcpus_flags(struct call *call, const struct remote_domain_set_vcpus_flags_args *args)
{
    return set_vcpus(call, &args->dom, args->nvcpus, args->flags);
}
