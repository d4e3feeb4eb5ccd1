/* migrate_cookie.h - what the two daemons of a migration tell each other through the client (libvirt's
 * <qemu-migration>) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DOMAINS_MIGRATE_COOKIE_H
#define DOMAINS_MIGRATE_COOKIE_H

#include "manager/domains/domain.h"

/* Of the domain, which the other side knows by `name`. persistent: the definition that it is to have there;
 * how: how its memory went. Either may be NULL. To be freed. */
char *cookie_write(const struct domain *d, const char *name, xmlNode *persistent, const struct job *how);

/* What came, of that domain (name NULL: by its uuid alone), from another daemon than this; to be freed with
 * xml_free. NULL with e. */
xmlNode *cookie_read(struct manager *m, const u8 *bytes, u32 size, const char *name, const char *uuid,
                     struct vir_error *e);

/* It was written on this computer. */
bool cookie_is_from_here(xmlNode *cookie);
/* The definition in it, as text to be freed; NULL: there is none. */
char *cookie_persistent(xmlNode *cookie);
/* How the memory went, if it says. */
void cookie_progress(xmlNode *cookie, struct job *how);

#endif
