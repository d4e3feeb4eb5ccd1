/* human.c - the monitor for people: one row for each command */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdlib.h>
#include <string.h>

#include "machine/machine.h"
#include "machine/monitor/monitor.h"
#include "machine/plug.h"

/* A command of QMP without arguments, or with one; or `run`, which prints. */
struct human_command {
    const char *name, *other, *argument, *help;
    const char *qmp, *qmp_argument;
    void (*run)(struct machine *m, const char *argument, FILE *f);
};

static void info(struct machine *m, const char *argument, FILE *f);
static void help(struct machine *m, const char *argument, FILE *f);
static void device_add(struct machine *m, const char *argument, FILE *f);
static void netdev_add(struct machine *m, const char *argument, FILE *f);

static const struct human_command commands[] = {
    {"help", "?", "", "this list", .run = help},
    {"info", NULL, "WHAT", "chardev, cpus, kvm, name, registers, status, uuid or version", .run = info},
    {"stop", "s", "", "stop the guest", "stop"},
    {"cont", "c", "", "let it go on", "cont"},
    {"system_reset", NULL, "", "reset it", "system_reset"},
    {"system_powerdown", NULL, "", "press its power button", "system_powerdown"},
    {"nmi", NULL, "", "send it a non-maskable interrupt", "inject-nmi"},
    {"quit", "q", "", "end the machine", "quit"},
    {"device_add", NULL, "NAME,...", "add a device, as -device does", .run = device_add},
    {"device_del", NULL, "ID", "remove one", "device_del", "id"},
    {"netdev_add", NULL, "TYPE,id=ID,...", "add the host's end of a network", .run = netdev_add},
    {"netdev_del", NULL, "ID", "remove one", "netdev_del", "id"},
};

static void help(struct machine *m, const char *argument, FILE *f)
{
    (void)m, (void)argument;
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
        fprintf(f, "%s%s%s %s -- %s\r\n", commands[i].name, commands[i].other ? "|" : "",
                commands[i].other ? commands[i].other : "", commands[i].argument, commands[i].help);
}

static json_t *ask(struct machine *m, const char *name, json_t *arguments, FILE *f)
{
    struct qmp_call call = {.machine = m, .arguments = arguments};
    json_t *answer = qmp_run(&call, name);
    if (!answer)
        fprintf(f, "Error: %s\r\n", call.e.text);
    json_decref(arguments);
    return answer;
}

/* NAME: VALUE, for each member of an answer. */
static void print_members(const json_t *v, FILE *f)
{
    const char *key;
    json_t *member;
    json_object_foreach((json_t *)v, key, member)
    {
        char *text = json_dumps(member, JSON_ENCODE_ANY);
        fprintf(f, "%s: %s\r\n", key, json_is_string(member) ? json_string_value(member) : text ? text : "");
        free(text);
    }
}

static void info_registers(struct machine *m, FILE *f)
{
    char text[1024];
    if (!m->stopped)
        fprintf(f, "the guest runs: stop it first\r\n");
    for (unsigned i = 0; i < m->vcpu_count && m->stopped; i++) {
        vcpu_describe(&m->vcpu[i], text, sizeof(text));
        fprintf(f, "CPU#%u %s\r\n", i, text);
    }
}

static void info(struct machine *m, const char *what, FILE *f)
{
    static const char *const rows[][2] = {{"chardev", "query-chardev"}, {"cpus", "query-cpus-fast"},
                                          {"kvm", "query-kvm"},         {"name", "query-name"},
                                          {"uuid", "query-uuid"},       {"version", "query-version"}};
    if (!strcmp(what, "status")) {
        fprintf(f, "VM status: %s%s%s%s\r\n", m->stopped ? "paused" : "running", m->stopped ? " (" : "",
                m->stopped ? run_state_names[m->state] : "", m->stopped ? ")" : "");
        return;
    }
    if (!strcmp(what, "registers")) {
        info_registers(m, f);
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        json_t *answer = strcmp(rows[i][0], what) ? NULL : ask(m, rows[i][1], json_object(), f), *one;
        size_t k;
        if (!answer)
            continue;
        print_members(answer, f);
        json_array_foreach(answer, k, one) print_members(one, f);
        json_decref(answer);
        return;
    }
    fprintf(f, "info: there is no '%s': help lists what there is\r\n", what);
}

static void plug(struct machine *m, enum plug_kind kind, const char *text, const char *implied, FILE *f)
{
    struct properties p;
    struct error e;
    if (properties_parse(&p, text, implied, "monitor", &e) < 0 || plug_add(m, kind, &p, &e) < 0)
        fprintf(f, "Error: %s\r\n", e.text);
    properties_free(&p);
}

static void device_add(struct machine *m, const char *argument, FILE *f)
{
    plug(m, PLUG_DEVICE, argument, "driver", f);
}

static void netdev_add(struct machine *m, const char *argument, FILE *f)
{
    plug(m, PLUG_NETDEV, argument, "type", f);
}

static void run_row(struct machine *m, const struct human_command *c, const char *argument, FILE *f)
{
    if (!*c->argument != !*argument) {
        fprintf(f, "usage: %s %s\r\n", c->name, c->argument);
        return;
    }
    if (c->run)
        c->run(m, argument, f);
    else
        json_decref(ask(m, c->qmp,
                        c->qmp_argument ? json_pack("{s:s}", c->qmp_argument, argument) : json_object(), f));
}

void human_run(struct machine *m, const char *line, FILE *f)
{
    char name[32];
    line += strspn(line, " ");
    size_t length = strcspn(line, " ");
    snprintf(name, sizeof(name), "%.*s", (int)min(length, sizeof(name) - 1), line);
    const char *argument = line + length + strspn(line + length, " ");
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
        if (!strcmp(commands[i].name, name) || (commands[i].other && !strcmp(commands[i].other, name))) {
            run_row(m, &commands[i], argument, f);
            return;
        }
    if (*name)
        fprintf(f, "unknown command: '%s'\r\n", name);
}

/* ---- the line that a person types ---- */

static void say(struct monitor *mon, const char *text)
{
    monitor_write(mon, text, strlen(text));
}

void human_opened(struct monitor *mon)
{
    say(mon, "\r\nLodge's monitor: type 'help'\r\n(lodge) ");
}

static void finish_line(struct monitor *mon)
{
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    mon->line[mon->line_length] = 0;
    mon->line_length = 0;
    say(mon, "\r\n");
    if (f) {
        human_run(mon->machine, mon->line, f);
        fclose(f);
        monitor_write(mon, text, size);
        free(text);
    }
    say(mon, "(lodge) ");
}

void human_byte(struct monitor *mon, u8 byte)
{
    enum { CTRL_U = 21, DELETE = 127 };
    if (byte == '\r' || byte == '\n') {
        finish_line(mon);
    } else if ((byte == '\b' || byte == DELETE) && mon->line_length) {
        mon->line_length--;
        say(mon, "\b \b");
    } else if (byte == CTRL_U) {
        for (; mon->line_length; mon->line_length--)
            say(mon, "\b \b");
    } else if (byte >= ' ' && byte < DELETE && mon->line_length + 1 < sizeof(mon->line)) {
        mon->line[mon->line_length++] = (char)byte;
        monitor_write(mon, (char *)&byte, 1);
    }
}
