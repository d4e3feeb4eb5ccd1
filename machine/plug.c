/* plug.c - objects of the configuration become parts of the machine: at the start, and while it runs */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "machine/machine.h"
#include "machine/plug.h"
#include "machine/virtio/console.h"

static int add_blockdev(struct machine *m, const struct properties *p, struct error *e)
{
    return block_add(&m->blocks, p, e);
}

static int add_drive(struct machine *m, const struct properties *p, struct error *e)
{
    return block_add_drive(&m->blocks, p, e);
}

static int remove_block(struct machine *m, const char *id, struct error *e)
{
    return block_remove(&m->blocks, id, e);
}

static void help_block(const char *name)
{
    (void)name;
    block_help();
}

static int add_netdev(struct machine *m, const struct properties *p, struct error *e)
{
    return net_add(&m->nets, p, e);
}

static int remove_netdev(struct machine *m, const char *id, struct error *e)
{
    return net_remove(&m->nets, id, e);
}

static int add_object(struct machine *m, const struct properties *p, struct error *e)
{
    return object_add(&m->objects, p, e);
}

static int remove_object(struct machine *m, const char *id, struct error *e)
{
    return object_remove(&m->objects, id, e);
}

/* Serial ports of the board: chardevs.c has read them before the board was made. */
static bool is_serial_port(const char *driver)
{
    return !strcmp(driver, "isa-serial");
}

/* What -global says of that kind of device, where p does not say otherwise. */
static int add_globals(const struct vm_config *c, const char *driver, struct properties *p)
{
    const struct pci_type *type = pci_type_find(driver);
    int r = 0;
    for (unsigned i = 0; i < c->globals.count && r == 0; i++) {
        const struct properties *g = &c->globals.at[i];
        const char *property = properties_get(g, "property");
        bool same = type ? pci_type_find(properties_get(g, "driver")) == type
                         : !strcmp(properties_get(g, "driver"), driver);
        if (same && !properties_get(p, property))
            r = properties_add(p, property, properties_get(g, "value"));
    }
    return r;
}

static void warn_of_globals(const struct vm_config *c)
{
    for (unsigned i = 0; i < c->globals.count; i++) {
        const char *driver = properties_get(&c->globals.at[i], "driver");
        if (!pci_type_find(driver) && !console_port_is(driver))
            report("warning: global %s.%s has invalid class name", driver,
                   properties_get(&c->globals.at[i], "property"));
    }
}

static int add_with_globals(struct machine *m, const char *driver, const struct properties *p,
                            struct error *e)
{
    if (console_port_is(driver))
        return console_port_add(&m->pci, &m->chardevs, p, e);
    const struct pci_place place = board_pci_place(m);
    const struct pci_device *d = pci_device_add(&place, p, e);
    if (d && m->plugged)
        pci_hotplug_added(m->hotplug, d->slot);
    return d ? 0 : -ENODEV;
}

static int add_device(struct machine *m, const struct properties *p, struct error *e)
{
    const char *driver = properties_get(p, "driver");
    if (!strcmp(driver, PROCESSOR_DRIVER))
        return processors_add(m, p, e);
    if (is_serial_port(driver))
        return m->plugged ? error_set(e, EINVAL, "Bus 'isa.0' does not support hotplugging") : 0;
    struct properties all;
    if (properties_copy(&all, p) < 0 || add_globals(m->config, driver, &all) < 0) {
        properties_free(&all);
        return error_set(e, ENOMEM, "-device %s: no memory", driver);
    }
    int r = add_with_globals(m, driver, &all, e);
    properties_free(&all);
    return r;
}

/* What is on the PCI bus goes when the guest lets it go; a port goes at once. */
static int remove_device(struct machine *m, const char *id, struct error *e)
{
    char path[128];
    const struct pci_device *d = pci_find(&m->pci, id);
    if (d)
        return pci_hotplug_remove(m->hotplug, d->slot)
                   ? 0
                   : error_set(e, EBUSY, "Device %s is already in the process of unplug", id);
    if (!console_port_remove(&m->pci, id))
        return processors_remove(m, id, e);
    snprintf(path, sizeof(path), "/machine/peripheral/%s", id);
    monitor_event(m, "DEVICE_DELETED", json_pack("{s:s,s:s}", "device", id, "path", path));
    return 0;
}

static void help_device(const char *name)
{
    if (name && !strcmp(name, PROCESSOR_DRIVER)) {
        processor_help();
        return;
    }
    if (!name || !console_port_is(name))
        pci_device_help(name);
    if (!name || console_port_is(name))
        console_port_help(name);
}

/* A kind of object: the option, the property that names its type, and who makes and removes it. */
static const struct plug_row {
    const char *option, *type;
    size_t list; /* of a struct objects in struct vm_config */
    int (*add)(struct machine *m, const struct properties *p, struct error *e);
    int (*remove)(struct machine *m, const char *id, struct error *e);
    void (*help)(const char *name);
} rows[PLUG_KINDS] = {
    [PLUG_OBJECT] = {"-object", "qom-type", offsetof(struct vm_config, objects), add_object, remove_object,
                     object_help},
    [PLUG_BLOCKDEV] = {"-blockdev", "driver", offsetof(struct vm_config, blockdevs), add_blockdev,
                       remove_block, help_block},
    [PLUG_DRIVE] = {"-drive", "file", offsetof(struct vm_config, drives), add_drive, remove_block,
                    help_block},
    [PLUG_NETDEV] = {"-netdev", "type", offsetof(struct vm_config, netdevs), add_netdev, remove_netdev,
                     net_help},
    [PLUG_DEVICE] = {"-device", "driver", offsetof(struct vm_config, devices), add_device, remove_device,
                     help_device},
};

/* A machine that is being saved, or gone back, has the devices that it has. */
static int check_still(const struct machine *m, struct error *e)
{
    return m->snapshot.active ? error_set(e, EBUSY, "There is a snapshot in process, please wait.") : 0;
}

int plug_add(struct machine *m, enum plug_kind kind, const struct properties *p, struct error *e)
{
    const struct plug_row *row = &rows[kind];
    const char *type = properties_get(p, row->type);
    int r = check_still(m, e);
    if (r < 0)
        return r;
    if (!type)
        return error_set(e, EINVAL, "%s: '%s' is missing", row->option, row->type);
    return row->add(m, p, e);
}

int plug_remove(struct machine *m, enum plug_kind kind, const char *id, struct error *e)
{
    int r = check_still(m, e);
    return r < 0 ? r : rows[kind].remove(m, id, e);
}

/* Objects of which `late` is true, or false; of other kinds all. */
static int plug_kind(struct machine *m, enum plug_kind kind, bool late, struct error *e)
{
    const struct objects *list = (const void *)((const char *)m->config + rows[kind].list);
    int r = 0;
    for (unsigned i = 0; i < list->count && r == 0; i++) {
        const char *type = kind == PLUG_OBJECT ? properties_get(&list->at[i], rows[kind].type) : NULL;
        if ((type && object_is_late(type)) == late)
            r = plug_add(m, kind, &list->at[i], e);
    }
    return r;
}

int plug_all(struct machine *m, struct error *e)
{
    int r = 0;
    warn_of_globals(m->config);
    for (unsigned k = 0; k < PLUG_KINDS && r == 0; k++) {
        if (k == PLUG_DEVICE)
            r = plug_kind(m, PLUG_OBJECT, true, e);
        if (r == 0)
            r = plug_kind(m, k, false, e);
    }
    m->plugged = true;
    return r;
}

void plug_help(enum plug_kind kind, const char *name)
{
    rows[kind].help(name);
}
