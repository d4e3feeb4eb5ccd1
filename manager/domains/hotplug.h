/* hotplug.h - devices that come and go while the machine runs */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DOMAINS_HOTPLUG_H
#define DOMAINS_HOTPLUG_H

#include <jansson.h>

#include "manager/domains/domain.h"

/* All: in a task, inside a job of the domain, which runs. 0, or -1 with e. */

/* The device is a document of its own, with its defaults and alias; it gets the address where it is put. */
int hotplug_attach(struct domain *d, xmlNode *device, struct vir_error *e);

/* Asks the guest to let go of the device, and waits for a while. It leaves the document once the guest has
 * done so, be it after the call. */
int hotplug_detach(struct domain *d, xmlNode *device, struct vir_error *e);

/* The same of a processor that was added as "vcpuNUMBER"; that it has not gone after a while is an error. */
int hotplug_remove_vcpu(struct domain *d, unsigned number, struct vir_error *e);

/* What can be changed of a device in use: the link of an interface, the medium of a drive. Both are documents
 * of their own; the device becomes as it is wanted. */
int hotplug_update(struct domain *d, xmlNode *device, xmlNode *wanted, struct vir_error *e);

/* After the start: what the command line cannot say. */
void hotplug_set_links(struct domain *d);

/* The machine says that the device is gone, or that the guest does not give it. */
void hotplug_removed(struct domain *d, const char *alias);
void hotplug_refused(struct domain *d, const char *alias);

#endif
