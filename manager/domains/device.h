/* device.h - devices in a domain's XML: defaults, names, finding them again */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DOMAINS_DEVICE_H
#define DOMAINS_DEVICE_H

#include "manager/daemon/xml.h"
#include "manager/domains/emulator.h"

/* Checks all devices of a definition and fills in what they leave out. 0, or -1 with e. */
int device_set_all(xmlNode *domain, const struct emulator *em, struct vir_error *e);
/* The same of one that is to be added to the domain. */
int device_set(xmlNode *domain, xmlNode *device, struct vir_error *e);

bool device_has_boot_order(xmlNode *domain);

/* Gives each device of a document that is about to run what it has only then: the alias by which it is called
 * in the monitor, and what the program would choose otherwise. */
void device_set_all_live(xmlNode *domain);
/* The same of one that is to be added. */
void device_set_live(xmlNode *domain, xmlNode *device);

/* The device of the domain that `like` describes, as clients do: by alias, target, address of the card or,
 * for want of these, by being the only one of its kind. NULL with e. */
xmlNode *device_find(xmlNode *domain, xmlNode *like, struct vir_error *e);
xmlNode *device_find_alias(xmlNode *domain, const char *alias);
/* A disk by its target ("vda") or source path. */
xmlNode *device_find_disk(xmlNode *domain, const char *path);
/* An interface by its target or address. */
xmlNode *device_find_interface(xmlNode *domain, const char *name);

#endif
