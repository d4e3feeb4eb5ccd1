/* gdbstub.c - debugging the guest with GDB: clients, and the stops of the guest */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "machine/gdbstub/gdbstub.h"
#include "machine/machine.h"

enum { SIGNAL_INT = 2, SIGNAL_TRAP = 5 }; /* GDB's numbers, of no host */

struct vcpu *gdb_vcpu(struct gdbstub *g, unsigned thread)
{
    return &g->machine->vcpu[thread - 1];
}

/* ---- stops ---- */

static void stop_guest(struct gdbstub *g)
{
    machine_stop_now(g->machine, RUN_DEBUG);
}

/* On the main thread, soon after a vcpu has stopped. */
static void report_stop(struct loop_timer *t)
{
    struct gdbstub *g = container_of(t, struct gdbstub, report);
    if (!g->waiting)
        return;
    machine_wait_parked(g->machine);
    g->waiting = false;
    gdb_report_stop(g);
}

static void interrupted(struct gdb_link *l)
{
    struct gdbstub *g = container_of(l, struct gdbstub, link);
    if (!g->waiting)
        return;
    g->stop = (struct gdb_stop){.signal = SIGNAL_INT, .thread = g->thread};
    stop_guest(g);
    report_stop(&g->report);
}

static void stopped_at(struct gdbstub *g, struct vcpu *v, const char *reason, u64 gva)
{
    g->stop = (struct gdb_stop){SIGNAL_TRAP, v->id + 1, reason, gva};
    g->thread = v->id + 1;
    g->stepping = 0;
    machine_stop(g->machine, RUN_DEBUG);
    loop_arm(&g->machine->loop, &g->report, 0);
}

static bool is_our_int3(const struct gdbstub *g, u64 pc)
{
    for (unsigned i = 0; i < GDB_SOFTWARE_BREAKPOINTS; i++)
        if (g->breakpoints.software[i].used && g->breakpoints.software[i].gva == pc)
            return true;
    return false;
}

/* Which of our debug registers have been hit; 4: none. */
static unsigned our_hardware(const struct gdbstub *g, u64 dr6)
{
    unsigned i = 0;
    while (i < GDB_HARDWARE_BREAKPOINTS && !((dr6 >> i & 1) && g->breakpoints.hardware[i].used))
        i++;
    return i;
}

/* What DR6 tells the guest's handler is lost with the exit: it is put there again. */
static void give_back(struct gdbstub *g, struct vcpu *v, const struct kvm_debug_exit_arch *exit)
{
    enum { TRAPS = 15, DB = 1 };
    const struct kvm_api *kvm = g->machine->kvm;
    struct kvm_debugregs dr;
    if (exit->exception == DB && kvm->ioctl(v->fd, KVM_GET_DEBUGREGS, (unsigned long)&dr) == 0) {
        dr.dr6 = (dr.dr6 & ~(u64)TRAPS) | exit->dr6;
        kvm->ioctl(v->fd, KVM_SET_DEBUGREGS, (unsigned long)&dr);
    }
    gdb_break_apply(g, v, exit->exception == DB ? KVM_GUESTDBG_INJECT_DB : KVM_GUESTDBG_INJECT_BP);
}

void gdbstub_exit(struct gdbstub *g, struct vcpu *v)
{
    enum { DB = 1, BP = 3, DR6_BS = 0x4000 };
    static const char *const reasons[] = {
        [BREAK_HARDWARE] = "hwbreak", [WATCH_WRITE] = "watch", [WATCH_ACCESS] = "awatch"};
    const struct kvm_debug_exit_arch exit = v->run->debug.arch;
    unsigned n = our_hardware(g, exit.dr6);
    if (exit.exception == BP && is_our_int3(g, exit.pc))
        stopped_at(g, v, "swbreak", 0);
    else if (exit.exception == DB && n < GDB_HARDWARE_BREAKPOINTS)
        stopped_at(g, v, reasons[g->breakpoints.hardware[n].type], g->breakpoints.hardware[n].gva);
    else if (exit.exception == DB && (exit.dr6 & DR6_BS) && g->stepping == v->id + 1)
        stopped_at(g, v, NULL, 0);
    else
        give_back(g, v, &exit);
}

/* ---- clients ---- */

static void packet_arrived(struct gdb_link *l)
{
    gdb_command(container_of(l, struct gdbstub, link));
}

/* As QEMU: the guest stops when a client comes. */
static void client_arrived(struct loop_watch *w, short revents)
{
    struct gdbstub *g = container_of(w, struct gdbstub, listen);
    (void)revents;
    int fd = accept4(w->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return;
    loop_remove(g->link.loop, w); /* one client at a time; the next one waits */
    stop_guest(g);
    g->thread = 1;
    g->stepping = 0;
    g->waiting = g->reports_breaks = false;
    g->stop = (struct gdb_stop){.signal = SIGNAL_TRAP, .thread = 1};
    gdb_link_open(&g->link, fd);
}

/* A client that leaves, with or without a word, leaves the guest running. */
static void client_left(struct gdb_link *l)
{
    struct gdbstub *g = container_of(l, struct gdbstub, link);
    gdb_link_close(l);
    stop_guest(g);
    gdb_detach(g);
    loop_add(l->loop, &g->listen);
}

void gdb_detach(struct gdbstub *g)
{
    gdb_break_clear(g);
    gdb_resume(g, 0);
    g->waiting = false;
}

void gdb_resume(struct gdbstub *g, unsigned stepping)
{
    g->stepping = stepping;
    for (unsigned i = 0; i < g->machine->vcpu_count; i++)
        gdb_break_apply(g, &g->machine->vcpu[i], 0);
    g->waiting = true;
    machine_continue(g->machine);
}

int gdbstub_create(struct gdbstub *g, struct machine *m, const struct gdb_address *a, struct error *e)
{
    *g = (struct gdbstub){.machine = m, .address = *a, .thread = 1};
    g->report.expired = report_stop;
    g->link = (struct gdb_link){.loop = &m->loop,
                                .watch.fd = -1,
                                .packet = packet_arrived,
                                .interrupt = interrupted,
                                .closed = client_left};
    g->listen = (struct loop_watch){-1, POLLIN, client_arrived};
    if (a->transport == GDB_NONE)
        return 0;
    int fd = gdb_address_listen(a, e);
    g->listen.fd = fd;
    return min(fd, 0);
}

void gdbstub_start(struct gdbstub *g)
{
    if (g->listen.fd >= 0)
        loop_add(&g->machine->loop, &g->listen);
}

void gdbstub_finish(struct gdbstub *g, int status)
{
    char text[8];
    snprintf(text, sizeof(text), "W%02x", status & 0xff);
    gdb_link_send(&g->link, text, strlen(text));
    gdb_link_close(&g->link);
    if (g->address.transport == GDB_UNIX)
        unlink(g->address.path);
}
