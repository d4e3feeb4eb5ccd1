/* chardev.c - the bytes of a character device, and its client */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "machine/chardev.h"

u32 ring_used(const struct ring *r)
{
    return r->head - r->tail;
}

bool ring_put(struct ring *r, u8 byte)
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

static void pty_closed(struct chardev *c, int fd);

static void call(void (*fn)(void *), void *opaque)
{
    if (fn)
        fn(opaque);
}

static bool has_clients(const struct chardev *c)
{
    return c->config.backend == CHARDEV_UNIX || c->config.backend == CHARDEV_TCP ||
           c->config.backend == CHARDEV_PTY;
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
            if (!has_clients(c)) /* a client that leaves is no error */
                report("cannot write the output of '%s': %s: the rest is lost", c->label, strerror(errno));
            output_lost(c);
        }
    }
    if (c->write_watch.fd >= 0)
        loop_set_events(c->loop, &c->write_watch, ring_used(&c->out) ? POLLOUT : 0);
}

u32 chardev_room(const struct chardev *c)
{
    return CHARDEV_BACKLOG - ring_used(&c->out);
}

/* Nobody waits for a log: what the file does not take is lost. */
static void flush_log(struct chardev *c)
{
    bool failed = c->log_used && write(c->log_fd, c->log, c->log_used) != (ssize_t)c->log_used;
    if (failed && !c->log_failed)
        report("cannot write the log '%s': %s: some of it is lost", c->config.logfile, strerror(errno));
    c->log_failed = failed;
    c->log_used = 0;
}

static void log_soon(struct loop_timer *t)
{
    flush_log(container_of(t, struct chardev, log_soon));
}

static void log_byte(struct chardev *c, u8 byte)
{
    if (c->log_used == CHARDEV_LOG)
        flush_log(c);
    c->log[c->log_used++] = byte;
    if (!c->log_soon.armed)
        loop_arm(c->loop, &c->log_soon, 0);
}

static bool write_byte(struct chardev *c, u8 byte)
{
    if (c->write_watch.fd < 0)
        return true;
    c->output_full = !ring_put(&c->out, byte);
    if (!c->output_full && ring_used(&c->out) == 1)
        flush_output(c);
    return !c->output_full;
}

bool chardev_write(struct chardev *c, u8 byte)
{
    c->last_output = byte;
    if (c->config.backend == CHARDEV_FRONT)
        return !(c->output_full = !mux_write(c, byte));
    bool taken = write_byte(c, byte);
    if (taken && c->log_fd >= 0)
        log_byte(c, byte);
    return taken;
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

/* How many bytes to read now: whoever is at the other end waits while the backlog is full. */
static size_t input_room(const struct chardev *c)
{
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

static void tell(struct chardev *c, enum chardev_event event)
{
    c->connected = event == CHARDEV_OPENED;
    if (c->user.event)
        c->user.event(c->user.opaque, event);
}

static void close_fds(struct chardev *c)
{
    while (c->fd_count)
        close(c->fd[--c->fd_count]);
}

int chardev_take_fd(struct chardev *c)
{
    if (!c->fd_count)
        return -1;
    int fd = c->fd[0];
    memmove(c->fd, c->fd + 1, --c->fd_count * sizeof(c->fd[0]));
    return fd;
}

static void input_ended(struct chardev *c)
{
    int fd = c->read_watch.fd;
    set_reading(c, false);
    c->read_watch.fd = -1; /* standard input has an end, too; the guest goes on */
    if (!has_clients(c))
        return;
    output_lost(c);
    close_fds(c);
    if (c->config.backend == CHARDEV_PTY)
        pty_closed(c, fd);
    else
        close(fd);
    if (c->output_full) {
        c->output_full = false;
        call(c->user.output_ready, c->user.opaque);
    }
    tell(c, CHARDEV_CLOSED);
    if (c->listen_watch.fd >= 0)
        loop_add(c->loop, &c->listen_watch); /* for the next client */
}

void chardev_disconnect(struct chardev *c)
{
    if (has_clients(c) && c->read_watch.fd >= 0)
        input_ended(c);
}

/* Descriptors that a client has sent along. */
static void keep_fds(struct chardev *c, struct msghdr *msg)
{
    for (struct cmsghdr *h = CMSG_FIRSTHDR(msg); h; h = CMSG_NXTHDR(msg, h)) {
        if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
            continue;
        size_t n = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(h) + i * sizeof(fd), sizeof(fd));
            if (c->fd_count < CHARDEV_FDS)
                c->fd[c->fd_count++] = fd;
            else
                close(fd);
        }
    }
}

static ssize_t receive(struct chardev *c, u8 *bytes, size_t size)
{
    union {
        char room[CMSG_SPACE(CHARDEV_FDS * sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec v = {bytes, size};
    struct msghdr msg = {
        .msg_iov = &v, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    if (c->config.backend != CHARDEV_UNIX)
        return read(c->read_watch.fd, bytes, size);
    ssize_t n = recvmsg(c->read_watch.fd, &msg, MSG_CMSG_CLOEXEC);
    if (n >= 0)
        keep_fds(c, &msg);
    return n;
}

static void input_possible(struct loop_watch *w, short revents)
{
    struct chardev *c = container_of(w, struct chardev, read_watch);
    u8 bytes[4096];
    (void)revents;
    ssize_t n = receive(c, bytes, min(sizeof(bytes), input_room(c)));
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        input_ended(c);
        return;
    }
    for (ssize_t i = 0; i < n; i++)
        ring_put(&c->in, bytes[i]);
    set_reading(c, input_room(c) > 0);
    call(c->user.input, c->user.opaque);
}

bool chardev_available(const struct chardev *c)
{
    return ring_used(&c->in);
}

void chardev_release(struct chardev *c)
{
    c->user = (struct chardev_user){0};
    c->front_closed = false;
    c->used = c->mux; /* the place at a mux stays */
}

bool chardev_read(struct chardev *c, u8 *byte)
{
    if (!ring_get(&c->in, byte))
        return false;
    if (c->config.backend == CHARDEV_FRONT)
        mux_refill(c);
    else
        set_reading(c, c->started && c->read_watch.fd >= 0);
    return true;
}

/* Back ends */

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
    if (c->config.nodelay)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    c->in.tail = c->in.head; /* of the last client */
    attach(c, fd, fd);
    tell(c, CHARDEV_OPENED);
    call(c->host.connected, c->host.opaque);
}

/* A pty is read and written from the start; that somebody has opened its other end shows in poll, which
 * reports a hang-up while nobody has. */
static bool pty_is_open(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, 0) >= 0 && !(p.revents & POLLHUP);
}

static void pty_look(struct loop_timer *t)
{
    enum { EVERY_NS = 200000000 };
    struct chardev *c = container_of(t, struct chardev, look);
    if (!pty_is_open(c->listen_watch.fd)) {
        loop_arm(c->loop, t, loop_now() + EVERY_NS);
        return;
    }
    attach(c, c->listen_watch.fd, c->listen_watch.fd);
    tell(c, CHARDEV_OPENED);
}

static void pty_closed(struct chardev *c, int fd)
{
    c->listen_watch.fd = fd;
    pty_look(&c->look);
}

void chardev_init(struct chardev *c, const struct chardev_config *config, struct loop *l, struct terminal *t)
{
    *c = (struct chardev){.config = *config, .loop = l, .terminal = t, .what = "-chardev", .log_fd = -1};
    c->read_watch = (struct loop_watch){-1, POLLIN, input_possible};
    c->write_watch = (struct loop_watch){-1, 0, output_possible};
    c->listen_watch = (struct loop_watch){-1, POLLIN, client_arrived};
    c->look.expired = pty_look;
    c->log_soon.expired = log_soon;
}

void chardev_start(struct chardev *c)
{
    c->started = true;
    attach(c, c->read_watch.fd, c->write_watch.fd);
    if (c->config.backend == CHARDEV_PTY)
        pty_look(&c->look);
    else if (c->listen_watch.fd >= 0)
        loop_add(c->loop, &c->listen_watch);
    else
        tell(c, CHARDEV_OPENED);
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
    flush_log(c);
    if (c->config.backend == CHARDEV_STDIO && c->last_output && c->last_output != '\n' &&
        isatty(STDOUT_FILENO))
        fputs("\r\n", stderr); /* the terminal is still raw */
    if (c->listen_watch.fd >= 0 && c->config.path)
        unlink(c->config.path);
}

void chardev_close(struct chardev *c)
{
    chardev_finish(c, 0);
    set_reading(c, false);
    loop_remove(c->loop, &c->write_watch);
    loop_remove(c->loop, &c->listen_watch);
    loop_cancel(c->loop, &c->look);
    loop_cancel(c->loop, &c->log_soon);
    if (c->log_fd >= 0)
        close(c->log_fd);
    if (c->read_watch.fd > STDERR_FILENO)
        close(c->read_watch.fd);
    if (c->write_watch.fd > STDERR_FILENO && c->write_watch.fd != c->read_watch.fd)
        close(c->write_watch.fd);
    if (c->listen_watch.fd > STDERR_FILENO && c->listen_watch.fd != c->read_watch.fd)
        close(c->listen_watch.fd);
    close_fds(c);
    if (c->mux && c->config.backend != CHARDEV_FRONT)
        mux_destroy(c->mux);
}
