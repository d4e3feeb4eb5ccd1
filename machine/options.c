/* options.c - lodge-vm's command line, in QEMU's spelling */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/version.h"
#include "lodge/kvm.h"
#include "machine/kvm.h"
#include "machine/options.h"

#define KIB (1ull << 10)
#define MIB (1ull << 20)
#define TIB (1ull << 40)

static const u64 memory_min = 2 * MIB, memory_max = 4 * TIB;

/* A row is an option: apply gets its argument (NULL if it takes none) and returns 0, 1 (printed something:
 * done) or -errno with e. fallback is applied first when the option is not given. */
struct option {
    const char *name, *argument, *fallback, *help;
    int (*apply)(struct vm_config *c, const char *arg, struct error *e);
};

static int apply_kernel(struct vm_config *c, const char *arg, struct error *e)
{
    (void)e;
    c->kernel = arg;
    return 0;
}

static int apply_initrd(struct vm_config *c, const char *arg, struct error *e)
{
    (void)e;
    c->initrd = arg;
    return 0;
}

static int apply_append(struct vm_config *c, const char *arg, struct error *e)
{
    (void)e;
    c->cmdline = arg;
    return 0;
}

static u64 suffix_unit(char suffix)
{
    static const char suffixes[] = "bkmgtpe";
    const char *at = suffix ? strchr(suffixes, tolower((unsigned char)suffix)) : NULL;
    return at ? 1ull << (10 * (at - suffixes)) : 0;
}

/* The fraction's digits at *text, in bytes of `unit` (rounded down). */
static u64 parse_fraction(const char **text, u64 unit)
{
    u64 numerator = 0, denominator = 1;
    for (; isdigit((unsigned char)**text); ++*text)
        if (denominator < 1000000) {
            numerator = numerator * 10 + (u64)(**text - '0');
            denominator *= 10;
        }
    return (u64)((unsigned __int128)numerator * unit / denominator);
}

int parse_size(const char *text, u64 unit, u64 *bytes)
{
    u64 whole = 0;
    bool overflow = false;
    const char *p = text;
    for (; isdigit((unsigned char)*p); p++)
        overflow |= __builtin_mul_overflow(whole, 10, &whole) ||
                    __builtin_add_overflow(whole, (u64)(*p - '0'), &whole);
    if (p == text)
        return -EINVAL;
    const char *fraction = *p == '.' ? p + 1 : NULL;
    if (fraction)
        p += 1 + strspn(fraction, "0123456789");
    if (*p) {
        unit = suffix_unit(*p);
        if (!unit || p[1])
            return -EINVAL;
    }
    overflow |= __builtin_mul_overflow(whole, unit, bytes);
    overflow |= fraction && __builtin_add_overflow(*bytes, parse_fraction(&fraction, unit), bytes);
    return overflow ? -ERANGE : 0;
}

static int apply_m(struct vm_config *c, const char *arg, struct error *e)
{
    const char *text = strncmp(arg, "size=", 5) ? arg : arg + 5;
    u64 bytes;
    if (strchr(text, ','))
        return error_set(e, EINVAL, "-m '%s': memory slots are not supported: use -m SIZE alone", arg);
    int r = parse_size(text, MIB, &bytes);
    if (r == -EINVAL)
        return error_set(
            e, EINVAL, "-m '%s' is not a size: use a number of MiB, or one with K, M, G or T: -m 512, -m 2G",
            arg);
    if (r == -ERANGE || bytes < memory_min || bytes > memory_max)
        return error_set(e, ERANGE, "-m '%s' is out of range: use %llu MiB to %llu TiB", arg,
                         (unsigned long long)(memory_min / MIB), (unsigned long long)(memory_max / TIB));
    c->memory = ALIGN_UP(bytes, 4 * KIB);
    return 0;
}

static int apply_smp(struct vm_config *c, const char *arg, struct error *e)
{
    const char *text = strncmp(arg, "cpus=", 5) ? arg : arg + 5;
    char *end;
    unsigned long n = strtoul(text, &end, 10);
    if (!isdigit((unsigned char)*text) || *end || !n)
        return error_set(e, EINVAL, "-smp '%s' is not a number of processors: use -smp 1", arg);
    if (n > 1)
        return error_set(e, EINVAL, "-smp %s: this version runs one processor: use -smp 1", arg);
    c->cpus = (unsigned)n;
    return 0;
}

static int apply_accel(struct vm_config *c, const char *arg, struct error *e)
{
    c->kvm = kvm_api_find(arg);
    if (!c->kvm)
        return error_set(e, EINVAL, "-accel '%s' is not supported: use one of: lodge, kvm", arg);
    return 0;
}

static int apply_serial(struct vm_config *c, const char *arg, struct error *e)
{
    return chardev_config_parse(&c->serial, arg, e);
}

static int apply_nographic(struct vm_config *c, const char *arg, struct error *e)
{
    (void)c, (void)arg, (void)e; /* the default of -serial is what it asks for */
    return 0;
}

static int apply_no_reboot(struct vm_config *c, const char *arg, struct error *e)
{
    (void)arg, (void)e;
    c->no_reboot = true;
    return 0;
}

static int apply_name(struct vm_config *c, const char *arg, struct error *e)
{
    if (!*arg || strchr(arg, ','))
        return error_set(e, EINVAL, "-name '%s': use -name NAME, without a comma", arg);
    c->name = arg;
    return 0;
}

static int apply_d(struct vm_config *c, const char *arg, struct error *e)
{
    (void)e;
    if (!strcmp(arg, "help")) {
        fputs(lodge_kvm_dump_help(), stdout);
        return 1;
    }
    c->dump_letters = arg;
    return 0;
}

static int apply_dump_path(struct vm_config *c, const char *arg, struct error *e)
{
    (void)e;
    c->dump_path = arg;
    return 0;
}

static int apply_gdb(struct vm_config *c, const char *arg, struct error *e)
{
    return gdb_address_parse(&c->gdb, arg, e);
}

static int apply_s(struct vm_config *c, const char *arg, struct error *e)
{
    (void)arg;
    return gdb_address_parse(&c->gdb, "tcp::1234", e);
}

static int apply_stopped(struct vm_config *c, const char *arg, struct error *e)
{
    (void)arg, (void)e;
    c->stopped = true;
    return 0;
}

static int apply_version(struct vm_config *c, const char *arg, struct error *e)
{
    (void)c, (void)arg, (void)e;
    puts("lodge-vm " LODGE_VERSION);
    return 1;
}

static int apply_help(struct vm_config *c, const char *arg, struct error *e);

#define HELP_INDENT "                   "

static const struct option options[] = {
    {"kernel", "FILE", NULL, "the kernel: a Linux bzImage, or an ELF vmlinux with a PVH entry", apply_kernel},
    {"initrd", "FILE", NULL, "its initial RAM disk", apply_initrd},
    {"append", "TEXT", "", "its command line", apply_append},
    {"m", "SIZE", "128M", "memory: MiB, or a number with K, M, G or T behind it", apply_m},
    {"smp", "N", "1", "processors: 1", apply_smp},
    {"accel", "NAME", "lodge", "who runs the guest: lodge (the library) or kvm (the kernel's /dev/kvm)",
     apply_accel},
    {"serial", "WHERE", "mon:stdio",
     "the first serial port: stdio[,signal=on|off], mon:stdio (Ctrl-a h for keys), null,\n" HELP_INDENT
     "file:PATH[,append=on|off], or unix:PATH[,server=on|off][,wait=on|off]",
     apply_serial},
    {"nographic", NULL, NULL,
     "no display: the serial port is on the terminal (there is no other display yet)", apply_nographic},
    {"no-reboot", NULL, NULL, "a guest that reboots ends the program", apply_no_reboot},
    {"name", "NAME", NULL, "a name for the machine, shown in messages", apply_name},
    {"gdb", "WHERE", NULL, "wait for GDB on tcp::PORT (this host alone), tcp:HOST:PORT or unix:PATH",
     apply_gdb},
    {"s", NULL, NULL, "the same as -gdb tcp::1234", apply_s},
    {"S", NULL, NULL, "the guest starts when GDB lets it go on", apply_stopped},
    {"d", "LETTERS", NULL, "print what the engine does; -d help lists the letters", apply_d},
    {"D", "FILE", NULL, "where -d prints; default: standard error", apply_dump_path},
    {"version", NULL, NULL, "print the version", apply_version},
    {"help", NULL, NULL, "print this", apply_help},
    {"h", NULL, NULL, NULL, apply_help},
};

/* QEMU's other options, each between blanks: named, so that a user of QEMU reads that the option is known and
 * not here. */
static const char not_supported[] =
    " M machine cpu enable-kvm bios drive blockdev hda hdb hdc hdd cdrom fda fdb boot snapshot "
    "device global set object netdev net nic chardev monitor qmp mon vnc display vga spice usb "
    "usbdevice audio audiodev rtc icount watchdog daemonize pidfile parallel debugcon "
    "loadvm incoming sandbox runas chroot no-shutdown no-acpi no-hpet numa mem-path mem-prealloc "
    "overcommit fw_cfg acpitable smbios dtb tpmdev virtfs fsdev full-screen action readconfig "
    "nodefaults no-user-config uuid k trace semihosting cpuset compat iscsi msg plugin seed tb-size ";

static int apply_help(struct vm_config *c, const char *arg, struct error *e)
{
    (void)c, (void)arg, (void)e;
    puts("usage: lodge-vm -kernel FILE [options]\n"
         "Runs one virtual machine, a PC, until its guest powers off. Options (-x and --x are the same):\n");
    for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
        const struct option *o = &options[i];
        char head[32];
        if (!o->help)
            continue;
        snprintf(head, sizeof(head), "-%s %s", o->name, o->argument ? o->argument : "");
        const char *fallback = o->fallback ? o->fallback : "";
        printf("  %-16s %s%s%s\n", head, o->help, *fallback ? "; default: " : "", fallback);
    }
    return 1;
}

static const struct option *find_option(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(options); i++)
        if (!strcmp(options[i].name, name))
            return &options[i];
    return NULL;
}

static int refuse(const char *text, struct error *e)
{
    const char *name = text + strspn(text, "-");
    if (*text != '-')
        return error_set(e, EINVAL, "'%s': disk images are not supported: boot a kernel with -kernel FILE",
                         text);
    char word[32];
    if (*name && snprintf(word, sizeof(word), " %s ", name) < (int)sizeof(word) &&
        strstr(not_supported, word))
        return error_set(e, EINVAL,
                         "option '%s' of QEMU is not supported: leave it out (lodge-vm -help lists what is)",
                         text);
    return error_set(e, EINVAL, "unknown option '%s': lodge-vm -help lists the options", text);
}

static int apply_defaults(struct vm_config *c, struct error *e)
{
    *c = (struct vm_config){0};
    int r = 0;
    for (size_t i = 0; i < ARRAY_SIZE(options) && !r; i++)
        if (options[i].fallback)
            r = options[i].apply(c, options[i].fallback, e);
    return r;
}

static int check(const struct vm_config *c, struct error *e)
{
    if (!c->kernel)
        return error_set(e, EINVAL, "no kernel to boot: use -kernel FILE (lodge-vm -help lists the options)");
    if (c->dump_path && !c->dump_letters)
        return error_set(e, EINVAL, "-D '%s' without -d: say with -d LETTERS what to print", c->dump_path);
    if (c->dump_letters && c->kvm != &kvm_lodge)
        return error_set(e, EINVAL, "-d: -accel %s has no dumps: use -accel lodge", c->kvm->name);
    return 0;
}

int options_parse(struct vm_config *c, int argc, char **argv, struct error *e)
{
    int r = apply_defaults(c, e);
    for (int i = 1; i < argc && !r; i++) {
        const char *name = argv[i][0] == '-' ? argv[i] + 1 + (argv[i][1] == '-') : "";
        const struct option *o = find_option(name);
        if (!o)
            return refuse(argv[i], e);
        if (o->argument && i + 1 == argc)
            return error_set(e, EINVAL, "option '%s' needs an argument: -%s %s", argv[i], o->name,
                             o->argument);
        r = o->apply(c, o->argument ? argv[++i] : NULL, e);
    }
    return r ? r : check(c, e);
}
