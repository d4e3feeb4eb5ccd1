/* config.h - the one model of a VM's configuration: options write it, the machine reads it */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MACHINE_CONFIG_H
#define MACHINE_CONFIG_H

#include "base/base.h"
#include "machine/chardev_config.h"
#include "machine/gdbstub/address.h"

struct kvm_api;

struct vm_config {
    const char *name;          /* shown in messages; NULL: none */
    const struct kvm_api *kvm; /* who serves the KVM API */
    u64 memory;                /* bytes, a multiple of 4 KiB */
    unsigned cpus;
    const char *kernel, *initrd; /* paths; initrd NULL: none */
    const char *cmdline;
    struct chardev_config serial;         /* what COM1 is connected to */
    struct gdb_address gdb;               /* where a debugger may connect */
    bool stopped;                         /* the guest waits for one to let it go on */
    bool no_reboot;                       /* a reset ends the program */
    const char *dump_letters, *dump_path; /* lodge_kvm_dump; letters NULL: none */
};

#endif
