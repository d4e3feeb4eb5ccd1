/* definition.c - a domain's XML: what is understood, what the defaults are */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "manager/daemon/manager.h"
#include "manager/daemon/text.h"
#include "manager/domains/definition.h"
#include "manager/domains/device.h"
#include "manager/domains/emulator.h"
#include "manager/domains/pin.h"
#include "manager/domains/rules.h"

#define DEVICE " alias address boot driver"

/* What has an effect on the machine and is not in here is refused: a guest must not run without what its
 * owner asked for. What only describes is kept. */
static const struct rule domain_rules[] = {
    {"domain", "type id",
     "name uuid genid title description metadata memory currentMemory vcpu os features cpu clock "
     "on_poweroff on_reboot on_crash pm devices resource seclabel cputune"},
    {"metadata", "*", "*"},
    {"memory", "unit dumpCore", ""},
    {"currentMemory", "unit", ""},
    {"vcpu", "placement current cpuset", ""},
    {"cputune", "", "vcpupin emulatorpin"},
    {"vcpupin", "vcpu cpuset", ""},
    {"emulatorpin", "cpuset", ""},
    {"resource", "*", "*"},
    {"seclabel", "*", "*"},
    {"os", "", "type boot kernel initrd cmdline bootmenu loader"},
    {"os/type", "arch machine", ""},
    {"os/boot", "dev", ""},
    {"loader", "", ""},
    {"bootmenu", "enable timeout", ""},
    {"features", "", "acpi apic pae vmport"},
    {"vmport", "state", ""},
    {"cpu", "mode check match migratable", "model vendor topology feature"},
    {"cpu/model", "fallback vendor_id", ""},
    {"topology", "sockets dies cores threads", ""},
    {"feature", "policy name", ""},
    {"clock", "offset", "timer"},
    {"timer", "name tickpolicy present", ""},
    {"pm", "", "suspend-to-mem suspend-to-disk"},
    {"devices", "",
     "emulator disk controller interface serial parallel console channel input graphics video sound audio watchdog "
     "memballoon rng panic redirdev hub"},
    {"disk", "type device snapshot model",
     "driver source target readonly shareable serial wwn backingStore" DEVICE},
    {"disk/driver", "name type cache io discard error_policy rerror_policy detect_zeroes queues", ""},
    {"disk/source", "file dev index startupPolicy pool volume", ""},
    {"disk/target", "dev bus tray", ""},
    {"backingStore", "*", "*"},
    {"controller", "type index model ports", "target model master" DEVICE},
    {"controller/driver", "*", ""},
    {"controller/target", "chassis port hotplug", ""},
    {"interface", "type", "mac source target model link portForward" DEVICE},
    {"link", "state", ""},
    {"interface/mac", "address type", ""},
    {"interface/source", "network bridge portid address port", "local"},
    {"source/local", "address port", ""},
    {"interface/target", "dev managed", ""},
    {"interface/model", "type", ""},
    {"portForward", "proto address dev", "range"},
    {"portForward/range", "start end to", ""},
    {"serial", "type", "source target protocol log" DEVICE},
    {"console", "type tty", "source target protocol log" DEVICE},
    {"channel", "type", "source target log" DEVICE},
    {"source", "path mode append host service", ""},
    {"protocol", "type", ""},
    {"log", "file append", ""},
    {"target", "type port name state", "model"},
    {"input", "type bus", "" DEVICE},
    {"graphics", "type port autoport listen", "listen"},
    {"listen", "type address socket", ""},
    {"video", "", "model" DEVICE},
    {"video/model", "type vram heads primary ram vgamem", ""},
    {"watchdog", "model action", "" DEVICE},
    {"memballoon", "model autodeflate freePageReporting", "stats" DEVICE},
    {"stats", "period", ""},
    {"rng", "model", "rate backend" DEVICE},
    {"rate", "bytes period", ""},
    {"backend", "model", ""},
    {"panic", "model", "" DEVICE},
    {"sound", "model", "*"},
    {"audio", "*", "*"},
    {"address", "type domain bus slot function multifunction controller target unit port iobase irq", ""},
    {"alias", "name", ""},
    {0},
};

/* ---- the parts of the document outside <devices> ---- */

static int fail_missing(struct vir_error *e, const char *what)
{
    return vir_fail(e, VIR_ERR_XML_ERROR, "missing %s", what);
}

static int check_name(const char *name, struct vir_error *e)
{
    if (!name || !*name)
        return fail_missing(e, "domain name information");
    if (strchr(name, '/') || !strcmp(name, ".") || !strcmp(name, ".."))
        return vir_fail(e, VIR_ERR_XML_ERROR, "name %s cannot contain '/'", name);
    if (strpbrk(name, "\n\t\r") || strlen(name) > 200)
        return vir_fail(e, VIR_ERR_XML_ERROR,
                        "the name is longer than 200 bytes or contains control characters");
    return 0;
}

static int set_identity(xmlNode *domain, struct vir_error *e)
{
    u8 uuid[16];
    char text[UUID_TEXT];
    const char *given = xml_get(domain, "uuid"), *title = xml_get(domain, "title");
    if (check_name(xml_get(domain, "name"), e) < 0)
        return -1;
    if (!given || !*given)
        uuid_random(uuid);
    else if (!uuid_parse(given, uuid))
        return vir_fail(e, VIR_ERR_INTERNAL_ERROR, "malformed uuid element");
    if (title && strchr(title, '\n'))
        return vir_fail(e, VIR_ERR_XML_ERROR, "Domain title can't contain newlines");
    xml_set(domain, "uuid", uuid_format(uuid, text));
    const char *type = xml_get(domain, "@type");
    if (!type)
        return fail_missing(e, "domain type attribute");
    if (strcmp(type, "kvm") && strcmp(type, "qemu"))
        return vir_fail(e, VIR_ERR_CONFIG_UNSUPPORTED, "domain type '%s': there are qemu and kvm", type);
    return 0;
}

static int set_memory(xmlNode *domain, struct vir_error *e)
{
    u64 most = 0, now = 0;
    if (xml_get_size(domain, "memory", "KiB", &most, e) < 0)
        return -1;
    now = most;
    if (xml_get_size(domain, "currentMemory", "KiB", &now, e) < 0)
        return -1;
    most = (most + 1023) / 1024;
    now = min((now + 1023) / 1024, most);
    if (!most)
        return vir_fail(e, VIR_ERR_XML_ERROR,
                        "Memory size must be specified via <memory> or in the <numa> configuration");
    if (most > 1ull << 40)
        return vir_fail(e, VIR_ERR_XML_ERROR, "<memory> is larger than any machine");
    xml_setf(domain, "memory", "%lu", most);
    xml_set(domain, "memory/@unit", "KiB");
    xml_setf(domain, "currentMemory", "%lu", now ? now : most);
    xml_set(domain, "currentMemory/@unit", "KiB");
    return 0;
}

static int set_vcpus(xmlNode *domain, struct vir_error *e)
{
    u64 most = 1, now;
    if (xml_get_number(domain, "vcpu", &most, e) < 0)
        return -1;
    now = most;
    if (xml_get_number(domain, "vcpu/@current", &now, e) < 0)
        return -1;
    if (!most || most > 255 || !now)
        return vir_fail(e, VIR_ERR_XML_ERROR, "invalid number of vCPUs: %lu of %lu, the most being 255", now,
                        most);
    if (now > most)
        return vir_fail(e, VIR_ERR_INTERNAL_ERROR, "maxvcpus must not be less than current vcpus (%lu < %lu)",
                        most, now);
    xml_setf(domain, "vcpu", "%lu", most);
    if (!xml_get(domain, "vcpu/@placement"))
        xml_set(domain, "vcpu/@placement", "static");
    if (now == most)
        xml_remove(domain, "vcpu/@current");
    const char *const part[] = {"cpu/topology/@sockets", "cpu/topology/@dies", "cpu/topology/@cores",
                                "cpu/topology/@threads"};
    u64 product = 1, each;
    for (size_t i = 0; i < ARRAY_SIZE(part) && xml_node(domain, "cpu/topology"); i++) {
        each = 1;
        if (xml_get_number(domain, part[i], &each, e) < 0)
            return -1;
        product *= each > 255 ? 256 : each;
    }
    if (xml_node(domain, "cpu/topology") && product != most)
        return vir_fail(e, VIR_ERR_CONFIG_UNSUPPORTED, "CPU topology doesn't match maximum vcpu count");
    return 0;
}

/* A value of a list, or the default where the document has none. */
static int set_choice(xmlNode *domain, const char *path, const char *choices, const char *otherwise,
                      struct vir_error *e)
{
    const char *value = xml_get(domain, path);
    if (!value) {
        xml_set(domain, path, otherwise);
        return 0;
    }
    size_t n = strlen(value);
    for (const char *at = choices; n && (at = strstr(at, value)); at += n)
        if ((at == choices || at[-1] == ' ') && (at[n] == ' ' || !at[n]))
            return 0;
    return vir_fail(e, VIR_ERR_CONFIG_UNSUPPORTED, "%s '%s': it can be one of: %s", path, value, choices);
}

static const struct emulator *set_emulator(struct manager *m, xmlNode *domain, struct vir_error *e)
{
    const char *given = xml_get(domain, "devices/emulator");
    if (!given || !*given)
        xml_set(domain, "devices/emulator", m->settings.emulator);
    return emulator_find(m, definition_emulator(domain), e);
}

static int set_os(xmlNode *domain, const struct emulator *program, struct vir_error *e)
{
    const char *type = xml_get(domain, "os/type");
    if (!type)
        return vir_fail(e, VIR_ERR_XML_ERROR, "an os <type> must be specified");
    if (strcmp(type, "hvm"))
        return vir_fail(e, VIR_ERR_OS_TYPE, "%s", type);
    if (set_choice(domain, "os/type/@arch", "x86_64", "x86_64", e) < 0)
        return -1;
    const char *machine = emulator_machine(program, xml_get(domain, "os/type/@machine"));
    if (!machine)
        return vir_fail(e, VIR_ERR_INVALID_ARG, "could not find capabilities for arch=x86_64 machine=%s",
                        xml_get(domain, "os/type/@machine"));
    xml_set(domain, "os/type/@machine", machine);
    xml_each(boot, xml_node(domain, "os"),
             "boot") if (set_choice(boot, "@dev", "hd cdrom network fd", "hd", e) < 0) return -1;
    if (!xml_node(domain, "os/boot") && !xml_get(domain, "os/kernel") && !device_has_boot_order(domain))
        xml_set(domain, "os/boot/@dev", "hd");
    return 0;
}

/* What lodge-vm runs is the host's processor; QEMU has models, and changes to them. */
static int set_cpu(xmlNode *domain, struct vir_error *e)
{
    if (!xml_node(domain, "cpu"))
        return 0;
    if (set_choice(domain, "cpu/@mode", "custom host-passthrough host-model maximum", "custom", e) < 0)
        return -1;
    bool custom = xml_is(domain, "cpu/@mode", "custom");
    if (custom && (set_choice(domain, "cpu/@match", "exact minimum strict", "exact", e) < 0 ||
                   set_choice(domain, "cpu/@check", "none partial full", "none", e) < 0))
        return -1;
    bool named = custom && xml_get(domain, "cpu/model");
    if (definition_is_lodge(domain) && (named || xml_node(domain, "cpu/feature")))
        return vir_fail(e, VIR_ERR_CONFIG_UNSUPPORTED,
                        "lodge-vm has the host's processor alone, without <model> and <feature>");
    xml_each(feature, xml_node(domain, "cpu"), "feature")
    {
        if (!xml_get(feature, "@name"))
            return fail_missing(e, "the name of a <feature> of <cpu>");
        if (set_choice(feature, "@policy", "force require optional disable forbid", "require", e) < 0)
            return -1;
    }
    return 0;
}

static int set_behaviour(xmlNode *domain, struct vir_error *e)
{
    const char *actions = "destroy restart";
    return set_choice(domain, "clock/@offset", "utc localtime", "utc", e) < 0 ||
                   set_choice(domain, "on_poweroff", actions, "destroy", e) < 0 ||
                   set_choice(domain, "on_reboot", actions, "restart", e) < 0 ||
                   set_choice(domain, "on_crash", "destroy", "destroy", e) < 0
               ? -1
               : 0;
}

/* ---- the order of things ---- */

static const char *const domain_order[] = {"name",          "uuid",        "genid",
                                           "title",         "description", "metadata",
                                           "maxMemory",     "memory",      "currentMemory",
                                           "memoryBacking", "vcpu",        "vcpus",
                                           "iothreads",     "cputune",     "resource",
                                           "sysinfo",       "os",          "features",
                                           "cpu",           "clock",       "on_poweroff",
                                           "on_reboot",     "on_crash",    "pm",
                                           "devices",       "seclabel",    NULL};
static const char *const device_order[] = {"emulator", "disk",       "controller", "interface", "serial",
                                           "parallel", "console",    "channel",    "input",     "graphics",
                                           "sound",    "audio",      "video",      "redirdev",  "hub",
                                           "watchdog", "memballoon", "rng",        "panic",     NULL};

static void sort_children(xmlNode *parent, const char *const *order)
{
    for (; *order; order++)
        for (xmlNode *n = xml_next(parent, NULL, *order), *next; n && !n->_private; n = next) {
            next = xml_next(parent, n, *order);
            n->_private = parent; /* moved: it stands behind those that are not */
            xmlUnlinkNode(n);
            xmlAddChild(parent, n);
        }
    xml_each(n, parent, NULL) n->_private = NULL;
}

/* Elements that none of the lists names (of other namespaces) come first; that is as good a place as any. */
void definition_sort(xmlNode *domain)
{
    sort_children(domain, domain_order);
    sort_children(xml_node(domain, "devices"), device_order);
}

xmlNode *definition_parse(struct manager *m, const char *text, struct vir_error *e)
{
    xmlNode *domain = xml_parse(text, "domain", e);
    const struct emulator *em = NULL;
    if (!domain)
        return NULL;
    if (rules_check(domain_rules, domain, e) < 0 || set_identity(domain, e) < 0 ||
        set_memory(domain, e) < 0 || set_vcpus(domain, e) < 0 || !(em = set_emulator(m, domain, e)) ||
        set_os(domain, em, e) < 0 || set_cpu(domain, e) < 0 || pin_check(domain, e) < 0 ||
        set_behaviour(domain, e) < 0 || device_set_all(domain, em, e) < 0) {
        xml_free(domain);
        return NULL;
    }
    xml_remove(domain, "@id");
    definition_sort(domain);
    return domain;
}

xmlNode *definition_read_device(const char *text, struct vir_error *e)
{
    char name[32] = "";
    const char *open = strchr(text, '<');
    while (open && (open[1] == '?' || open[1] == '!'))
        open = strchr(open + 1, '<');
    if (open)
        snprintf(name, sizeof(name), "%.*s", (int)strcspn(open + 1, " />\n\t"), open + 1);
    xmlNode *device = xml_parse(text, name, e);
    if (device && rules_check(domain_rules, device, e) < 0) {
        xml_free(device);
        return NULL;
    }
    return device;
}

xmlNode *definition_parse_device(xmlNode *domain, const char *text, struct vir_error *e)
{
    xmlNode *device = definition_read_device(text, e);
    if (device && device_set(domain, device, e) < 0) {
        xml_free(device);
        return NULL;
    }
    return device;
}

xmlNode *definition_add_device(xmlNode *domain, xmlNode *device)
{
    xmlNode *copy = xmlDocCopyNode(device, domain->doc, 1);
    ASSERT(copy);
    xmlAddChild(xml_node(domain, "devices"), copy);
    definition_sort(domain);
    return copy;
}

/* ---- reading it back ---- */

char *definition_write(xmlNode *domain, u32 flags)
{
    (void)flags; /* nothing in it is secret, and both forms are the same document */
    return xml_write(domain);
}

static u64 number_at(xmlNode *domain, const char *path)
{
    u64 n = 0;
    const char *text = xml_get(domain, path);
    return text && number_parse(text, &n) ? n : 0;
}

u64 definition_memory(xmlNode *domain)
{
    return number_at(domain, "memory");
}

u64 definition_current_memory(xmlNode *domain)
{
    return number_at(domain, "currentMemory");
}

unsigned definition_max_vcpus(xmlNode *domain)
{
    return (unsigned)number_at(domain, "vcpu");
}

unsigned definition_vcpus(xmlNode *domain)
{
    unsigned current = (unsigned)number_at(domain, "vcpu/@current");
    return current ? current : definition_max_vcpus(domain);
}

const char *definition_emulator(xmlNode *domain)
{
    return xml_get(domain, "devices/emulator");
}

bool definition_is_lodge(xmlNode *domain)
{
    return emulator_is_lodge(definition_emulator(domain));
}
