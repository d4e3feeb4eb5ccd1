/* human.c - the monitor for people: one row for each command */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdlib.h>
#include <string.h>

#include "machine/machine.h"
#include "machine/monitor/commands.h"
#include "machine/net/user.h"
#include "machine/plug.h"

/* A command of QMP without arguments, or with one; or `run`, which prints. */
struct human_command {
    const char *name, *other, *argument, *help;
    const char *qmp, *qmp_argument;
    void (*run)(struct machine *m, const char *argument, FILE *f);
};

static void info(struct machine *m, const char *argument, FILE *f);
static json_t *ask(struct machine *m, const char *name, json_t *arguments, FILE *f);

static void send_key(struct machine *m, const char *argument, FILE *f)
{
    size_t length = strcspn(argument, " ");
    json_t *arguments = json_pack("{s:o}", "keys", keys_parse(argument, length));
    char *end;
    long long hold = strtoll(argument + length, &end, 10);
    if (end != argument + length)
        json_object_set_new(arguments, "hold-time", json_integer(hold));
    json_decref(ask(m, "send-key", arguments, f));
}

static void help(struct machine *m, const char *argument, FILE *f);
static void device_add(struct machine *m, const char *argument, FILE *f);
static void netdev_add(struct machine *m, const char *argument, FILE *f);
static void object_add_text(struct machine *m, const char *argument, FILE *f);
static void chardev_add_text(struct machine *m, const char *argument, FILE *f);
static void set_link(struct machine *m, const char *argument, FILE *f);
static void set_balloon(struct machine *m, const char *argument, FILE *f);
static void hostfwd(struct machine *m, const char *argument, FILE *f);
static void hostfwd_remove(struct machine *m, const char *argument, FILE *f);
static void send_key(struct machine *m, const char *argument, FILE *f);

static const struct human_command commands[] = {
    {"help", "?", "", "this list", .run = help},
    {"info", NULL, "WHAT",
     "balloon, block, chardev, cpus, kvm, name, network, pci, registers, snapshots, status, usernet, uuid, "
     "version",
     .run = info},
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
    {"object_add", NULL, "TYPE,id=ID,...", "add an object, as -object does", .run = object_add_text},
    {"object_del", NULL, "ID", "remove one", "object-del", "id"},
    {"chardev-add", NULL, "BACKEND,id=ID,...", "add a character device, as -chardev does",
     .run = chardev_add_text},
    {"chardev-remove", NULL, "ID", "remove one", "chardev-remove", "id"},
    {"set_link", NULL, "ID on|off", "the cable of a network card", .run = set_link},
    {"announce_self", NULL, "", "network cards tell where they are", "announce-self"},
    {"hostfwd_add", NULL, "[ID] tcp|udp:[ADDRESS]:PORT-[ADDRESS]:PORT",
     "a port of the host's leads to the guest", .run = hostfwd},
    {"hostfwd_remove", NULL, "[ID] tcp|udp:[ADDRESS]:PORT", "and no more", .run = hostfwd_remove},
    {"balloon", NULL, "MIB", "how much memory the guest is to have", .run = set_balloon},
    {"sendkey", NULL, "KEY[-KEY...] [MILLISECONDS]", "press keys, as ctrl-alt-delete", .run = send_key},
    {"system_wakeup", NULL, "", "wake it up, if it sleeps", "system_wakeup"},
    {"savevm", NULL, "[TAG]", "a snapshot of the machine and its disks", .run = human_savevm},
    {"loadvm", NULL, "TAG", "the guest goes on from that snapshot", .run = human_loadvm},
    {"delvm", NULL, "TAG", "remove it", .run = human_delvm},
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

static void info_network(struct machine *m, FILE *f)
{
    char text[128];
    for (const struct net_backend *b = m->nets.first; b; b = b->next) {
        const char *card = b->client.id ? b->client.id(b->client.opaque) : NULL;
        b->type->describe(b, text, sizeof(text));
        fprintf(f, "%s: %s%s, has %s\r\n", b->id, text, b->link_down ? ", link down" : "",
                card              ? card
                : b->client.model ? b->client.model
                                  : "no card");
    }
}

static void info_usernet(struct machine *m, FILE *f)
{
    for (struct net_backend *b = m->nets.first; b; b = b->next) {
        char *text = b->type == &net_user ? net_user_connections(b) : NULL;
        if (text)
            fprintf(f, "%s:\r\n%s", b->id, text);
        free(text);
    }
}

static void info_pci(struct machine *m, FILE *f)
{
    for (unsigned s = 0; s < PCI_SLOTS; s++) {
        const struct pci_device *d = m->pci.slot[s];
        if (d)
            fprintf(f, "0:%02x.0 %04x:%04x class %04x %s %s\r\n", s, pci_get16(d->config + PCI_VENDOR_ID),
                    pci_get16(d->config + PCI_DEVICE_ID), pci_get16(d->config + PCI_CLASS), d->type->name,
                    d->id ? d->id : "");
    }
}

static void info(struct machine *m, const char *what, FILE *f)
{
    static const struct {
        const char *what;
        void (*print)(struct machine *m, FILE *f);
    } printed[] = {{"block", human_info_block},   {"network", info_network},
                   {"usernet", info_usernet},     {"pci", info_pci},
                   {"registers", info_registers}, {"snapshots", human_info_snapshots}};

    static const char *const rows[][2] = {{"chardev", "query-chardev"}, {"balloon", "query-balloon"},
                                          {"cpus", "query-cpus-fast"},  {"kvm", "query-kvm"},
                                          {"name", "query-name"},       {"uuid", "query-uuid"},
                                          {"version", "query-version"}};
    if (!strcmp(what, "status")) {
        fprintf(f, "VM status: %s%s%s%s\r\n", m->stopped ? "paused" : "running", m->stopped ? " (" : "",
                m->stopped ? run_state_names[m->state] : "", m->stopped ? ")" : "");
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(printed); i++)
        if (!strcmp(printed[i].what, what)) {
            printed[i].print(m, f);
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

static void object_add_text(struct machine *m, const char *argument, FILE *f)
{
    plug(m, PLUG_OBJECT, argument, "qom-type", f);
}

static void chardev_add_text(struct machine *m, const char *argument, FILE *f)
{
    struct properties p;
    struct error e;
    if (properties_parse(&p, argument, "backend", "monitor", &e) < 0 ||
        chardevs_add(&m->chardevs, &p, "chardev-add", &e) < 0)
        fprintf(f, "Error: %s\r\n", e.text);
    else
        chardev_start(m->chardevs.all[m->chardevs.count - 1]);
    properties_free(&p);
}

static void set_link(struct machine *m, const char *argument, FILE *f)
{
    char id[64], state[8], more;
    if (sscanf(argument, "%63s %7s %c", id, state, &more) != 2 ||
        (strcmp(state, "on") && strcmp(state, "off")))
        fprintf(f, "usage: set_link ID on|off\r\n");
    else
        json_decref(ask(m, "set_link", json_pack("{s:s,s:b}", "name", id, "up", !strcmp(state, "on")), f));
}

static void set_balloon(struct machine *m, const char *argument, FILE *f)
{
    char *end;
    unsigned long long mib = strtoull(argument, &end, 10);
    if (*end || mib > 1 << 30)
        fprintf(f, "usage: balloon MIB\r\n");
    else
        json_decref(ask(m, "balloon", json_pack("{s:I}", "value", (json_int_t)(mib << 20)), f));
}

/* The user network that the argument begins with, or the first one; *rest: what follows. */
static struct net_backend *user_network(struct machine *m, const char *argument, const char **rest, FILE *f)
{
    char id[64];
    const char *space = strchr(argument, ' ');
    snprintf(id, sizeof(id), "%.*s", space ? (int)(space - argument) : 0, argument);
    *rest = space ? space + strspn(space, " ") : argument;
    for (struct net_backend *b = m->nets.first; b; b = b->next)
        if (b->type == &net_user && (!space || !strcmp(b->id, id)))
            return b;
    fprintf(f, "there is no user network%s%s\r\n", space ? " " : "", id);
    return NULL;
}

static void hostfwd(struct machine *m, const char *argument, FILE *f)
{
    const char *text;
    struct error e;
    struct net_backend *b = user_network(m, argument, &text, f);
    if (b && net_user_forward(b, text, &e) < 0)
        fprintf(f, "Error: %s\r\n", e.text);
}

static void hostfwd_remove(struct machine *m, const char *argument, FILE *f)
{
    const char *text;
    struct net_backend *b = user_network(m, argument, &text, f);
    if (b)
        fprintf(f, "host forwarding rule for %s %s\r\n", text,
                net_user_remove_forward(b, text) ? "removed" : "not found");
}

static void run_row(struct machine *m, const struct human_command *c, const char *argument, FILE *f)
{
    bool optional = *c->argument == '[' && !strchr(c->argument, ' ');
    if (!*c->argument != !*argument && !optional) {
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
