/* monitor.c - controlling the machine while it runs: the clients, and what is sent to them */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "machine/machine.h"
#include "machine/monitor/monitor.h"

static void drop_output(struct monitor *mon)
{
    free(mon->out);
    mon->out = NULL;
    mon->out_length = mon->out_sent = 0;
}

/* As much as the chardev takes now. */
static void send_output(void *opaque)
{
    struct monitor *mon = opaque;
    while (mon->out_sent < mon->out_length && chardev_write(mon->chardev, (u8)mon->out[mon->out_sent]))
        mon->out_sent++;
    if (mon->out_sent == mon->out_length)
        drop_output(mon);
}

/* A client that does not read what it asked for is dropped before it costs much memory. */
void monitor_write(struct monitor *mon, const char *text, size_t size)
{
    size_t left = mon->out_length - mon->out_sent;
    char *out = left + size <= MONITOR_OUTPUT_MAX ? malloc(left + size) : NULL;
    if (!mon->chardev->connected)
        size = 0;
    if (!out) {
        drop_output(mon);
        chardev_disconnect(mon->chardev);
        return;
    }
    if (left)
        memcpy(out, mon->out + mon->out_sent, left);
    memcpy(out + left, text, size);
    drop_output(mon);
    mon->out = out;
    mon->out_length = left + size;
    send_output(mon);
}

static void input(void *opaque)
{
    struct monitor *mon = opaque;
    u8 byte;
    while (mon->chardev->connected && chardev_read(mon->chardev, &byte))
        (mon->control ? qmp_byte : human_byte)(mon, byte);
}

static void connection(void *opaque, enum chardev_event event)
{
    struct monitor *mon = opaque;
    drop_output(mon);
    json_stream_reset(&mon->in);
    mon->negotiated = false;
    mon->line_length = 0;
    if (event == CHARDEV_OPENED)
        (mon->control ? qmp_opened : human_opened)(mon);
}

void monitors_create(struct machine *m, const struct chardevs *s)
{
    for (unsigned i = 0; i < s->monitor_count; i++) {
        const struct monitor_place *p = &s->monitor[i];
        struct monitor *mon = &m->monitors.monitor[m->monitors.count++];
        *mon =
            (struct monitor){.machine = m, .chardev = p->chardev, .control = p->control, .pretty = p->pretty};
        mon->chardev->user = (struct chardev_user){mon, input, send_output, NULL, connection};
    }
}

static void send_event(struct monitor *mon, const json_t *event)
{
    if (!mon->control || !mon->negotiated)
        return;
    char *text = json_dumps(event, mon->pretty ? JSON_INDENT(4) : 0);
    if (!text)
        return;
    monitor_write(mon, text, strlen(text));
    monitor_write(mon, "\r\n", 2);
    free(text);
}

static void send_now(struct machine *m, const char *name, json_t *data)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    json_t *event = json_pack("{s:{s:I,s:I},s:s,s:o*}", "timestamp", "seconds", (json_int_t)t.tv_sec,
                              "microseconds", (json_int_t)t.tv_nsec / 1000, "event", name, "data", data);
    for (unsigned i = 0; event && i < m->monitors.count; i++)
        send_event(&m->monitors.monitor[i], event);
    json_decref(event);
}

/* ---- events that a guest can make without end: one a second (QEMU's monitor_qapi_event_conf) ---- */

static const struct {
    const char *name, *key; /* key: the member by whose value events count apart; NULL: all are one */
} limited[] = {{"BALLOON_CHANGE", NULL}, {"RTC_CHANGE", NULL}, {"VSERPORT_CHANGE", "id"}, {"WATCHDOG", NULL}};

/* One that was sent less than a second ago, and the newest that has come since. */
struct event_limit {
    struct machine *machine;
    const char *name;
    char *key;
    json_t *waiting; /* NULL: none */
    struct loop_timer timer;
    struct event_limit *next;
};

static void forget(struct event_limit *l)
{
    struct event_limit **at = &l->machine->monitors.limits;
    while (*at != l)
        at = &(*at)->next;
    *at = l->next;
    free(l->key);
    free(l);
}

static void second_is_over(struct loop_timer *t)
{
    struct event_limit *l = container_of(t, struct event_limit, timer);
    if (!l->waiting) {
        forget(l);
        return;
    }
    json_t *data = l->waiting;
    l->waiting = NULL;
    loop_arm(&l->machine->loop, t, loop_now() + 1000000000);
    send_now(l->machine, l->name, data);
}

static struct event_limit *find_limit(struct machine *m, const char *name, const char *key)
{
    struct event_limit *l = m->monitors.limits;
    while (l && (l->name != name || strcmp(l->key, key)))
        l = l->next;
    return l;
}

/* Without memory the event is one without a limit. */
static void begin_limit(struct machine *m, const char *name, const char *key)
{
    struct event_limit *l = malloc(sizeof(*l));
    char *copy = l ? strdup(key) : NULL;
    if (!copy) {
        free(l);
        return;
    }
    *l = (struct event_limit){m, name, copy, NULL, {.expired = second_is_over}, m->monitors.limits};
    m->monitors.limits = l;
    loop_arm(&m->loop, &l->timer, loop_now() + 1000000000);
}

/* true: it waits for its second to be over. */
static bool is_limited(struct machine *m, const char *name, json_t *data)
{
    for (size_t i = 0; i < ARRAY_SIZE(limited); i++) {
        if (strcmp(limited[i].name, name))
            continue;
        const char *key = limited[i].key ? json_string_value(json_object_get(data, limited[i].key)) : NULL;
        struct event_limit *l = find_limit(m, limited[i].name, key ? key : "");
        if (l) {
            json_decref(l->waiting);
            l->waiting = data;
            return true;
        }
        begin_limit(m, limited[i].name, key ? key : "");
    }
    return false;
}

void monitor_event(struct machine *m, const char *name, json_t *data)
{
    ASSERT(qmp_event_is_known(name));
    if (!is_limited(m, name, data))
        send_now(m, name, data);
}

int monitor_claim_fd(struct machine *m, const char *name)
{
    for (unsigned i = 0; i < MONITOR_FDS; i++) {
        struct named_fd *n = &m->monitors.fds[i];
        if (!n->name || strcmp(n->name, name))
            continue;
        free(n->name);
        n->name = NULL;
        return n->fd;
    }
    return -1;
}
