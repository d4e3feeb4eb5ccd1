/* processors.c - the machine's processors, and those that come and go while it runs */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine/machine.h"
#include "machine/processors.h"

/*
 * Processors are numbered from 0, and the number is the APIC id. m->vcpu_count of them are there. One that
 * comes takes the next number, and only the last can go; KVM has no way to take a processor back, so one that
 * has gone waits, with its thread, until it comes again.
 */

struct processor_place processor_place(const struct machine *m, unsigned number)
{
    const struct vm_topology *t = &m->config->smp;
    unsigned core = number / t->threads, die = core / t->cores;
    return (struct processor_place){.socket = die / t->dies,
                                    .die = die % t->dies,
                                    .core = core % t->cores,
                                    .thread = number % t->threads};
}

void processor_path(const struct machine *m, unsigned number, char *path, size_t size)
{
    if (m->vcpu[number].name)
        snprintf(path, size, "/machine/peripheral/%s", m->vcpu[number].name);
    else
        snprintf(path, size, "/machine/unattached/device[%u]", number);
}

int processors_create(struct machine *m, struct error *e)
{
    int r = 0;
    for (unsigned i = 0; i < m->config->smp.cpus && r == 0; i++, m->vcpu_count++)
        r = vcpu_create(&m->vcpu[i], m, i, e);
    return r;
}

/* Whoever asks is told of its thread; the lock is free meanwhile. */
static void wait_for_thread(struct machine *m, const struct vcpu *v)
{
    while (!v->tid && !m->ended)
        pthread_cond_wait(&m->changed, &m->loop.lock);
}

int processors_start(struct machine *m, struct error *e)
{
    int r = 0;
    while (m->running < m->vcpu_count && r == 0) {
        r = vcpu_start(&m->vcpu[m->running], e);
        if (r == 0)
            wait_for_thread(m, &m->vcpu[m->running++]);
    }
    return r;
}

/* ---- coming ---- */

struct arguments {
    const char *driver, *id;
    struct processor_place at;
    bool hotplugged;
};

static const struct property_row rows[] = {
    {"driver", PROPERTY_TEXT, offsetof(struct arguments, driver), .help = "its kind"},
    {"id", PROPERTY_TEXT, offsetof(struct arguments, id), .help = "its name"},
    {"socket-id", PROPERTY_U32, offsetof(struct arguments, at.socket), "0", "its package"},
    {"die-id", PROPERTY_U32, offsetof(struct arguments, at.die), "0", "its die there"},
    {"core-id", PROPERTY_U32, offsetof(struct arguments, at.core), "0", "its core there"},
    {"thread-id", PROPERTY_U32, offsetof(struct arguments, at.thread), "0", "its thread there"},
    {0},
};

void processor_help(void)
{
    properties_help(rows);
}

static int check_place(const struct machine *m, const struct processor_place *at, struct error *e)
{
    const struct processor_place next = processor_place(m, m->vcpu_count);
    if (m->vcpu_count == m->config->smp.maxcpus)
        return error_set(e, ENOSPC, "all %u processors are there: -smp maxcpus= makes room for more",
                         m->vcpu_count);
    if (memcmp(&next, at, sizeof(next)))
        return error_set(e, EINVAL,
                         "processors come in order: the next one has socket-id %u, die-id %u, core-id %u, "
                         "thread-id %u",
                         next.socket, next.die, next.core, next.thread);
    return 0;
}

/* As after power-on: it waits for the others to start it. */
static int wake(struct machine *m, struct vcpu *v, unsigned number, struct error *e)
{
    if (!v->power_on)
        return vcpu_create(v, m, number, e) < 0 ? -EIO : vcpu_reset(v, NULL, e);
    while (number < m->running && !v->parked && !m->ended)
        pthread_cond_wait(&m->changed, &m->loop.lock);
    int r = vcpu_reset(v, NULL, e);
    v->absent = r < 0;
    pthread_cond_broadcast(&m->changed);
    return r;
}

int processors_add(struct machine *m, const struct properties *p, struct error *e)
{
    struct arguments a = {0};
    unsigned number = m->vcpu_count;
    int r = properties_read(p, rows, &a, PROCESSOR_DRIVER, e);
    if (r == 0)
        r = check_place(m, &a.at, e);
    if (r < 0)
        return r;
    if (cpu_hotplug_going(m->cpu_slots))
        return error_set(e, EBUSY, "a processor is in the process of unplug");
    char *name = a.id ? strdup(a.id) : NULL;
    r = a.id && !name ? error_set(e, ENOMEM, "no memory for the processor")
                      : wake(m, &m->vcpu[number], number, e);
    if (r < 0) {
        free(name);
        return r;
    }
    m->vcpu[number].name = name;
    m->vcpu_count++;
    if (m->running && (r = processors_start(m, e)) < 0) {
        m->vcpu[number].name = NULL;
        m->vcpu_count--;
        free(name);
        return r;
    }
    if (m->plugged)
        cpu_hotplug_added(m->cpu_slots, number);
    return 0;
}

/* ---- going ---- */

static int find(const struct machine *m, const char *id)
{
    for (unsigned i = 0; i < m->vcpu_count; i++)
        if (m->vcpu[i].name && !strcmp(m->vcpu[i].name, id))
            return (int)i;
    return -1;
}

int processors_remove(struct machine *m, const char *id, struct error *e)
{
    int number = find(m, id);
    if (number < 0)
        return error_set(e, ENODEV, "Device '%s' not found", id);
    if (number == 0 || (unsigned)number + 1 != m->vcpu_count)
        return error_set(e, EBUSY, "processors go in order: %u is the last one, and goes first",
                         m->vcpu_count - 1);
    return cpu_hotplug_remove(m->cpu_slots, (unsigned)number)
               ? 0
               : error_set(e, EBUSY, "Device %s is already in the process of unplug", id);
}

/* On the thread of some processor, which may be the one that goes. */
static void eject(void *opaque, unsigned number)
{
    struct machine *m = opaque;
    struct vcpu *v = &m->vcpu[number];
    char path[160];
    if (number == 0 || number + 1 != m->vcpu_count || !v->name)
        return;
    processor_path(m, number, path, sizeof(path));
    monitor_event(m, "DEVICE_DELETED", json_pack("{s:s,s:s}", "device", v->name, "path", path));
    free(v->name);
    v->name = NULL;
    v->absent = true;
    m->vcpu_count--;
    if (number < m->running)
        vcpu_kick(v);
}

static unsigned count(void *opaque)
{
    return ((struct machine *)opaque)->vcpu_count;
}

struct cpu_sink processor_sink(struct machine *m)
{
    return (struct cpu_sink){count, eject, m};
}
