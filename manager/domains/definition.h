/* definition.h - a domain's XML: what is understood, what the defaults are */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DOMAINS_DEFINITION_H
#define DOMAINS_DEFINITION_H

#include "manager/daemon/xml.h"

struct manager;

/* Parses and checks a <domain>, and adds what it leaves out, so that it says all of what will run. The caller
 * owns the document. NULL with e. In a task. */
xmlNode *definition_parse(struct manager *m, const char *text, struct vir_error *e);

/* The same for one device; the element is the root of a document of its own. */
xmlNode *definition_parse_device(xmlNode *domain, const char *text, struct vir_error *e);
/* One that describes a device which is there: nothing is added to it. */
xmlNode *definition_read_device(const char *text, struct vir_error *e);
/* A copy of the device into the domain, in its place. Returns it. */
xmlNode *definition_add_device(xmlNode *domain, xmlNode *device);
/* The elements in libvirt's order, after some were added. */
void definition_sort(xmlNode *domain);

/* The text that clients see: flags are virDomainXMLFlags. live: of a running domain. To be freed. */
enum { XML_SECURE = 1, XML_INACTIVE = 2, XML_UPDATE_CPU = 4, XML_MIGRATABLE = 8 };
char *definition_write(xmlNode *domain, u32 flags);

u64 definition_memory(xmlNode *domain);         /* KiB, the most */
u64 definition_current_memory(xmlNode *domain); /* KiB */
unsigned definition_vcpus(xmlNode *domain);     /* now */
unsigned definition_max_vcpus(xmlNode *domain);
const char *definition_emulator(xmlNode *domain);
bool definition_is_lodge(xmlNode *domain); /* the emulator is lodge-vm */

#endif
