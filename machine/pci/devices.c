/* devices.c - the devices that -device can name, and how one gets onto the bus */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine/pci/pci.h"
#include "machine/virtio/types.h"

const struct pci_type *const pci_types[] = {
    &virtio_balloon.pci, &virtio_blk.pci, &virtio_net.pci, &virtio_rng.pci, &virtio_serial.pci, NULL,
};

const struct pci_type *pci_type_find(const char *name)
{
    for (const struct pci_type *const *t = pci_types; *t; t++)
        if (!strcmp((*t)->name, name) || ((*t)->alias && !strcmp((*t)->alias, name)))
            return *t;
    return NULL;
}

/* What all devices on the bus have. */
struct common {
    const char *driver, *id, *bus, *addr;
    u32 boot_index;
};
static const struct property_row common_rows[] = {
    {"driver", PROPERTY_TEXT, offsetof(struct common, driver), .help = "the kind of device"},
    {"id", PROPERTY_TEXT, offsetof(struct common, id), .help = "its name, for device_del"},
    {"bus", PROPERTY_TEXT, offsetof(struct common, bus), "pcie.0", "the bus: pcie.0"},
    {"addr", PROPERTY_TEXT, offsetof(struct common, addr), .help = "its slot on the bus"},
    {"bootindex", PROPERTY_U32, offsetof(struct common, boot_index),
     .help = "its place in the order of boot"},
    {0}};

void pci_device_help(const char *name)
{
    const struct pci_type *type = name ? pci_type_find(name) : NULL;
    for (const struct pci_type *const *t = pci_types; *t && !type; t++)
        printf("  %-18s %s\n", (*t)->name, (*t)->help);
    if (!type)
        return;
    properties_help(common_rows + 1);
    if (type->properties)
        properties_help(type->properties);
}

/* "0x3", "3" (hexadecimal, as QEMU reads it), "3.0"; -1: any. */
static int parse_slot(const char *text, int *slot, struct error *e)
{
    char *end = NULL;
    *slot = -1;
    if (!text)
        return 0;
    long n = strtol(text, &end, 16);
    if (end == text || (*end && strcmp(end, ".0")) || n < 1 || n >= PCI_SLOTS)
        return error_set(e, EINVAL, "-device: addr '%s' is no slot: use 1 to 1f", text);
    *slot = (int)n;
    return 0;
}

/* Takes the common properties out of p. */
static int read_common(struct properties *p, struct common *c, struct error *e)
{
    struct properties mine = {0};
    int r = 0;
    for (const struct property_row *row = common_rows; row->name && r == 0; row++) {
        const char *value = properties_get(p, row->name);
        r = value ? properties_add(&mine, row->name, value) : 0;
        properties_remove(p, row->name);
    }
    r = r < 0 ? error_set(e, ENOMEM, "-device: no memory")
              : properties_read(&mine, common_rows, c, "-device", e);
    c->driver = c->driver ? strdup(c->driver) : NULL;
    c->id = c->id ? strdup(c->id) : NULL;
    c->bus = c->bus ? strdup(c->bus) : NULL;
    c->addr = c->addr ? strdup(c->addr) : NULL;
    properties_free(&mine);
    return r;
}

static struct pci_device *create(const struct pci_place *place, const struct common *c,
                                 const struct properties *rest, struct error *e)
{
    int slot;
    const struct pci_type *type = c->driver ? pci_type_find(c->driver) : NULL;
    if (!type)
        error_set(e, EINVAL, "-device '%s' is not supported: -device help lists the devices",
                  c->driver ? c->driver : "");
    else if (c->id && pci_find(place->bus, c->id))
        error_set(e, EEXIST, "-device: id '%s' is taken: use another", c->id);
    else if (strcmp(c->bus, "pcie.0") && strcmp(c->bus, "pci.0"))
        error_set(e, ENODEV, "-device %s: there is no bus '%s': use pcie.0", type->name, c->bus);
    else if (parse_slot(c->addr, &slot, e) == 0) {
        struct pci_device *d = type->create(type, place, rest, e);
        if (d && pci_plug(place->bus, d, slot, e) == 0)
            return d;
        if (d)
            type->destroy(d);
    }
    return NULL;
}

struct pci_device *pci_device_add(const struct pci_place *place, const struct properties *p, struct error *e)
{
    struct properties rest;
    struct common c = {.boot_index = UINT32_MAX};
    struct pci_device *d = NULL;
    if (properties_copy(&rest, p) < 0) {
        error_set(e, ENOMEM, "-device: no memory");
        return NULL;
    }
    if (read_common(&rest, &c, e) == 0)
        d = create(place, &c, &rest, e);
    if (d) {
        d->id = (char *)c.id;
        d->boot_index = c.boot_index;
        c.id = NULL;
    }
    free((char *)c.driver);
    free((char *)c.id);
    free((char *)c.bus);
    free((char *)c.addr);
    properties_free(&rest);
    return d;
}
