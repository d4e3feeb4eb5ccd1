/* xml.c - libvirt's documents: parsing with limits, access by path, writing as libvirt writes */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <libxml/parser.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "manager/daemon/text.h"
#include "manager/daemon/xml.h"
#include "manager/rpc/xdr.h"

enum { XML_SIZE_MAX = 4 << 20 };

/* ---- parsing ---- */

/* What only lays out: comments, processing instructions, and white space beside elements. */
static bool is_layout(const xmlNode *node)
{
    if (node->type == XML_COMMENT_NODE || node->type == XML_PI_NODE)
        return true;
    return node->type == XML_TEXT_NODE && xmlIsBlankNode((xmlNode *)node) && (node->next || node->prev);
}

static void remove_layout(xmlNode *parent)
{
    for (xmlNode *n = parent->children, *next; n; n = next) {
        next = n->next;
        if (is_layout(n)) {
            xmlUnlinkNode(n);
            xmlFreeNode(n);
        } else if (n->type == XML_ELEMENT_NODE)
            remove_layout(n);
    }
}

static int parse_fail(struct vir_error *e)
{
    const xmlError *why = xmlGetLastError();
    char reason[256] = "not well-formed";
    if (why && why->message)
        snprintf(reason, sizeof(reason), "%.*s", (int)strcspn(why->message, "\n"), why->message);
    return vir_fail(e, VIR_ERR_XML_DETAIL, "(domain_definition):%d: %s", why ? why->line : 0, reason);
}

static int check_document(xmlDoc *doc, const char *root, struct vir_error *e)
{
    xmlNode *top = xmlDocGetRootElement(doc);
    if (doc->intSubset)
        return vir_fail(e, VIR_ERR_XML_ERROR, "a document type definition is not allowed here");
    if (!top || strcmp(xml_name(top), root))
        return vir_fail(e, VIR_ERR_XML_ERROR, "unexpected root element <%s>, expecting <%s>",
                        top ? xml_name(top) : "", root);
    return 0;
}

xmlNode *xml_parse(const char *text, const char *root, struct vir_error *e)
{
    size_t size = strlen(text);
    if (size > XML_SIZE_MAX) {
        vir_fail(e, VIR_ERR_XML_ERROR, "the document is longer than %d bytes", XML_SIZE_MAX);
        return NULL;
    }
    xmlResetLastError();
    xmlDoc *doc =
        xmlReadMemory(text, (int)size, NULL, NULL, XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
    if (!doc) {
        parse_fail(e);
        return NULL;
    }
    if (check_document(doc, root, e) < 0) {
        xmlFreeDoc(doc);
        return NULL;
    }
    xmlNode *top = xmlDocGetRootElement(doc);
    remove_layout(top);
    return top;
}

xmlNode *xml_parse_file(const char *path, const char *root, struct vir_error *e)
{
    char *text;
    int r = file_read(path, &text, NULL);
    if (r < 0) {
        vir_fail_errno(e, -r, "cannot read '%s'", path);
        return NULL;
    }
    xmlNode *top = xml_parse(text, root, e);
    free(text);
    return top;
}

static xmlDoc *new_document(void)
{
    xmlDoc *doc = xmlNewDoc(BAD_CAST "1.0");
    ASSERT(doc);
    return doc;
}

/* The element, which may be NULL for want of memory, becomes the document's own. */
static xmlNode *set_root(xmlDoc *doc, xmlNode *top)
{
    ASSERT(top);
    xmlDocSetRootElement(doc, top);
    return top;
}

xmlNode *xml_new(const char *root)
{
    xmlDoc *doc = new_document();
    return set_root(doc, xmlNewDocNode(doc, NULL, BAD_CAST root, NULL));
}

xmlNode *xml_copy(xmlNode *root)
{
    xmlDoc *doc = new_document();
    return set_root(doc, xmlDocCopyNode(root, doc, 1));
}

void xml_free(xmlNode *root)
{
    if (root)
        xmlFreeDoc(root->doc);
}

/* ---- writing ---- */

static void put(struct buffer *b, const char *s)
{
    buffer_append(b, s, strlen(s));
}

/* Returns what stands for the byte, or NULL: itself. */
static const char *escape(char c, bool attribute)
{
    switch (c) {
    case '<': return "&lt;";
    case '>': return "&gt;";
    case '&': return "&amp;";
    case '\'': return attribute ? "&apos;" : NULL;
    case '\n': return attribute ? "&#10;" : NULL;
    case '\t': return attribute ? "&#9;" : NULL;
    case '\r': return "&#13;";
    default: return NULL;
    }
}

static void put_escaped(struct buffer *b, const char *s, bool attribute)
{
    for (; *s; s++) {
        const char *as = escape(*s, attribute);
        if (as)
            put(b, as);
        else
            buffer_append(b, s, 1);
    }
}

static void put_qualified(struct buffer *b, const xmlNs *ns, const xmlChar *name)
{
    if (ns && ns->prefix) {
        put(b, (const char *)ns->prefix);
        put(b, ":");
    }
    put(b, (const char *)name);
}

static void put_attributes(struct buffer *b, xmlNode *node)
{
    for (xmlNs *ns = node->nsDef; ns; ns = ns->next) {
        put(b, " xmlns");
        if (ns->prefix) {
            put(b, ":");
            put(b, (const char *)ns->prefix);
        }
        put(b, "='");
        put_escaped(b, ns->href ? (const char *)ns->href : "", true);
        put(b, "'");
    }
    for (xmlAttr *a = node->properties; a; a = a->next) {
        put(b, " ");
        put_qualified(b, a->ns, a->name);
        put(b, "='");
        put_escaped(b, a->children && a->children->content ? (const char *)a->children->content : "", true);
        put(b, "'");
    }
}

/* Depth FLAT: nothing is laid out, as white space would be content. */
enum { FLAT = -1 };

static void indent(struct buffer *b, int depth)
{
    for (int i = 0; i < depth; i++)
        put(b, "  ");
}

static void end_line(struct buffer *b, int depth)
{
    if (depth != FLAT)
        put(b, "\n");
}

static bool has_kind(const xmlNode *node, xmlElementType kind)
{
    for (const xmlNode *n = node->children; n; n = n->next)
        if (n->type == kind)
            return true;
    return false;
}

static void put_node(struct buffer *b, xmlNode *node, int depth);

/* Elements stand on lines of their own, unless there is text between them. */
static void put_children(struct buffer *b, xmlNode *node, int depth)
{
    bool laid_out = depth != FLAT && has_kind(node, XML_ELEMENT_NODE) && !has_kind(node, XML_TEXT_NODE);
    if (laid_out)
        put(b, "\n");
    for (xmlNode *n = node->children; n; n = n->next) {
        if (n->type == XML_ELEMENT_NODE)
            put_node(b, n, laid_out ? depth + 1 : FLAT);
        else if (n->content)
            put_escaped(b, (const char *)n->content, false);
    }
    if (laid_out)
        indent(b, depth);
}

static void put_node(struct buffer *b, xmlNode *node, int depth)
{
    indent(b, depth);
    put(b, "<");
    put_qualified(b, node->ns, node->name);
    put_attributes(b, node);
    if (!node->children)
        put(b, "/>");
    else {
        put(b, ">");
        put_children(b, node, depth);
        put(b, "</");
        put_qualified(b, node->ns, node->name);
        put(b, ">");
    }
    end_line(b, depth);
}

char *xml_write(xmlNode *node)
{
    struct buffer b = {0};
    put_node(&b, node, 0);
    buffer_append(&b, "", 1);
    return (char *)b.data;
}

/* ---- access ---- */

const char *xml_name(const xmlNode *node)
{
    return (const char *)node->name;
}

const char *xml_text(xmlNode *node)
{
    return node->children && node->children->content ? (const char *)node->children->content : "";
}

xmlNode *xml_next(xmlNode *parent, xmlNode *after, const char *name)
{
    if (!parent)
        return NULL;
    for (xmlNode *n = after ? after->next : parent->children; n; n = n->next)
        if (n->type == XML_ELEMENT_NODE && (!name || !strcmp(xml_name(n), name)))
            return n;
    return NULL;
}

/* The child that the first step of the path names; *path moves behind it. */
static xmlNode *step(xmlNode *from, const char **path, char name[64])
{
    size_t n = strcspn(*path, "/");
    ASSERT(n < 64);
    memcpy(name, *path, n);
    name[n] = 0;
    *path += n + ((*path)[n] == '/');
    return xml_next(from, NULL, name);
}

xmlNode *xml_node(xmlNode *from, const char *path)
{
    char name[64];
    while (from && *path && *path != '@')
        from = step(from, &path, name);
    return from;
}

static xmlAttr *find_attribute(xmlNode *node, const char *name)
{
    for (xmlAttr *a = node->properties; a; a = a->next)
        if (!strcmp((const char *)a->name, name))
            return a;
    return NULL;
}

const char *xml_get(xmlNode *from, const char *path)
{
    xmlNode *node = from ? xml_node(from, path) : NULL;
    const char *at = strchr(path, '@');
    if (!node || !at)
        return node ? xml_text(node) : NULL;
    xmlAttr *a = find_attribute(node, at + 1);
    if (!a)
        return NULL;
    return a->children && a->children->content ? (const char *)a->children->content : "";
}

const char *xml_get_or(xmlNode *from, const char *path, const char *otherwise)
{
    const char *value = xml_get(from, path);
    return value ? value : otherwise;
}

bool xml_is(xmlNode *from, const char *path, const char *value)
{
    const char *is = xml_get(from, path);
    return is && !strcmp(is, value);
}

void xml_put_first(xmlNode *node)
{
    xmlNode *first = node->parent->children;
    if (node != first)
        xmlAddPrevSibling(first, node); /* which takes it from where it was */
}

xmlNode *xml_add(xmlNode *parent, const char *name)
{
    xmlNode *n = xmlNewChild(parent, NULL, BAD_CAST name, NULL);
    ASSERT(n);
    return n;
}

void xml_set(xmlNode *from, const char *path, const char *value)
{
    char name[64];
    while (*path && *path != '@') {
        xmlNode *next = step(from, &path, name);
        from = next ? next : xml_add(from, name);
    }
    if (*path == '@') {
        xmlSetProp(from, BAD_CAST(path + 1), BAD_CAST value);
        return;
    }
    while (from->children)
        xml_delete(from->children);
    xmlNode *text = xmlNewDocText(from->doc, BAD_CAST value);
    ASSERT(text);
    xmlAddChild(from, text);
}

void xml_setf(xmlNode *from, const char *path, const char *fmt, ...)
{
    char *value;
    va_list ap;
    va_start(ap, fmt);
    ASSERT(vasprintf(&value, fmt, ap) >= 0);
    va_end(ap);
    xml_set(from, path, value);
    free(value);
}

void xml_set_bytes(xmlNode *from, const char *path, u64 bytes)
{
    xml_setf(from, path, "%lu", bytes);
    xml_set(xml_node(from, path), "@unit", "bytes");
}

void xml_delete(xmlNode *node)
{
    xmlUnlinkNode(node);
    xmlFreeNode(node);
}

void xml_remove(xmlNode *from, const char *path)
{
    xmlNode *node = xml_node(from, path);
    const char *at = strchr(path, '@');
    xmlAttr *a = node && at ? find_attribute(node, at + 1) : NULL;
    if (a)
        xmlRemoveProp(a);
    else if (node && !at)
        xml_delete(node);
}

/* ---- numbers ---- */

static const struct {
    const char *name;
    u64 bytes;
} units[] = {
    {"b", 1},          {"bytes", 1},        {"byte", 1},         {"B", 1},
    {"k", 1 << 10},    {"K", 1 << 10},      {"KiB", 1 << 10},    {"KB", 1000},
    {"M", 1 << 20},    {"m", 1 << 20},      {"MiB", 1 << 20},    {"MB", 1000000},
    {"G", 1 << 30},    {"g", 1 << 30},      {"GiB", 1 << 30},    {"GB", 1000000000},
    {"T", 1ull << 40}, {"t", 1ull << 40},   {"TiB", 1ull << 40}, {"TB", 1000000000000ull},
    {"P", 1ull << 50}, {"PiB", 1ull << 50}, {"E", 1ull << 60},   {"EiB", 1ull << 60},
};

int xml_get_number(xmlNode *from, const char *path, u64 *value, struct vir_error *e)
{
    const char *text = xml_get(from, path);
    if (text && !number_parse(text, value))
        return vir_fail(e, VIR_ERR_XML_ERROR, "<%s> wants a number for '%s', not '%s'", xml_name(from), path,
                        text);
    return 0;
}

int xml_get_size(xmlNode *from, const char *path, const char *unit, u64 *bytes, struct vir_error *e)
{
    xmlNode *node = xml_node(from, path);
    if (!node)
        return 0;
    u64 n;
    if (!number_parse(xml_text(node), &n))
        return vir_fail(e, VIR_ERR_XML_ERROR, "<%s> wants a number, not '%s'", path, xml_text(node));
    const char *name = xml_get_or(node, "@unit", unit);
    for (size_t i = 0; i < ARRAY_SIZE(units); i++)
        if (!strcmp(units[i].name, name)) {
            if (__builtin_mul_overflow(n, units[i].bytes, bytes))
                return vir_fail(e, VIR_ERR_XML_ERROR, "<%s> is too large: %s %s", path, xml_text(node), name);
            return 0;
        }
    return vir_fail(e, VIR_ERR_INVALID_ARG, "unknown suffix '%s'", name);
}
