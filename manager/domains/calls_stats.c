/* calls_stats.c - procedures that count what domains do: disks, interfaces, memory, all at once */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "manager/daemon/host.h"
#include "manager/daemon/manager.h"
#include "manager/domains/definition.h"
#include "manager/domains/device.h"
#include "manager/domains/job.h"
#include "manager/domains/life.h"
#include "manager/domains/stats.h"
#include "manager/rpc/params.h"

enum { PARAM_STRING_OKAY = 4 };

/* ---- disks ---- */

static xmlNode *find_disk(struct domain *d, const char *path, struct vir_error *e)
{
    xmlNode *disk = device_find_disk(domain_xml(d), path);
    if (!disk)
        vir_fail(e, VIR_ERR_INVALID_ARG, "invalid path %s not assigned to domain", path);
    return disk;
}

/* The counters of one disk, or ("") their sums over all. 0, or -1 with e. */
static int count_disk(xmlNode *domain, json_t *answer, const char *path, s64 counters[DISK_COUNTERS],
                      struct vir_error *e)
{
    unsigned found = 0;
    xml_each(disk, xml_node(domain, "devices"), "disk")
    {
        json_t *mine = stats_of_disk(answer, disk);
        if ((*path && disk != device_find_disk(domain, path)) || !mine)
            continue;
        for (size_t i = 0; i < DISK_COUNTERS; i++) {
            s64 n = stats_counter(mine, disk_counters[i].qmp);
            counters[i] = found && n >= 0 ? counters[i] + n : found ? counters[i] : n;
        }
        found++;
    }
    return found ? 0 : vir_fail(e, VIR_ERR_INTERNAL_ERROR, "cannot find statistics for device '%s'", path);
}

static int disk_counters_of(struct call *call, const struct remote_domain *name, const char *path,
                            s64 counters[DISK_COUNTERS])
{
    struct domain *d = domain_find_active(call, name);
    if (!d || (*path && !find_disk(d, path, &call->error)))
        return -1;
    json_t *answer = stats_ask(d, "query-blockstats", &call->error);
    int r = answer ? count_disk(d->live, answer, path, counters, &call->error) : -1;
    json_decref(answer);
    return r;
}

int handle_domain_block_stats(struct call *call, const struct remote_domain_block_stats_args *args,
                              struct remote_domain_block_stats_ret *ret)
{
    s64 c[DISK_COUNTERS];
    if (disk_counters_of(call, &args->dom, args->path, c) < 0)
        return -1;
    *ret = (struct remote_domain_block_stats_ret){c[0], c[1], c[3], c[4], -1};
    return 0;
}

int handle_domain_block_stats_flags(struct call *call,
                                    const struct remote_domain_block_stats_flags_args *args,
                                    struct remote_domain_block_stats_flags_ret *ret)
{
    s64 c[DISK_COUNTERS];
    struct params p = {.arena = &call->arena};
    if (vir_check_flags(&call->error, args->flags, PARAM_STRING_OKAY, "virDomainBlockStatsFlags") < 0 ||
        disk_counters_of(call, &args->dom, args->path, c) < 0)
        return -1;
    for (size_t i = 0; i < DISK_COUNTERS; i++)
        if (c[i] >= 0)
            params_s64(&p, c[i], "%s", disk_counters[i].flags_name);
    params_answer(&p, args->nparams, &ret->params, &ret->params_count, &ret->nparams);
    return 0;
}

int handle_domain_get_block_info(struct call *call, const struct remote_domain_get_block_info_args *args,
                                 struct remote_domain_get_block_info_ret *ret)
{
    struct domain *d = domain_find(call, &args->dom);
    if (!d || vir_check_flags(&call->error, args->flags, 0, "virDomainGetBlockInfo") < 0)
        return -1;
    struct image_facts f;
    xmlNode *found = find_disk(d, args->path, &call->error), *disk = found ? xml_copy(found) : NULL;
    int r = disk ? 0 : -1;
    if (disk && !stats_disk_image(call->manager, disk, &f))
        r = f.path ? vir_fail(&call->error, VIR_ERR_SYSTEM_ERROR, "cannot stat file '%s': %s", f.path, f.why)
                   : vir_fail(&call->error, VIR_ERR_INVALID_ARG,
                              "disk '%s' does not currently have a source assigned", args->path);
    xml_free(disk);
    if (r == 0)
        *ret = (struct remote_domain_get_block_info_ret){f.allocation, f.capacity, f.physical};
    return r;
}

int handle_domain_block_resize(struct call *call, const struct remote_domain_block_resize_args *args)
{
    enum { BYTES = 1 };
    struct domain *d = domain_find_active(call, &args->dom);
    u64 bytes = args->size;
    if (!d || vir_check_flags(&call->error, args->flags, BYTES, "virDomainBlockResize") < 0)
        return -1;
    if (!(args->flags & BYTES) && __builtin_mul_overflow(bytes, 1024, &bytes))
        return vir_fail(&call->error, VIR_ERR_INVALID_ARG, "size must be less than %lu", UINT64_MAX / 1024);
    if (job_begin_active(d, JOB_MODIFY, &call->error) < 0)
        return -1;
    json_t *nodes = find_disk(d, args->disk, &call->error) ? stats_ask(d, "query-block", &call->error) : NULL;
    xmlNode *disk = device_find_disk(domain_xml(d), args->disk);
    json_t *mine = nodes && disk ? stats_of_disk(nodes, disk) : NULL;
    const char *node = json_string_value(json_object_get(json_object_get(mine, "inserted"), "node-name"));
    int r = -1;
    if (node)
        r = life_command(d, "block_resize",
                         json_pack("{s:s,s:I}", "node-name", node, "size", (json_int_t)bytes), NULL,
                         &call->error);
    else if (nodes)
        vir_fail(&call->error, VIR_ERR_OPERATION_INVALID, "disk '%s' has no medium", args->disk);
    json_decref(nodes);
    job_end(d);
    return r;
}

int handle_domain_get_disk_errors(struct call *call, const struct remote_domain_get_disk_errors_args *args,
                                  struct remote_domain_get_disk_errors_ret *ret)
{
    enum { UNSPECIFIED = 1, NO_SPACE = 2 };
    struct domain *d = domain_find_active(call, &args->dom);
    if (!d || vir_check_flags(&call->error, args->flags, 0, "virDomainGetDiskErrors") < 0)
        return -1;
    json_t *answer = stats_ask(d, "query-block", &call->error);
    unsigned most = min(args->maxerrors, 256u);
    ret->errors = arena_array(&call->arena, struct remote_domain_disk_error, most);
    xml_each(disk, answer ? xml_node(d->live, "devices") : NULL, "disk")
    {
        const char *status = json_string_value(json_object_get(stats_of_disk(answer, disk), "io-status"));
        bool bad = status && strcmp(status, "ok");
        if (!args->maxerrors)
            ret->nerrors++;
        else if (bad && ret->errors_count < most) {
            ret->errors[ret->errors_count++] =
                (struct remote_domain_disk_error){arena_strdup(&call->arena, xml_get(disk, "target/@dev")),
                                                  strcmp(status, "nospace") ? UNSPECIFIED : NO_SPACE};
            ret->nerrors++;
        }
    }
    int r = answer ? 0 : -1;
    json_decref(answer);
    return r;
}

/* ---- interfaces ---- */

/* What has no name on the host is known by its address, and by the name that domstats gives. */
static xmlNode *find_interface(xmlNode *domain, const char *name)
{
    xmlNode *i = device_find_interface(domain, name), *device = i ? NULL : device_find_alias(domain, name);
    return device && !strcmp(xml_name(device), "interface") ? device : i;
}

/* The machine's own counters, of which there is need where the host has none. QEMU has none either: NULL. */
static json_t *ask_interfaces(struct domain *d, xmlNode *interface)
{
    struct vir_error e;
    return xml_get(interface, "target/@dev") ? NULL : stats_ask(d, "x-query-netdev-stats", &e);
}

int handle_domain_interface_stats(struct call *call, const struct remote_domain_interface_stats_args *args,
                                  struct remote_domain_interface_stats_ret *ret)
{
    struct domain *d = domain_find_active(call, &args->dom);
    xmlNode *found = d ? find_interface(d->live, args->device) : NULL;
    u64 c[INTERFACE_COUNTERS];
    if (!d)
        return -1;
    if (!found)
        return vir_fail(&call->error, VIR_ERR_INVALID_ARG, "invalid path, '%s' is not a known interface",
                        args->device);
    xmlNode *interface = xml_copy(found); /* the machine may end meanwhile */
    json_t *answer = ask_interfaces(d, interface);
    bool counted = stats_of_interface(answer, interface, c);
    json_decref(answer);
    xml_free(interface);
    if (!counted)
        return vir_fail(&call->error, VIR_ERR_INTERNAL_ERROR, "/proc/net/dev: Interface not found");
    *ret = (struct remote_domain_interface_stats_ret){(s64)c[0], (s64)c[1], (s64)c[2], (s64)c[3],
                                                      (s64)c[4], (s64)c[5], (s64)c[6], (s64)c[7]};
    return 0;
}

/* Addresses that the host's neighbour table has for the card. */
static u32 find_neighbours(struct call *call, const char *mac, struct remote_domain_ip_addr *out, u32 most)
{
    FILE *f = fopen("/proc/net/arp", "re");
    char line[256], ip[64], hw[32];
    u32 n = 0;
    while (f && n < most && fgets(line, sizeof(line), f))
        if (sscanf(line, "%63s %*s %*s %31s", ip, hw) == 2 && !strcasecmp(hw, mac))
            out[n++] = (struct remote_domain_ip_addr){.addr = arena_strdup(&call->arena, ip)};
    if (f)
        fclose(f);
    return n;
}

int handle_domain_interface_addresses(struct call *call,
                                      const struct remote_domain_interface_addresses_args *args,
                                      struct remote_domain_interface_addresses_ret *ret)
{
    enum { LEASE, AGENT, ARP, NEIGHBOURS_MAX = 16, INTERFACES_MAX = 64 };
    struct domain *d = domain_find_active(call, &args->dom);
    if (!d || vir_check_flags(&call->error, args->flags, 0, "virDomainInterfaceAddresses") < 0)
        return -1;
    if (args->source == AGENT)
        return vir_fail(&call->error, VIR_ERR_ARGUMENT_UNSUPPORTED, "QEMU guest agent is not configured");
    if (args->source > ARP)
        return vir_fail(&call->error, VIR_ERR_ARGUMENT_UNSUPPORTED, "Unsupported IP address data source %u",
                        args->source);
    /* User networks give their addresses inside the machine, which tells nobody: there are no leases. */
    ret->ifaces = arena_array(&call->arena, struct remote_domain_interface, INTERFACES_MAX);
    xml_each(interface, args->source == ARP ? xml_node(d->live, "devices") : NULL, "interface")
    {
        struct remote_domain_interface *i = &ret->ifaces[ret->ifaces_count];
        const char *name = xml_get(interface, "target/@dev"), *mac = xml_get(interface, "mac/@address");
        if (!name || !mac || ret->ifaces_count == INTERFACES_MAX)
            continue;
        i->addrs = arena_array(&call->arena, struct remote_domain_ip_addr, NEIGHBOURS_MAX);
        if (!(i->addrs_count = find_neighbours(call, mac, i->addrs, NEIGHBOURS_MAX)))
            continue;
        i->name = arena_strdup(&call->arena, name);
        i->hwaddr = arena_strdup(&call->arena, mac);
        ret->ifaces_count++;
    }
    return 0;
}

/* ---- memory ---- */

/* What the guest's balloon driver reports, where it does. */
static const struct {
    const char *qmp;
    int tag;       /* virDomainMemoryStatTags */
    unsigned unit; /* the monitor's, in bytes; 0: a plain number */
} balloon_stats[] = {
    {"stat-swap-in", 0, 1},          {"stat-swap-out", 1, 1},     {"stat-major-faults", 2, 0},
    {"stat-minor-faults", 3, 0},     {"stat-free-memory", 4, 1},  {"stat-total-memory", 5, 1},
    {"stat-available-memory", 8, 1}, {"stat-disk-caches", 10, 1}, {"stat-htlb-pgalloc", 11, 0},
    {"stat-htlb-pgfail", 12, 0},
};

/* Only what the machine says goes in; a guest without a driver says nothing (-1). */
static u32 balloon_report(struct domain *d, struct remote_domain_memory_stat *stats)
{
    enum { LAST_UPDATE = 9 };
    struct vir_error e;
    json_t *report = NULL;
    xmlNode *balloon = xml_node(d->live, "devices/memballoon");
    u32 n = 0;
    if (!balloon || xml_is(balloon, "@model", "none"))
        return 0;
    char path[200];
    snprintf(path, sizeof(path), "/machine/peripheral/%s", xml_get_or(balloon, "alias/@name", "balloon0"));
    if (life_command(d, "qom-get", json_pack("{s:s,s:s}", "path", path, "property", "guest-stats"), &report,
                     &e) < 0)
        return 0;
    json_t *values = json_object_get(report, "stats");
    for (size_t i = 0; i < ARRAY_SIZE(balloon_stats); i++) {
        json_t *v = json_object_get(values, balloon_stats[i].qmp);
        double value = json_number_value(v);
        if (json_is_number(v) && value >= 0 && value < 1e18) /* more: the guest does not say */
            stats[n++] = (struct remote_domain_memory_stat){balloon_stats[i].tag,
                                                            (u64)value / (balloon_stats[i].unit ? 1024 : 1)};
    }
    json_t *when = json_object_get(report, "last-update");
    if (json_is_number(when))
        stats[n++] = (struct remote_domain_memory_stat){LAST_UPDATE, (u64)json_number_value(when)};
    json_decref(report);
    return n;
}

enum { ACTUAL = 6, RSS = 7, MEMORY_STATS_MAX = 16 };

static u32 memory_stats(struct domain *d, struct remote_domain_memory_stat stats[MEMORY_STATS_MAX])
{
    struct process_usage u;
    u32 n = 0;
    stats[n++] = (struct remote_domain_memory_stat){ACTUAL, definition_current_memory(d->live)};
    n += balloon_report(d, stats + n);
    if (domain_active(d) && process_usage_read(d->machine.pid, 0, &u))
        stats[n++] = (struct remote_domain_memory_stat){RSS, u.resident};
    return n;
}

int handle_domain_memory_stats(struct call *call, const struct remote_domain_memory_stats_args *args,
                               struct remote_domain_memory_stats_ret *ret)
{
    struct domain *d = domain_find_active(call, &args->dom);
    if (!d || vir_check_flags(&call->error, args->flags, 0, "virDomainMemoryStats") < 0)
        return -1;
    ret->stats = arena_array(&call->arena, struct remote_domain_memory_stat, MEMORY_STATS_MAX);
    ret->stats_count = min(memory_stats(d, ret->stats), args->maxStats);
    return 0;
}

/* ---- all at once ---- */

struct gathering {
    struct domain *domain;
    struct params *params;
    xmlNode *xml;
};

static void gather_state(struct gathering *g)
{
    params_i32(g->params, g->domain->state, "state.state");
    params_i32(g->params, g->domain->reason, "state.reason");
}

static void gather_cpu(struct gathering *g)
{
    struct process_usage u = {0};
    if (g->domain->machine.pid && process_usage_read(g->domain->machine.pid, 0, &u)) {
        params_u64(g->params, u.user + u.system, "cpu.time");
        params_u64(g->params, u.user, "cpu.user");
        params_u64(g->params, u.system, "cpu.system");
    }
}

static void gather_balloon(struct gathering *g)
{
    static const char *const names[] = {
        "swap_in", "swap_out", "major_fault", "minor_fault", "unused",          "available",     "current",
        "rss",     "usable",   "last-update", "disk_caches", "hugetlb_pgalloc", "hugetlb_pgfail"};
    struct remote_domain_memory_stat stats[MEMORY_STATS_MAX];
    u32 n = domain_active(g->domain) ? memory_stats(g->domain, stats) : 0;
    if (!n)
        params_u64(g->params, definition_current_memory(g->xml), "balloon.current");
    for (u32 i = 0; i < n; i++)
        params_u64(g->params, stats[i].val, "balloon.%s", names[stats[i].tag]);
    params_u64(g->params, definition_memory(g->xml), "balloon.maximum");
}

static void gather_vcpu(struct gathering *g)
{
    struct domain *d = g->domain;
    struct vir_error e;
    params_u32(g->params, definition_vcpus(g->xml), "vcpu.current");
    params_u32(g->params, definition_max_vcpus(g->xml), "vcpu.maximum");
    json_t *cpus = domain_active(d) ? stats_ask(d, "query-cpus-fast", &e) : NULL, *cpu;
    size_t i;
    json_array_foreach(cpus, i, cpu)
    {
        struct process_usage u;
        u64 delay;
        pid_t tid = (pid_t)json_integer_value(json_object_get(cpu, "thread-id"));
        params_i32(g->params, 1, "vcpu.%zu.state", i);
        if (tid && domain_active(d) && process_usage_read(d->machine.pid, tid, &u))
            params_u64(g->params, u.user + u.system, "vcpu.%zu.time", i);
        if (tid && domain_active(d) && thread_delay_read(d->machine.pid, tid, &delay))
            params_u64(g->params, delay, "vcpu.%zu.delay", i);
    }
    json_decref(cpus);
}

static unsigned count_devices(xmlNode *xml, const char *element)
{
    unsigned n = 0;
    xml_each(device, xml_node(xml, "devices"), element) n++;
    return n;
}

static void gather_interface(struct gathering *g)
{
    static const char *const names[] = {"rx.bytes", "rx.pkts", "rx.errs", "rx.drop",
                                        "tx.bytes", "tx.pkts", "tx.errs", "tx.drop"};
    unsigned n = 0;
    json_t *answer = NULL;
    if (!domain_active(g->domain))
        return;
    params_u32(g->params, count_devices(g->xml, "interface"), "net.count");
    xml_each(interface, xml_node(g->xml, "devices"), "interface")
    {
        const char *name = xml_get_or(interface, "target/@dev", xml_get(interface, "alias/@name"));
        u64 c[INTERFACE_COUNTERS];
        if (!answer)
            answer = ask_interfaces(g->domain, interface);
        if (name && stats_of_interface(answer, interface, c)) {
            params_string(g->params, name, "net.%u.name", n);
            for (size_t i = 0; i < ARRAY_SIZE(names); i++)
                params_u64(g->params, c[i], "net.%u.%s", n, names[i]);
        }
        n++;
    }
    json_decref(answer);
}

static void gather_disk(struct gathering *g, xmlNode *disk, unsigned n, json_t *counters)
{
    struct image_facts f;
    params_string(g->params, xml_get(disk, "target/@dev"), "block.%u.name", n);
    bool known = stats_disk_image(g->domain->manager, disk, &f);
    if (f.path)
        params_string(g->params, f.path, "block.%u.path", n);
    json_t *mine = counters ? stats_of_disk(counters, disk) : NULL;
    for (size_t i = 0; mine && i < DISK_COUNTERS; i++)
        params_u64(g->params, (u64)max(stats_counter(mine, disk_counters[i].qmp), (s64)0), "block.%u.%s", n,
                   disk_counters[i].stats_name);
    if (known) {
        params_u64(g->params, f.allocation, "block.%u.allocation", n);
        params_u64(g->params, f.capacity, "block.%u.capacity", n);
        params_u64(g->params, f.physical, "block.%u.physical", n);
    }
}

static void gather_block(struct gathering *g)
{
    struct vir_error e;
    unsigned n = 0;
    json_t *counters = domain_active(g->domain) ? stats_ask(g->domain, "query-blockstats", &e) : NULL;
    params_u32(g->params, count_devices(g->xml, "disk"), "block.count");
    xml_each(disk, xml_node(g->xml, "devices"), "disk") gather_disk(g, disk, n++, counters);
    json_decref(counters);
}

static const struct {
    u32 bit; /* virDomainStatsTypes */
    void (*gather)(struct gathering *g);
} stat_groups[] = {
    {1, gather_state}, {2, gather_cpu},        {4, gather_balloon},
    {8, gather_vcpu},  {16, gather_interface}, {32, gather_block},
};

/* Of a copy of the document, as the machine may end meanwhile. */
static void gather(struct call *call, struct domain *d, u32 groups,
                   struct remote_connect_get_all_domain_stats_ret *ret)
{
    struct params p = {.arena = &call->arena};
    struct gathering g = {d, &p, xml_copy(domain_xml(d))};
    for (size_t i = 0; i < ARRAY_SIZE(stat_groups); i++)
        if (!groups || groups & stat_groups[i].bit)
            stat_groups[i].gather(&g);
    struct remote_domain_stats_record *r = &ret->retStats[ret->retStats_count++];
    r->dom = domain_remote(d);
    r->dom.name = arena_strdup(&call->arena, d->name);
    r->params = p.at;
    r->params_count = p.count;
    xml_free(g.xml);
}

int handle_connect_get_all_domain_stats(struct call *call,
                                        const struct remote_connect_get_all_domain_stats_args *args,
                                        struct remote_connect_get_all_domain_stats_ret *ret)
{
    enum { FILTERS = 255, NOWAIT = 1 << 29, BACKING = 1 << 30, KNOWN_GROUPS = 63 };
    const u32 enforce = 1u << 31;
    struct domains *ds = &call->manager->domains;
    if (vir_check_flags(&call->error, args->flags, FILTERS | NOWAIT | BACKING | enforce,
                        "virConnectGetAllDomainStats") < 0)
        return -1;
    if (args->flags & enforce && args->stats & ~(u32)KNOWN_GROUPS)
        return vir_fail(&call->error, VIR_ERR_ARGUMENT_UNSUPPORTED,
                        "Stats types bits 0x%x are not supported by this daemon",
                        args->stats & ~(u32)KNOWN_GROUPS);
    /* What is listed now is held, as the list may change meanwhile. */
    unsigned count = args->doms_count ? args->doms_count : ds->count, n = 0;
    struct domain **all = arena_array(&call->arena, struct domain *, count);
    for (unsigned i = 0; i < count; i++) {
        struct domain *d = args->doms_count ? domains_by_uuid(ds, args->doms[i].uuid) : ds->at[i];
        if (d && (args->doms_count || domain_matches(d, args->flags & FILTERS))) {
            domain_get(d);
            all[n++] = d;
        }
    }
    ret->retStats = arena_array(&call->arena, struct remote_domain_stats_record, n);
    for (unsigned i = 0; i < n; i++) {
        gather(call, all[i], args->stats, ret);
        domain_put(all[i]);
    }
    return 0;
}
