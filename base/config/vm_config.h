/* vm_config.h - the one model of a VM's configuration */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CONFIG_VM_CONFIG_H
#define CONFIG_VM_CONFIG_H

#include "base/config/properties.h"

/*
 * What a virtual machine is made of, as a person or a program says it. Options (options.h) are one way of
 * reading and of writing it. What is single has a field; what there may be several of (disks, devices, ...)
 * is a list of objects, each with QEMU's own property names, which its device or back end reads by its own
 * table (properties_read). So a new device changes nothing here.
 *
 * Strings belong to whoever filled the struct, and to `kept`.
 */
struct objects {
    struct properties *at;
    unsigned count;
};

struct texts {
    const char **at;
    unsigned count;
};

enum { VM_MAX_VCPUS = 64 };

enum vm_accel { ACCEL_AUTO, ACCEL_LODGE, ACCEL_KVM };
enum vm_rtc_clock { RTC_CLOCK_HOST, RTC_CLOCK_RT, RTC_CLOCK_VM };

struct vm_topology {
    u32 cpus, maxcpus, sockets, dies, cores, threads; /* 0: follows from the others */
};

struct vm_config {
    const char *name, *uuid;  /* NULL: none */
    const char *process_name; /* what ps shows; NULL: the program's own */
    bool debug_threads;       /* threads are named for what they do */

    unsigned machine;   /* index of machine_names */
    unsigned accel;     /* enum vm_accel */
    bool accel_direct;  /* programs of the guest may run on the host's CPU as they are */
    bool accel_verbose; /* say who runs the guest, and why */
    const char *cpu;    /* "host", with changes behind commas */
    struct vm_topology smp;
    u64 memory; /* bytes */
    bool lock_memory;

    const char *kernel, *initrd, *cmdline; /* paths; initrd NULL: none */
    const char *bios;
    const char *boot_order, *boot_once;
    bool boot_menu, boot_strict;
    u32 boot_menu_ms, boot_fail_ms;
    const char *rtc_base;
    unsigned rtc_clock;

    struct objects smbios, drives, blockdevs, devices, netdevs, chardevs, objects, mons;
    struct texts serials, monitors, qmps, qmps_pretty; /* where each is connected */

    bool nodefaults;      /* no serial port and no monitor but those that are named */
    bool nographic;       /* the serial port on the terminal */
    bool snapshot;        /* disks forget what is written */
    bool no_reboot;       /* a reset ends the program */
    bool no_shutdown;     /* a power-off only stops the guest */
    bool stopped;         /* the guest waits for `cont`, or a debugger */
    const char *incoming; /* where a saved machine comes from */
    const char *loadvm;   /* the snapshot that the guest goes on from */
    const char *gdb;      /* where a debugger may connect */

    bool sandbox;   /* system calls that the program does not need are refused */
    unsigned fixed; /* for what has one value only */
    bool daemonize;
    const char *pidfile, *chroot, *runas;
    unsigned on_reboot, on_shutdown, on_other; /* -action: index of its choices */
    struct objects globals;                    /* -global: defaults of devices */
    bool timestamps;                           /* messages say when */
    const char *dump_letters, *dump_path;      /* lodge_kvm_dump; letters NULL: none */

    struct objects kept; /* the memory behind strings that were read from a list of properties */
};

extern const char *const machine_names[]; /* ends with NULL */

/* The empty list's or the new last place; NULL: no memory. */
struct properties *objects_add(struct objects *o);
void objects_remove(struct objects *o, unsigned i);
/* The object of that id, or NULL. */
struct properties *objects_find(const struct objects *o, const char *id);
int texts_add(struct texts *t, const char *text);

void vm_config_free(struct vm_config *c);

#endif
