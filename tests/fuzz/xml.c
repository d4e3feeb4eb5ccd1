/* xml.c - fuzzing of the documents that clients send: domains, devices, pools, volumes, networks (libFuzzer)
 */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is accepted is written, read again, and must be the same; and becomes a command line, or is refused
 * with a reason. Nothing is executed.
 */
#include <libxml/parser.h>
#include <stdlib.h>
#include <string.h>

#include "manager/daemon/manager.h"
#include "manager/daemon/text.h"
#include "manager/domains/command.h"
#include "manager/domains/definition.h"
#include "manager/domains/device.h"
#include "manager/networks/network.h"
#include "manager/storage/pool.h"
#include "manager/storage/volume.h"

#include <sys/stat.h>

static struct manager manager;

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    static struct emulator em;
    static struct emulator_machine machine = {.name = (char *)"pc", .is_default = true};
    struct stat st;
    struct error e;
    ASSERT(stat("/bin/true", &st) == 0 && loop_init(&manager.loop) == 0);
    em = (struct emulator){
        .path = (char *)"/bin/true",
        .changed = st.st_mtim,
        .cpu_max = 255,
        .machines = &machine,
        .machine_count = 1,
        .devices = (char *)"virtio-blk-pci virtio-net-pci virtio-balloon-pci virtio-rng-pci isa-serial VGA",
        .objects = (char *)"rng-random"};
    manager.settings.emulator = (char *)"/bin/true";
    manager.emulators = &em;
    resources_init(&manager.pools, &pool_kind, &manager);
    resources_init(&manager.networks, &network_kind, &manager);
    (void)e;
    return 0;
}

static void try_command(xmlNode *domain)
{
    struct vir_error e;
    struct launch l = {.emulator = manager.emulators, .monitor = "/m", .networks = &manager.networks};
    device_set_all_live(domain);
    char **argv = command_line(domain, &l, &e);
    ASSERT(argv || *e.text);
    command_free(argv);
}

/* Another program than the one that is known would be asked what it can do. */
static bool names_program(const char *text)
{
    struct vir_error e;
    xmlNode *domain = xml_parse(text, "domain", &e);
    const char *path = domain ? xml_get(domain, "devices/emulator") : NULL;
    bool other = path && *path && strcmp(path, manager.settings.emulator);
    xml_free(domain);
    return other;
}

static void try_domain(const char *text)
{
    struct vir_error e = {0};
    if (names_program(text))
        return;
    xmlNode *domain = definition_parse(&manager, text, &e);
    ASSERT(domain || *e.text);
    if (!domain)
        return;
    char *written = xml_write(domain);
    xmlNode *again = definition_parse(&manager, written, &e);
    ASSERT(again);
    char *twice = xml_write(again);
    ASSERT(!strcmp(written, twice));
    free(written);
    free(twice);
    try_command(again);
    xml_free(again);
    xml_free(domain);
}

static void try_device(const char *text)
{
    static const char empty[] =
        "<domain type='qemu'><name>a</name><memory>65536</memory><os><type>hvm</type></os><devices/></domain>";
    struct vir_error e;
    xmlNode *domain = definition_parse(&manager, empty, &e);
    ASSERT(domain);
    xmlNode *device = definition_parse_device(domain, text, &e);
    if (device)
        definition_add_device(domain, device);
    xmlNode *like = definition_read_device(text, &e);
    if (like)
        device_find(domain, like, &e);
    try_command(domain);
    xml_free(like);
    xml_free(device);
    xml_free(domain);
}

static void try_others(const char *text)
{
    struct vir_error e;
    struct volume_plan plan;
    xmlNode *xml = xml_parse(text, "volume", &e);
    if (xml)
        volume_plan_read(&plan, xml, &e);
    xml_free(xml);
    static const struct resource_kind *const kinds[] = {&pool_kind, &network_kind};
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        xml = xml_parse(text, kinds[i]->element, &e);
        if (xml) {
            xml_set(xml, "uuid", "01020304-0506-0708-090a-0b0c0d0e0f10");
            kinds[i]->check(&manager, xml, &e);
        }
        xml_free(xml);
    }
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);
int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
    char *text = calloc(1, size + 1);
    ASSERT(text);
    memcpy(text, data, size);
    try_domain(text);
    try_device(text);
    try_others(text);
    free(text);
    return 0;
}
