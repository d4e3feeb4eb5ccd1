/* rsp.c - a client of the GDB remote serial protocol (GDB manual, appendix E) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "tests/lockstep/rsp.h"

enum { TIMEOUT_MS = 2000, WRITE_CHUNK = 1500 };

static s64 now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (s64)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

bool rsp_open(struct rsp *r, const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
    struct timeval limit = {.tv_sec = TIMEOUT_MS / 1000};
    r->start = r->end = 0;
    r->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(r->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)); /* for connecting too */
    if (connect(r->fd, (struct sockaddr *)&a, sizeof(a)) == 0)
        return true;
    rsp_close(r);
    return false;
}

void rsp_close(struct rsp *r)
{
    if (r->fd >= 0)
        close(r->fd);
    r->fd = -1;
}

/* What is awaited until the call's deadline; it is the same for all characters of all packets of an answer,
 * so that a side that sends without end is noticed as well as one that is silent. */
static bool await_input(struct rsp *r)
{
    struct pollfd p = {.fd = r->fd, .events = POLLIN};
    int n;
    do
        n = poll(&p, 1, (int)max(r->deadline - now_ms(), (s64)0));
    while (n < 0 && errno == EINTR);
    return n > 0;
}

static int next_char(struct rsp *r)
{
    if (r->start == r->end) {
        ssize_t got = await_input(r) && now_ms() < r->deadline ? read(r->fd, r->in, sizeof(r->in)) : 0;
        if (got <= 0)
            return -1;
        r->start = 0;
        r->end = (unsigned)got;
    }
    return (u8)r->in[r->start++];
}

static bool send_bytes(struct rsp *r, const char *data, size_t size)
{
    return send(r->fd, data, size, MSG_NOSIGNAL) == (ssize_t)size;
}

static bool receive(struct rsp *r)
{
    int c;
    do
        c = next_char(r);
    while (c >= 0 && c != '$');
    unsigned n = 0;
    while (c >= 0 && (c = next_char(r)) >= 0 && c != '#' && n < sizeof(r->reply) - 1)
        r->reply[n++] = (char)c;
    r->reply[n] = 0;
    return c == '#' && next_char(r) >= 0 && next_char(r) >= 0 && send_bytes(r, "+", 1);
}

static bool send_packet(struct rsp *r, const char *packet)
{
    char buffer[4096];
    u8 sum = 0;
    r->deadline = now_ms() + TIMEOUT_MS;
    for (const char *p = packet; *p; p++)
        sum += (u8)*p;
    int n = snprintf(buffer, sizeof(buffer), "$%s#%02x", packet, sum);
    return send_bytes(r, buffer, (size_t)n);
}

bool rsp_call(struct rsp *r, const char *packet)
{
    return send_packet(r, packet) && receive(r);
}

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

unsigned rsp_unhex(const char *hex, char *out)
{
    unsigned n = 0;
    for (; digit(hex[0]) >= 0 && digit(hex[1]) >= 0; hex += 2)
        out[n++] = (char)(digit(hex[0]) << 4 | digit(hex[1]));
    return n;
}

bool rsp_monitor(struct rsp *r, const char *command)
{
    char packet[256] = "qRcmd,", text[sizeof(r->reply)];
    unsigned n = 0;
    for (const char *p = command; *p; p++)
        sprintf(packet + strlen(packet), "%02x", (u8)*p);
    if (!send_packet(r, packet))
        return false;
    for (;;) { /* the text comes in packets that begin with O */
        if (!receive(r))
            return false;
        if (r->reply[0] != 'O' || r->reply[1] == 'K')
            break;
        if (n + strlen(r->reply) / 2 < sizeof(text))
            n += rsp_unhex(r->reply + 1, text + n);
    }
    memcpy(r->reply, text, n);
    r->reply[n] = 0;
    return true;
}

static void put_hex(char *out, const u8 *data, unsigned size)
{
    static const char digits[] = "0123456789abcdef";
    for (unsigned i = 0; i < size; i++) {
        *out++ = digits[data[i] >> 4];
        *out++ = digits[data[i] & 15];
    }
    *out = 0;
}

bool rsp_write_register(struct rsp *r, unsigned number, u64 value)
{
    char packet[64];
    put_hex(packet + sprintf(packet, "P%x=", number), (u8 *)&value, sizeof(value));
    return rsp_call(r, packet) && !strcmp(r->reply, "OK");
}

bool rsp_write_memory(struct rsp *r, u64 at, const u8 *data, unsigned size)
{
    char packet[64 + 2 * WRITE_CHUNK];
    for (unsigned done = 0; done < size;) {
        unsigned n = min(size - done, (unsigned)WRITE_CHUNK);
        put_hex(packet + sprintf(packet, "M%llx,%x:", (unsigned long long)at + done, n), data + done, n);
        if (!rsp_call(r, packet) || strcmp(r->reply, "OK"))
            return false;
        done += n;
    }
    return true;
}
