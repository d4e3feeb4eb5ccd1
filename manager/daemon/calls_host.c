/* calls_host.c - procedures about the computer that the daemon runs on */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "manager/daemon/host.h"
#include "manager/daemon/manager.h"
#include "manager/daemon/text.h"

int handle_node_get_info(struct call *call, struct remote_node_get_info_ret *ret)
{
    (void)call;
    struct host_cpus cpus;
    host_cpus_read(&cpus);
    strcpy(ret->model, "x86_64");
    ret->memory = host_memory("MemTotal:");
    ret->cpus = (s32)cpus.online;
    ret->mhz = (s32)cpus.mhz;
    ret->nodes = 1;
    ret->sockets = (s32)cpus.sockets;
    ret->cores = (s32)cpus.cores;
    ret->threads = (s32)cpus.threads;
    return 0;
}

int handle_node_get_cpu_map(struct call *call, const struct remote_node_get_cpu_map_args *args,
                            struct remote_node_get_cpu_map_ret *ret)
{
    if (vir_check_flags(&call->error, args->flags, 0, "virNodeGetCPUMap") < 0)
        return -1;
    struct host_cpus cpus;
    host_cpus_read(&cpus);
    ret->ret = (s32)cpus.present;
    if (args->need_online)
        ret->online = cpus.online;
    if (args->need_map) {
        ret->cpumap_count = (cpus.present + 7) / 8;
        ret->cpumap = arena_alloc(&call->arena, ret->cpumap_count);
        for (unsigned i = 0; i < cpus.present; i++)
            if (host_cpu_online(i))
                ret->cpumap[i / 8] |= (u8)(1 << i % 8);
    }
    return 0;
}

int handle_node_get_free_memory(struct call *call, struct remote_node_get_free_memory_ret *ret)
{
    (void)call;
    ret->freeMem = host_memory("MemFree:") * 1024;
    return 0;
}

/* One NUMA cell is shown, which has everything. */
int handle_node_get_cells_free_memory(struct call *call,
                                      const struct remote_node_get_cells_free_memory_args *args,
                                      struct remote_node_get_cells_free_memory_ret *ret)
{
    if (args->startCell != 0 || args->maxcells < 1)
        return vir_fail(&call->error, VIR_ERR_INTERNAL_ERROR, "start cell %d out of range (0-0)",
                        args->startCell);
    ret->cells = arena_array(&call->arena, u64, 1);
    ret->cells_count = 1;
    ret->cells[0] = host_memory("MemFree:") * 1024;
    return 0;
}

int handle_node_get_free_pages(struct call *call, const struct remote_node_get_free_pages_args *args,
                               struct remote_node_get_free_pages_ret *ret)
{
    if (args->startCell != 0 || args->cellCount < 1)
        return vir_fail(&call->error, VIR_ERR_INTERNAL_ERROR, "start cell %d out of range (0-0)",
                        args->startCell);
    ret->counts = arena_array(&call->arena, u64, args->pages_count);
    for (; ret->counts_count < args->pages_count; ret->counts_count++)
        if (!host_free_pages(args->pages[ret->counts_count], &ret->counts[ret->counts_count]))
            return vir_fail(&call->error, VIR_ERR_OPERATION_FAILED, "page size %u is not available",
                            args->pages[ret->counts_count]);
    return 0;
}

static const struct {
    const char *field, *line;
} memory_stats[] = {
    {"total", "MemTotal:"}, {"free", "MemFree:"}, {"buffers", "Buffers:"}, {"cached", "Cached:"}};

int handle_node_get_memory_stats(struct call *call, const struct remote_node_get_memory_stats_args *args,
                                 struct remote_node_get_memory_stats_ret *ret)
{
    u32 count = args->cellNum == -1 ? ARRAY_SIZE(memory_stats) : 2;
    if (vir_check_flags(&call->error, args->flags, 0, "virNodeGetMemoryStats") < 0)
        return -1;
    if (args->cellNum < -1 || args->cellNum > 0)
        return vir_fail(&call->error, VIR_ERR_INVALID_ARG,
                        "cellNum in virNodeGetMemoryStats must be less than or equal to 0");
    if (args->nparams == 0) {
        ret->nparams = (s32)count;
        return 0;
    }
    ret->params_count = min(count, (u32)max(args->nparams, 0));
    ret->params = arena_array(&call->arena, struct remote_node_get_memory_stats, ret->params_count);
    for (u32 i = 0; i < ret->params_count; i++)
        ret->params[i] = (struct remote_node_get_memory_stats){(char *)memory_stats[i].field,
                                                               host_memory(memory_stats[i].line)};
    return 0;
}

int handle_node_get_cpu_stats(struct call *call, const struct remote_node_get_cpu_stats_args *args,
                              struct remote_node_get_cpu_stats_ret *ret)
{
    static const char *const names[] = {"kernel", "user", "idle", "iowait"};
    struct host_cpu_time time;
    if (vir_check_flags(&call->error, args->flags, 0, "virNodeGetCPUStats") < 0)
        return -1;
    if (args->cpuNum < -1 || !host_cpu_time_read(args->cpuNum, &time))
        return vir_fail(&call->error, VIR_ERR_INVALID_ARG, "Invalid cpuNum in virNodeGetCPUStats: %d",
                        args->cpuNum);
    if (args->nparams == 0) {
        ret->nparams = ARRAY_SIZE(names);
        return 0;
    }
    const u64 values[] = {time.kernel, time.user, time.idle, time.iowait};
    ret->params_count = min((u32)ARRAY_SIZE(names), (u32)max(args->nparams, 0));
    ret->params = arena_array(&call->arena, struct remote_node_get_cpu_stats, ret->params_count);
    for (u32 i = 0; i < ret->params_count; i++)
        ret->params[i] = (struct remote_node_get_cpu_stats){(char *)names[i], values[i]};
    return 0;
}

/* ---- capabilities ---- */

/* Which processor it is; libvirt's names of makers are shorter than their own. */
static void add_cpu_facts(xmlNode *cpu)
{
    static const struct {
        const char *fact, *path;
    } numbers[] = {{"microcode", "microcode/@version"},
                   {"cpu family", "signature/@family"},
                   {"model", "signature/@model"},
                   {"stepping", "signature/@stepping"},
                   {"address sizes", "maxphysaddr/@bits"}};
    static const struct {
        const char *own, *name;
    } makers[] = {{"AuthenticAMD", "AMD"}, {"GenuineIntel", "Intel"}, {"HygonGenuine", "Hygon"}};
    char value[128];
    for (size_t i = 0; i < ARRAY_SIZE(makers) && host_cpu_fact("vendor_id", value, sizeof(value)); i++)
        if (!strcmp(value, makers[i].own))
            xml_set(cpu, "vendor", makers[i].name);
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
        if (host_cpu_fact(numbers[i].fact, value, sizeof(value)))
            xml_setf(cpu, numbers[i].path, "%lu", strtoul(value, NULL, 0));
    if (xml_node(cpu, "maxphysaddr"))
        xml_set(cpu, "maxphysaddr/@mode", "emulate");
}

static void add_host(xmlNode *caps)
{
    struct host_cpus cpus;
    char uuid[UUID_TEXT];
    host_cpus_read(&cpus);
    xml_set(caps, "host/uuid", host_uuid(uuid));
    xmlNode *cpu = xml_add(xml_node(caps, "host"), "cpu");
    xml_set(cpu, "arch", "x86_64");
    xml_set(cpu, "model", "qemu64");
    add_cpu_facts(cpu);
    xml_setf(cpu, "topology/@sockets", "%u", cpus.sockets);
    xml_set(cpu, "topology/@dies", "1");
    xml_setf(cpu, "topology/@cores", "%u", cpus.cores);
    xml_setf(cpu, "topology/@threads", "%u", cpus.threads);
    xmlNode *cells = xml_add(xml_add(xml_node(caps, "host"), "topology"), "cells");
    xml_set(cells, "@num", "1");
    xmlNode *cell = xml_add(cells, "cell");
    xml_set(cell, "@id", "0");
    xml_setf(cell, "memory", "%lu", host_memory("MemTotal:"));
    xml_set(cell, "memory/@unit", "KiB");
    xml_setf(cell, "pages", "%lu", host_memory("MemTotal:") / 4);
    xml_set(cell, "pages/@unit", "KiB");
    xml_set(cell, "pages/@size", "4");
    xml_setf(cell, "cpus/@num", "%u", cpus.present);
    for (unsigned i = 0; i < cpus.present; i++) {
        xmlNode *one = xml_add(xml_node(cell, "cpus"), "cpu");
        xml_setf(one, "@id", "%u", i);
        xml_set(one, "@socket_id", "0");
        xml_set(one, "@die_id", "0");
        xml_setf(one, "@core_id", "%u", i);
        xml_setf(one, "@siblings", "%u", i);
    }
}

static void add_guest(xmlNode *caps, const struct emulator *em)
{
    xmlNode *guest = xml_add(caps, "guest");
    xml_set(guest, "os_type", "hvm");
    xmlNode *arch = xml_add(guest, "arch");
    xml_set(arch, "@name", "x86_64");
    xml_set(arch, "wordsize", "64");
    xml_set(arch, "emulator", em->path);
    for (unsigned i = 0; i < em->machine_count; i++) {
        xmlNode *machine = xml_add(arch, "machine");
        xml_setf(machine, "@maxCpus", "%u", em->cpu_max);
        if (em->machines[i].canonical)
            xml_set(machine, "@canonical", em->machines[i].canonical);
        xml_set(machine, "", em->machines[i].name);
    }
    xml_set(arch, "domain/@type", "qemu");
    xml_set(xml_add(arch, "domain"), "@type", "kvm"); /* the kernel's, or Lodge's own */
    xml_set(guest, "features/acpi/@default", "on");
    xml_set(guest, "features/acpi/@toggle", "yes");
    xml_set(guest, "features/apic/@default", "on");
    xml_set(guest, "features/apic/@toggle", "no");
}

/* Takes the document over. */
static char *answer(struct call *call, xmlNode *root)
{
    char *text = xml_write(root), *kept = arena_strdup(&call->arena, text);
    free(text);
    xml_free(root);
    return kept;
}

int handle_connect_get_capabilities(struct call *call, struct remote_connect_get_capabilities_ret *ret)
{
    static const char qemu[] = "/usr/bin/qemu-system-x86_64";
    const char *path = call->manager->settings.emulator;
    const struct emulator *em = emulator_find(call->manager, path, &call->error), *other = NULL;
    struct vir_error none;
    if (!em)
        return -1;
    if (strcmp(path, qemu))
        other = emulator_find(call->manager, qemu, &none);
    xmlNode *caps = xml_new("capabilities");
    add_host(caps);
    add_guest(caps, em);
    if (other)
        add_guest(caps, other);
    ret->capabilities = answer(call, caps);
    return 0;
}

/* The words of the row for which the program has the device; a value without a device is always there. */
struct device_value {
    const char *value, *driver;
};

static const struct device_capability {
    const char *device, *name;
    struct device_value values[10];
} device_capabilities[] = {
    {"disk", "diskDevice", {{"disk", NULL}, {"cdrom", "ide-cd"}, {"floppy", "floppy"}}},
    {"disk",
     "bus",
     {{"virtio", "virtio-blk-pci"},
      {"ide", "ide-hd"},
      {"sata", "ich9-ahci"},
      {"scsi", "virtio-scsi-pci"},
      {"fdc", "floppy"},
      {"usb", "usb-storage"}}},
    {"graphics", "type", {{"vnc", "VGA"}}},
    {"video",
     "modelType",
     {{"vga", "VGA"},
      {"cirrus", "cirrus-vga"},
      {"vmvga", "vmware-svga"},
      {"qxl", "qxl-vga"},
      {"virtio", "virtio-vga"},
      {"bochs", "bochs-display"},
      {"none", NULL}}},
    {"rng", "model", {{"virtio", "virtio-rng-pci"}}},
    {"rng", "backendModel", {{"random", "virtio-rng-pci"}, {"builtin", "rng-builtin"}}},
    {"channel", "type", {{"pty", "virtserialport"}, {"unix", "virtserialport"}}},
};

static void add_value(xmlNode *list, const char *value)
{
    xml_set(xml_add(list, "value"), "", value);
}

static xmlNode *add_enum(xmlNode *parent, const char *name)
{
    xmlNode *list = xml_add(parent, "enum");
    xml_set(list, "@name", name);
    return list;
}

static bool has(const struct emulator *em, const struct device_value *v)
{
    return !v->driver || emulator_has_device(em, v->driver) || emulator_has_object(em, v->driver);
}

static void add_devices(xmlNode *caps, const struct emulator *em)
{
    xmlNode *devices = xml_add(caps, "devices");
    for (size_t i = 0; i < ARRAY_SIZE(device_capabilities); i++) {
        const struct device_capability *c = &device_capabilities[i];
        xmlNode *device = xml_node(devices, c->device);
        if (!device) {
            device = xml_add(devices, c->device);
            xml_set(device, "@supported", has(em, &c->values[0]) ? "yes" : "no");
        }
        if (xml_is(device, "@supported", "no"))
            continue;
        xmlNode *list = add_enum(device, c->name);
        for (const struct device_value *v = c->values; v->value; v++)
            if (has(em, v))
                add_value(list, v->value);
    }
    static const char *const absent[] = {"hostdev", "filesystem", "tpm"};
    for (size_t i = 0; i < ARRAY_SIZE(absent); i++)
        xml_set(xml_add(devices, absent[i]), "@supported", "no");
}

static const char *given(const char *value)
{
    return value && *value ? value : NULL;
}

int handle_connect_get_domain_capabilities(struct call *call,
                                           const struct remote_connect_get_domain_capabilities_args *args,
                                           struct remote_connect_get_domain_capabilities_ret *ret)
{
    struct manager *m = call->manager;
    const char *path = given(args->emulatorbin) ? args->emulatorbin : m->settings.emulator;
    const char *arch = given(args->arch) ? args->arch : "x86_64";
    const char *type = given(args->virttype) ? args->virttype : "kvm";
    if (vir_check_flags(&call->error, args->flags, 0, "virConnectGetDomainCapabilities") < 0)
        return -1;
    if (strcmp(arch, "x86_64"))
        return vir_fail(&call->error, VIR_ERR_INVALID_ARG,
                        "architecture '%s': the one that there is is x86_64", arch);
    if (strcmp(type, "qemu") && strcmp(type, "kvm"))
        return vir_fail(&call->error, VIR_ERR_INVALID_ARG, "unknown virttype: %s", type);
    const struct emulator *em = emulator_find(m, path, &call->error);
    if (!em)
        return -1;
    const char *machine = emulator_machine(em, given(args->machine));
    if (!machine)
        return vir_fail(&call->error, VIR_ERR_INVALID_ARG,
                        "the machine '%s' is not supported by emulator '%s'", args->machine, path);
    xmlNode *caps = xml_new("domainCapabilities");
    xml_set(caps, "path", path);
    xml_set(caps, "domain", type);
    xml_set(caps, "machine", machine);
    xml_set(caps, "arch", arch);
    xml_setf(caps, "vcpu/@max", "%u", em->cpu_max);
    xml_set(caps, "iothreads/@supported", "no");
    xml_set(caps, "os/@supported", "yes");
    add_enum(xml_node(caps, "os"), "firmware");
    xml_set(caps, "os/loader/@supported", "yes");
    add_value(add_enum(xml_node(caps, "os/loader"), "type"), "rom");
    xmlNode *mode = xml_add(xml_add(caps, "cpu"), "mode");
    xml_set(mode, "@name", "host-passthrough");
    xml_set(mode, "@supported", strcmp(type, "kvm") && !em->lodge ? "no" : "yes");
    if (xml_is(mode, "@supported", "yes")) {
        xmlNode *migratable = add_enum(mode, "hostPassthroughMigratable");
        add_value(migratable, "on");
        add_value(migratable, "off");
    }
    mode = xml_add(xml_node(caps, "cpu"), "mode");
    xml_set(mode, "@name", "maximum");
    xml_set(mode, "@supported", "yes");
    add_devices(caps, em);
    xml_add(caps, "features");
    ret->capabilities = answer(call, caps);
    return 0;
}

int handle_connect_get_max_vcpus(struct call *call, const struct remote_connect_get_max_vcpus_args *args,
                                 struct remote_connect_get_max_vcpus_ret *ret)
{
    if (args->type && strcasecmp(args->type, "qemu") && strcasecmp(args->type, "kvm"))
        return vir_fail(&call->error, VIR_ERR_INVALID_ARG, "unknown type '%s'", args->type);
    const struct emulator *em = emulator_find(call->manager, call->manager->settings.emulator, &call->error);
    if (!em)
        return -1;
    ret->max_vcpus = (s32)em->cpu_max;
    return 0;
}
