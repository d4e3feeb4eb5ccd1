/* qom.c - commands that look at the machine's objects by their paths (QAPI: qom.json) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdlib.h>
#include <string.h>

#include "machine/machine.h"
#include "machine/monitor/commands.h"
#include "machine/virtio/console.h"

static const char peripheral[] = "/machine/peripheral", unattached[] = "/machine/unattached";
static const char objects[] = "/objects", chardevs[] = "/chardevs";

/* An object with a path. A container has children; a device its properties. */
struct node {
    char path[160], type[64];
    struct pci_device *device; /* NULL: another kind */
};

static bool put_node(struct node *n, const char *parent, const char *name, const char *type,
                     struct pci_device *device)
{
    *n = (struct node){.device = device};
    snprintf(n->type, sizeof(n->type), "%s", type);
    return snprintf(n->path, sizeof(n->path), "%s/%s", strcmp(parent, "/") ? parent : "", name) <
           (int)sizeof(n->path);
}

/* Every object is visited; what visits it says by true that it has seen enough. */
struct visit {
    bool (*see)(struct visit *v, const struct node *n);
    const char *path; /* of whose children, or of the one that is looked for */
    struct node found;
    json_t *list;
    bool done;
};

static void see(struct visit *v, const char *parent, const char *name, const char *type,
                struct pci_device *device)
{
    struct node n;
    if (!v->done && put_node(&n, parent, name, type, device))
        v->done = v->see(v, &n);
}

static void see_port(void *opaque, const char *driver, const char *id)
{
    see(opaque, peripheral, id, driver, NULL);
}

static void visit_all(struct machine *m, struct visit *v)
{
    static const char *const containers[][2] = {{"/", "machine"},
                                                {"/", "objects"},
                                                {"/", "chardevs"},
                                                {"/machine", "peripheral"},
                                                {"/machine", "peripheral-anon"},
                                                {"/machine", "unattached"}};
    char name[32];
    for (size_t i = 0; i < ARRAY_SIZE(containers); i++)
        see(v, containers[i][0], containers[i][1], i ? "container" : "pc-q35-7.2-machine", NULL);
    for (unsigned s = 0; s < PCI_SLOTS; s++)
        if (m->pci.slot[s] && m->pci.slot[s]->id)
            see(v, peripheral, m->pci.slot[s]->id, m->pci.slot[s]->type->name, m->pci.slot[s]);
    console_ports_each(&m->pci, see_port, v);
    for (unsigned i = 0; i < m->vcpu_count; i++) {
        snprintf(name, sizeof(name), "device[%u]", i);
        const char *given = m->vcpu[i].name;
        see(v, given ? peripheral : unattached, given ? given : name, PROCESSOR_DRIVER, NULL);
    }
    for (const struct object *o = m->objects.first; o; o = o->next)
        see(v, objects, o->id, o->type->name, NULL);
    for (unsigned i = 0; i < m->chardevs.count; i++)
        see(v, chardevs, m->chardevs.all[i]->label, "chardev", NULL);
}

static bool is_path(struct visit *v, const struct node *n)
{
    bool same = !strcmp(n->path, v->path);
    if (same)
        v->found = *n;
    return same;
}

/* NULL with the error in call. */
static const struct node *find(struct qmp_call *call, struct visit *v)
{
    *v = (struct visit){.see = is_path, .path = qmp_string(call, "path", "")};
    if (!strcmp(v->path, "/"))
        v->found = (struct node){.path = "/", .type = "container"};
    else
        visit_all(call->machine, v);
    if (*v->found.path)
        return &v->found;
    qmp_fail(call, "DeviceNotFound", "Device '%.100s' not found", v->path);
    return NULL;
}

static void add_row(json_t *list, const char *name, const char *type)
{
    json_array_append_new(list, json_pack("{s:s,s:s}", "name", name, "type", type));
}

static bool add_child(struct visit *v, const struct node *n)
{
    char type[80];
    const char *slash = strrchr(n->path, '/');
    size_t parent = slash == n->path ? 1 : (size_t)(slash - n->path);
    if (strlen(v->path) != parent || strncmp(v->path, n->path, parent))
        return false;
    snprintf(type, sizeof(type), "child<%s>", n->type);
    add_row(v->list, slash + 1, type);
    return false;
}

/* ---- properties of devices ---- */

static const char *row_type(const struct property_row *row)
{
    static const char *const types[] = {
        [PROPERTY_TEXT] = "str",   [PROPERTY_BOOL] = "bool", [PROPERTY_U32] = "uint32",
        [PROPERTY_U64] = "uint64", [PROPERTY_SIZE] = "size", [PROPERTY_CHOICE] = "str",
        [PROPERTY_MANY] = "str",
    };
    return types[row->type];
}

/* NULL: the text was the configuration's, and has gone. */
static json_t *row_value(const struct property_row *row, const struct pci_device *d)
{
    const void *field =
        (const char *)d + row->offset; /* a device's struct begins with its struct pci_device */
    switch (row->type) {
    case PROPERTY_BOOL: return json_boolean(*(const bool *)field);
    case PROPERTY_U32: return json_integer(*(const u32 *)field);
    case PROPERTY_U64:
    case PROPERTY_SIZE: return json_integer((json_int_t) * (const u64 *)field);
    case PROPERTY_CHOICE: return json_string(row->choices[*(const unsigned *)field]);
    default: return NULL;
    }
}

static const struct property_row *rows_of(const struct pci_type *t)
{
    static const struct property_row none[] = {{0}};
    return t->properties ? t->properties : none;
}

static const struct pci_property *live_of(const struct pci_type *t)
{
    static const struct pci_property none[] = {{0}};
    return t->live ? t->live : none;
}

static void list_properties(json_t *list, const struct pci_device *d)
{
    for (const struct pci_property *p = live_of(d->type); p->name; p++)
        add_row(list, p->name, p->type);
    for (const struct property_row *r = rows_of(d->type); r->name; r++)
        if (r->type != PROPERTY_TEXT && r->type != PROPERTY_MANY)
            add_row(list, r->name, row_type(r));
}

static json_t *get_property(const struct pci_device *d, const char *name)
{
    for (const struct pci_property *p = live_of(d->type); p->name; p++)
        if (!strcmp(p->name, name))
            return p->get(d);
    for (const struct property_row *r = rows_of(d->type); r->name; r++)
        if (!strcmp(r->name, name))
            return row_value(r, d);
    return NULL;
}

json_t *qmp_qom_list(struct qmp_call *call)
{
    struct visit at;
    const struct node *n = find(call, &at);
    if (!n)
        return NULL;
    struct visit v = {.see = add_child, .path = n->path, .list = json_array()};
    add_row(v.list, "type", "string");
    if (n->device) {
        add_row(v.list, "realized", "bool");
        list_properties(v.list, n->device);
    }
    visit_all(call->machine, &v);
    return v.list;
}

json_t *qmp_qom_get(struct qmp_call *call)
{
    struct visit at;
    const struct node *n = find(call, &at);
    const char *name = qmp_string(call, "property", "");
    json_t *value = NULL;
    if (!n)
        return NULL;
    if (!strcmp(name, "type"))
        value = json_string(n->type);
    else if (n->device && !strcmp(name, "realized"))
        value = json_true();
    else if (n->device)
        value = get_property(n->device, name);
    return value ? value : qmp_fail(call, "GenericError", "Property '%s.%.60s' not found", n->type, name);
}

json_t *qmp_qom_set(struct qmp_call *call)
{
    struct visit at;
    const struct node *n = find(call, &at);
    const char *name = qmp_string(call, "property", "");
    const struct pci_property *p = n && n->device ? live_of(n->device->type) : NULL;
    if (!n)
        return NULL;
    while (p && p->name && strcmp(p->name, name))
        p++;
    if (p && p->name && p->set)
        return p->set(n->device, json_object_get(call->arguments, "value"), &call->e) < 0 ? NULL
                                                                                          : json_object();
    json_t *value = n->device ? get_property(n->device, name) : NULL;
    bool there = value || !strcmp(name, "type");
    json_decref(value);
    return qmp_fail(call, "GenericError", "Property '%s.%.60s' %s", n->type, name,
                    there ? "is not writable" : "not found");
}

/* ---- kinds of devices ---- */

static json_t *describe_row(const struct property_row *r)
{
    json_t *row = json_pack("{s:s,s:s,s:s*}", "name", r->name, "type", row_type(r), "description", r->help);
    u64 n = r->fallback ? strtoull(r->fallback, NULL, 0) : 0;
    if (!r->fallback)
        return row;
    if (r->type == PROPERTY_BOOL)
        json_object_set_new(row, "default-value", json_boolean(!strcmp(r->fallback, "on")));
    else if (r->type == PROPERTY_U32 || r->type == PROPERTY_U64)
        json_object_set_new(row, "default-value", json_integer((json_int_t)n));
    else
        json_object_set_new(row, "default-value", json_string(r->fallback));
    return row;
}

json_t *qmp_device_list_properties(struct qmp_call *call)
{
    const char *name = qmp_string(call, "typename", "");
    const struct pci_type *t = pci_type_find(name);
    if (!t)
        return qmp_fail(call, "DeviceNotFound", "Device '%.100s' not found", name);
    json_t *list = json_array();
    for (const struct property_row *r = rows_of(t); r->name; r++)
        json_array_append_new(list, describe_row(r));
    return list;
}

static void add_type(json_t *list, const char *name, const char *parent)
{
    json_array_append_new(list, json_pack("{s:s,s:s}", "name", name, "parent", parent));
}

json_t *qmp_qom_list_types(struct qmp_call *call)
{
    const char *implements = qmp_string(call, "implements", "object");
    json_t *list = json_array();
    if (strcmp(implements, "object") && strcmp(implements, "device"))
        return list;
    for (const struct pci_type *const *t = pci_types; *t; t++)
        add_type(list, (*t)->name, "pci-device");
    add_type(list, "virtserialport", "virtio-serial-port");
    add_type(list, "virtconsole", "virtserialport");
    add_type(list, "isa-serial", "isa-device");
    for (unsigned i = 0; !strcmp(implements, "object") && object_type_name(i); i++)
        add_type(list, object_type_name(i), "object");
    return list;
}
