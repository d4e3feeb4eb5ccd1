/* command.c - from a domain's XML to struct vm_config, and from there to a command line */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/config/options.h"
#include "manager/daemon/text.h"
#include "manager/domains/command.h"
#include "manager/domains/definition.h"
#include "manager/networks/network.h"

static void set(struct properties *p, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void set(struct properties *p, const char *name, const char *fmt, ...)
{
    char *value;
    va_list ap;
    va_start(ap, fmt);
    ASSERT(vasprintf(&value, fmt, ap) >= 0);
    va_end(ap);
    ASSERT(properties_add(p, name, value) == 0);
    free(value);
}

static void set_if(struct properties *p, const char *name, const char *value)
{
    if (value)
        set(p, name, "%s", value);
}

static struct properties *add(struct objects *o)
{
    struct properties *p = objects_add(o);
    ASSERT(p);
    return p;
}

static struct properties *add_device(struct vm_config *c, const char *driver, const char *id)
{
    struct properties *p = add(&c->devices);
    set(p, "driver", "%s", driver);
    set_if(p, "id", id);
    return p;
}

static const char *alias(xmlNode *device)
{
    return xml_get_or(device, "alias/@name", xml_name(device));
}

/* Where the XML says so; else the program finds a place. */
static void set_address(struct properties *p, xmlNode *device)
{
    if (!xml_is(device, "address/@type", "pci"))
        return;
    unsigned long bus = strtoul(xml_get_or(device, "address/@bus", "0"), NULL, 0),
                  slot = strtoul(xml_get_or(device, "address/@slot", "0"), NULL, 0),
                  function = strtoul(xml_get_or(device, "address/@function", "0"), NULL, 0);
    const char *machine = xml_get_or(xml_node(xmlDocGetRootElement(device->doc), "os"), "type/@machine", "");
    if (bus)
        set(p, "bus", "pci.%lu", bus);
    else
        set(p, "bus", "%s", strstr(machine, "q35") ? "pcie.0" : "pci.0");
    set(p, "addr", function ? "0x%lx.0x%lx" : "0x%lx", slot, function);
    if (xml_is(device, "address/@multifunction", "on"))
        set(p, "multifunction", "on");
}

/* ---- disks ---- */

void command_disk(xmlNode *disk, struct properties *drive, struct properties *device)
{
    const char *bus = xml_get(disk, "target/@bus"), *dev = xml_get(disk, "target/@dev");
    const char *source = xml_get(disk, xml_is(disk, "@type", "block") ? "source/@dev" : "source/@file");
    bool cdrom = xml_is(disk, "@device", "cdrom");
    set(drive, "id", "drive-%s", alias(disk));
    set_if(drive, "file", source);
    if (source)
        set(drive, "format", "%s", xml_get(disk, "driver/@type"));
    if (cdrom)
        set(drive, "media", "cdrom");
    if (xml_node(disk, "readonly"))
        set(drive, "readonly", "on");
    set_if(drive, "cache", xml_get(disk, "driver/@cache"));
    set_if(drive, "aio", xml_get(disk, "driver/@io"));
    set_if(drive, "discard", xml_get(disk, "driver/@discard"));
    set_if(drive, "detect-zeroes", xml_get(disk, "driver/@detect_zeroes"));
    set_if(drive, "werror", xml_get(disk, "driver/@error_policy"));
    set_if(drive, "rerror", xml_get(disk, "driver/@rerror_policy"));
    const char *model = !strcmp(bus, "virtio") ? "virtio-blk-pci"
                        : !strcmp(bus, "usb")  ? "usb-storage"
                        : !strcmp(bus, "fdc")  ? "floppy"
                        : !strcmp(bus, "scsi") ? (cdrom ? "scsi-cd" : "scsi-hd")
                                               : (cdrom ? "ide-cd" : "ide-hd");
    set(device, "driver", "%s", model);
    set(device, "id", "%s", alias(disk));
    set(device, "drive", "drive-%s", alias(disk));
    set_if(device, "serial", xml_get(disk, "serial"));
    set_if(device, "bootindex", xml_get(disk, "boot/@order"));
    if (!strcmp(bus, "virtio"))
        set_if(device, "num-queues", xml_get(disk, "driver/@queues"));
    if (!strcmp(bus, "sata"))
        set(device, "bus", "ide.%d", dev[2] >= 'a' && dev[2] <= 'f' ? dev[2] - 'a' : 0);
    if (!strcmp(bus, "virtio"))
        set_address(device, disk);
}

/* ---- networks ---- */

static void set_forwards(struct properties *p, xmlNode *interface)
{
    xml_each(forward, interface, "portForward") xml_each(range, forward, "range")
        set(p, "hostfwd", "%s:%s:%s-:%s", xml_get_or(forward, "@proto", "tcp"),
            xml_get_or(forward, "@address", ""), xml_get_or(range, "@start", "0"),
            xml_get_or(range, "@to", xml_get_or(range, "@start", "0")));
}

static void set_one(void *opaque, const char *name, const char *value)
{
    set(opaque, name, "%s", value);
}

/* What stands behind an interface that names a network. */
static int set_network(struct properties *netdev, const char *name, struct resources *networks,
                       struct vir_error *e)
{
    const struct resource *network = resources_by_name(networks, name);
    if (!network)
        return vir_fail(e, VIR_ERR_NO_NETWORK, "no network with matching name '%s'", name);
    if (resource_need_active(network, e) < 0)
        return -1;
    const char *bridge = network_bridge(network);
    set(netdev, "type", "%s", bridge ? "bridge" : "user");
    set_if(netdev, "br", bridge);
    if (!bridge)
        network_user_properties(network, set_one, netdev);
    return 0;
}

/* What libvirt calls each end of a network between two machines. */
static bool set_socket(struct properties *netdev, xmlNode *interface)
{
    static const struct {
        const char *type, *property;
    } ends[] = {{"server", "listen"}, {"client", "connect"}, {"mcast", "mcast"}, {"udp", "udp"}};
    for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
        if (!xml_is(interface, "@type", ends[i].type))
            continue;
        set(netdev, "type", "socket");
        set(netdev, ends[i].property, "%s:%s", xml_get_or(interface, "source/@address", ""),
            xml_get(interface, "source/@port"));
        if (xml_node(interface, "source/local"))
            set(netdev, "localaddr", "%s:%s", xml_get_or(interface, "source/local/@address", ""),
                xml_get(interface, "source/local/@port"));
        return true;
    }
    return false;
}

static void set_back_end(struct properties *netdev, xmlNode *interface)
{
    if (set_socket(netdev, interface))
        return;
    if (xml_is(interface, "@type", "bridge")) {
        set(netdev, "type", "bridge");
        set(netdev, "br", "%s", xml_get(interface, "source/@bridge"));
    } else if (xml_is(interface, "@type", "ethernet")) {
        set(netdev, "type", "tap");
        set_if(netdev, "ifname", xml_get(interface, "target/@dev"));
        set(netdev, "script", "no");
        set(netdev, "downscript", "no");
    } else {
        set(netdev, "type", "user");
        set_forwards(netdev, interface);
    }
}

int command_interface(xmlNode *interface, struct resources *networks, struct properties *netdev,
                      struct properties *device, struct vir_error *e)
{
    const char *model = xml_get(interface, "model/@type");
    bool named = xml_is(interface, "@type", "network");
    if (named && set_network(netdev, xml_get(interface, "source/@network"), networks, e) < 0)
        return -1;
    if (!named)
        set_back_end(netdev, interface);
    set(netdev, "id", "host%s", alias(interface));
    set(device, "driver", "%s", !strcmp(model, "virtio") ? "virtio-net-pci" : model);
    set(device, "netdev", "host%s", alias(interface));
    set(device, "id", "%s", alias(interface));
    set(device, "mac", "%s", xml_get(interface, "mac/@address"));
    set_if(device, "bootindex", xml_get(interface, "boot/@order"));
    set_address(device, interface);
    return 0;
}

/* ---- character devices ---- */

static void add_chardev(struct vm_config *c, xmlNode *device)
{
    struct properties *p = add(&c->chardevs);
    const char *type = xml_get_or(device, "@type", "pty"), *path = xml_get(device, "source/@path");
    set(p, "backend", "%s", !strcmp(type, "unix") || !strcmp(type, "tcp") ? "socket" : type);
    set(p, "id", "char%s", alias(device));
    if (!strcmp(type, "unix") || !strcmp(type, "file"))
        set_if(p, "path", path);
    if (!strcmp(type, "tcp")) {
        set(p, "host", "%s", xml_get(device, "source/@host"));
        set(p, "port", "%s", xml_get(device, "source/@service"));
    }
    if (xml_is(device, "source/@mode", "bind")) {
        set(p, "server", "on");
        set(p, "wait", "off");
    }
    set_if(p, "append", xml_get(device, "source/@append"));
    set_if(p, "logfile", xml_get(device, "log/@file"));
    set_if(p, "logappend", xml_get(device, "log/@append"));
}

/* isa-serial has a name in QEMU alone. */
static void add_serial(struct vm_config *c, xmlNode *serial, bool lodge)
{
    add_chardev(c, serial);
    if (lodge) {
        set(add(&c->kept), "serial", "chardev:char%s", alias(serial));
        ASSERT(texts_add(&c->serials, properties_get(&c->kept.at[c->kept.count - 1], "serial")) == 0);
        return;
    }
    struct properties *p = add_device(c, "isa-serial", alias(serial));
    set(p, "chardev", "char%s", alias(serial));
    set(p, "index", "%s", xml_get_or(serial, "target/@port", "0"));
}

static void add_port(struct vm_config *c, xmlNode *device, const char *driver)
{
    add_chardev(c, device);
    if (!objects_find(&c->devices, "virtio-serial0"))
        add_device(c, "virtio-serial-pci", "virtio-serial0");
    struct properties *p = add_device(c, driver, alias(device));
    set(p, "chardev", "char%s", alias(device));
    set_if(p, "name", xml_get(device, "target/@name"));
}

/* ---- everything else ---- */

static void add_disk(struct vm_config *c, xmlNode *disk)
{
    if (xml_is(disk, "target/@bus", "scsi") && !objects_find(&c->devices, "scsi0"))
        add_device(c, "virtio-scsi-pci", "scsi0");
    if (xml_is(disk, "target/@bus", "usb") && !objects_find(&c->devices, "usb"))
        add_device(c, "qemu-xhci", "usb");
    struct properties *drive = add(&c->drives);
    command_disk(disk, drive, add(&c->devices));
}

static int add_interface(struct vm_config *c, xmlNode *interface, const struct launch *l, struct vir_error *e)
{
    struct properties *netdev = add(&c->netdevs);
    return command_interface(interface, l->networks, netdev, add(&c->devices), e);
}

static void add_controller(struct vm_config *c, xmlNode *controller)
{
    const char *model = xml_get_or(controller, "@model", "");
    if (strstr(model, "xhci") && !objects_find(&c->devices, "usb"))
        add_device(c, "qemu-xhci", "usb");
    if (!xml_is(controller, "@type", "pci") || strcmp(model, "pcie-root-port"))
        return;
    char id[32];
    const char *index = xml_get_or(controller, "@index", "1");
    snprintf(id, sizeof(id), "pci.%s", index);
    struct properties *p = add_device(c, "pcie-root-port", id);
    set(p, "chassis", "%s", xml_get_or(controller, "target/@chassis", index));
    set_if(p, "port", xml_get(controller, "target/@port"));
    set_address(p, controller);
}

static void add_input(struct vm_config *c, xmlNode *input)
{
    char driver[64];
    const char *bus = xml_get(input, "@bus"), *type = xml_get(input, "@type");
    if (!strcmp(bus, "ps2"))
        return; /* the board has them */
    if (!strcmp(bus, "usb") && !objects_find(&c->devices, "usb"))
        add_device(c, "qemu-xhci", "usb");
    snprintf(driver, sizeof(driver),
             !strcmp(bus, "usb") ? (strcmp(type, "keyboard") ? "usb-%s" : "usb-kbd") : "virtio-%s-pci", type);
    add_device(c, driver, alias(input));
}

static void add_video(struct vm_config *c, xmlNode *video)
{
    const char *type = xml_get(video, "model/@type");
    if (strcmp(type, "none"))
        add_device(c,
                   !strcmp(type, "vga")      ? "VGA"
                   : !strcmp(type, "cirrus") ? "cirrus-vga"
                   : !strcmp(type, "virtio") ? "virtio-vga"
                   : !strcmp(type, "bochs")  ? "bochs-display"
                   : !strcmp(type, "vmvga")  ? "vmware-svga"
                                             : "qxl-vga",
                   alias(video));
}

static void add_balloon(struct vm_config *c, xmlNode *balloon)
{
    if (xml_is(balloon, "@model", "none"))
        return;
    set_address(add_device(c, "virtio-balloon-pci", alias(balloon)), balloon);
}

/* Where a program has no sources to choose from, its own is /dev/urandom. */
static void add_rng(struct vm_config *c, xmlNode *rng, const struct emulator *em)
{
    bool builtin = xml_is(rng, "backend/@model", "builtin");
    const char *type = builtin ? "rng-builtin" : "rng-random";
    const char *file =
        xml_get(rng, "backend") && *xml_get(rng, "backend") ? xml_get(rng, "backend") : "/dev/urandom";
    struct properties *p = add_device(c, "virtio-rng-pci", alias(rng));
    if (emulator_has_object(em, type) || (!builtin && strcmp(file, "/dev/urandom"))) {
        set(p, "rng", "obj%s", alias(rng));
        struct properties *o = add(&c->objects);
        set(o, "qom-type", "%s", type);
        set(o, "id", "obj%s", alias(rng));
        if (!builtin)
            set(o, "filename", "%s", file);
    }
    set_if(p, "max-bytes", xml_get(rng, "rate/@bytes"));
    set_if(p, "period", xml_get(rng, "rate/@period"));
    set_address(p, rng);
}

static int add_devices(struct vm_config *c, xmlNode *domain, const struct launch *l, struct vir_error *e)
{
    const struct emulator *em = l->emulator;
    xmlNode *devices = xml_node(domain, "devices");
    /* Empty slots for hot-plug: a board without them has its slots on the bus itself. */
    if (emulator_has_device(em, "pcie-root-port"))
        xml_each(controller, devices, "controller") add_controller(c, controller);
    xml_each(device, devices, NULL)
    {
        const char *kind = xml_name(device);
        if (!strcmp(kind, "disk"))
            add_disk(c, device);
        else if (!strcmp(kind, "interface")) {
            if (add_interface(c, device, l, e) < 0)
                return -1;
        } else if (!strcmp(kind, "serial"))
            add_serial(c, device, em->lodge);
        else if (!strcmp(kind, "console") && xml_is(device, "target/@type", "virtio"))
            add_port(c, device, "virtconsole");
        else if (!strcmp(kind, "channel"))
            add_port(c, device, "virtserialport");
        else if (!strcmp(kind, "input"))
            add_input(c, device);
        else if (!strcmp(kind, "video"))
            add_video(c, device);
        else if (!strcmp(kind, "memballoon"))
            add_balloon(c, device);
        else if (!strcmp(kind, "rng"))
            add_rng(c, device, em);
        else if (!strcmp(kind, "panic"))
            add_device(c, "pvpanic", alias(device));
        else if (!strcmp(kind, "watchdog") && !xml_is(device, "@model", "itco"))
            add_device(c, xml_get(device, "@model"), alias(device));
    }
    return 0;
}

static const char *boot_order(xmlNode *domain, char order[8])
{
    unsigned n = 0;
    xml_each(boot, xml_node(domain, "os"), "boot") if (n < 7) order[n++] = xml_is(boot, "@dev", "cdrom") ? 'd'
                                                                           : xml_is(boot, "@dev", "network")
                                                                               ? 'n'
                                                                           : xml_is(boot, "@dev", "fd") ? 'a'
                                                                                                        : 'c';
    order[n] = 0;
    return n ? order : NULL;
}

static void set_topology(struct vm_config *c, xmlNode *domain)
{
    unsigned most = definition_max_vcpus(domain);
    xmlNode *t = xml_node(domain, "cpu/topology");
    c->smp = (struct vm_topology){.cpus = definition_vcpus(domain), .maxcpus = most};
    if (t) {
        c->smp.sockets = (u32)strtoul(xml_get_or(t, "@sockets", "1"), NULL, 10);
        c->smp.cores = (u32)strtoul(xml_get_or(t, "@cores", "1"), NULL, 10);
        c->smp.threads = (u32)strtoul(xml_get_or(t, "@threads", "1"), NULL, 10);
    } else if (most != c->smp.cpus) {
        c->smp.sockets = most;
        c->smp.cores = c->smp.threads = 1;
    }
}

/* The model, with its changes behind commas. The document of lodge-vm has neither. */
static void set_cpu(struct vm_config *c, xmlNode *domain)
{
    const char *mode = xml_get_or(domain, "cpu/@mode", "custom"), *model = xml_get(domain, "cpu/model");
    bool kvm = xml_is(domain, "@type", "kvm");
    if (definition_is_lodge(domain) || !xml_node(domain, "cpu"))
        return;
    char *text = text_printf("%s", strcmp(mode, "custom") ? (kvm && strcmp(mode, "maximum") ? "host" : "max")
                                   : model                ? model
                                   : kvm                  ? "kvm64"
                                                          : "qemu64");
    xml_each(feature, xml_node(domain, "cpu"), "feature")
    {
        const char *policy = xml_get(feature, "@policy");
        bool off = !strcmp(policy, "disable") || !strcmp(policy, "forbid");
        char *longer = text_printf("%s,%s=%s", text, xml_get(feature, "@name"), off ? "off" : "on");
        free(text);
        text = longer;
    }
    struct properties *kept = add(&c->kept);
    set(kept, "cpu", "%s", text);
    free(text);
    c->cpu = properties_get(kept, "cpu");
}

/* What the program does not have must not be lost on the way. */
static int check_program(const struct vm_config *c, xmlNode *domain, const struct emulator *em,
                         struct vir_error *e)
{
    const char *advice = em->lodge ? ": remove it, or name QEMU as the <emulator>" : "";
    for (unsigned i = 0; i < c->devices.count; i++) {
        const char *driver = properties_get(&c->devices.at[i], "driver");
        if (!emulator_has_device(em, driver))
            return vir_fail(e, VIR_ERR_CONFIG_UNSUPPORTED, "%s has no device '%s'%s", em->path, driver,
                            advice);
    }
    if (em->lodge && xml_node(domain, "devices/graphics"))
        return vir_fail(e, VIR_ERR_CONFIG_UNSUPPORTED, "lodge-vm has no <graphics>%s", advice);
    if (definition_max_vcpus(domain) > em->cpu_max)
        return vir_fail(e, VIR_ERR_CONFIG_UNSUPPORTED,
                        "Maximum CPUs greater than specified machine type limit %u", em->cpu_max);
    return 0;
}

static unsigned machine_index(const char *name)
{
    unsigned i = 0;
    while (machine_names[i] && strcmp(machine_names[i], name))
        i++;
    return machine_names[i] ? i : 0;
}

int config_from_xml(struct vm_config *c, xmlNode *domain, const struct launch *l, struct vir_error *e)
{
    *c = (struct vm_config){0};
    char *nothing[] = {(char *)"lodge-vm", NULL};
    struct error why;
    if (options_parse(c, 1, nothing, &why) < 0) /* the defaults */
        return vir_fail(e, VIR_ERR_INTERNAL_ERROR, "%s", why.text);
    c->name = xml_get(domain, "name");
    c->uuid = xml_get(domain, "uuid");
    set_cpu(c, domain);
    if (l->emulator->lodge) { /* QEMU has its own names: add_qemu_words */
        c->accel = xml_is(domain, "@type", "kvm") ? ACCEL_AUTO : ACCEL_LODGE;
        c->machine = machine_index(xml_get(domain, "os/type/@machine"));
    }
    set_topology(c, domain);
    c->memory = definition_memory(domain) << 10;
    c->kernel = xml_get(domain, "os/kernel");
    c->initrd = xml_get(domain, "os/initrd");
    if (xml_get(domain, "os/cmdline"))
        c->cmdline = xml_get(domain, "os/cmdline");
    c->bios = xml_get(domain, "os/loader");
    c->rtc_base = xml_get(domain, "clock/@offset");
    c->boot_menu = xml_is(domain, "os/bootmenu/@enable", "yes");
    c->nodefaults = c->no_shutdown = c->stopped = true;
    c->no_reboot = xml_is(domain, "on_reboot", "destroy");
    if (add_devices(c, domain, l, e) < 0)
        return -1;
    struct properties *p = add(&c->chardevs);
    set(p, "backend", "socket");
    set(p, "id", "charmonitor");
    set(p, "path", "%s", l->monitor);
    set(p, "server", "on");
    set(p, "wait", "off");
    p = add(&c->mons);
    set(p, "chardev", "charmonitor");
    set(p, "id", "monitor");
    set(p, "mode", "control");
    return check_program(c, domain, l->emulator, e);
}

/* ---- words ---- */

struct words {
    char **at;
    unsigned count;
};

static void word(struct words *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void word(struct words *w, const char *fmt, ...)
{
    w->at = realloc(w->at, (w->count + 2) * sizeof(*w->at));
    ASSERT(w->at);
    va_list ap;
    va_start(ap, fmt);
    ASSERT(vasprintf(&w->at[w->count++], fmt, ap) >= 0);
    va_end(ap);
    w->at[w->count] = NULL;
}

/* QEMU's board and accelerator have names that lodge-vm's have not. */
static void add_qemu_words(struct words *w, xmlNode *domain)
{
    word(w, "-machine");
    word(w, "%s,acpi=%s,vmport=%s", xml_get(domain, "os/type/@machine"),
         xml_node(domain, "features/acpi") ? "on" : "off",
         xml_get_or(domain, "features/vmport/@state", "auto"));
    word(w, "-accel");
    word(w, "%s", xml_is(domain, "@type", "kvm") ? "kvm" : "tcg");
    xmlNode *graphics = xml_node(xml_node(domain, "devices"), "graphics");
    if (!graphics) {
        word(w, "-display");
        word(w, "none");
        return;
    }
    long port = strtol(xml_get_or(graphics, "@port", "-1"), NULL, 10); /* -1: one that is free */
    word(w, "-vnc");
    word(w, port >= 5900 ? "%s:%ld" : "%s:0,to=99", xml_get(graphics, "@listen"), port - 5900);
}

char **command_line(xmlNode *domain, const struct launch *l, struct vir_error *e)
{
    struct vm_config c;
    char order[8], **options = NULL;
    int r = config_from_xml(&c, domain, l, e);
    c.boot_order = boot_order(domain, order);
    c.incoming = l->incoming;
    c.loadvm = l->loadvm;
    if (r == 0 && !(options = options_write(&c)))
        vir_fail(e, VIR_ERR_INTERNAL_ERROR, "cannot write the machine's command line");
    vm_config_free(&c);
    if (!options)
        return NULL;
    struct words w = {0};
    if (l->kvm)
        word(&w, "%s", l->kvm);
    word(&w, "%s", l->emulator->path);
    for (char **o = options; *o; o++)
        word(&w, "%s", *o);
    command_free(options);
    if (!l->emulator->lodge)
        add_qemu_words(&w, domain);
    return w.at;
}

void command_free(char **argv)
{
    for (char **a = argv; a && *a; a++)
        free(*a);
    free(argv);
}
