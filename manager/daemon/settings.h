/* settings.h - lodged.conf and the command line: where things lie and what is allowed */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DAEMON_SETTINGS_H
#define DAEMON_SETTINGS_H

#include "base/base.h"
#include "base/error.h"

struct settings {
    char *emulator; /* for domains that name none */
    char *kvm;      /* lodge-kvm: KVM for a program, where the kernel has none */
    u64 client_max;
    u64 socket_mode, read_only_socket_mode; /* permissions, as octal digits */
    u64 monitor_timeout;                    /* seconds until a machine that does not answer counts as hung */
    u64 migration_port_min, migration_port_max, migration_timeout;
    u64 log_max; /* bytes of a domain's log from which on it begins anew */

    /* Folders, from --root or the system's. */
    char *config_dir; /* definitions */
    char *run_dir;    /* sockets, and what is running */
    char *state_dir;  /* saved machines */
    char *log_dir;
};

/* The defaults. root NULL: the system's folders. */
void settings_init(struct settings *s, const char *root);
/* Reads `NAME = VALUE` lines; '#' begins a comment. 0 or -errno with e. */
int settings_read(struct settings *s, const char *path, struct error *e);
/* Calls tell for each setting with its default. */
void settings_each(void (*tell)(const char *name, const char *value, const char *help));
void settings_free(struct settings *s);

#endif
