/* stats.c - what a running machine and its disks have done so far */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "manager/daemon/manager.h"
#include "manager/domains/life.h"
#include "manager/domains/stats.h"

const struct disk_counter disk_counters[DISK_COUNTERS] = {
    {"rd_operations", "rd_operations", "rd.reqs"},
    {"rd_bytes", "rd_bytes", "rd.bytes"},
    {"rd_total_time_ns", "rd_total_times", "rd.times"},
    {"wr_operations", "wr_operations", "wr.reqs"},
    {"wr_bytes", "wr_bytes", "wr.bytes"},
    {"wr_total_time_ns", "wr_total_times", "wr.times"},
    {"flush_operations", "flush_operations", "fl.reqs"},
    {"flush_total_time_ns", "flush_total_times", "fl.times"},
};

json_t *stats_ask(struct domain *d, const char *command, struct vir_error *e)
{
    json_t *answer = NULL;
    return life_command(d, command, NULL, &answer, e) < 0 ? NULL : answer;
}

static const char *text(json_t *o, const char *name)
{
    const char *s = json_string_value(json_object_get(o, name));
    return s ? s : "";
}

/* A disk is known by its drive's or node's name, and by the path of its device. */
static bool is_disk(json_t *entry, const char *alias)
{
    char drive[160], path[200];
    snprintf(drive, sizeof(drive), "drive-%s", alias);
    snprintf(path, sizeof(path), "/machine/peripheral/%s", alias);
    const char *qdev = text(entry, "qdev");
    size_t n = strlen(path);
    return !strcmp(text(entry, "device"), drive) || !strcmp(text(entry, "node-name"), drive) ||
           !strcmp(qdev, alias) || (!strncmp(qdev, path, n) && (!qdev[n] || qdev[n] == '/'));
}

json_t *stats_of_disk(json_t *answer, xmlNode *disk)
{
    const char *alias = xml_get_or(disk, "alias/@name", "");
    json_t *entry;
    size_t i;
    json_array_foreach(answer, i, entry) if (is_disk(entry, alias)) return entry;
    return NULL;
}

s64 stats_counter(json_t *of_disk, const char *qmp)
{
    json_t *value = json_object_get(json_object_get(of_disk, "stats"), qmp);
    return json_is_integer(value) ? json_integer_value(value) : -1;
}

bool stats_disk_image(struct manager *m, xmlNode *disk, struct image_facts *f)
{
    const char *source = xml_get(disk, xml_is(disk, "@type", "block") ? "source/@dev" : "source/@file");
    *f = (struct image_facts){.path = source, .format = xml_get(disk, "driver/@type")};
    int r = source ? image_facts_read(&m->tasks, f) : 0;
    if (r < 0)
        snprintf(f->why, sizeof(f->why), "%s", strerror(-r));
    return source && r == 0;
}

/* /proc/net/dev is the host's side: what it receives, the guest has sent. */
static bool count_host(const char *name, u64 c[INTERFACE_COUNTERS])
{
    FILE *f = fopen("/proc/net/dev", "re");
    char line[512];
    bool found = false;
    while (f && !found && fgets(line, sizeof(line), f)) {
        char *start = line + strspn(line, " "), *colon = strchr(start, ':');
        if (!colon || (size_t)(colon - start) != strlen(name) || strncmp(start, name, strlen(name)))
            continue;
        found = sscanf(colon + 1, "%lu %lu %lu %lu %*u %*u %*u %*u %lu %lu %lu %lu", &c[4], &c[5], &c[6],
                       &c[7], &c[0], &c[1], &c[2], &c[3]) == 8;
    }
    if (f)
        fclose(f);
    return found;
}

static bool count_machine(json_t *answer, const char *alias, u64 c[INTERFACE_COUNTERS])
{
    static const char *const directions[] = {"rx", "tx"}, *const names[] = {"bytes", "packets", NULL,
                                                                            "dropped"};
    json_t *entry, *found = NULL;
    size_t i;
    json_array_foreach(answer, i, entry) if (!strcmp(text(entry, "device"), alias)) found = entry;
    for (i = 0; i < INTERFACE_COUNTERS; i++) {
        json_t *of = json_object_get(found, directions[i / 4]);
        c[i] = names[i % 4] ? (u64)json_integer_value(json_object_get(of, names[i % 4])) : 0;
    }
    return found;
}

bool stats_of_interface(json_t *answer, xmlNode *interface, u64 c[INTERFACE_COUNTERS])
{
    const char *name = xml_get(interface, "target/@dev");
    return name ? count_host(name, c) : count_machine(answer, xml_get_or(interface, "alias/@name", ""), c);
}
