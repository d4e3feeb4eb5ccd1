/* mux.c - several share one character device: Ctrl-a changes between them */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "machine/chardev.h"

enum { CTRL_A = 1, MUX_FRONTS = 4 };

struct mux {
    struct chardev *below, *front[MUX_FRONTS];
    unsigned count, focus;
    bool escaped; /* Ctrl-a was the last key */
};

static struct chardev *focused(struct mux *x)
{
    return x->front[x->focus];
}

static void print_keys(struct mux *x)
{
    static const char text[] =
        "\r\nCtrl-a h    this help\r\nCtrl-a x    end the machine\r\n"
        "Ctrl-a b    send a break to the guest\r\nCtrl-a c    change to the monitor, or back\r\n"
        "Ctrl-a Ctrl-a    send Ctrl-a to the guest\r\n";
    for (const char *p = text; *p; p++)
        chardev_write(x->below, (u8)*p);
}

static void send_ctrl_a(struct mux *x)
{
    ring_put(&focused(x)->in, CTRL_A);
}

static void send_break(struct mux *x)
{
    const struct chardev_user *u = &focused(x)->user;
    if (u->send_break)
        u->send_break(u->opaque);
}

static void quit(struct mux *x)
{
    if (x->below->host.quit)
        x->below->host.quit(x->below->host.opaque);
}

static void tell(struct chardev *front, enum chardev_event event)
{
    front->connected = event == CHARDEV_OPENED;
    if (front->user.event)
        front->user.event(front->user.opaque, event);
}

static void change(struct mux *x)
{
    tell(focused(x), CHARDEV_CLOSED);
    x->focus = (x->focus + 1) % x->count;
    tell(focused(x), CHARDEV_OPENED);
}

/* What the key after Ctrl-a does. */
static const struct {
    u8 key;
    void (*act)(struct mux *x);
} keys[] = {{'h', print_keys}, {'?', print_keys}, {'x', quit},
            {'b', send_break}, {'c', change},     {CTRL_A, send_ctrl_a}};

static void accept_key(struct mux *x, u8 key)
{
    if (!x->escaped && key != CTRL_A) {
        ring_put(&focused(x)->in, key);
        return;
    }
    x->escaped = !x->escaped;
    for (size_t i = 0; i < ARRAY_SIZE(keys) && !x->escaped; i++)
        if (keys[i].key == key)
            keys[i].act(x);
}

/* A pipe or a socket waits while the backlog is full; at a terminal we read on, and lose what the guest does
 * not want, or Ctrl-a x would not be seen. */
static bool takes_input(struct mux *x)
{
    return ring_used(&focused(x)->in) < CHARDEV_BACKLOG || isatty(x->below->read_watch.fd);
}

static void input(void *opaque)
{
    struct mux *x = opaque;
    u8 key;
    while (x->count && takes_input(x) && chardev_read(x->below, &key))
        accept_key(x, key);
    for (unsigned i = 0; i < x->count; i++)
        if (ring_used(&x->front[i]->in) && x->front[i]->user.input)
            x->front[i]->user.input(x->front[i]->user.opaque);
}

static void output_ready(void *opaque)
{
    struct mux *x = opaque;
    for (unsigned i = 0; i < x->count; i++) {
        struct chardev *f = x->front[i];
        if (!f->output_full)
            continue;
        f->output_full = false;
        if (f->user.output_ready)
            f->user.output_ready(f->user.opaque);
    }
}

static void below_event(void *opaque, enum chardev_event event)
{
    struct mux *x = opaque;
    x->escaped = false;
    if (x->count)
        tell(focused(x), event);
}

bool mux_write(struct chardev *front, u8 byte)
{
    return chardev_write(front->mux->below, byte);
}

void mux_refill(struct chardev *front)
{
    if (ring_used(&front->in) == CHARDEV_BACKLOG / 2 && ring_used(&front->mux->below->in))
        input(front->mux);
}

struct mux *mux_create(struct chardev *below)
{
    struct mux *x = calloc(1, sizeof(*x));
    if (!x)
        return NULL;
    x->below = below;
    below->mux = x;
    below->used = true;
    below->user = (struct chardev_user){x, input, output_ready, NULL, below_event};
    return x;
}

struct chardev *mux_front(struct mux *x)
{
    static const struct chardev_config config = {.backend = CHARDEV_FRONT};
    struct chardev *f = x->count < MUX_FRONTS ? calloc(1, sizeof(*f)) : NULL;
    if (!f)
        return NULL;
    chardev_init(f, &config, x->below->loop, NULL);
    memcpy(f->label, x->below->label, sizeof(f->label));
    f->mux = x;
    f->used = true;
    x->front[x->count++] = f;
    return f;
}

void mux_destroy(struct mux *x)
{
    for (unsigned i = 0; i < x->count; i++)
        free(x->front[i]);
    x->below->mux = NULL;
    free(x);
}
