/* machine.c - the life of a virtual machine: created, run, reset, ended */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine/acpi/tables.h"
#include "machine/boot/smbios.h"
#include "machine/machine.h"
#include "machine/monitor/commands.h"
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

const char *const run_state_names[RUN_STATES] = {
    [RUN_RUNNING] = "running",         [RUN_PRELAUNCH] = "prelaunch",
    [RUN_PAUSED] = "paused",           [RUN_DEBUG] = "debug",
    [RUN_SHUTDOWN] = "shutdown",       [RUN_IO_ERROR] = "io-error",
    [RUN_INMIGRATE] = "inmigrate",     [RUN_FINISH_MIGRATE] = "finish-migrate",
    [RUN_POSTMIGRATE] = "postmigrate", [RUN_SAVE_VM] = "save-vm",
    [RUN_RESTORE_VM] = "restore-vm",   [RUN_INTERNAL_ERROR] = "internal-error",
};

static void hold_clocks(struct machine *m)
{
    m->frozen = true;
    pci_bus_hold(&m->pci);
    m->kvm->ioctl(m->vm_fd, KVM_GET_CLOCK, (unsigned long)&m->clock);
    m->kvm->ioctl(m->vm_fd, KVM_GET_PIT2, (unsigned long)&m->pit);
}

/* On the main thread, soon after a stop: the vcpus park, the disks come to rest (one that failed after the
 * guest went on would stop it again), and what counts time on its own stands still. */
static void freeze(struct loop_timer *t)
{
    struct machine *m = container_of(t, struct machine, freeze);
    machine_wait_parked(m);
    block_wait(&m->blocks);
    if (!m->stopped || m->frozen || m->ended)
        return;
    hold_clocks(m);
    monitor_event(m, "STOP", NULL);
}

static void thaw(struct machine *m)
{
    m->frozen = false;
    m->clock.flags = 0;
    m->kvm->ioctl(m->vm_fd, KVM_SET_CLOCK, (unsigned long)&m->clock);
    m->kvm->ioctl(m->vm_fd, KVM_SET_PIT2, (unsigned long)&m->pit);
    for (unsigned i = 0; i < m->vcpu_count; i++) /* EINVAL: this guest does not look at its clock */
        m->kvm->ioctl(m->vcpu[i].fd, KVM_KVMCLOCK_CTRL, 0);
    monitor_event(m, "RESUME", NULL);
}

void machine_stop(struct machine *m, enum run_state state)
{
    if (m->stopped)
        return;
    m->state = state;
    m->stopped = true;
    kick_vcpus(m);
    loop_arm(&m->loop, &m->freeze, 0);
}

void machine_stop_now(struct machine *m, enum run_state state)
{
    machine_stop(m, state);
    loop_cancel(&m->loop, &m->freeze);
    freeze(&m->freeze);
}

void machine_continue(struct machine *m)
{
    struct error e;
    if (!m->stopped || m->state == RUN_INMIGRATE || m->state == RUN_FINISH_MIGRATE ||
        m->dump.status == DUMP_ACTIVE || m->snapshot.active)
        return;
    if (block_activate(&m->blocks, &e) < 0) {
        report("the guest cannot go on: %s", e.text);
        return;
    }
    machine_stop_now(m, m->state); /* a stop that has just begun ends first */
    if (m->frozen)
        thaw(m);
    m->state = RUN_RUNNING;
    m->stopped = false;
    block_retry(&m->blocks);
    pci_bus_go(&m->pci);
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

static void tell_shutdown(struct machine *m, const char *cause)
{
    bool guest = !strncmp(cause, "guest", 5);
    monitor_event(m, "SHUTDOWN", json_pack("{s:b,s:s}", "guest", guest, "reason", cause));
}

void machine_request_reset(struct machine *m, const char *cause)
{
    if (m->ended || m->reset_wanted)
        return;
    m->reset_cause = cause;
    if (m->no_reboot && !strncmp(cause, "guest", 5)) {
        tell_shutdown(m, cause);
        machine_end(m, 0, "guest rebooted (-no-reboot)");
        return;
    }
    m->reset_wanted = true;
    pause_vcpus(m); /* at once: the guest does not run on behind its own reset */
    loop_stop(&m->loop);
}

void machine_request_power_off(struct machine *m, const char *cause)
{
    if (m->ended || m->state == RUN_SHUTDOWN)
        return;
    tell_shutdown(m, cause);
    if (m->no_shutdown)
        machine_stop(m, RUN_SHUTDOWN);
    else
        machine_end(m, 0, "guest powered off");
}

/* What a system finds where there is no firmware to put it there. */
static int place_tables(struct machine *m, struct error *e)
{
    struct acpi_tables *t = calloc(1, sizeof(*t));
    struct smbios *s = calloc(1, sizeof(*s));
    const struct vm_topology *smp = &m->config->smp;
    /* The first time, the processors that it begins with are still to be made. */
    const struct acpi_board board = {max(m->vcpu_count, smp->cpus), smp->cpus, smp->maxcpus,
                                     m->chardevs.serial_count};
    int r = t && s ? smbios_build(s, m->config, false, e) : error_set(e, ENOMEM, "no memory");
    if (r == 0) {
        acpi_build(t, &board);
        acpi_place(t, ram_at(&m->ram, PC_ACPI_TABLES, PC_ACPI_SIZE), PC_ACPI_TABLES);
        smbios_place(s, ram_at(&m->ram, PC_SMBIOS, PC_SMBIOS_SIZE), PC_SMBIOS);
    }
    free(t);
    free(s);
    return r;
}

/* Memory as the kernel finds it, and how it is entered; or as the firmware does, where the processors begin.
 */
static int load_memory(struct machine *m, struct boot_entry *entry, struct error *e)
{
    *entry = (struct boot_entry){0};
    ram_clear(&m->ram);
    if (m->boot.firmware.host || m->state == RUN_INMIGRATE)
        return 0;
    int r = place_tables(m, e);
    return r < 0 ? r : boot_load(&m->boot, &m->ram, PC_ACPI_TABLES, entry, e);
}

/* What the firmware is told, of the devices that there are now. */
static int tell_firmware(struct machine *m, struct error *e)
{
    const struct vm_config *c = m->config;
    const struct firmware_board b = {c, &m->ram, &m->pci, m->vcpu_count, m->chardevs.serial_count};
    const char *order = c->boot_once && !m->booted ? c->boot_once : c->boot_order ? c->boot_order : "cad";
    u8 reg3d, reg38;
    firmware_boot_order(order, &reg3d, &reg38);
    rtc_set_cmos(m->rtc, 0x3d, reg3d);
    rtc_set_cmos(m->rtc, 0x38, reg38);
    rtc_set_cmos(m->rtc, 0x5f, (u8)(m->vcpu_count - 1)); /* processors besides the first */
    m->fw_cfg.ram = &m->ram;
    m->booted = true;
    fw_cfg_clear(&m->fw_cfg);
    return firmware_describe(&m->fw_cfg, &b, e);
}

/* Everything else as after power-on. The vcpus are parked or not yet running. */
static int reset_hardware(struct machine *m, const struct boot_entry *entry, struct error *e)
{
    int r = tell_firmware(m, e);
    if (r == 0)
        r = board_reset(m, e);
    for (unsigned i = 0; i < m->vcpu_count && r == 0; i++)
        r = vcpu_reset(&m->vcpu[i], i == 0 && !m->boot.firmware.host ? entry : NULL, e);
    return r;
}

void machine_quit(struct machine *m, const char *cause, const char *text)
{
    if (!m->ended)
        tell_shutdown(m, cause);
    machine_end(m, 0, "%s", text);
}

static void quit(void *opaque)
{
    machine_quit(opaque, "host-ui", "ended by Ctrl-a x");
}

/* Also called when a client has connected to the console, at first or again. */
static void start_vcpus(void *opaque)
{
    struct machine *m = opaque;
    struct error e;
    if (chardevs_waiting(&m->chardevs))
        return;
    if (!m->ended && processors_start(m, &e) < 0)
        machine_end(m, 1, "%s", e.text);
}

/* On a disk's thread. */
static void block_failed(void *opaque, struct block_node *n, const struct block_request *r, int err,
                         enum block_policy action)
{
    struct machine *m = opaque;
    monitor_event(m, "BLOCK_IO_ERROR",
                  json_pack("{s:s,s:s,s:s,s:s,s:b,s:s}", "device", n->drive ? n->drive : "", "node-name",
                            n->name, "operation", r->op == BLOCK_READ ? "read" : "write", "action",
                            block_policies[action], "nospace", err == ENOSPC, "reason", strerror(err)));
    if (action == POLICY_STOP)
        machine_stop(m, RUN_IO_ERROR);
}

/* What the options mean to this machine. */
/* What the model of a configuration has for QEMU, and this machine does not do: the option's name. */
static const char *not_here(const struct vm_config *c)
{
    const struct {
        const char *name;
        bool given;
    } rows[] = {
        {"rtc", strcmp(c->rtc_base, "utc") || c->rtc_clock != RTC_CLOCK_HOST},
        {"overcommit", c->lock_memory},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (rows[i].given)
            return rows[i].name;
    return NULL;
}

static int check_config(const struct vm_config *c, struct gdb_address *gdb, struct error *e)
{
    const char *what;
    if (c->smp.maxcpus > MACHINE_MAX_VCPUS)
        return error_set(e, EINVAL, "-smp %u is too many: use at most %d processors", c->smp.maxcpus,
                         MACHINE_MAX_VCPUS);
    if ((what = not_here(c)))
        return error_set(e, ENOTSUP, "option '-%s' of QEMU is not supported yet: leave it out", what);
    if (c->loadvm && c->incoming)
        return error_set(e, EINVAL, "-loadvm and -incoming: the guest can come from one place only");
    return gdb_address_parse(gdb, c->gdb ? c->gdb : "none", e);
}

/* What the user named comes first: files and console; then what the host gives. */
int machine_create(struct machine *m, const struct vm_config *c, struct terminal *t, struct error *e)
{
    struct boot_entry entry;
    struct gdb_address gdb;
    *m = (struct machine){.config = c,
                          .kvm = kvm_api(c->accel),
                          .no_reboot = c->no_reboot || c->on_reboot,
                          .no_shutdown = c->no_shutdown || c->on_shutdown};
    m->chardevs = (struct chardevs){.loop = &m->loop, .terminal = t, .host = {m, quit, start_vcpus}};
    m->freeze.expired = freeze;
    m->stopped = c->stopped || c->incoming || c->loadvm;
    m->state = c->incoming ? RUN_INMIGRATE : m->stopped ? RUN_PRELAUNCH : RUN_RUNNING;
    migration_init(&m->migration);
    m->migration.autostart = !c->stopped;
    m->migration.deferred = c->incoming && !strcmp(c->incoming, "defer");
    pthread_cond_init(&m->changed, NULL);
    int r = loop_init(&m->loop);
    if (r < 0)
        return error_set(e, -r, "cannot create the event loop: %s", strerror(-r));
    if ((r = check_config(c, &gdb, e)) < 0 || (r = cpu_model_parse(&m->cpu, c->cpu, e)) < 0 ||
        (r = boot_read(&m->boot, c, e)) < 0 || (r = ram_create(&m->ram, c->memory, e)) < 0 ||
        (r = chardevs_create(&m->chardevs, c, e)) < 0 || (r = load_memory(m, &entry, e)) < 0)
        return r;
    monitors_create(m, &m->chardevs);
    if ((r = gdbstub_create(&m->gdb, m, &gdb, e)) == 0)
        r = board_create(m, e);
    m->blocks = (struct block_set){.loop = &m->loop,
                                   .passive = c->incoming,
                                   .snapshot = c->snapshot,
                                   .failed = block_failed,
                                   .opaque = m,
                                   .quiet = PTHREAD_COND_INITIALIZER,
                                   .sandbox = &m->sandbox};
    m->nets = (struct net_set){.loop = &m->loop, .chardevs = &m->chardevs};
    m->objects = (struct object_set){.place = {.nets = &m->nets}};
    loop_lock(&m->loop);
    if (r == 0 && (r = plug_all(m, e)) == 0)
        r = reset_hardware(m, &entry, e);
    if (r == 0 && m->stopped)
        hold_clocks(m);
    loop_unlock(&m->loop);
    return r;
}

static void tell_reset(struct machine *m)
{
    bool guest = !strncmp(m->reset_cause, "guest", 5);
    monitor_event(m, "RESET", json_pack("{s:b,s:s}", "guest", guest, "reason", m->reset_cause));
    if (m->frozen)
        hold_clocks(m);
    if (m->state == RUN_SHUTDOWN || m->state == RUN_INTERNAL_ERROR)
        m->state = RUN_PAUSED;
}

/* Why the loop has stopped: for a reset, or for good (false). The lock is free now and then, for the vcpus to
 * park. */
static bool reset_if_wanted(struct machine *m)
{
    struct boot_entry entry;
    struct error e;
    loop_lock(&m->loop);
    while (m->reset_wanted && !m->ended && (!all_parked(m) || m->snapshot.active))
        pthread_cond_wait(&m->changed, &m->loop.lock);
    if (m->reset_wanted && !m->ended) {
        m->reset_wanted = false;
        if (load_memory(m, &entry, &e) < 0 || reset_hardware(m, &entry, &e) < 0)
            machine_end(m, 1, "cannot restart the guest: %s", e.text);
        else
            tell_reset(m);
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

/* Its thread is one of those that come when all is set up: signals are blocked, calls of the system filtered.
 */
static void start_incoming(struct machine *m)
{
    const char *from = m->config->incoming;
    struct error e;
    if (from && !m->migration.deferred && migration_incoming(m, from, migration_fd(m, from), &e) < 0)
        machine_end(m, 1, "-incoming %s: %s", from, e.text);
}

/* -loadvm. The guest has not run yet. */
static void start_loaded(struct machine *m)
{
    const struct snapshot_wanted w = {.tag = m->config->loadvm};
    struct error e;
    if (!w.tag)
        return;
    if (snapshot_load(m, &w, &e) < 0)
        machine_end(m, 1, "-loadvm %s: %s", w.tag, e.text);
    else if (!m->config->stopped)
        machine_continue(m);
}

bool machine_run(struct machine *m)
{
    loop_lock(&m->loop);
    chardevs_start(&m->chardevs);
    gdbstub_start(&m->gdb);
    start_loaded(m);
    start_vcpus(m);
    start_incoming(m);
    loop_unlock(&m->loop);
    do
        loop_run(&m->loop);
    while (reset_if_wanted(m));
    bool stopped = stop_vcpus(m);
    loop_lock(&m->loop);
    snapshot_wait(m);
    block_close_all(&m->blocks);
    loop_unlock(&m->loop);
    gdbstub_finish(&m->gdb, m->status);
    chardevs_finish(&m->chardevs, 2000);
    return stopped;
}
