/* manual.c - what lodged prints about itself: help, man page, configuration file */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>

#include "base/version.h"
#include "manager/daemon/manual.h"
#include "manager/daemon/settings.h"

static const struct {
    const char *option, *argument, *help;
} options[] = {
    {"root", "DIR",
     "keep definitions, sockets, states and logs below DIR, not in /etc/lodge, /run/lodge, ..."},
    {"config", "FILE", "read this instead of lodged.conf (NAME = VALUE lines)"},
    {"help", "", "print a summary"},
    {"help-man", "", "print this page, in roff"},
    {"help-config", "", "print a configuration file that has everything as comments"},
    {"version", "", "print the version"},
};

static void help_setting(const char *name, const char *value, const char *help)
{
    printf("  %-22s %s%s%s%s\n", name, help, *value ? " (" : "", value, *value ? ")" : "");
}

void manual_help(void)
{
    puts("usage: lodged [--root DIR] [--config FILE]\n\n"
         "Manages virtual machines; clients speak libvirt's RPC, as virsh and virt-install do:\n"
         "  virsh -c 'qemu+unix:///system?socket=DIR/run/lodged-sock' list --all\n");
    for (size_t i = 0; i < ARRAY_SIZE(options); i++)
        printf("  --%-12s %-5s %s\n", options[i].option, options[i].argument, options[i].help);
    puts("\nThe configuration file can have:");
    settings_each(help_setting);
}

static void man_setting(const char *name, const char *value, const char *help)
{
    printf(".TP\n.B %s\n%s%s%s%s\n", name, help, *value ? " (" : "", value, *value ? ")" : "");
}

void manual_man(void)
{
    puts(
        ".TH LODGED 8 \"\" \"Lodge " LODGE_VERSION "\" \"System Administration\"\n"
        ".SH NAME\nlodged \\- manage virtual machines\n"
        ".SH SYNOPSIS\n.B lodged\n.RB [ \\-\\-root \" \\fIDIR\\fR]\" \" [\" \\-\\-config \" \\fIFILE\\fR]\"\n"
        ".SH DESCRIPTION\nThe daemon defines, starts, watches and stops virtual machines. Each of them is a process of its own,\n"
        ".BR lodge-vm (1)\nor QEMU, which goes on when the daemon ends; the next daemon finds it. Clients are\n"
        ".BR lodge (1)\nand what speaks libvirt's RPC:\n.BR virsh (1),\n.BR virt-install (1),\nvirt-manager, the libraries of libvirt.\n"
        ".PP\n.nf\nvirsh -c 'qemu+unix:///system?socket=/run/lodge/lodged-sock' list --all\n.fi\n.SH OPTIONS");
    for (size_t i = 0; i < ARRAY_SIZE(options); i++)
        printf(".TP\n.BI \\-\\-%s \" %s\"\n%s\n", options[i].option, options[i].argument, options[i].help);
    puts(".SH CONFIGURATION\nEach line of /etc/lodge/lodged.conf is NAME = VALUE; # begins a comment.");
    settings_each(man_setting);
    puts(
        ".SH FILES\n"
        ".TP\n.I /etc/lodge/domains/, storage/, networks/\nDefinitions; in autostart, which of them start with the daemon.\n"
        ".TP\n.I /run/lodge/lodged-sock, lodged-sock-ro\nWhere clients connect; the second is for looking only.\n"
        ".TP\n.I /run/lodge/domains/NAME.xml\nOf a running machine: its state, process and document.\n"
        ".TP\n.I /var/lib/lodge/save/NAME.save\nManaged saves.\n"
        ".TP\n.I /var/log/lodge/NAME.log\nHow a machine was started, and what its program printed.\n"
        ".PP\nWith\n.BI \\-\\-root \" DIR\"\nthese are in DIR/etc, DIR/run, DIR/lib and DIR/log.\n"
        ".SH ENVIRONMENT\n.B LISTEN_FDS, LISTEN_FDNAMES\n: sockets from systemd; one whose name ends in -ro is read-only.\n"
        ".B NOTIFY_SOCKET\n: is told when clients are served.\n"
        ".SH EXIT STATUS\n0: ended by SIGTERM or SIGINT. 1: it could not start; the last line says why.\n"
        ".SH SEE ALSO\n.BR lodge (1),\n.BR lodge-vm (1),\n.BR virsh (1)");
}

static void config_setting(const char *name, const char *value, const char *help)
{
    printf("\n# %s\n#%s = %s\n", help, name, value);
}

void manual_config(void)
{
    puts("# lodged.conf - settings of lodged; see lodged(8). What is a comment here is so anyway.");
    settings_each(config_setting);
}
