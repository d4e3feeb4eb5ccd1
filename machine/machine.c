/* machine.c - the life of a virtual machine: created, run, reset, ended */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "machine/acpi/tables.h"
#include "machine/machine.h"
#include "machine/plug.h"

/* The vcpus leave the guest, each at its next exit or at our kick. */
static void kick_vcpus(struct machine *m)
{
    for (unsigned i = 0; i < m->running; i++)
        vcpu_kick(&m->vcpu[i]);
}

static void pause_vcpus(struct machine *m)
{
    m->pause = true;
    kick_vcpus(m);
}

void machine_stop(struct machine *m)
{
    m->stopped = true;
    kick_vcpus(m);
}

void machine_continue(struct machine *m)
{
    m->stopped = false;
    pthread_cond_broadcast(&m->changed);
}

void machine_end(struct machine *m, int status, const char *fmt, ...)
{
    va_list ap;
    if (m->ended)
        return;
    va_start(ap, fmt);
    vsnprintf(m->end.text, sizeof(m->end.text), fmt, ap);
    va_end(ap);
    m->status = status;
    m->ended = true;
    pause_vcpus(m);
    loop_stop(&m->loop);
}

static void resume_vcpus(struct machine *m)
{
    m->pause = false;
    pthread_cond_broadcast(&m->changed);
}

static bool all_parked(const struct machine *m)
{
    for (unsigned i = 0; i < m->running; i++)
        if (!m->vcpu[i].parked)
            return false;
    return true;
}

void machine_wait_parked(struct machine *m)
{
    while (!all_parked(m) && !m->ended)
        pthread_cond_wait(&m->changed, &m->loop.lock);
}

void machine_request_reset(struct machine *m)
{
    if (m->config->no_reboot) {
        machine_end(m, 0, "guest rebooted (-no-reboot)");
        return;
    }
    m->reset_wanted = true;
    pause_vcpus(m); /* at once: the guest does not run on behind its own reset */
    loop_stop(&m->loop);
}

void machine_request_power_off(struct machine *m)
{
    machine_end(m, 0, "guest powered off");
}

/* Memory as the kernel finds it. */
static int load_memory(struct machine *m, struct boot_entry *entry, struct error *e)
{
    ram_clear(&m->ram);
    u8 *tables = ram_at(&m->ram, PC_ACPI_TABLES, PC_ACPI_SIZE);
    ASSERT(acpi_build(tables, PC_ACPI_SIZE, PC_ACPI_TABLES, m->config->smp.cpus));
    return boot_load(&m->boot, &m->ram, PC_ACPI_TABLES, entry, e);
}

/* Everything else as after power-on. The vcpus are parked or not yet running. */
static int reset_hardware(struct machine *m, const struct boot_entry *entry, struct error *e)
{
    int r = board_reset(m, e);
    for (unsigned i = 0; i < m->vcpu_count && r == 0; i++)
        r = vcpu_reset(&m->vcpu[i], i == 0 ? entry : NULL, e);
    return r;
}

static void quit(void *opaque)
{
    machine_end(opaque, 0, "ended by Ctrl-a x");
}

/* Also called when a client has connected to the console, at first or again. */
static void start_vcpus(void *opaque)
{
    struct machine *m = opaque;
    struct error e;
    while (m->running < m->vcpu_count && !m->ended)
        if (vcpu_start(&m->vcpu[m->running], &e) == 0)
            m->running++;
        else
            machine_end(m, 1, "%s", e.text);
}

/* What the options mean to this machine. */
static int read_addresses(const struct vm_config *c, struct chardev_config *serial, struct gdb_address *gdb,
                          struct error *e)
{
    if (c->smp.maxcpus > MACHINE_MAX_VCPUS)
        return error_set(e, EINVAL, "-smp %u is too many: use at most %d processors", c->smp.maxcpus,
                         MACHINE_MAX_VCPUS);
    if (c->cpu && strcmp(c->cpu, "host") && strcmp(c->cpu, "max"))
        return error_set(e, EINVAL, "-cpu '%s' is not supported: use one of: host, max", c->cpu);
    if (c->serials.count > 1 || c->monitors.count || c->qmps.count || c->mons.count || c->chardevs.count)
        return error_set(e, EINVAL, "monitors and further serial ports are not supported yet");
    int r = chardev_config_parse(serial, c->serials.count ? c->serials.at[0] : "mon:stdio", e);
    return r < 0 ? r : gdb_address_parse(gdb, c->gdb ? c->gdb : "none", e);
}

/* What the user named comes first: files and console; then what the host gives. */
int machine_create(struct machine *m, const struct vm_config *c, struct terminal *t, struct error *e)
{
    struct boot_entry entry;
    struct chardev_config serial;
    struct gdb_address gdb;
    *m = (struct machine){.config = c, .kvm = kvm_api(c->accel)};
    pthread_cond_init(&m->changed, NULL);
    int r = loop_init(&m->loop);
    if (r < 0)
        return error_set(e, -r, "cannot create the event loop: %s", strerror(-r));
    if ((r = read_addresses(c, &serial, &gdb, e)) < 0 || (r = boot_read(&m->boot, c, e)) < 0 ||
        (r = ram_create(&m->ram, c->memory, e)) < 0 || (r = load_memory(m, &entry, e)) < 0 ||
        (r = chardev_open(&m->console, &serial, &m->loop, t, e)) < 0)
        return r;
    m->stopped = c->stopped;
    m->console.host = (struct chardev_host){m, quit, start_vcpus};
    if ((r = gdbstub_create(&m->gdb, m, &gdb, e)) == 0)
        r = board_create(m, e);
    m->blocks = (struct block_set){.loop = &m->loop, .snapshot = c->snapshot};
    m->nets = (struct net_set){.loop = &m->loop};
    loop_lock(&m->loop);
    if (r == 0 && (r = plug_all(m, e)) == 0)
        r = reset_hardware(m, &entry, e);
    loop_unlock(&m->loop);
    return r;
}

/* Why the loop has stopped: for a reset, or for good (false). The lock is free now and then, for the vcpus to
 * park. */
static bool reset_if_wanted(struct machine *m)
{
    struct boot_entry entry;
    struct error e;
    loop_lock(&m->loop);
    while (m->reset_wanted && !m->ended && !all_parked(m))
        pthread_cond_wait(&m->changed, &m->loop.lock);
    if (m->reset_wanted && !m->ended) {
        m->reset_wanted = false;
        if (load_memory(m, &entry, &e) < 0 || reset_hardware(m, &entry, &e) < 0)
            machine_end(m, 1, "cannot restart the guest: %s", e.text);
        resume_vcpus(m);
    }
    bool go_on = !m->ended;
    loop_unlock(&m->loop);
    return go_on;
}

/* A thread that does not come back, whatever it does, does not keep the program. */
static bool stop_vcpus(struct machine *m)
{
    bool all = true;
    loop_lock(&m->loop);
    pthread_cond_broadcast(&m->changed);
    loop_unlock(&m->loop);
    for (unsigned i = 0; i < m->running; i++)
        all &= vcpu_join(&m->vcpu[i]);
    return all;
}

bool machine_run(struct machine *m)
{
    loop_lock(&m->loop);
    chardev_start(&m->console);
    gdbstub_start(&m->gdb);
    if (!chardev_waiting(&m->console))
        start_vcpus(m);
    loop_unlock(&m->loop);
    do
        loop_run(&m->loop);
    while (reset_if_wanted(m));
    bool stopped = stop_vcpus(m);
    loop_lock(&m->loop);
    block_close_all(&m->blocks);
    loop_unlock(&m->loop);
    gdbstub_finish(&m->gdb, m->status);
    chardev_finish(&m->console, 2000);
    return stopped;
}
