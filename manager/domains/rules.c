/* rules.c - which elements and attributes of a document are understood */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>
#include <string.h>

#include "manager/domains/rules.h"

static bool in_list(const char *list, const char *name)
{
    size_t n = strlen(name);
    if (!strcmp(list, "*"))
        return true;
    for (const char *at = list; (at = strstr(at, name)); at += n)
        if ((at == list || at[-1] == ' ') && (at[n] == ' ' || !at[n]))
            return true;
    return false;
}

/* The row of PARENT/NAME before that of NAME. */
static const struct rule *find_rule(const struct rule *rules, const xmlNode *node)
{
    const char *parent = node->parent && node->parent->type == XML_ELEMENT_NODE ? xml_name(node->parent) : "";
    const struct rule *found = NULL;
    for (const struct rule *r = rules; r->element; r++) {
        const char *slash = strchr(r->element, '/');
        if (strcmp(slash ? slash + 1 : r->element, xml_name(node)))
            continue;
        if (!slash)
            found = found ? found : r;
        else if ((size_t)(slash - r->element) == strlen(parent) &&
                 !strncmp(r->element, parent, strlen(parent)))
            return r;
    }
    return found;
}

/* Elements of other namespaces are their owners' business. */
static int check_node(const struct rule *rules, xmlNode *node, struct vir_error *e)
{
    const struct rule *r = find_rule(rules, node);
    if (!r)
        return 0; /* a leaf without attributes of interest: its parent lists it */
    for (xmlAttr *a = node->properties; a; a = a->next)
        if (!a->ns && !in_list(r->attributes, (const char *)a->name))
            return vir_fail(e, VIR_ERR_CONFIG_UNSUPPORTED, "attribute '%s' of <%s> is not supported", a->name,
                            xml_name(node));
    if (!strcmp(r->children, "*"))
        return 0;
    xml_each(child, node, NULL)
    {
        if (child->ns)
            continue;
        if (!in_list(r->children, xml_name(child)))
            return vir_fail(e, VIR_ERR_CONFIG_UNSUPPORTED, "<%s> in <%s> is not supported", xml_name(child),
                            xml_name(node));
        if (check_node(rules, child, e) < 0)
            return -1;
    }
    return 0;
}

int rules_check(const struct rule *rules, xmlNode *root, struct vir_error *e)
{
    return check_node(rules, root, e);
}
