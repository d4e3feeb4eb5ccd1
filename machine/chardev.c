/* chardev.c - the host's end of a serial line: terminal, file, socket or nothing */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "machine/chardev.h"

enum { CTRL_A = 1 };

static u32 ring_used(const struct ring *r)
{
    return r->head - r->tail;
}

static bool ring_put(struct ring *r, u8 byte)
{
    if (ring_used(r) == CHARDEV_BACKLOG)
        return false;
    r->data[r->head++ % CHARDEV_BACKLOG] = byte;
    return true;
}

static bool ring_get(struct ring *r, u8 *byte)
{
    if (!ring_used(r))
        return false;
    *byte = r->data[r->tail++ % CHARDEV_BACKLOG];
    return true;
}

static void call(void (*fn)(void *), void *opaque)
{
    if (fn)
        fn(opaque);
}

/* Output */

static void output_lost(struct chardev *c)
{
    loop_remove(c->loop, &c->write_watch);
    c->write_watch.fd = -1;
    c->out.tail = c->out.head;
}

/* Writes as much of the backlog as the host takes now. */
static void flush_output(struct chardev *c)
{
    while (ring_used(&c->out) && c->write_watch.fd >= 0) {
        u32 start = c->out.tail % CHARDEV_BACKLOG;
        u32 len = min(ring_used(&c->out), CHARDEV_BACKLOG - start);
        ssize_t n = write(c->write_watch.fd, c->out.data + start, len);
        if (n > 0) {
            c->out.tail += (u32)n;
        } else if (n < 0 && errno == EAGAIN) {
            break;
        } else if (n < 0 && errno != EINTR) {
            if (c->config.backend != CHARDEV_UNIX) /* a client that leaves is no error */
                report("cannot write the guest's output: %s: the rest is lost", strerror(errno));
            output_lost(c);
        }
    }
    if (c->write_watch.fd >= 0)
        loop_set_events(c->loop, &c->write_watch, ring_used(&c->out) ? POLLOUT : 0);
}

bool chardev_write(struct chardev *c, u8 byte)
{
    c->last_output = byte;
    if (c->write_watch.fd < 0)
        return true;
    c->output_full = !ring_put(&c->out, byte);
    if (!c->output_full && ring_used(&c->out) == 1)
        flush_output(c);
    return !c->output_full;
}

static void output_possible(struct loop_watch *w, short revents)
{
    struct chardev *c = container_of(w, struct chardev, write_watch);
    if (revents & (POLLERR | POLLHUP) && !ring_used(&c->out))
        output_lost(c);
    else
        flush_output(c);
    if (c->output_full && ring_used(&c->out) < CHARDEV_BACKLOG / 2) {
        c->output_full = false;
        call(c->user.output_ready, c->user.opaque);
    }
}

/* Input */

/* How many bytes to read now. A pipe or a socket waits while the backlog is full; at a terminal with keys of
 * our own we read on, and lose what the guest does not want, or Ctrl-a x would not be seen. */
static size_t input_room(const struct chardev *c)
{
    if (c->config.mux && isatty(c->read_watch.fd))
        return CHARDEV_BACKLOG;
    return CHARDEV_BACKLOG - ring_used(&c->in);
}

/* A descriptor that we do not read is not polled either: its hang-up would be reported for ever. */
static void set_reading(struct chardev *c, bool on)
{
    if (on == c->reading)
        return;
    c->reading = on;
    if (on)
        loop_add(c->loop, &c->read_watch);
    else
        loop_remove(c->loop, &c->read_watch);
}

static void print_keys(struct chardev *c)
{
    static const char text[] =
        "\r\nCtrl-a h    this help\r\nCtrl-a x    end the machine\r\n"
        "Ctrl-a b    send a break to the guest\r\nCtrl-a Ctrl-a    send Ctrl-a to the guest\r\n";
    for (const char *p = text; *p; p++)
        chardev_write(c, (u8)*p);
}

static void send_ctrl_a(struct chardev *c)
{
    ring_put(&c->in, CTRL_A);
}

static void send_break(struct chardev *c)
{
    call(c->user.send_break, c->user.opaque);
}

static void quit(struct chardev *c)
{
    call(c->host.quit, c->host.opaque);
}

/* What the key after Ctrl-a does. */
static const struct {
    u8 key;
    void (*act)(struct chardev *c);
} keys[] = {{'h', print_keys}, {'?', print_keys}, {'x', quit}, {'b', send_break}, {CTRL_A, send_ctrl_a}};

static void accept_key(struct chardev *c, u8 key)
{
    if (!c->config.mux || (!c->escaped && key != CTRL_A)) {
        ring_put(&c->in, key);
        return;
    }
    c->escaped = !c->escaped;
    for (size_t i = 0; i < ARRAY_SIZE(keys) && !c->escaped; i++)
        if (keys[i].key == key)
            keys[i].act(c);
}

static void input_ended(struct chardev *c)
{
    set_reading(c, false);
    if (c->config.backend == CHARDEV_UNIX) {
        output_lost(c);
        close(c->read_watch.fd);
    }
    c->read_watch.fd = -1; /* standard input has an end, too; the guest goes on */
    if (c->listen_watch.fd >= 0)
        loop_add(c->loop, &c->listen_watch); /* for the next client */
}

static void input_possible(struct loop_watch *w, short revents)
{
    struct chardev *c = container_of(w, struct chardev, read_watch);
    u8 bytes[4096];
    (void)revents;
    ssize_t n = read(w->fd, bytes, min(sizeof(bytes), input_room(c)));
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        input_ended(c);
        return;
    }
    for (ssize_t i = 0; i < n; i++)
        accept_key(c, bytes[i]);
    set_reading(c, input_room(c) > 0);
    if (ring_used(&c->in))
        call(c->user.input, c->user.opaque);
}

bool chardev_read(struct chardev *c, u8 *byte)
{
    if (!ring_get(&c->in, byte))
        return false;
    set_reading(c, c->started && c->read_watch.fd >= 0);
    return true;
}

/* Backends */

static void attach(struct chardev *c, int in, int out)
{
    c->read_watch.fd = in;
    c->write_watch.fd = out;
    if (!c->started)
        return;
    set_reading(c, in >= 0);
    if (out >= 0)
        loop_add(c->loop, &c->write_watch);
}

static void client_arrived(struct loop_watch *w, short revents)
{
    struct chardev *c = container_of(w, struct chardev, listen_watch);
    (void)revents;
    int fd = accept4(w->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return;              /* it has gone again */
    loop_remove(c->loop, w); /* one client at a time; the next one waits in the queue */
    attach(c, fd, fd);
    call(c->host.connected, c->host.opaque);
}

/* Standard output as a description of our own, so that O_NONBLOCK does not reach the programs that share it.
 * What cannot be opened again (a socket) or has a position (a file) never keeps us waiting long. */
static int open_stdout(void)
{
    struct stat st;
    if (fstat(STDOUT_FILENO, &st) == 0 && (S_ISCHR(st.st_mode) || S_ISFIFO(st.st_mode))) {
        int fd = open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (fd >= 0)
            return fd;
    }
    return STDOUT_FILENO;
}

static int open_null(struct chardev *c, struct error *e)
{
    (void)c, (void)e;
    return 0;
}

static int open_stdio(struct chardev *c, struct error *e)
{
    if ((fcntl(STDOUT_FILENO, F_GETFL) & O_ACCMODE) == O_RDONLY)
        return error_set(e, EBADF, "-serial stdio: standard output is closed: use -serial file:PATH or null");
    attach(c, STDIN_FILENO, open_stdout());
    return 0;
}

static int open_file(struct chardev *c, struct error *e)
{
    int fd =
        open(c->config.path, O_WRONLY | O_CREAT | O_CLOEXEC | (c->config.append ? O_APPEND : O_TRUNC), 0666);
    if (fd < 0)
        return error_set(e, errno,
                         "-serial: cannot write '%s': %s: name a file in a directory you may write to",
                         c->config.path, strerror(errno));
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    attach(c, -1, fd);
    return 0;
}

static int listen_on(int fd, const struct sockaddr_un *a)
{
    struct stat st;
    if (stat(a->sun_path, &st) == 0 && S_ISSOCK(st.st_mode))
        unlink(a->sun_path); /* left by an earlier run, as QEMU does */
    return bind(fd, (const struct sockaddr *)a, sizeof(*a)) < 0 || listen(fd, 1) < 0 ? -1 : 0;
}

static int open_unix(struct chardev *c, struct error *e)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    const char *verb = c->config.server ? "listen on" : "connect to";
    if (strlen(c->config.path) >= sizeof(a.sun_path))
        return error_set(e, ENAMETOOLONG,
                         "-serial: the socket's path '%s' is longer than %zu bytes: use a shorter one",
                         c->config.path, sizeof(a.sun_path) - 1);
    strcpy(a.sun_path, c->config.path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int r = fd < 0 || (c->config.server ? listen_on(fd, &a) : connect(fd, (struct sockaddr *)&a, sizeof(a)));
    if (r) {
        r = error_set(e, errno, "-serial: cannot %s '%s': %s%s", verb, a.sun_path, strerror(errno),
                      c->config.server ? ": name a path in a directory you may write to"
                                       : ": start the listening program first, or use server=on");
        close(fd);
        return r;
    }
    fcntl(fd, F_SETFL, O_NONBLOCK);
    if (c->config.server)
        c->listen_watch.fd = fd;
    else
        attach(c, fd, fd);
    return 0;
}

static int (*const open_backend[])(struct chardev *c, struct error *e) = {
    [CHARDEV_NULL] = open_null,
    [CHARDEV_STDIO] = open_stdio,
    [CHARDEV_FILE] = open_file,
    [CHARDEV_UNIX] = open_unix,
};

int chardev_open(struct chardev *c, const struct chardev_config *config, struct loop *l, struct terminal *t,
                 struct error *e)
{
    *c = (struct chardev){.config = *config, .loop = l, .terminal = t};
    c->read_watch = (struct loop_watch){-1, POLLIN, input_possible};
    c->write_watch = (struct loop_watch){-1, 0, output_possible};
    c->listen_watch = (struct loop_watch){-1, POLLIN, client_arrived};
    return open_backend[config->backend](c, e);
}

void chardev_start(struct chardev *c)
{
    c->started = true;
    attach(c, c->read_watch.fd, c->write_watch.fd);
    if (c->listen_watch.fd >= 0)
        loop_add(c->loop, &c->listen_watch);
    if (c->config.backend == CHARDEV_STDIO)
        terminal_set_raw(c->terminal, c->config.signal);
}

bool chardev_waiting(const struct chardev *c)
{
    return c->config.wait && c->listen_watch.fd >= 0 && c->read_watch.fd < 0;
}

void chardev_finish(struct chardev *c, int ms)
{
    u64 end = loop_now() + (u64)ms * 1000000;
    flush_output(c);
    while (ring_used(&c->out) && loop_now() < end) {
        struct pollfd p = {.fd = c->write_watch.fd, .events = POLLOUT};
        poll(&p, 1, 10);
        flush_output(c);
    }
    if (c->config.backend == CHARDEV_STDIO && c->last_output && c->last_output != '\n' &&
        isatty(STDOUT_FILENO))
        fputs("\r\n", stderr); /* the terminal is still raw */
    if (c->listen_watch.fd >= 0)
        unlink(c->config.path);
}
