/* xml.h - libvirt's documents: parsing with limits, access by path, writing as libvirt writes */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DAEMON_XML_H
#define DAEMON_XML_H

#include <libxml/tree.h>

#include "manager/rpc/vir_error.h"

/* The root element must have that name. White space between elements and comments are gone. NULL with e. The
 * document belongs to the caller: xml_free(root). */
xmlNode *xml_parse(const char *text, const char *root, struct vir_error *e);
xmlNode *xml_parse_file(const char *path, const char *root, struct vir_error *e);
xmlNode *xml_new(const char *root);
xmlNode *xml_copy(xmlNode *root); /* a document of its own */
void xml_free(xmlNode *root);     /* NULL: nothing */

/* Text as libvirt lays it out: two spaces a level, single quotes. To be freed. */
char *xml_write(xmlNode *node);

/* A path is names with '/' in between, the last one perhaps an attribute, "@name"; each step takes the first
 * child of that name. Values point into the document. NULL: it is not there. */
xmlNode *xml_node(xmlNode *from, const char *path);
const char *xml_get(xmlNode *from, const char *path);
const char *xml_get_or(xmlNode *from, const char *path, const char *otherwise);
bool xml_is(xmlNode *from, const char *path, const char *value);
const char *xml_name(const xmlNode *node);
const char *xml_text(xmlNode *node); /* "" if there is none */

/* The next element of that name, from the first child (after NULL) on; name NULL: any. */
xmlNode *xml_next(xmlNode *parent, xmlNode *after, const char *name);
#define xml_each(node, parent, name) \
    for (xmlNode *node = xml_next(parent, NULL, name); node; node = xml_next(parent, node, name))

/* Makes what is missing on the way. */
void xml_set(xmlNode *from, const char *path, const char *value);
void xml_setf(xmlNode *from, const char *path, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* In bytes, and saying so. */
void xml_set_bytes(xmlNode *from, const char *path, u64 bytes);
xmlNode *xml_add(xmlNode *parent, const char *name);
void xml_put_first(xmlNode *node); /* before its siblings */
void xml_remove(xmlNode *from, const char *path);
void xml_delete(xmlNode *node);

/* A size in bytes: the text at path with @unit beside it, of which the default is given ("KiB", "bytes"). 0,
 * or -1 with e; not there: *bytes stays. */
int xml_get_size(xmlNode *from, const char *path, const char *unit, u64 *bytes, struct vir_error *e);
/* A number; not there: *value stays. */
int xml_get_number(xmlNode *from, const char *path, u64 *value, struct vir_error *e);

#endif
