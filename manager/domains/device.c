/* device.c - devices in a domain's XML: defaults, names, finding them again */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "manager/daemon/text.h"
#include "manager/domains/definition.h"
#include "manager/domains/device.h"

static int unsupported(struct vir_error *e, xmlNode *device, const char *what, const char *value,
                       const char *choices)
{
    return vir_fail(e, VIR_ERR_CONFIG_UNSUPPORTED, "%s '%s' of <%s> is not supported; these are: %s", what,
                    value ? value : "", xml_name(device), choices);
}

/* The value at path must be one of the list; where there is none, it becomes `otherwise` (NULL: it must be
 * there). */
static int choose(xmlNode *device, const char *path, const char *choices, const char *otherwise,
                  struct vir_error *e)
{
    const char *value = xml_get(device, path);
    if (!value && otherwise) {
        xml_set(device, path, otherwise);
        return 0;
    }
    size_t n = value ? strlen(value) : 0;
    for (const char *at = choices; n && (at = strstr(at, value)); at += n)
        if ((at == choices || at[-1] == ' ') && (at[n] == ' ' || !at[n]))
            return 0;
    return unsupported(e, device, path, value, choices);
}

/* ---- disks ---- */

static const char *bus_of_target(const char *dev)
{
    return !strncmp(dev, "vd", 2)   ? "virtio"
           : !strncmp(dev, "hd", 2) ? "ide"
           : !strncmp(dev, "fd", 2) ? "fdc"
                                    : "scsi";
}

static int set_disk(xmlNode *domain, xmlNode *disk, struct vir_error *e)
{
    const char *dev = xml_get(disk, "target/@dev");
    if (!dev || !*dev || strlen(dev) > 32 || strpbrk(dev, "/ ,="))
        return vir_fail(e, VIR_ERR_XML_ERROR, "missing or malformed target device of a disk");
    if (choose(disk, "@type", "file block", "file", e) < 0 ||
        choose(disk, "@device", "disk cdrom floppy", "disk", e) < 0 ||
        choose(disk, "target/@bus", "virtio ide sata scsi fdc usb",
               xml_is(disk, "@device", "floppy") ? "fdc" : bus_of_target(dev), e) < 0 ||
        choose(disk, "driver/@name", "qemu", "qemu", e) < 0 ||
        choose(disk, "driver/@type", "raw qcow2", "raw", e) < 0)
        return -1;
    const char *source = xml_get(disk, xml_is(disk, "@type", "block") ? "source/@dev" : "source/@file");
    if (!source && xml_is(disk, "@device", "disk"))
        return vir_fail(e, VIR_ERR_XML_ERROR, "missing source information for device %s", dev);
    if (source && source[0] != '/')
        return vir_fail(e, VIR_ERR_XML_ERROR, "the source '%s' of device %s is not an absolute path", source,
                        dev);
    u64 queues = 1;
    if (xml_get_number(disk, "driver/@queues", &queues, e) < 0)
        return -1;
    if (!queues || queues > 256)
        return vir_fail(e, VIR_ERR_XML_ERROR, "a disk has between 1 and 256 queues, not %lu", queues);
    if (xml_is(disk, "@device", "cdrom") && !xml_node(disk, "readonly"))
        xml_add(disk, "readonly");
    xml_each(other, xml_node(domain, "devices"), "disk")
    {
        if (other != disk && xml_is(other, "target/@dev", dev))
            return vir_fail(e, VIR_ERR_XML_ERROR, "target '%s' duplicated for disk sources", dev);
    }
    return 0;
}

/* ---- interfaces ---- */

static void set_random_mac(xmlNode *interface)
{
    u8 r[3];
    ASSERT(getrandom(r, sizeof(r), 0) == sizeof(r));
    xml_setf(interface, "mac/@address", "52:54:00:%02x:%02x:%02x", r[0], r[1], r[2]);
}

static bool is_mac(const char *s)
{
    unsigned b[6];
    char end;
    return sscanf(s, "%2x:%2x:%2x:%2x:%2x:%2x%c", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5], &end) == 6 &&
           !(b[0] & 1);
}

/* A network between two machines: where, and for datagrams from where. */
static int check_socket(xmlNode *interface, struct vir_error *e)
{
    const bool udp = xml_is(interface, "@type", "udp"), server = xml_is(interface, "@type", "server");
    if (!udp && !server && !xml_is(interface, "@type", "client") && !xml_is(interface, "@type", "mcast"))
        return 0;
    if (!xml_get(interface, "source/@port"))
        return vir_fail(e, VIR_ERR_XML_ERROR, "No <source> 'port' attribute specified with socket interface");
    if (!server && !xml_get(interface, "source/@address"))
        return vir_fail(e, VIR_ERR_XML_ERROR,
                        "No <source> 'address' attribute specified with socket interface");
    if (udp && (!xml_get(interface, "source/local/@address") || !xml_get(interface, "source/local/@port")))
        return vir_fail(e, VIR_ERR_XML_ERROR,
                        "No <local> 'address' or 'port' attribute specified with socket interface");
    return 0;
}

static int set_interface(xmlNode *domain, xmlNode *interface, struct vir_error *e)
{
    if (choose(interface, "@type", "user network bridge ethernet server client mcast udp", NULL, e) < 0 ||
        choose(interface, "model/@type", "virtio e1000 e1000e rtl8139", "virtio", e) < 0)
        return -1;
    if (!xml_get(interface, "mac/@address"))
        set_random_mac(interface);
    xml_put_first(xml_node(interface, "mac"));
    const char *mac = xml_get(interface, "mac/@address");
    if (!is_mac(mac))
        return vir_fail(e, VIR_ERR_XML_ERROR, "unable to parse mac address '%s', or it is a multicast one",
                        mac);
    xml_each(other, xml_node(domain, "devices"),
             "interface") if (other != interface && xml_get(other, "mac/@address") &&
                              !strcasecmp(xml_get(other, "mac/@address"),
                                          mac)) return vir_fail(e, VIR_ERR_CONFIG_UNSUPPORTED,
                                                                "MAC address %s is used by two interfaces",
                                                                mac);
    if (xml_is(interface, "@type", "bridge") && !xml_get(interface, "source/@bridge"))
        return vir_fail(e, VIR_ERR_XML_ERROR,
                        "No <source> 'bridge' attribute specified with <interface type='bridge'/>");
    if (xml_is(interface, "@type", "network") && !xml_get(interface, "source/@network"))
        return vir_fail(e, VIR_ERR_XML_ERROR,
                        "No <source> 'network' attribute specified with <interface type='network'/>");
    return check_socket(interface, e);
}

/* ---- character devices ---- */

static unsigned index_of(xmlNode *device)
{
    unsigned n = 0;
    xml_each(other, device->parent, xml_name(device))
    {
        if (other == device)
            break;
        n++;
    }
    return n;
}

static int set_chardev(xmlNode *device, struct vir_error *e)
{
    static const char *const on_off = "on off";
    const bool tcp = xml_is(device, "@type", "tcp"), local = xml_is(device, "@type", "unix");
    if (choose(device, "@type", "pty unix tcp file null", NULL, e) < 0)
        return -1;
    /* A channel without a path gets one of the daemon's own. */
    if ((local || xml_is(device, "@type", "file")) && !xml_get(device, "source/@path") &&
        strcmp(xml_name(device), "channel"))
        return vir_fail(e, VIR_ERR_XML_ERROR, "Missing source path attribute for char device");
    if (tcp && (!xml_get(device, "source/@host") || !xml_get(device, "source/@service")))
        return vir_fail(e, VIR_ERR_XML_ERROR, "Missing source %s attribute for char device",
                        xml_get(device, "source/@host") ? "service" : "host");
    if (tcp && choose(device, "protocol/@type", "raw", "raw", e) < 0)
        return -1;
    if ((tcp || (local && xml_get(device, "source/@path"))) &&
        choose(device, "source/@mode", "connect bind", "connect", e) < 0)
        return -1;
    if (xml_get(device, "source/@append") && choose(device, "source/@append", on_off, NULL, e) < 0)
        return -1;
    if (!xml_node(device, "log"))
        return 0;
    if (!xml_get(device, "log/@file"))
        return vir_fail(e, VIR_ERR_XML_ERROR, "Missing required attribute 'file' in element 'log'");
    return xml_get(device, "log/@append") ? choose(device, "log/@append", on_off, NULL, e) : 0;
}

static int set_serial(xmlNode *domain, xmlNode *serial, struct vir_error *e)
{
    (void)domain;
    if (set_chardev(serial, e) < 0 || choose(serial, "target/@type", "isa-serial", "isa-serial", e) < 0)
        return -1;
    xml_setf(serial, "target/@port", "%u", index_of(serial));
    if (!xml_get(serial, "target/model/@name"))
        xml_set(serial, "target/model/@name", "isa-serial");
    return 0;
}

static int set_console(xmlNode *domain, xmlNode *console, struct vir_error *e)
{
    (void)domain;
    if (choose(console, "target/@type", "serial virtio", "serial", e) < 0)
        return -1;
    if (xml_is(console, "target/@type", "virtio") && set_chardev(console, e) < 0)
        return -1;
    xml_setf(console, "target/@port", "%u", index_of(console));
    return 0;
}

static int set_channel(xmlNode *domain, xmlNode *channel, struct vir_error *e)
{
    (void)domain;
    if (choose(channel, "target/@type", "virtio", NULL, e) < 0 || set_chardev(channel, e) < 0)
        return -1;
    return xml_get(channel, "target/@name")
               ? 0
               : vir_fail(e, VIR_ERR_XML_ERROR, "a <channel> needs a target name");
}

/* The first console is the first serial port seen another way: each makes the other. */
static void copy_ends(xmlNode *to, xmlNode *from)
{
    static const char *const names[] = {"log", "protocol", "source"}; /* each becomes the first */
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        xmlNode *has = xml_node(from, names[i]);
        xml_remove(to, names[i]);
        if (has)
            xml_put_first(xmlAddChild(to, xmlDocCopyNode(has, to->doc, 1)));
    }
}

static void pair_console(xmlNode *devices)
{
    xmlNode *serial = xml_next(devices, NULL, "serial"), *console = xml_next(devices, NULL, "console");
    if (console && xml_is(console, "target/@type", "virtio"))
        return;
    if (console && !serial) {
        serial = xml_add(devices, "serial");
        xml_set(serial, "@type", xml_get_or(console, "@type", "pty"));
        copy_ends(serial, console);
    } else if (serial && !console)
        console = xml_add(devices, "console");
    if (!serial)
        return;
    xml_set(console, "@type", xml_get_or(serial, "@type", "pty"));
    xml_set(console, "target/@type", "serial");
    xml_set(console, "target/@port", "0");
}

/* Once the port has its defaults. */
static void show_port(xmlNode *devices)
{
    xmlNode *serial = xml_next(devices, NULL, "serial"), *console = xml_next(devices, NULL, "console");
    if (serial && console && xml_is(console, "target/@type", "serial"))
        copy_ends(console, serial);
}

/* ---- the rest ---- */

static int set_controller(xmlNode *domain, xmlNode *controller, struct vir_error *e)
{
    if (choose(controller, "@type", "usb ide sata scsi pci virtio-serial fdc", NULL, e) < 0)
        return -1;
    if (xml_get(controller, "@index"))
        return 0;
    u64 next = 0, each;
    xml_each(other, xml_node(domain, "devices"),
             "controller") if (other != controller && xml_is(other, "@type", xml_get(controller, "@type")) &&
                               number_parse(xml_get_or(other, "@index", ""), &each) && each >= next) next =
        each + 1;
    /* Index 0 of the PCI buses is the board's own. */
    const char *model = xml_get_or(controller, "@model", "");
    if (xml_is(controller, "@type", "pci") && !next && strcmp(model, "pci-root") &&
        strcmp(model, "pcie-root"))
        next = 1;
    xml_setf(controller, "@index", "%lu", next);
    return 0;
}

static int set_input(xmlNode *domain, xmlNode *input, struct vir_error *e)
{
    (void)domain;
    return choose(input, "@type", "tablet mouse keyboard", NULL, e) < 0 ||
                   choose(input, "@bus", "usb ps2 virtio", xml_is(input, "@type", "tablet") ? "usb" : "ps2",
                          e) < 0
               ? -1
               : 0;
}

static int set_graphics(xmlNode *domain, xmlNode *graphics, struct vir_error *e)
{
    (void)domain;
    if (choose(graphics, "@type", "vnc", NULL, e) < 0)
        return -1;
    u64 port;
    const char *text = xml_get_or(graphics, "@port", "-1");
    if (strcmp(text, "-1") && (!number_parse(text, &port) || port < 5900 || port > 65535))
        return vir_fail(e, VIR_ERR_XML_ERROR, "vnc port must be in range [5900,65535], or -1");
    if (!strcmp(text, "-1"))
        xml_set(graphics, "@autoport", "yes");
    xml_set(graphics, "@port", text);
    if (!xml_get(graphics, "@listen"))
        xml_set(graphics, "@listen", xml_get_or(graphics, "listen/@address", "127.0.0.1"));
    xml_set(graphics, "listen/@type", "address");
    xml_set(graphics, "listen/@address", xml_get(graphics, "@listen"));
    return 0;
}

static int set_video(xmlNode *domain, xmlNode *video, struct vir_error *e)
{
    (void)domain;
    return choose(video, "model/@type", "vga cirrus virtio bochs qxl vmvga none", "vga", e);
}

static int set_balloon(xmlNode *domain, xmlNode *balloon, struct vir_error *e)
{
    (void)domain;
    return choose(balloon, "@model", "virtio virtio-transitional virtio-non-transitional none", "virtio", e);
}

static int set_rng(xmlNode *domain, xmlNode *rng, struct vir_error *e)
{
    (void)domain;
    return choose(rng, "@model", "virtio", "virtio", e) < 0 ||
                   choose(rng, "backend/@model", "random builtin", "random", e) < 0
               ? -1
               : 0;
}

static int set_watchdog(xmlNode *domain, xmlNode *watchdog, struct vir_error *e)
{
    (void)domain;
    return choose(watchdog, "@model", "i6300esb ib700 itco", "i6300esb", e) < 0 ||
                   choose(watchdog, "@action", "reset shutdown poweroff pause none inject-nmi", "reset", e) <
                       0
               ? -1
               : 0;
}

static int set_nothing(xmlNode *domain, xmlNode *device, struct vir_error *e)
{
    (void)domain;
    (void)device;
    (void)e;
    return 0;
}

static int refuse(xmlNode *domain, xmlNode *device, struct vir_error *e)
{
    (void)domain;
    return vir_fail(e, VIR_ERR_CONFIG_UNSUPPORTED, "<%s> devices are not supported", xml_name(device));
}

/* A kind of device: its defaults, and what its aliases begin with. */
static const struct kind {
    const char *element, *alias;
    int (*set)(xmlNode *domain, xmlNode *device, struct vir_error *e);
} kinds[] = {
    {"emulator", NULL, set_nothing},
    {"disk", "disk", set_disk},
    {"controller", NULL, set_controller},
    {"interface", "net", set_interface},
    {"serial", "serial", set_serial},
    {"console", "console", set_console},
    {"channel", "channel", set_channel},
    {"input", "input", set_input},
    {"graphics", NULL, set_graphics},
    {"video", "video", set_video},
    {"memballoon", "balloon", set_balloon},
    {"rng", "rng", set_rng},
    {"watchdog", "watchdog", set_watchdog},
    {"panic", "panic", set_nothing},
    {"sound", "sound", refuse},
    {"audio", "audio", set_nothing},
    {"parallel", "parallel", refuse},
    {"redirdev", "redir", refuse},
    {"hub", "hub", refuse},
};

static const struct kind *find_kind(const xmlNode *device)
{
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        if (!strcmp(kinds[i].element, xml_name(device)))
            return &kinds[i];
    return NULL;
}

/* A console that is a serial port seen another way. */
static bool is_port_again(xmlNode *device)
{
    return !strcmp(xml_name(device), "console") && !xml_is(device, "target/@type", "virtio");
}

/* An alias that a client chooses begins with "ua-", and becomes part of ids and of a file's name. Others were
 * those of a machine that ran. */
static int check_alias(xmlNode *domain, xmlNode *device, struct vir_error *e)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    enum { LONGEST = 64 };
    const char *alias = xml_get(device, "alias/@name");
    if (!alias || strncmp(alias, "ua-", 3) || alias[strspn(alias, letters)] || strlen(alias) > LONGEST) {
        xml_remove(device, "alias");
        return 0;
    }
    xml_each(other, xml_node(domain, "devices"), NULL)
    {
        bool again = other == device || is_port_again(other) || is_port_again(device);
        if (!again && xml_is(other, "alias/@name", alias))
            return vir_fail(e, VIR_ERR_CONFIG_UNSUPPORTED, "non unique alias detected: %s", alias);
    }
    return 0;
}

int device_set(xmlNode *domain, xmlNode *device, struct vir_error *e)
{
    const struct kind *k = find_kind(device);
    if (!k)
        return vir_fail(e, VIR_ERR_CONFIG_UNSUPPORTED, "<%s> is no device that is supported",
                        xml_name(device));
    return check_alias(domain, device, e) < 0 ? -1 : k->set(domain, device, e);
}

int device_set_all(xmlNode *domain, const struct emulator *em, struct vir_error *e)
{
    xmlNode *devices = xml_node(domain, "devices");
    pair_console(devices);
    xml_each(device, devices, NULL) if (device_set(domain, device, e) < 0) return -1;
    show_port(devices);
    if (!xml_node(devices, "memballoon"))
        xml_set(devices, "memballoon/@model",
                emulator_has_device(em, "virtio-balloon-pci") ? "virtio" : "none");
    return 0;
}

bool device_has_boot_order(xmlNode *domain)
{
    xml_each(device, xml_node(domain, "devices"), NULL) if (xml_get(device, "boot/@order")) return true;
    return false;
}

/* ---- aliases ---- */

static bool alias_taken(xmlNode *domain, const char *alias)
{
    return device_find_alias(domain, alias) != NULL;
}

/* Programs derive the number from the processors that they begin with; it must stay when the machine comes
 * back from a save with some that were added. */
static void set_queues(xmlNode *domain, xmlNode *disk)
{
    if (xml_is(disk, "target/@bus", "virtio") && !xml_get(disk, "driver/@queues"))
        xml_setf(disk, "driver/@queues", "%u", definition_vcpus(domain));
}

static void set_alias(xmlNode *domain, xmlNode *device)
{
    const struct kind *k = find_kind(device);
    char alias[128];
    if (!k || xml_get(device, "alias/@name"))
        return;
    if (!strcmp(k->element, "controller")) {
        snprintf(alias, sizeof(alias), "%s.%s", xml_get(device, "@type"), xml_get_or(device, "@index", "0"));
        if (xml_is(device, "@type", "pci") && xml_is(device, "@index", "0"))
            snprintf(alias, sizeof(alias), "%s", xml_is(device, "@model", "pcie-root") ? "pcie.0" : "pci.0");
        xml_set(device, "alias/@name", alias);
        return;
    }
    if (!k->alias)
        return;
    if (!strcmp(k->element, "disk"))
        snprintf(alias, sizeof(alias), "%s-disk-%s", xml_get(device, "target/@bus"),
                 xml_get(device, "target/@dev"));
    else if (!strcmp(k->element, "console") && xml_is(device, "target/@type", "serial"))
        snprintf(alias, sizeof(alias), "%s",
                 xml_get_or(domain, "devices/serial/alias/@name", "serial0")); /* the same thing */
    else
        for (unsigned n = 0; n == 0 || alias_taken(domain, alias); n++)
            snprintf(alias, sizeof(alias), "%s%u", k->alias, n);
    xml_set(device, "alias/@name", alias);
}

void device_set_live(xmlNode *domain, xmlNode *device)
{
    set_alias(domain, device);
    if (!strcmp(xml_name(device), "disk"))
        set_queues(domain, device);
}

void device_set_all_live(xmlNode *domain)
{
    xml_each(device, xml_node(domain, "devices"), NULL) device_set_live(domain, device);
}

/* ---- finding ---- */

xmlNode *device_find_alias(xmlNode *domain, const char *alias)
{
    xml_each(device, xml_node(domain, "devices"),
             NULL) if (xml_is(device, "alias/@name", alias)) return device;
    return NULL;
}

xmlNode *device_find_disk(xmlNode *domain, const char *path)
{
    xml_each(disk, xml_node(domain, "devices"), "disk") if (xml_is(disk, "target/@dev", path) ||
                                                            xml_is(disk, "source/@file", path) ||
                                                            xml_is(disk, "source/@dev", path)) return disk;
    return NULL;
}

xmlNode *device_find_interface(xmlNode *domain, const char *name)
{
    xml_each(interface, xml_node(domain, "devices"), "interface")
    {
        const char *mac = xml_get(interface, "mac/@address");
        if (xml_is(interface, "target/@dev", name) || (mac && !strcasecmp(mac, name)))
            return interface;
    }
    return NULL;
}

xmlNode *device_find(xmlNode *domain, xmlNode *like, struct vir_error *e)
{
    const char *kind = xml_name(like), *alias = xml_get(like, "alias/@name");
    xmlNode *found = alias ? device_find_alias(domain, alias) : NULL;
    if (!found && !strcmp(kind, "disk") && xml_get(like, "target/@dev"))
        found = device_find_disk(domain, xml_get(like, "target/@dev"));
    if (!found && !strcmp(kind, "interface") && xml_get(like, "mac/@address"))
        found = device_find_interface(domain, xml_get(like, "mac/@address"));
    if (found)
        return found;
    if (!strcmp(kind, "disk"))
        vir_fail(e, VIR_ERR_DEVICE_MISSING, "no target device %s", xml_get_or(like, "target/@dev", ""));
    else if (!strcmp(kind, "interface"))
        vir_fail(e, VIR_ERR_DEVICE_MISSING, "no device matching MAC address %s found",
                 xml_get_or(like, "mac/@address", ""));
    else {
        xmlNode *devices = xml_node(domain, "devices"), *first = xml_next(devices, NULL, kind);
        if (first && !xml_next(devices, first, kind))
            return first;
        vir_fail(e, VIR_ERR_DEVICE_MISSING, "no <%s> of this domain is the one that is meant", kind);
    }
    return NULL;
}
