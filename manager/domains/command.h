/* command.h - the command line of the program that runs a domain */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DOMAINS_COMMAND_H
#define DOMAINS_COMMAND_H

#include "base/config/vm_config.h"
#include "manager/daemon/resource.h"
#include "manager/daemon/xml.h"
#include "manager/domains/emulator.h"

/* What the domain's XML does not say. */
struct launch {
    const struct emulator *emulator;
    const char *kvm;      /* lodge-kvm, to be put under a program that wants KVM; NULL: the kernel has it */
    const char *monitor;  /* the path of the QMP socket */
    const char *incoming; /* where a saved machine comes from; NULL: none */
    const char *loadvm;   /* the snapshot that the guest goes on from; NULL: none */
    struct resources *networks;
};

/* The one model of a machine, from the XML of a domain. 0, or -1 with e; vm_config_free in every case. */
int config_from_xml(struct vm_config *c, xmlNode *domain, const struct launch *l, struct vir_error *e);

/* The program's words, the program first; ends with NULL. To be freed with command_free. NULL with e. */
char **command_line(xmlNode *domain, const struct launch *l, struct vir_error *e);
void command_free(char **argv);

/* What hot-plug sends for a disk or an interface: the back end's properties and the device's. */
void command_disk(xmlNode *disk, struct properties *drive, struct properties *device);
int command_interface(xmlNode *interface, struct resources *networks, struct properties *netdev,
                      struct properties *device, struct vir_error *e);

#endif
