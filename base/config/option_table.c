/* option_table.c - lodge-vm's options: one row each */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/config/option_table.h"

#define MIB (1ull << 20)
#define TIB (1ull << 40)

#define FIELD(f) offsetof(struct vm_config, f)

/* Of what there is one only, both names that people look for lead to it. */
const char *const machine_names[] = {"q35", "pc", NULL};
static const char *const accel_names[] = {
    [ACCEL_AUTO] = "auto", [ACCEL_LODGE] = "lodge", [ACCEL_KVM] = "kvm", NULL};
static const char *const clock_names[] = {
    [RTC_CLOCK_HOST] = "host", [RTC_CLOCK_RT] = "rt", [RTC_CLOCK_VM] = "vm", NULL};

/* What QEMU can have another way, and we cannot. */
static const char *const only_off[] = {"off", NULL}, *const only_on[] = {"on", NULL},
                         *const only_none[] = {"none", NULL};
static const char *const only_deny[] = {"deny", NULL}, *const off_or_auto[] = {"off", "auto", NULL};

#define FIXED(name, values, help)                                          \
    {                                                                      \
        name, PROPERTY_CHOICE, FIELD(fixed), NULL, help, .choices = values \
    }

static const struct property_row name_rows[] = {
    {"guest", PROPERTY_TEXT, FIELD(name), .help = "the machine's name"},
    {"process", PROPERTY_TEXT, FIELD(process_name), .help = "the name that ps shows"},
    {"debug-threads", PROPERTY_BOOL, FIELD(debug_threads), "off", "threads are named for what they do"},
    {0}};

static const struct property_row machine_rows[] = {
    {"type", PROPERTY_CHOICE, FIELD(machine), "q35", "the board", .choices = machine_names},
    {"accel", PROPERTY_CHOICE, FIELD(accel), NULL, "the same as -accel", .choices = accel_names},
    FIXED("usb", only_off, "there is no USB"),
    FIXED("vmport", off_or_auto, "there is no VMware port"),
    FIXED("smm", off_or_auto, "there is no system management mode"),
    FIXED("hpet", only_off, "there is no HPET"),
    FIXED("graphics", only_off, "there is no display"),
    FIXED("acpi", only_on, "there is always ACPI"),
    FIXED("kernel-irqchip", only_on, "the interrupt chips are KVM's"),
    FIXED("dump-guest-core", only_off, "guest memory is in no core dump"),
    FIXED("mem-merge", only_off, "the host does not merge pages"),
    {0}};

static const struct property_row accel_rows[] = {
    {"accel", PROPERTY_CHOICE, FIELD(accel), "auto",
     "who runs the guest: the kernel's KVM, if it has hardware, or Lodge's", .choices = accel_names},
    {"direct", PROPERTY_BOOL, FIELD(accel_direct), "on",
     "with lodge: programs that compute may run on the host's CPU as they are, in processes of their own"},
    {"verbose", PROPERTY_BOOL, FIELD(accel_verbose), "off", "say which it is, and why"},
    {0}};

static const struct property_row m_rows[] = {{"size", PROPERTY_SIZE, FIELD(memory), "128M",
                                              "MiB, or with K, M, G or T", .min = 2 * MIB, .max = 4 * TIB,
                                              .unit = MIB},
                                             {0}};

static const struct property_row smp_rows[] = {
    {"cpus", PROPERTY_U32, FIELD(smp.cpus), .help = "processors", .min = 1},
    {"maxcpus", PROPERTY_U32, FIELD(smp.maxcpus), .help = "with those that may be added", .min = 1},
    {"sockets", PROPERTY_U32, FIELD(smp.sockets), .help = "packages", .min = 1},
    {"dies", PROPERTY_U32, FIELD(smp.dies), .help = "dies in a package", .min = 1},
    {"cores", PROPERTY_U32, FIELD(smp.cores), .help = "cores in a die", .min = 1},
    {"threads", PROPERTY_U32, FIELD(smp.threads), .help = "threads in a core", .min = 1},
    {0}};

static const struct property_row boot_rows[] = {
    {"order", PROPERTY_TEXT, FIELD(boot_order), .help = "c: disk, d: CD-ROM, n: network"},
    {"once", PROPERTY_TEXT, FIELD(boot_once), .help = "the same, until the first reset"},
    {"menu", PROPERTY_BOOL, FIELD(boot_menu), "off", "the firmware asks"},
    {"splash-time", PROPERTY_U32, FIELD(boot_menu_ms), "0", "how long, in milliseconds"},
    {"reboot-timeout", PROPERTY_U32, FIELD(boot_fail_ms), "4294967295",
     "milliseconds until it tries again where nothing boots; default: never"},
    {"strict", PROPERTY_BOOL, FIELD(boot_strict), "off", "from nothing but what has a boot index"},
    {0}};

static const struct property_row rtc_rows[] = {
    {"base", PROPERTY_TEXT, FIELD(rtc_base), "utc", "utc, localtime, or a date as 2026-01-31T12:00:00"},
    {"clock", PROPERTY_CHOICE, FIELD(rtc_clock), "host",
     "host: goes on while the guest is stopped; vm: does not", .choices = clock_names},
    FIXED("driftfix", only_none, "ticks that were missed stay missed"),
    {0}};

static const struct property_row overcommit_rows[] = {
    {"mem-lock", PROPERTY_BOOL, FIELD(lock_memory), "off", "guest memory is never swapped"},
    FIXED("cpu-pm", only_off, "idle processors are the host's"),
    {0}};

static const struct property_row sandbox_rows[] = {
    {"enable", PROPERTY_BOOL, FIELD(sandbox), "on", "refuse system calls that the program does not need"},
    FIXED("obsolete", only_deny, "of them: obsolete ones"),
    FIXED("elevateprivileges", only_deny, "those that elevate privileges"),
    FIXED("spawn", only_deny, "those that start programs"),
    FIXED("resourcecontrol", only_deny, "those that set affinity and priority"),
    {0}};

/* There is neither a watchdog nor a device by which a guest tells of its panic: what is to follow one is
 * never asked. */
static const char *const reboot_actions[] = {"reset", "shutdown", NULL}, *const shutdown_actions[] = {
                                                                             "poweroff", "pause", NULL};
static const char *const panic_actions[] = {"shutdown", "pause", "none", "exit-failure", NULL};
static const char *const watchdog_actions[] = {"reset",      "shutdown", "poweroff", "pause",
                                               "inject-nmi", "none",     "debug",    NULL};
static const struct property_row action_rows[] = {
    {"reboot", PROPERTY_CHOICE, FIELD(on_reboot), NULL, "when the guest reboots", .choices = reboot_actions},
    {"shutdown", PROPERTY_CHOICE, FIELD(on_shutdown), NULL, "when it powers off",
     .choices = shutdown_actions},
    {"panic", PROPERTY_CHOICE, FIELD(on_other), NULL, "there is no device for it", .choices = panic_actions},
    {"watchdog", PROPERTY_CHOICE, FIELD(on_other), NULL, "there is none", .choices = watchdog_actions},
    {0}};

static const struct property_row msg_rows[] = {
    {"timestamp", PROPERTY_BOOL, FIELD(timestamps), "off", "messages say when"}, {0}};

static const struct property_row display_rows[] = {FIXED("type", only_none, "there is no display"), {0}};

const struct option options[] = {
    {"help", NULL, "print this", OPTION_SHORT, .expand = expand_help},
    {"h", .kind = OPTION_SHORT, .expand = expand_help},
    {"version", NULL, "print the version", OPTION_SHORT, .expand = expand_version},
    {"help-man", .kind = OPTION_SHORT, .expand = expand_help_man},
    {"help-completion", .kind = OPTION_SHORT, .expand = expand_help_completion},

    {"name", "NAME", "a name for the machine, shown in messages", OPTION_TABLE, .implied = "guest",
     .rows = name_rows},
    {"uuid", "UUID", "the machine's identity: 8-4-4-4-12 hexadecimal digits", OPTION_TEXT, FIELD(uuid)},
    {"machine", "TYPE", "the board: q35 or pc, which are the same one; accel=NAME", OPTION_TABLE,
     .implied = "type", .rows = machine_rows},
    {"M", "TYPE", NULL, OPTION_TABLE, .implied = "type", .rows = machine_rows},
    {"accel", "NAME", "who runs the guest: lodge (the library) or kvm (the kernel's /dev/kvm)", OPTION_TABLE,
     .implied = "accel", .rows = accel_rows},
    {"enable-kvm", NULL, "the same as -accel kvm", OPTION_SHORT, .expand = expand_enable_kvm},
    {"cpu", "MODEL", "the processor: host, max, qemu64, ...; +FEATURE, -FEATURE; -cpu help lists them",
     OPTION_TEXT, FIELD(cpu)},
    {"smp", "N", "processors; sockets=, dies=, cores=, threads=", OPTION_TABLE, .implied = "cpus",
     .rows = smp_rows},
    {"m", "SIZE", "memory: MiB, or a number with K, M, G or T behind it", OPTION_TABLE, .implied = "size",
     .rows = m_rows},
    {"overcommit", "mem-lock=on", "", OPTION_TABLE, .rows = overcommit_rows},

    {"kernel", "FILE", "a kernel: a Linux bzImage, or an ELF vmlinux with a PVH entry", OPTION_TEXT,
     FIELD(kernel)},
    {"initrd", "FILE", "its initial RAM disk", OPTION_TEXT, FIELD(initrd)},
    {"append", "TEXT", "its command line", OPTION_TEXT, FIELD(cmdline)},
    {"bios", "FILE",
     "the firmware, which is started if there is no -kernel; default: bios-256k.bin (SeaBIOS)", OPTION_TEXT,
     FIELD(bios)},
    {"boot", "ORDER", "what the firmware boots from: order=c, once=, menu=on, strict=on", OPTION_TABLE,
     .implied = "order", .rows = boot_rows},
    {"smbios", "type=N,...", "what the machine says of itself: types 0, 1, 2, 3, 4, 11, 17", OPTION_OBJECT,
     FIELD(smbios)},
    {"rtc", "base=WHEN", "", OPTION_TABLE, .rows = rtc_rows},
    {"incoming", "WHERE", "a saved machine comes from exec:COMMAND, unix:PATH, tcp:HOST:PORT, fd:N; or defer",
     OPTION_TEXT, FIELD(incoming)},
    {"loadvm", "TAG", "the guest goes on from that snapshot of its disks", OPTION_TEXT, FIELD(loadvm)},

    {"drive", "file=FILE", "a disk: format=, if=virtio|none, id=, readonly=on, cache=, aio=, ...",
     OPTION_SHORT, FIELD(drives), .expand = expand_drive},
    {"hda", "FILE", "the same as -drive file=FILE", OPTION_SHORT, .expand = expand_disk},
    {"hdb", "FILE", NULL, OPTION_SHORT, .expand = expand_disk},
    {"hdc", "FILE", NULL, OPTION_SHORT, .expand = expand_disk},
    {"hdd", "FILE", NULL, OPTION_SHORT, .expand = expand_disk},
    {"cdrom", "FILE", "the same as -drive file=FILE,media=cdrom", OPTION_SHORT, .expand = expand_cdrom},
    {"blockdev", "DRIVER,...", "a block node: node-name=, ...; or JSON", OPTION_OBJECT, FIELD(blockdevs),
     .implied = "driver"},
    {"snapshot", NULL, "disks forget what is written", OPTION_FLAG, FIELD(snapshot)},
    {"netdev", "TYPE,id=ID,...", "the host's end of a network", OPTION_OBJECT, FIELD(netdevs),
     .implied = "type"},
    {"nic", "TYPE,...", "a network card and its host's end: model=, mac=, ...; or none", OPTION_SHORT,
     .expand = expand_nic},
    {"device", "NAME,...", "a device: id=, ...; -device NAME,help tells more", OPTION_OBJECT, FIELD(devices),
     .implied = "driver"},
    {"object", "TYPE,id=ID,...", "what devices use: a source of randomness, a thread", OPTION_OBJECT,
     FIELD(objects), .implied = "qom-type"},

    {"chardev", "BACKEND,id=ID,...", "a character device: stdio, null, file, socket, pty", OPTION_OBJECT,
     FIELD(chardevs), .implied = "backend"},
    {"serial", "WHERE",
     "a serial port: stdio, mon:stdio (Ctrl-a h for keys), null, none, file:PATH, pty,\n"
     "unix:PATH[,server=on][,wait=off], tcp:HOST:PORT[,server=on], chardev:ID; default: mon:stdio",
     OPTION_TEXTS, FIELD(serials)},
    {"monitor", "WHERE", "a monitor for people, connected like a serial port; or none", OPTION_TEXTS,
     FIELD(monitors)},
    {"qmp", "WHERE", "a monitor for programs (QMP), the same", OPTION_TEXTS, FIELD(qmps)},
    {"qmp-pretty", "WHERE", "the same, its answers laid out for reading", OPTION_TEXTS, FIELD(qmps_pretty)},
    {"mon", "chardev=ID", "a monitor on a character device: mode=readline|control, pretty=on", OPTION_OBJECT,
     FIELD(mons), .implied = "chardev"},
    {"nographic", NULL, "the first serial port is on the terminal, as it is by default", OPTION_FLAG,
     FIELD(nographic)},
    {"display", "none", "no display: there is none", OPTION_TABLE, .implied = "type", .rows = display_rows},
    {"vga", "none", "the same", OPTION_TABLE, .implied = "type", .rows = display_rows},
    {"nodefaults", NULL, "no serial port but those that are named", OPTION_FLAG, FIELD(nodefaults)},
    {"no-user-config", NULL, "no configuration file is read: there is none", OPTION_NOTHING},
    {"no-hpet", NULL, "no HPET: there is none", OPTION_NOTHING},

    {"no-reboot", NULL, "a guest that reboots ends the program", OPTION_FLAG, FIELD(no_reboot)},
    {"no-shutdown", NULL, "a guest that powers off stops, and the program goes on", OPTION_FLAG,
     FIELD(no_shutdown)},
    {"S", NULL, "the guest starts when a monitor or GDB lets it go on", OPTION_FLAG, FIELD(stopped)},
    {"gdb", "WHERE", "wait for GDB on tcp::PORT (this host alone), tcp:HOST:PORT or unix:PATH", OPTION_TEXT,
     FIELD(gdb)},
    {"s", NULL, "the same as -gdb tcp::1234", OPTION_SHORT, .expand = expand_s},
    {"d", "LETTERS", "print what the engine does; -d help lists the letters", OPTION_TEXT,
     FIELD(dump_letters)},
    {"D", "FILE", "where -d prints; default: standard error", OPTION_TEXT, FIELD(dump_path)},
    {"sandbox", "on|off", "whether system calls that the program does not need are refused; default: on",
     OPTION_TABLE, .implied = "enable", .rows = sandbox_rows},
    {"daemonize", NULL, "go on in the background, once all is ready", OPTION_FLAG, FIELD(daemonize)},
    {"pidfile", "FILE", "write the program's number there", OPTION_TEXT, FIELD(pidfile)},
    {"chroot", "DIR", "see no files but those below DIR, once all is open", OPTION_TEXT, FIELD(chroot)},
    {"runas", "USER", "go on as that user (or UID:GID), once all is open", OPTION_TEXT, FIELD(runas)},
    {"action", "EVENT=ACTION", "what follows: reboot=reset|shutdown, shutdown=poweroff|pause", OPTION_TABLE,
     .rows = action_rows},
    {"global", "DRIVER.PROP=VALUE", "a default for all devices of a kind", OPTION_SHORT,
     .expand = expand_global},
    {"msg", "timestamp=on", "messages say when", OPTION_TABLE, .rows = msg_rows},
};
const unsigned option_count = ARRAY_SIZE(options);

const char options_not_supported[] =
    " fda fdb set net parallel debugcon spice usb usbdevice vnc audio audiodev audio-help soundhw icount watchdog "
    "watchdog-action loadvm no-acpi no-fd-bootchk numa mem-path mem-prealloc fw_cfg acpitable dtb "
    "tpmdev virtfs fsdev full-screen readconfig writeconfig k trace semihosting semihosting-config cpuset compat "
    "iscsi msg-timestamp plugin seed tb-size add-fd curses sdl nographics L rotate portrait g alt-grab ctrl-grab "
    "win2k-hack set-parameter echr show-cursor async-teardown dump-vmstate enable-sync-profile hda-geometry mtdblock sd "
    "pflash bt xen-domid xen-attach prom-env old-param dfilter perfmap jitdump preconfig option-rom singlestep H ";
