/* devices.c - commands about devices that are there: balloon, PCI bus, network cards, character devices */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>

#include "machine/machine.h"
#include "machine/monitor/commands.h"
#include "machine/virtio/balloon.h"

/* ---- the balloon ---- */

static struct pci_device *balloon(struct qmp_call *call)
{
    struct pci_device *d = balloon_find(&call->machine->pci);
    if (!d)
        qmp_fail(call, "DeviceNotActive", "No balloon device has been activated");
    return d;
}

json_t *query_balloon(struct qmp_call *call)
{
    const struct pci_device *d = balloon(call);
    return d ? json_pack("{s:I}", "actual", (json_int_t)balloon_actual(d)) : NULL;
}

json_t *qmp_balloon(struct qmp_call *call)
{
    s64 bytes = qmp_integer(call, "value", 0);
    struct pci_device *d = balloon(call);
    if (!d)
        return NULL;
    if (bytes <= 0)
        return qmp_fail(call, "GenericError", "Parameter 'target' expects a size");
    balloon_set_target(d, (u64)bytes);
    return json_object();
}

/* ---- the PCI bus ---- */

static json_t *describe_bar(const struct pci_device *d, unsigned i)
{
    u32 at = pci_get32(d->config + PCI_BAR0 + 4 * i) & ~15u;
    bool decoded = d->config[PCI_COMMAND] & PCI_COMMAND_MEMORY && at;
    return json_pack("{s:i,s:s,s:I,s:I,s:b,s:b}", "bar", (int)i, "type", "memory", "address",
                     decoded ? (json_int_t)at : (json_int_t)-1, "size", (json_int_t)d->bar[i].size,
                     "prefetch", 0, "mem_type_64", 0);
}

static const char *class_name(u16 class)
{
    static const struct {
        u16 class;
        const char *name;
    } rows[] = {{0x0100, "SCSI controller"}, {0x0200, "Ethernet controller"}, {0x0600, "Host bridge"},
                {0x0601, "ISA bridge"},      {0x0604, "PCI bridge"},          {0x0c05, "SMBus"}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (rows[i].class == class)
            return rows[i].name;
    return NULL;
}

static json_t *describe_function(const struct pci_device *d)
{
    const u8 *c = d->config;
    u16 class = pci_get16(c + PCI_CLASS);
    json_t *regions = json_array();
    for (unsigned i = 0; i < PCI_BARS; i++)
        if (d->bar[i].size)
            json_array_append_new(regions, describe_bar(d, i));
    json_t *f =
        json_pack("{s:i,s:i,s:i,s:{s:i,s:s*},s:{s:i,s:i,s:i,s:i},s:i,s:s,s:o}", "bus", 0, "slot",
                  (int)d->slot, "function", 0, "class_info", "class", class, "desc", class_name(class), "id",
                  "device", pci_get16(c + PCI_DEVICE_ID), "vendor", pci_get16(c + PCI_VENDOR_ID), "subsystem",
                  pci_get16(c + PCI_SUBSYSTEM_ID), "subsystem-vendor", pci_get16(c + PCI_SUBSYSTEM_VENDOR_ID),
                  "irq_pin", c[PCI_INTERRUPT_PIN], "qdev_id", d->id ? d->id : "", "regions", regions);
    if (c[PCI_INTERRUPT_PIN])
        json_object_set_new(f, "irq", json_integer(c[PCI_INTERRUPT_LINE]));
    return f;
}

json_t *query_pci(struct qmp_call *call)
{
    const struct pci_bus *b = &call->machine->pci;
    json_t *list = json_array();
    for (unsigned s = 0; s < PCI_SLOTS; s++)
        if (b->slot[s])
            json_array_append_new(list, describe_function(b->slot[s]));
    return json_pack("[{s:i,s:o}]", "bus", 0, "devices", list);
}

/* ---- networks ---- */

json_t *qmp_set_link(struct qmp_call *call)
{
    const char *name = qmp_string(call, "name", "");
    struct net_backend *b = net_find(&call->machine->nets, name);
    if (!b)
        return qmp_fail(call, "DeviceNotFound", "Device '%.60s' not found", name);
    net_set_link(b, qmp_bool(call, "up", true));
    return json_object();
}

/* Once, and the guest sends what its own kernel sends. */
json_t *qmp_announce_self(struct qmp_call *call)
{
    for (const struct net_backend *b = call->machine->nets.first; b; b = b->next)
        if (b->client.announce)
            b->client.announce(b->client.opaque);
    return json_object();
}

json_t *query_rx_filter(struct qmp_call *call)
{
    const char *name = qmp_string(call, "name", NULL);
    json_t *list = json_array();
    for (const struct net_backend *b = call->machine->nets.first; b; b = b->next) {
        const char *id = b->client.id ? b->client.id(b->client.opaque) : NULL;
        if (b->client.rx_filter && (!name || (id && !strcmp(id, name))))
            json_array_append_new(list, b->client.rx_filter(b->client.opaque));
    }
    if (json_array_size(list) || !name)
        return list;
    json_decref(list);
    return qmp_fail(call, "GenericError", "invalid net client name: %.60s", name);
}

static json_t *traffic(const struct net_traffic *t)
{
    return json_pack("{s:I,s:I,s:I}", "bytes", (json_int_t)t->bytes, "packets", (json_int_t)t->packets,
                     "dropped", (json_int_t)t->dropped);
}

/* Ours, as QEMU has no such command: of a network of the user's the host knows no counters. */
json_t *query_netdev_stats(struct qmp_call *call)
{
    json_t *list = json_array();
    for (const struct net_backend *b = call->machine->nets.first; b; b = b->next) {
        const char *card = b->client.id ? b->client.id(b->client.opaque) : NULL;
        json_t *one =
            json_pack("{s:s,s:o,s:o}", "id", b->id, "rx", traffic(&b->received), "tx", traffic(&b->sent));
        if (card)
            json_object_set_new(one, "device", json_string(card));
        json_array_append_new(list, one);
    }
    return list;
}

/* ---- character devices ---- */

/* QAPI's ChardevBackend as the properties of -chardev: what is called otherwise there, and what is lifted out
 * of an inner object. */
static void flatten(json_t *flat, const json_t *data)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)data, key, value)
    {
        if (!strcmp(key, "addr") || (!strcmp(key, "data") && json_is_object(value)))
            flatten(flat, value);
        else if (!strcmp(key, "str"))
            json_object_set(flat, "fd", value);
        else if (!strcmp(key, "out"))
            json_object_set(flat, "path", value);
        else if (strcmp(key, "type"))
            json_object_set(flat, key, value);
    }
}

static int chardev_properties(struct qmp_call *call, struct properties *p)
{
    const json_t *backend = json_object_get(call->arguments, "backend");
    const char *type = json_string_value(json_object_get(backend, "type"));
    json_t *flat = json_object();
    flatten(flat, json_object_get(backend, "data"));
    if (type && !strcmp(type, "socket") && !json_object_get(flat, "server"))
        json_object_set_new(flat, "server", json_true()); /* QAPI's default */
    if (json_is_true(json_object_get(flat, "server")) && !json_object_get(flat, "wait"))
        json_object_set_new(flat, "wait", json_false());
    int r = properties_from_json(p, flat, "chardev-add", &call->e);
    json_decref(flat);
    if (r == 0 && (properties_add(p, "backend", type ? type : "") < 0 ||
                   properties_add(p, "id", qmp_string(call, "id", "")) < 0))
        r = error_set(&call->e, ENOMEM, "no memory");
    return r;
}

json_t *qmp_chardev_add(struct qmp_call *call)
{
    struct chardevs *s = &call->machine->chardevs;
    struct properties p;
    const char *id = qmp_string(call, "id", "");
    if (chardevs_find(s, id))
        return qmp_fail(call, "GenericError", "Chardev with id '%.60s' already exists", id);
    int r = chardev_properties(call, &p);
    if (r == 0)
        r = chardevs_add(s, &p, "chardev-add", &call->e);
    properties_free(&p);
    struct chardev *c = r == 0 ? chardevs_find(s, id) : NULL;
    if (!c)
        return NULL;
    chardev_start(c);
    return c->config.backend == CHARDEV_PTY ? json_pack("{s:s}", "pty", c->peer) : json_object();
}

json_t *qmp_chardev_remove(struct qmp_call *call)
{
    int r = chardevs_remove(&call->machine->chardevs, qmp_string(call, "id", ""), &call->e);
    return r < 0 ? NULL : json_object();
}
