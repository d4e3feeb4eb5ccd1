/* create.c - lodge create: a machine, without XML */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "manager/rpc/connection.h"
#include "manager/cli/verb.h"

struct create_arguments {
    struct target target;
    const char *import, *kernel, *initrd, *append, *memory, *format, *network, *emulator, *machine;
    struct argument_texts disks, forwards;
    u64 cpus;
    bool start, autostart, print_xml;
};

/* What the daemon is like for which the document is made. */
struct daemon {
    bool kvm; /* it has KVM: lodged always does; a libvirtd without the kernel's knows machines of QEMU's TCG
                 alone */
    bool passt; /* a libvirtd forwards no ports but by passt */
};

#define AT(field) offsetof(struct create_arguments, field)
static const struct argument table[] = {
    {"import", ARGUMENT_TEXT, AT(import), "IMAGE"},
    {"kernel", ARGUMENT_TEXT, AT(kernel), "FILE"},
    {"initrd", ARGUMENT_TEXT, AT(initrd), "FILE"},
    {"append", ARGUMENT_TEXT, AT(append), "TEXT"},
    {"memory", ARGUMENT_TEXT, AT(memory), "SIZE"},
    {"cpus", ARGUMENT_NUMBER, AT(cpus), "N"},
    {"disk", ARGUMENT_TEXTS, AT(disks), "IMAGE"},
    {"format", ARGUMENT_TEXT, AT(format), "raw|qcow2"},
    {"network", ARGUMENT_TEXT, AT(network), "user|none|NAME"},
    {"forward", ARGUMENT_TEXTS, AT(forwards), "HOSTPORT:GUESTPORT"},
    {"emulator", ARGUMENT_TEXT, AT(emulator), "PROGRAM"},
    {"machine", ARGUMENT_TEXT, AT(machine), "TYPE"},
    {"start", ARGUMENT_FLAG, AT(start), NULL},
    {"autostart", ARGUMENT_FLAG, AT(autostart), NULL},
    {"print-xml", ARGUMENT_FLAG, AT(print_xml), NULL},
    TARGET_ARGUMENTS(struct create_arguments, target),
    {0},
};
#undef AT

/* ---- the document ---- */

static void put_text(FILE *f, const char *text)
{
    for (; *text; text++)
        if (strchr("<>&'", *text))
            fprintf(f, "&#%d;", *text);
        else
            fputc(*text, f);
}

/* <NAME>TEXT</NAME>; nothing without a text. */
static void put_element(FILE *f, const char *name, const char *text)
{
    if (!text)
        return;
    fprintf(f, "<%s>", name);
    put_text(f, text);
    fprintf(f, "</%s>", name);
}

/* The file must be there; the daemon wants its whole path. */
static char *whole_path(const char *option, const char *path, struct error *e)
{
    char *whole = realpath(path, NULL);
    if (!whole)
        error_set(e, errno, "create: --%s '%s': %s", option, path, strerror(errno));
    return whole;
}

static int put_file(FILE *f, const char *element, const char *option, const char *path, struct error *e)
{
    char *whole = path ? whole_path(option, path, e) : NULL;
    put_element(f, element, whole);
    free(whole);
    return path && !whole ? -EINVAL : 0;
}

/* "512M", "2G"; a bare number is MiB. */
static int put_memory(FILE *f, const char *memory, struct error *e)
{
    static const char *const units[] = {"K", "KiB", "M", "MiB", "G", "GiB", "T", "TiB"};
    char *end;
    errno = 0;
    u64 n = strtoull(memory, &end, 10);
    const char *unit = *end ? NULL : "MiB";
    for (size_t i = 0; i < ARRAY_SIZE(units); i++)
        unit = *end && !strcasecmp(end, units[i]) ? units[i | 1] : unit;
    if (errno || !n || *memory < '0' || *memory > '9' || !unit)
        return error_set(e, EINVAL, "create: --memory '%s' is no size: use a number with K, M, G or T",
                         memory);
    fprintf(f, "<memory unit='%s'>%lu</memory>", unit, n);
    return 0;
}

/* By its first bytes, as only qcow2 says what it is. */
static const char *image_format(const char *path)
{
    char head[4] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t n = fd < 0 ? -1 : read(fd, head, sizeof(head));
    if (fd >= 0)
        close(fd);
    return n == sizeof(head) && !memcmp(head, "QFI\xfb", sizeof(head)) ? "qcow2" : "raw";
}

static int put_disk(FILE *f, const struct create_arguments *a, const char *option, const char *path,
                    unsigned n, struct error *e)
{
    char *whole = whole_path(option, path, e);
    struct stat st;
    if (!whole)
        return -EINVAL;
    bool block = stat(whole, &st) == 0 && S_ISBLK(st.st_mode);
    fprintf(f, "<disk type='%s' device='disk'><driver name='qemu' type='%s'/><source %s='",
            block ? "block" : "file", a->format ? a->format : image_format(whole), block ? "dev" : "file");
    put_text(f, whole);
    fprintf(f, "'/><target dev='vd%c' bus='virtio'/></disk>", 'a' + n);
    free(whole);
    return 0;
}

/* HOSTPORT:GUESTPORT, of TCP and of this computer alone. */
static int put_forward(FILE *f, const char *forward, struct error *e)
{
    unsigned host, guest;
    char rest;
    if (sscanf(forward, "%5u:%5u%c", &host, &guest, &rest) != 2 || !host || host > 65535 || !guest ||
        guest > 65535)
        return error_set(e, EINVAL, "create: --forward '%s' is not HOSTPORT:GUESTPORT", forward);
    fprintf(f, "<portForward proto='tcp' address='127.0.0.1'><range start='%u' to='%u'/></portForward>", host,
            guest);
    return 0;
}

/* user (the default), none, or the name of a network. */
static int put_network(FILE *f, const struct create_arguments *a, bool passt, struct error *e)
{
    bool user = !strcmp(a->network, "user");
    int r = 0;
    if (!user && a->forwards.count)
        return error_set(e, EINVAL, "create: --forward is for --network user");
    if (!strcmp(a->network, "none"))
        return 0;
    fprintf(f, "<interface type='%s'>", user ? "user" : "network");
    if (!user) {
        fputs("<source network='", f);
        put_text(f, a->network);
        fputs("'/>", f);
    }
    fputs("<model type='virtio'/>", f);
    if (passt && a->forwards.count)
        fputs("<backend type='passt'/>", f);
    for (unsigned i = 0; i < a->forwards.count && r == 0; i++)
        r = put_forward(f, a->forwards.at[i], e);
    fputs("</interface>", f);
    return r;
}

static int put_devices(FILE *f, const struct create_arguments *a, bool passt, struct error *e)
{
    unsigned n = 0;
    int r = a->import ? put_disk(f, a, "import", a->import, n++, e) : 0;
    for (unsigned i = 0; i < a->disks.count && r == 0; i++)
        r = put_disk(f, a, "disk", a->disks.at[i], n++, e);
    if (r == 0)
        r = put_network(f, a, passt, e);
    if (r == 0)
        fputs("<console type='pty'/><rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>",
              f);
    return r;
}

static int put_machine(FILE *f, const char *name, const struct create_arguments *a, const struct daemon *d,
                       struct error *e)
{
    fprintf(f, "<domain type='%s'>", d->kvm ? "kvm" : "qemu");
    put_element(f, "name", name);
    int r = put_memory(f, a->memory, e);
    fprintf(f, "<vcpu>%lu</vcpu><os><type arch='x86_64' machine='%s'>hvm</type>", a->cpus, a->machine);
    if (r == 0 && (r = put_file(f, "kernel", "kernel", a->kernel, e)) == 0)
        r = put_file(f, "initrd", "initrd", a->initrd, e);
    /* The console is the serial port; a kernel that is told of another keeps that. */
    const char *console = strstr(a->append, "console=") ? "" : "console=ttyS0";
    char *append = NULL;
    if (a->kernel && asprintf(&append, "%s%s%s", console, *console && *a->append ? " " : "", a->append) >= 0)
        put_element(f, "cmdline", append);
    free(append);
    fprintf(f, "</os><features><acpi/><apic/></features><cpu mode='%s'/><devices>",
            d->kvm ? "host-passthrough" : "maximum");
    if (r == 0)
        r = put_file(f, "emulator", "emulator", a->emulator, e);
    if (r == 0)
        r = put_devices(f, a, d->passt, e);
    fputs("</devices></domain>\n", f);
    return r;
}

static char *document(const char *name, const struct create_arguments *a, const struct daemon *d,
                      struct error *e)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    int r = f ? put_machine(f, name, a, d, e) : error_set(e, ENOMEM, "create: no memory");
    if (f)
        fclose(f);
    if (r == 0)
        return text;
    free(text);
    return NULL;
}

/* ---- the verb ---- */

static int check(const struct create_arguments *a, struct error *e)
{
    if (!a->import && !a->kernel)
        return error_set(
            e, EINVAL,
            "create: what is it to boot? --import IMAGE, a disk with a system on it, or --kernel FILE");
    if (!a->kernel && (a->initrd || *a->append))
        return error_set(e, EINVAL, "create: --initrd and --append go with --kernel");
    if (a->format && strcmp(a->format, "raw") && strcmp(a->format, "qcow2"))
        return error_set(e, EINVAL, "create: --format '%s': use raw or qcow2", a->format);
    if (a->disks.count > 15)
        return error_set(e, EINVAL, "create: there can be 15 disks");
    return strpbrk(a->machine, "<>&'") ? error_set(e, EINVAL, "create: --machine '%s' is no name", a->machine)
                                       : 0;
}

static struct daemon ask_daemon(struct connection *c)
{
    struct error none;
    struct remote_connect_get_capabilities_ret has = {0};
    const char *name = strrchr(c->path, '/');
    int r = connection_call(c, PROC_CONNECT_GET_CAPABILITIES, NULL, NULL,
                            &xdr_remote_connect_get_capabilities_ret, &has, &none);
    return (struct daemon){.kvm = r < 0 || strstr(has.capabilities, "<domain type='kvm'"),
                           .passt = strcmp(name ? name + 1 : c->path, "lodged-sock")};
}

static int define(struct connection *c, const char *name, const struct create_arguments *a, struct error *e)
{
    struct remote_domain_define_xml_ret defined;
    const struct daemon d = ask_daemon(c);
    char *xml = document(name, a, &d, e);
    int r = xml ? CALL_RET(c, DOMAIN_DEFINE_XML, domain_define_xml, &defined, e, xml) : -EINVAL;
    free(xml);
    if (r < 0 && d.passt && a->forwards.count && strstr(e->text, "passt")) {
        const struct error why = *e;
        r = error_set(e, ENOTSUP, "%.300s: a libvirtd forwards ports with passt alone: leave --forward out",
                      why.text);
    }
    if (r == 0 && a->autostart)
        r = CALL(c, DOMAIN_SET_AUTOSTART, domain_set_autostart, e, defined.dom, 1);
    if (r == 0 && a->start)
        r = CALL(c, DOMAIN_CREATE, domain_create, e, defined.dom);
    if (r < 0)
        return r;
    if (a->target.json) {
        json_t *o = json_pack("{s:s,s:b}", "name", name, "running", a->start);
        json_dumpf(o, stdout, 0);
        putchar('\n');
        json_decref(o);
    } else if (a->start)
        printf("%s: made, and started: lodge console %s\n", name, name);
    else
        printf("%s: made: lodge start --console %s\n", name, name);
    return 0;
}

static int print_document(const char *name, const struct create_arguments *a, struct error *e)
{
    char *xml = document(name, a, &(const struct daemon){.kvm = true}, e);
    if (!xml)
        return -EINVAL;
    fputs(xml, stdout);
    free(xml);
    return 0;
}

static int run(int argc, char **argv, struct error *e)
{
    struct create_arguments a = {
        .memory = "1G", .cpus = 1, .append = "", .network = "user", .machine = "q35"};
    struct connection c;
    struct remote_domain d;
    struct error none;
    const char *name;
    int r = arguments_parse(argc, argv, &verb_create, &a, &name, e);
    if (r < 0 || (r = check(&a, e)) < 0)
        return r;
    if (a.print_xml)
        return print_document(name, &a, e);
    if ((r = connection_open(&c, &a.target, e)) < 0)
        return r;
    if (connection_find(&c, name, &d, &none) == 0)
        r = error_set(e, EEXIST, "there is a machine '%s' already: lodge rm %s forgets it", name, name);
    else
        r = define(&c, name, &a, e);
    connection_close(&c);
    return r;
}

const struct verb verb_create = {
    .name = "create",
    .words = "NAME",
    .table = table,
    .help =
        "      make a machine: of --import, a disk image with a system on it, or of --kernel;\n"
        "      defaults: --memory 1G, --cpus 1, --network user (the world, and ports that --forward names)\n",
    .run = run,
};
