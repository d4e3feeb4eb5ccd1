/* option_short.c - options that are a short way of saying something else */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/config/option_table.h"
#include "base/config/options.h"
#include "base/version.h"

int expand_s(struct vm_config *c, const char *arg, struct error *e)
{
    (void)arg, (void)e;
    c->gdb = "tcp::1234";
    return 0;
}

int expand_enable_kvm(struct vm_config *c, const char *arg, struct error *e)
{
    (void)arg, (void)e;
    c->accel = ACCEL_KVM;
    return 0;
}

static int no_memory(struct error *e)
{
    return error_set(e, ENOMEM, "no memory for the configuration");
}

/* A property that must be there: its value, which is made from kind and number where it is not given. NULL:
 * no memory.
 */
static const char *need(struct properties *p, const char *name, const char *kind, unsigned number)
{
    char text[32];
    const char *value = properties_get(p, name);
    if (value)
        return value;
    snprintf(text, sizeof(text), "%s%u", kind, number);
    return properties_add(p, name, text) < 0 ? NULL : properties_get(p, name);
}

/* Moves a property from one list to another, if it is there. */
static int move(struct properties *to, struct properties *from, const char *name, const char *as)
{
    const char *value = properties_get(from, name);
    int r = value ? properties_add(to, as, value) : 0;
    properties_remove(from, name);
    return r;
}

/* The disk on a bus: QEMU's if=virtio, which is the default here, as there is no IDE. */
static int add_disk(struct vm_config *c, struct properties *drive, struct error *e)
{
    const char *where = properties_get(drive, "if");
    bool none = where && !strcmp(where, "none");
    if (where && !none && strcmp(where, "virtio"))
        return error_set(e, EINVAL, "-drive: if '%s' is not supported: use one of: virtio, none", where);
    properties_remove(drive, "if");
    const char *id = need(drive, "id", none ? "none" : "virtio", c->drives.count - 1);
    if (!id)
        return no_memory(e);
    if (none)
        return 0;
    struct properties *device = objects_add(&c->devices);
    if (!device || properties_add(device, "driver", "virtio-blk-pci") < 0 ||
        properties_add(device, "drive", id) < 0 || move(device, drive, "serial", "serial") < 0 ||
        move(device, drive, "addr", "addr") < 0)
        return no_memory(e);
    return 0;
}

int expand_drive(struct vm_config *c, const char *arg, struct error *e)
{
    struct properties *drive = objects_add(&c->drives);
    int r = drive ? properties_parse(drive, arg, NULL, "-drive", e) : no_memory(e);
    if (r == 0 && *arg == '{')
        return error_set(e, EINVAL, "-drive does not take JSON: use -blockdev for it");
    const char *id = r == 0 ? properties_get(drive, "id") : NULL;
    if (id && objects_find(&c->drives, id) != drive)
        return error_set(e, EEXIST, "-drive: id '%s' is taken: use another", id);
    return r < 0 ? r : add_disk(c, drive, e);
}

static int add_file(struct vm_config *c, const char *path, bool cdrom, struct error *e)
{
    struct properties *drive = objects_add(&c->drives);
    if (!drive || properties_add(drive, "file", path) < 0 ||
        (cdrom &&
         (properties_add(drive, "media", "cdrom") < 0 || properties_add(drive, "readonly", "on") < 0)))
        return no_memory(e);
    return add_disk(c, drive, e);
}

int expand_disk(struct vm_config *c, const char *arg, struct error *e)
{
    return add_file(c, arg, false, e);
}

int expand_cdrom(struct vm_config *c, const char *arg, struct error *e)
{
    return add_file(c, arg, true, e);
}

/* A netdev, and a device that has it. What is the device's is moved there. */
int expand_nic(struct vm_config *c, const char *arg, struct error *e)
{
    if (!strcmp(arg, "none"))
        return 0; /* there is none but those that are named */
    struct properties *netdev = objects_add(&c->netdevs);
    int r = netdev ? properties_parse(netdev, arg, "type", "-nic", e) : no_memory(e);
    if (r < 0)
        return r;
    const char *model = properties_get(netdev, "model");
    if (model && strcmp(model, "virtio") && strcmp(model, "virtio-net-pci"))
        return error_set(e, EINVAL, "-nic: model '%s' is not supported: use one of: virtio-net-pci", model);
    properties_remove(netdev, "model");
    const char *id = need(netdev, "id", "nic", c->netdevs.count - 1);
    if (id && objects_find(&c->netdevs, id) != netdev)
        return error_set(e, EEXIST, "-nic: id '%s' is taken: use another", id);
    struct properties *device = id ? objects_add(&c->devices) : NULL;
    if (!device || properties_add(device, "driver", "virtio-net-pci") < 0 ||
        properties_add(device, "netdev", id) < 0 || move(device, netdev, "mac", "mac") < 0 ||
        move(device, netdev, "addr", "addr") < 0)
        return no_memory(e);
    return 0;
}

/* DRIVER.PROPERTY=VALUE, or driver=, property=, value=. */
int expand_global(struct vm_config *c, const char *arg, struct error *e)
{
    char driver[64], property[64], more;
    int at = 0;
    struct properties *p = objects_add(&c->globals);
    if (!p)
        return no_memory(e);
    if (sscanf(arg, "%63[^.=,].%63[^=]=%n%c", driver, property, &at, &more) < 2 || !at) {
        int r = properties_parse(p, arg, NULL, "-global", e);
        if (r == 0 &&
            (!properties_get(p, "driver") || !properties_get(p, "property") || !properties_get(p, "value")))
            r = error_set(e, EINVAL, "-global '%s' is not DRIVER.PROPERTY=VALUE", arg);
        return r;
    }
    return properties_add(p, "driver", driver) < 0 || properties_add(p, "property", property) < 0 ||
                   properties_add(p, "value", arg + at) < 0
               ? no_memory(e)
               : 0;
}

int expand_version(struct vm_config *c, const char *arg, struct error *e)
{
    (void)c, (void)arg, (void)e;
    puts("lodge-vm " LODGE_VERSION);
    return 1;
}

int expand_help(struct vm_config *c, const char *arg, struct error *e)
{
    (void)c, (void)arg, (void)e;
    options_print(OPTIONS_HELP);
    return 1;
}

int expand_help_man(struct vm_config *c, const char *arg, struct error *e)
{
    (void)c, (void)arg, (void)e;
    options_print(OPTIONS_MAN);
    return 1;
}

int expand_help_completion(struct vm_config *c, const char *arg, struct error *e)
{
    (void)c, (void)arg, (void)e;
    options_print(OPTIONS_COMPLETION);
    return 1;
}
