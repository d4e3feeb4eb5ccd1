/* machine.h - one virtual machine: its memory, buses, devices and processors, and its life */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MACHINE_MACHINE_H
#define MACHINE_MACHINE_H

#include <pthread.h>

#include "base/config/vm_config.h"
#include "base/loop.h"
#include "machine/block/block.h"
#include "machine/boot/boot.h"
#include "machine/bus.h"
#include "machine/chardevs.h"
#include "machine/cpu_model.h"
#include "machine/device.h"
#include "machine/fw_cfg.h"
#include "machine/gdbstub/gdbstub.h"
#include "machine/kvm.h"
#include "machine/monitor/monitor.h"
#include "machine/net/net.h"
#include "machine/object.h"
#include "machine/pci/pci.h"
#include "machine/processors.h"
#include "machine/slots.h"
#include "machine/state/dump.h"
#include "machine/state/migration.h"
#include "machine/state/snapshot.h"
#include "machine/vcpu.h"

struct sandbox;

enum { MACHINE_MAX_VCPUS = VM_MAX_VCPUS, MACHINE_MAX_DEVICES = 16 };

/* The chips that KVM runs for us, as they were after creation. */
struct chips {
    struct kvm_irqchip irqchip[3]; /* two PICs and the IOAPIC */
    struct kvm_pit_state2 pit;
};

/* Why the guest runs or does not, by QEMU's names (QAPI's RunState). */
enum run_state {
    RUN_RUNNING,
    RUN_PRELAUNCH,
    RUN_PAUSED,
    RUN_DEBUG,
    RUN_SHUTDOWN,
    RUN_IO_ERROR,
    RUN_INMIGRATE,
    RUN_FINISH_MIGRATE,
    RUN_POSTMIGRATE,
    RUN_SAVE_VM,
    RUN_RESTORE_VM,
    RUN_INTERNAL_ERROR,
    RUN_STATES
};
extern const char *const run_state_names[RUN_STATES];

/* loop.lock covers all but what is constant once the vcpus run. */
struct machine {
    const struct vm_config *config;
    const struct kvm_api *kvm;
    struct cpu_model cpu;
    int sys_fd, vm_fd;
    struct loop loop;
    struct ram ram;
    struct boot_files boot;
    struct slots slots;
    struct fw_cfg fw_cfg;
    struct bus ports, mmio;
    struct pci_bus pci;
    struct irq_line isa[16];
    struct block_set blocks;
    struct net_set nets;
    struct object_set objects;
    struct chardevs chardevs;
    struct monitors monitors;
    struct key_events keys;
    struct sandbox *sandbox; /* NULL: none */
    struct device *device[MACHINE_MAX_DEVICES], *rtc, *pm, *hotplug, *cpu_slots;
    unsigned device_count;
    struct vcpu vcpu[MACHINE_MAX_VCPUS];
    unsigned vcpu_count, running; /* running: those with a thread, which may have gone again */
    struct chips chips;

    struct gdbstub gdb;
    struct migration migration;
    struct dump dump;
    struct snapshot snapshot;
    struct job *jobs; /* the newest first */

    bool no_reboot, no_shutdown; /* as -action says, or set-action */
    bool plugged;                /* all that the configuration has is there: what comes now is hot-plugged */
    bool pause;                  /* vcpus stay out of the guest, for a reset or the end */
    bool stopped;                /* and so while state is not RUN_RUNNING */
    bool frozen;                 /* the clocks stand still as well, and clients know that it is stopped */
    enum run_state state;
    struct loop_timer freeze;
    struct kvm_clock_data clock; /* as they were when they stopped */
    struct kvm_pit_state2 pit;
    pthread_cond_t changed;           /* pause, stopped, ended, or a vcpu's parked */
    bool reset_wanted, ended, booted; /* booted: not for the first time */
    const char *reset_cause;
    int status;       /* of the program */
    struct error end; /* how the guest ended */
};

/* All that can fail before the guest runs. The terminal is changed only by machine_run. 0, or -errno with e.
 * A machine lives as long as the program. */
int machine_create(struct machine *m, const struct vm_config *c, struct terminal *t, struct error *e);

/* Runs the guest until it ends; m->status and m->end then say how. false: a vcpu's thread does not stop, and
 * the program must end without waiting for it. */
bool machine_run(struct machine *m);

/* With the lock held, from any thread. The first end counts; text is one line. */
void machine_end(struct machine *m, int status, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* cause: QAPI's ShutdownCause, "guest-reset" or "host-qmp-system-reset", ... */
void machine_request_reset(struct machine *m, const char *cause);
void machine_request_power_off(struct machine *m, const char *cause);
/* Ends it from outside; text: the last line. */
void machine_quit(struct machine *m, const char *cause, const char *text);

/* With the lock held, from any thread: the vcpus leave the guest, soon, and then its clocks stop. */
void machine_stop(struct machine *m, enum run_state state);
/* The same, and waits until it is so, the lock being free meanwhile. */
void machine_stop_now(struct machine *m, enum run_state state);
/* They go on. */
void machine_continue(struct machine *m);
/* Waits until they have left, the lock being free meanwhile. */
void machine_wait_parked(struct machine *m);

/* board.c: creates the VM and everything on the board. 0 or -errno with e. */
int board_create(struct machine *m, struct error *e);

/* board.c: what a device on the PCI bus gets. */
struct pci_place board_pci_place(struct machine *m);

/* board.c: everything on the board as after power-on, but for the memory. */
int board_reset(struct machine *m, struct error *e);

#endif
