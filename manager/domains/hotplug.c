/* hotplug.c - devices that come and go while the machine runs (QEMU's device_add, device_del, blockdev-add,
 * ...)
 */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/config/properties.h"
#include "manager/daemon/manager.h"
#include "manager/daemon/text.h"
#include "manager/domains/command.h"
#include "manager/domains/definition.h"
#include "manager/domains/device.h"
#include "manager/domains/hotplug.h"
#include "manager/domains/life.h"
#include "manager/domains/notify.h"
#include "manager/domains/store.h"

enum { REMOVAL_SECONDS = 5 };

/* One call that waits for a guest to give a device back. */
struct removal {
    struct removal *next;
    const char *alias;
    struct wait wait;
    bool refused;
};

static const char *alias_of(xmlNode *device)
{
    return xml_get_or(device, "alias/@name", "");
}

static int unsupported(struct vir_error *e, const char *what, const char *of)
{
    return vir_fail(e, VIR_ERR_OPERATION_UNSUPPORTED, what, of);
}

/* ---- attaching ---- */

/* QMP wants the forwardings of a user network as a list of strings, in objects. */
static json_t *json_of(const struct properties *p)
{
    json_t *o = json_object(), *forwards = json_array();
    for (unsigned i = 0; i < p->count; i++)
        if (!strcmp(p->at[i].name, "hostfwd"))
            json_array_append_new(forwards, json_pack("{s:s}", "str", p->at[i].value));
        else
            json_object_set_new(o, p->at[i].name, json_string(p->at[i].value));
    if (json_array_size(forwards))
        json_object_set(o, "hostfwd", forwards);
    json_decref(forwards);
    return o;
}

static int add_device(struct domain *d, const struct properties *p, struct vir_error *e)
{
    return life_command(d, "device_add", json_of(p), NULL, e);
}

/* On a PCI Express board a device goes into a root port, of which a free one is taken. */
static void choose_port(struct domain *d, xmlNode *device)
{
    xmlNode *devices = xml_node(d->live, "devices");
    /* lodge-vm's board has its slots on the bus itself, and no ports. */
    if (xml_get(device, "address/@type") || definition_is_lodge(d->live))
        return;
    xml_each(controller, devices, "controller")
    {
        const char *bus = xml_get_or(controller, "@index", "");
        if (!xml_is(controller, "@model", "pcie-root-port"))
            continue;
        bool taken = false;
        u64 mine = strtoul(bus, NULL, 0);
        xml_each(other, devices, NULL) taken |=
            xml_is(other, "address/@type", "pci") &&
            strtoul(xml_get_or(other, "address/@bus", "0"), NULL, 0) == mine;
        if (taken)
            continue;
        xml_set(device, "address/@type", "pci");
        xml_set(device, "address/@domain", "0x0000");
        xml_setf(device, "address/@bus", "0x%02lx", mine);
        xml_set(device, "address/@slot", "0x00");
        xml_set(device, "address/@function", "0x0");
        return;
    }
}

static json_t *disk_node(xmlNode *disk)
{
    bool block = xml_is(disk, "@type", "block");
    const char *cache = xml_get_or(disk, "driver/@cache", "writeback"), *io = xml_get(disk, "driver/@io");
    json_t *file = json_pack("{s:s,s:s}", "driver", block ? "host_device" : "file", "filename",
                             xml_get(disk, block ? "source/@dev" : "source/@file"));
    if (io)
        json_object_set_new(file, "aio", json_string(io));
    json_t *node = json_pack("{s:s,s:o,s:b,s:{s:b,s:b}}", "driver", xml_get(disk, "driver/@type"), "file",
                             file, "read-only", xml_node(disk, "readonly") != NULL, "cache", "direct",
                             !strcmp(cache, "none") || !strcmp(cache, "directsync"), "no-flush",
                             !strcmp(cache, "unsafe"));
    char *name = text_printf("drive-%s", alias_of(disk));
    json_object_set_new(node, "node-name", json_string(name));
    free(name);
    static const char *const kept[] = {"discard", "detect_zeroes"};
    static const char *const names[] = {"discard", "detect-zeroes"};
    for (size_t i = 0; i < ARRAY_SIZE(kept); i++) {
        char path[32];
        snprintf(path, sizeof(path), "driver/@%s", kept[i]);
        if (xml_get(disk, path))
            json_object_set_new(node, names[i], json_string(xml_get(disk, path)));
    }
    return node;
}

static int remove_node(struct domain *d, const char *alias, struct vir_error *e)
{
    char *name = text_printf("drive-%s", alias);
    int r = life_command(d, "blockdev-del", json_pack("{s:s}", "node-name", name), NULL, e);
    free(name);
    return r;
}

/* The controller that a bus needs; that it is there already is as good. */
static void need_controller(struct domain *d, const char *driver, const char *id)
{
    struct vir_error e;
    json_t *found = NULL;
    char *path = text_printf("/machine/peripheral/%s", id);
    if (life_command(d, "qom-list", json_pack("{s:s}", "path", path), &found, &e) < 0)
        life_command(d, "device_add", json_pack("{s:s,s:s}", "driver", driver, "id", id), NULL, &e);
    json_decref(found);
    free(path);
}

static int attach_disk(struct domain *d, xmlNode *disk, struct vir_error *e)
{
    const char *bus = xml_get(disk, "target/@bus");
    if (!xml_is(disk, "@device", "disk"))
        return unsupported(e, "disk device type '%s' cannot be hotplugged", xml_get(disk, "@device"));
    if (!strcmp(bus, "scsi"))
        need_controller(d, "virtio-scsi-pci", "scsi0");
    else if (!strcmp(bus, "usb"))
        need_controller(d, "qemu-xhci", "usb");
    else if (strcmp(bus, "virtio"))
        return unsupported(e, "disk bus '%s' cannot be hotplugged.", bus);
    if (!strcmp(bus, "virtio"))
        choose_port(d, disk);
    struct properties drive = {0}, device = {0};
    struct vir_error ignored;
    int r = life_command(d, "blockdev-add", disk_node(disk), NULL, e);
    if (r == 0) {
        command_disk(disk, &drive, &device);
        r = add_device(d, &device, e);
        if (r < 0)
            remove_node(d, alias_of(disk), &ignored);
    }
    properties_free(&drive);
    properties_free(&device);
    return r;
}

static int remove_netdev(struct domain *d, const char *alias, struct vir_error *e)
{
    char *name = text_printf("host%s", alias);
    int r = life_command(d, "netdev_del", json_pack("{s:s}", "id", name), NULL, e);
    free(name);
    return r;
}

static int set_link(struct domain *d, xmlNode *interface, struct vir_error *e)
{
    bool up = !xml_is(interface, "link/@state", "down");
    return life_command(d, "set_link", json_pack("{s:s,s:b}", "name", alias_of(interface), "up", up), NULL,
                        e);
}

static int attach_interface(struct domain *d, xmlNode *interface, struct vir_error *e)
{
    struct properties netdev = {0}, device = {0};
    struct vir_error ignored;
    choose_port(d, interface);
    int r = command_interface(interface, &d->manager->networks, &netdev, &device, e);
    if (r == 0)
        r = life_command(d, "netdev_add", json_of(&netdev), NULL, e);
    if (r == 0 && (r = add_device(d, &device, e)) < 0)
        remove_netdev(d, alias_of(interface), &ignored);
    if (r == 0 && xml_is(interface, "link/@state", "down"))
        r = set_link(d, interface, e);
    properties_free(&netdev);
    properties_free(&device);
    return r;
}

static int keep_nothing(struct domain *d, const char *alias, struct vir_error *e)
{
    (void)d, (void)alias, (void)e;
    return 0;
}

/* A kind of device that can come and go: how it comes, and what is left to be removed when it has gone. */
static const struct pluggable {
    const char *element;
    int (*attach)(struct domain *d, xmlNode *device, struct vir_error *e);
    int (*remove_back_end)(struct domain *d, const char *alias, struct vir_error *e);
} kinds[] = {
    {"disk", attach_disk, remove_node}, {"interface", attach_interface, remove_netdev},
    {"rng", NULL, keep_nothing},        {"memballoon", NULL, keep_nothing},
    {"input", NULL, keep_nothing},
};

static const struct pluggable *find_kind(xmlNode *device)
{
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        if (!strcmp(kinds[i].element, xml_name(device)))
            return &kinds[i];
    return NULL;
}

int hotplug_attach(struct domain *d, xmlNode *device, struct vir_error *e)
{
    const struct pluggable *k = find_kind(device);
    if (!k || !k->attach)
        return unsupported(e, "live attach of device '%s' is not supported", xml_name(device));
    return k->attach(d, device, e);
}

/* ---- detaching ---- */

/* Asks the guest to give the device of that name back, and waits for a while. 1: it has gone; 0: not yet. */
static int remove_device(struct domain *d, const char *alias, struct vir_error *e)
{
    struct removal mine = {.next = d->machine.removals, .alias = alias};
    d->machine.removals = &mine;
    int r = life_command(d, "device_del", json_pack("{s:s}", "id", alias), NULL, e);
    if (r == 0)
        r = task_wait(&d->manager->tasks, &mine.wait, loop_now() + REMOVAL_SECONDS * 1000000000ull);
    for (struct removal **at = &d->machine.removals; *at; at = &(*at)->next)
        if (*at == &mine) {
            *at = mine.next;
            break;
        }
    if (r > 0 && mine.refused)
        r = vir_fail(e, VIR_ERR_OPERATION_FAILED,
                     "unplug of device was rejected by the guest, or it has no driver that gives it");
    return r;
}

int hotplug_detach(struct domain *d, xmlNode *device, struct vir_error *e)
{
    const struct pluggable *k = find_kind(device);
    if (!k || !strcmp(k->element, "memballoon"))
        return unsupported(e, "live detach of device '%s' is not supported", xml_name(device));
    char *alias = text_copy(alias_of(device));
    int r = remove_device(d, alias, e);
    free(alias);
    return min(r, 0);
}

int hotplug_remove_vcpu(struct domain *d, unsigned number, struct vir_error *e)
{
    char *name = text_printf("vcpu%u", number);
    int r = remove_device(d, name, e);
    free(name);
    return r == 0 ? vir_fail(e, VIR_ERR_OPERATION_TIMEOUT,
                             "vcpu unplug request timed out: the guest has not given it back")
                  : min(r, 0);
}

static void wake_removals(struct domain *d, const char *alias, bool refused)
{
    for (struct removal *r = d->machine.removals; r; r = r->next)
        if (!strcmp(r->alias, alias)) {
            r->refused = refused;
            task_wake(&d->manager->tasks, &r->wait);
        }
}

struct cleanup {
    struct domain *domain;
    char *alias;
};

static void cleanup_task(void *arg)
{
    struct cleanup *c = arg;
    struct domain *d = c->domain;
    struct vir_error e;
    xmlNode *device = device_find_alias(d->live, c->alias);
    const struct pluggable *k = device ? find_kind(device) : NULL;
    /* A -drive goes with its device, so that its end is not told apart from an error. */
    if (k)
        k->remove_back_end(d, c->alias, &e);
    if ((device = device_find_alias(d->live, c->alias))) {
        xml_delete(device);
        store_state(d);
        notify_device_removed(d, c->alias);
    }
    wake_removals(d, c->alias, false);
    free(c->alias);
    free(c);
    domain_put(d);
}

void hotplug_removed(struct domain *d, const char *alias)
{
    struct cleanup *c = malloc(sizeof(*c));
    ASSERT(c);
    *c = (struct cleanup){.domain = d, .alias = text_copy(alias)};
    domain_get(d);
    task_start(&d->manager->tasks, cleanup_task, c);
}

void hotplug_refused(struct domain *d, const char *alias)
{
    notify_device_removal_failed(d, alias);
    wake_removals(d, alias, true);
}

/* ---- changing ---- */

static const char *source_of(xmlNode *disk)
{
    const char *file = xml_get(disk, "source/@file");
    return file ? file : xml_get(disk, "source/@dev");
}

static int change_medium(struct domain *d, xmlNode *disk, xmlNode *wanted, struct vir_error *e)
{
    const char *alias = alias_of(disk), *source = source_of(wanted);
    if (xml_is(disk, "@device", "disk"))
        return unsupported(e, "changing the source of a device of type '%s' while it runs is not supported",
                           "disk");
    int r = source ? life_command(d, "blockdev-change-medium",
                                  json_pack("{s:s,s:s,s:s}", "id", alias, "filename", source, "format",
                                            xml_get_or(wanted, "driver/@type", "raw")),
                                  NULL, e)
                   : life_command(d, "eject", json_pack("{s:s,s:b}", "id", alias, "force", 1), NULL, e);
    if (r < 0)
        return -1;
    xml_remove(disk, "source");
    if (source)
        xml_set(disk, xml_is(wanted, "@type", "block") ? "source/@dev" : "source/@file", source);
    xml_set(disk, "@type", xml_get(wanted, "@type"));
    return 0;
}

static int change_link(struct domain *d, xmlNode *interface, xmlNode *wanted, struct vir_error *e)
{
    xml_remove(interface, "link");
    if (xml_get(wanted, "link/@state"))
        xml_set(interface, "link/@state", xml_get(wanted, "link/@state"));
    return set_link(d, interface, e);
}

int hotplug_update(struct domain *d, xmlNode *device, xmlNode *wanted, struct vir_error *e)
{
    if (!strcmp(xml_name(device), "disk"))
        return change_medium(d, device, wanted, e);
    if (!strcmp(xml_name(device), "interface"))
        return change_link(d, device, wanted, e);
    return unsupported(e, "live update of device '%s' is not supported", xml_name(device));
}

void hotplug_set_links(struct domain *d)
{
    struct vir_error e;
    xmlNode *domain = xml_copy(d->live);
    xml_each(interface, xml_node(domain, "devices"),
             "interface") if (xml_is(interface, "link/@state", "down") && set_link(d, interface, &e) < 0)
        report("domain '%s': %s", d->name, e.text);
    xml_free(domain);
}
