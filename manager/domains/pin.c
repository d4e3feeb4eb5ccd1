/* pin.c - on which of the host's processors the threads of a machine run (<cputune>, <vcpu cpuset>) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "manager/domains/definition.h"
#include "manager/domains/pin.h"
#include "manager/domains/stats.h"

/* ---- in the document ---- */

static xmlNode *find_row(xmlNode *domain, int which)
{
    char number[16];
    if (which == PIN_EMULATOR)
        return xml_node(domain, "cputune/emulatorpin");
    snprintf(number, sizeof(number), "%d", which);
    xml_each(row, xml_node(domain, "cputune"), "vcpupin") if (xml_is(row, "@vcpu", number)) return row;
    return NULL;
}

static int check_set(xmlNode *from, const char *path, struct vir_error *e)
{
    cpu_set_t set;
    const char *text = xml_get(from, path);
    if (text && !cpuset_parse(text, &set))
        return vir_fail(e, VIR_ERR_INVALID_ARG, "Failed to parse bitmap '%s'", text);
    return 0;
}

static int check_row(xmlNode *domain, xmlNode *row, struct vir_error *e)
{
    u64 vcpu = 0;
    if (!xml_get(row, "@cpuset"))
        return vir_fail(e, VIR_ERR_XML_ERROR, "missing cpuset of <%s>", xml_name(row));
    if (xml_get_number(row, "@vcpu", &vcpu, e) < 0 || check_set(row, "@cpuset", e) < 0)
        return -1;
    if (!strcmp(xml_name(row), "vcpupin") && (!xml_get(row, "@vcpu") || vcpu >= definition_max_vcpus(domain)))
        return vir_fail(e, VIR_ERR_XML_ERROR, "<vcpupin> must name a vcpu that the domain has");
    return 0;
}

int pin_check(xmlNode *domain, struct vir_error *e)
{
    if (check_set(domain, "vcpu/@cpuset", e) < 0)
        return -1;
    xml_each(row, xml_node(domain, "cputune"), NULL)
    {
        if (!row->ns && check_row(domain, row, e) < 0)
            return -1;
    }
    return 0;
}

void pin_read(xmlNode *domain, int which, cpu_set_t *set)
{
    xmlNode *row = find_row(domain, which);
    const char *text = row ? xml_get(row, "@cpuset") : xml_get(domain, "vcpu/@cpuset");
    if (!text || !cpuset_parse(text, set))
        cpuset_all(set);
}

void pin_write(xmlNode *domain, int which, const cpu_set_t *set)
{
    char text[CPUSET_TEXT];
    xmlNode *row = find_row(domain, which);
    if (!row && which == PIN_EMULATOR)
        xml_set(domain, "cputune/emulatorpin/@cpuset", cpuset_format(set, text));
    else if (!row) {
        if (!xml_node(domain, "cputune"))
            xml_add(domain, "cputune");
        row = xml_add(xml_node(domain, "cputune"), "vcpupin");
        xml_setf(row, "@vcpu", "%d", which);
    }
    if (row)
        xml_set(row, "@cpuset", cpuset_format(set, text));
    definition_sort(domain);
}

/* ---- of the running machine ---- */

static int move_thread(pid_t tid, const cpu_set_t *set, struct vir_error *e)
{
    if (sched_setaffinity(tid, sizeof(*set), set) == 0 || errno == ESRCH)
        return 0;
    return vir_fail_errno(e, errno, "cannot set CPU affinity on process %d", (int)tid);
}

static pid_t thread_of(json_t *cpu)
{
    return (pid_t)json_integer_value(json_object_get(cpu, "thread-id"));
}

static bool is_vcpu(json_t *cpus, pid_t tid)
{
    json_t *cpu;
    size_t i;
    json_array_foreach(cpus, i, cpu) if (thread_of(cpu) == tid) return true;
    return false;
}

static int move_emulator(pid_t pid, json_t *cpus, const cpu_set_t *set, struct vir_error *e)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    DIR *tasks = opendir(path);
    int r = tasks ? 0 : vir_fail_errno(e, errno, "cannot read '%s'", path);
    for (struct dirent *one; r == 0 && (one = readdir(tasks));) {
        pid_t tid = (pid_t)atoi(one->d_name);
        if (tid > 0 && !is_vcpu(cpus, tid))
            r = move_thread(tid, set, e);
    }
    if (tasks)
        closedir(tasks);
    return r;
}

/* What the monitor names must be a thread of the machine: it is the guest's program, and may lie. */
static int move_vcpu(pid_t pid, json_t *cpus, int which, const cpu_set_t *set, struct vir_error *e)
{
    char path[64];
    pid_t tid = thread_of(json_array_get(cpus, (size_t)which));
    snprintf(path, sizeof(path), "/proc/%d/task/%d", (int)pid, (int)tid);
    if (tid <= 0 || access(path, F_OK) < 0)
        return vir_fail(e, VIR_ERR_OPERATION_INVALID, "the machine does not tell the thread of vcpu %d",
                        which);
    return move_thread(tid, set, e);
}

int pin_apply(struct domain *d, int which, const cpu_set_t *set, struct vir_error *e)
{
    json_t *cpus = stats_ask(d, "query-cpus-fast", e);
    if (!cpus)
        return -1;
    int r = !domain_active(d)       ? domain_not_running(e)
            : which == PIN_EMULATOR ? move_emulator(d->machine.pid, cpus, set, e)
                                    : move_vcpu(d->machine.pid, cpus, which, set, e);
    json_decref(cpus);
    return r;
}

int pin_apply_all(struct domain *d, struct vir_error *e)
{
    cpu_set_t set;
    if (!xml_get(d->live, "vcpu/@cpuset") && !xml_node(d->live, "cputune"))
        return 0;
    for (int which = PIN_EMULATOR; domain_active(d) && which < (int)definition_vcpus(d->live); which++) {
        pin_read(d->live, which, &set);
        if (pin_apply(d, which, &set, e) < 0)
            return -1;
    }
    return 0;
}
