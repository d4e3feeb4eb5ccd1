/* packet.c - packets of the remote serial protocol (GDB manual, E.1) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "machine/gdbstub/gdbstub.h"

enum { INTERRUPT = 3, ESCAPE = '}', ESCAPE_FLIP = 0x20 };

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

size_t hex_decode(const char *hex, u8 *bytes, size_t max)
{
    size_t n = 0;
    for (; n < max && hex_digit(hex[0]) >= 0 && hex_digit(hex[1]) >= 0; hex += 2)
        bytes[n++] = (u8)(hex_digit(hex[0]) << 4 | hex_digit(hex[1]));
    return n;
}

void hex_encode(char *hex, const u8 *bytes, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        *hex++ = digits[bytes[i] >> 4];
        *hex++ = digits[bytes[i] & 15];
    }
    *hex = 0;
}

/* ---- out ---- */

static void flush(struct gdb_link *l)
{
    while (l->out_sent < l->out_len) {
        ssize_t n = send(l->watch.fd, l->out + l->out_sent, l->out_len - l->out_sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0 && errno != EINTR) {
            l->out_sent = l->out_len; /* the loop will see the hang-up */
            break;
        }
        l->out_sent += n > 0 ? (unsigned)n : 0;
    }
    if (l->out_sent == l->out_len)
        l->out_sent = l->out_len = 0;
    loop_set_events(l->loop, &l->watch, l->out_len ? POLLOUT : POLLIN);
}

static void put(struct gdb_link *l, char c)
{
    if (l->out_len < sizeof(l->out))
        l->out[l->out_len++] = c;
}

static bool is_special(char c)
{
    return c == '$' || c == '#' || c == ESCAPE || c == '*';
}

void gdb_link_send(struct gdb_link *l, const char *data, size_t size)
{
    u8 sum = 0;
    char digits[3];
    if (l->watch.fd < 0)
        return;
    put(l, '$');
    unsigned start = l->out_len;
    for (size_t i = 0; i < size && i < GDB_PACKET; i++) {
        bool special = is_special(data[i]);
        if (special)
            put(l, ESCAPE);
        put(l, special ? data[i] ^ ESCAPE_FLIP : data[i]);
    }
    for (unsigned i = start; i < l->out_len; i++)
        sum += (u8)l->out[i];
    snprintf(digits, sizeof(digits), "%02x", sum);
    put(l, '#');
    put(l, digits[0]);
    put(l, digits[1]);
    flush(l);
}

static void acknowledge(struct gdb_link *l, char c)
{
    if (l->no_ack)
        return;
    put(l, c);
    flush(l);
}

/* ---- in ---- */

static void unescape(struct gdb_link *l)
{
    unsigned n = 0;
    for (unsigned i = 0; i < l->in_len; i++) {
        bool escaped = l->in[i] == ESCAPE && i + 1 < l->in_len;
        if (escaped)
            i++;
        l->in[n++] = escaped ? l->in[i] ^ ESCAPE_FLIP : l->in[i];
    }
    l->in_len = n;
    l->in[n] = 0;
}

static void packet_complete(struct gdb_link *l)
{
    l->state = RSP_IDLE;
    if (l->overrun || (l->digits != l->sum && !l->no_ack)) {
        acknowledge(l, '-');
        return;
    }
    acknowledge(l, '+');
    unescape(l);
    l->packet(l);
}

static void take_data(struct gdb_link *l, char c)
{
    if (c == '#') {
        l->state = RSP_SUM1;
        return;
    }
    l->sum += (u8)c;
    l->overrun |= l->in_len == GDB_PACKET;
    if (!l->overrun)
        l->in[l->in_len++] = c;
}

/* Acknowledgements between packets need nothing: an answer that was lost is asked for again. */
static void take_idle(struct gdb_link *l, char c)
{
    if (c == INTERRUPT)
        l->interrupt(l);
    if (c != '$')
        return;
    l->state = RSP_DATA;
    l->in_len = l->sum = 0;
    l->overrun = false;
}

static void take(struct gdb_link *l, char c)
{
    int digit = hex_digit(c);
    switch (l->state) {
    case RSP_IDLE: take_idle(l, c); break;
    case RSP_DATA: take_data(l, c); break;
    case RSP_SUM1:
        l->digits = (u8)((unsigned)digit << 4);
        l->state = digit < 0 ? RSP_IDLE : RSP_SUM2;
        break;
    case RSP_SUM2:
        l->digits |= (u8)digit;
        if (digit < 0)
            l->state = RSP_IDLE;
        else
            packet_complete(l);
        break;
    }
}

static void ready(struct loop_watch *w, short revents)
{
    struct gdb_link *l = container_of(w, struct gdb_link, watch);
    char c;
    if (l->out_len) {
        flush(l);
        if (!(revents & (POLLERR | POLLHUP)))
            return;
    }
    /* Byte by byte, so that what follows a packet is left until it has been answered. */
    while (l->watch.fd >= 0 && !l->out_len) {
        ssize_t n = recv(w->fd, &c, 1, 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n <= 0) {
            l->closed(l);
            return;
        }
        take(l, c);
    }
}

void gdb_link_open(struct gdb_link *l, int fd)
{
    l->watch = (struct loop_watch){fd, POLLIN, ready};
    l->no_ack = false;
    l->state = RSP_IDLE;
    l->in_len = l->out_len = l->out_sent = 0;
    loop_add(l->loop, &l->watch);
}

void gdb_link_close(struct gdb_link *l)
{
    if (l->watch.fd < 0)
        return;
    loop_remove(l->loop, &l->watch);
    close(l->watch.fd);
    l->watch.fd = -1;
}
