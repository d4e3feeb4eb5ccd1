/* settings.c - lodged.conf and the command line */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "manager/daemon/settings.h"
#include "manager/daemon/text.h"

/* A program that is not a path lies beside lodged. */
enum setting_type { SETTING_PROGRAM, SETTING_NUMBER, SETTING_OCTAL };

static const struct setting {
    const char *name;
    enum setting_type type;
    size_t offset;
    u64 least, most;
    const char *help;
} settings[] = {
#define AT(field) offsetof(struct settings, field)
    {"emulator", SETTING_PROGRAM, AT(emulator), 0, 0, "program that runs a domain whose XML names none"},
    {"kvm", SETTING_PROGRAM, AT(kvm), 0, 0,
     "lodge-kvm: runs a QEMU that wants KVM where the kernel has none"},
    {"max_clients", SETTING_NUMBER, AT(client_max), 1, 100000,
     "connections at the same time; more have to wait"},
    {"socket_mode", SETTING_OCTAL, AT(socket_mode), 0, 0777,
     "permissions of lodged-sock, which may change things"},
    {"read_only_socket_mode", SETTING_OCTAL, AT(read_only_socket_mode), 0, 0777,
     "permissions of lodged-sock-ro"},
    {"monitor_timeout", SETTING_NUMBER, AT(monitor_timeout), 1, 3600,
     "seconds that a machine may take for an answer"},
    {"migration_port_min", SETTING_NUMBER, AT(migration_port_min), 1, 65535,
     "first of the TCP ports at which domains come in that other hosts send"},
    {"migration_port_max", SETTING_NUMBER, AT(migration_port_max), 1, 65535, "last of them"},
    {"migration_timeout", SETTING_NUMBER, AT(migration_timeout), 1, 3600,
     "seconds that one which is to come in waits for whoever sends it"},
    {"log_max", SETTING_NUMBER, AT(log_max), 4096, 1ull << 40,
     "bytes at which a domain's log begins anew at its start"},
#undef AT
};

/* Lodge's programs lie beside each other. */
static char *program_path(const char *name)
{
    char folder[4096];
    ssize_t n = strchr(name, '/') ? 0 : readlink("/proc/self/exe", folder, sizeof(folder) - 1);
    folder[max(n, (ssize_t)0)] = 0;
    char *slash = strrchr(folder, '/');
    return slash ? text_printf("%.*s/%s", (int)(slash - folder), folder, name) : text_copy(name);
}

void settings_init(struct settings *s, const char *root)
{
    *s = (struct settings){
        .emulator = program_path("lodge-vm"),
        .kvm = program_path("lodge-kvm"),
        .client_max = 1000,
        .socket_mode = 0700,
        .read_only_socket_mode = 0777,
        .monitor_timeout = 30,
        .log_max = 2 << 20,
        .migration_port_min = 49152,
        .migration_port_max = 49215,
        .migration_timeout = 60,
        .config_dir = root ? text_printf("%s/etc", root) : text_copy("/etc/lodge"),
        .run_dir = root ? text_printf("%s/run", root) : text_copy("/run/lodge"),
        .state_dir = root ? text_printf("%s/lib", root) : text_copy("/var/lib/lodge"),
        .log_dir = root ? text_printf("%s/log", root) : text_copy("/var/log/lodge"),
    };
}

void settings_free(struct settings *s)
{
    free(s->emulator);
    free(s->kvm);
    free(s->config_dir);
    free(s->run_dir);
    free(s->state_dir);
    free(s->log_dir);
}

void settings_each(void (*tell)(const char *name, const char *value, const char *help))
{
    struct settings s;
    settings_init(&s, NULL);
    for (const struct setting *row = settings; row < settings + ARRAY_SIZE(settings); row++) {
        const void *field = (const char *)&s + row->offset;
        char value[4096];
        if (row->type == SETTING_PROGRAM)
            snprintf(value, sizeof(value), "%s", strrchr(*(char *const *)field, '/') + 1);
        else
            snprintf(value, sizeof(value), row->type == SETTING_OCTAL ? "0%lo" : "%lu", *(const u64 *)field);
        tell(row->name, value, row->help);
    }
    settings_free(&s);
}

static int set_number(struct settings *s, const struct setting *row, const char *value, struct error *e)
{
    char *end;
    errno = 0;
    u64 n = strtoull(value, &end, row->type == SETTING_OCTAL ? 8 : 10);
    if (errno || *end || *value < '0' || *value > '9' || n < row->least || n > row->most) {
        const char *fmt = row->type == SETTING_OCTAL ? "%s wants a number from %lo to %lo (octal), not '%s'"
                                                     : "%s wants a number from %lu to %lu, not '%s'";
        char text[512];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(text, sizeof(text), fmt, row->name, row->least, row->most, value);
#pragma GCC diagnostic pop
        return error_set(e, EINVAL, "%s", text);
    }
    *(u64 *)((char *)s + row->offset) = n;
    return 0;
}

static int set(struct settings *s, const char *name, const char *value, struct error *e)
{
    for (const struct setting *row = settings; row < settings + ARRAY_SIZE(settings); row++) {
        if (strcmp(row->name, name))
            continue;
        if (row->type != SETTING_PROGRAM)
            return set_number(s, row, value, e);
        char **field = (char **)((char *)s + row->offset);
        free(*field);
        *field = program_path(value);
        return 0;
    }
    return error_set(e, EINVAL, "there is no setting '%s': lodged --help lists them", name);
}

/* The text without the white space, and the quotes, around it. */
static char *trim(char *text)
{
    text += strspn(text, " \t\r\n");
    size_t n = strlen(text);
    while (n && strchr(" \t\r\n", text[n - 1]))
        text[--n] = 0;
    if (n >= 2 && text[0] == '"' && text[n - 1] == '"') {
        text[n - 1] = 0;
        text++;
    }
    return text;
}

static int read_line(struct settings *s, char *line, struct error *e)
{
    line[strcspn(line, "#")] = 0;
    if (!*trim(line))
        return 0;
    char *value = strchr(line, '=');
    if (!value)
        return error_set(e, EINVAL, "'%s' is not NAME = VALUE", trim(line));
    *value = 0;
    return set(s, trim(line), trim(value + 1), e);
}

int settings_read(struct settings *s, const char *path, struct error *e)
{
    char *text;
    int r = file_read(path, &text, NULL);
    if (r < 0)
        return error_set(e, -r, "cannot read the configuration '%s': %s", path, strerror(-r));
    unsigned number = 1;
    for (char *line = text, *next; line && r == 0; line = next, number++) {
        if ((next = strchr(line, '\n')))
            *next++ = 0;
        struct error why;
        if ((r = read_line(s, line, &why)) < 0)
            error_set(e, -r, "%s, line %u: %s", path, number, why.text);
    }
    free(text);
    return r;
}
