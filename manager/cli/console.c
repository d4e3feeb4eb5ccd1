/* console.c - lodge console: a machine's console on this terminal */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "manager/cli/console.h"
#include "manager/cli/verb.h"

enum { ESCAPE = 0x1d /* Ctrl-] */ };

/* ---- the terminal ---- */

static bool terminal_raw(struct termios *before)
{
    struct termios t;
    if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, before) < 0)
        return false;
    t = *before;
    cfmakeraw(&t);
    return tcsetattr(STDIN_FILENO, TCSANOW, &t) == 0;
}

static int write_all(const u8 *data, size_t size)
{
    while (size) {
        ssize_t n = write(STDOUT_FILENO, data, size);
        if (n < 0 && errno != EINTR)
            return -errno;
        data += max(n, (ssize_t)0);
        size -= (size_t)max(n, (ssize_t)0);
    }
    return 0;
}

/* ---- the stream ---- */

struct console {
    struct connection *connection;
    struct wire_header header; /* of its packets */
    bool input_ended, ended;
};

/* From the terminal; the escape, or the end, closes the stream, which the daemon confirms. */
static int take_input(struct console *s, struct error *e)
{
    u8 data[4096];
    ssize_t n = read(STDIN_FILENO, data, sizeof(data));
    u8 *escape = n > 0 ? memchr(data, ESCAPE, (size_t)n) : NULL;
    size_t size = escape ? (size_t)(escape - data) : n > 0 ? (size_t)n : 0;
    struct wire_header h = s->header;
    h.status = WIRE_CONTINUE;
    int r = size ? connection_send(s->connection, &h, data, size, e) : 0;
    if (r == 0 && (escape || n <= 0)) {
        s->input_ended = true;
        h.status = WIRE_OK;
        r = connection_send(s->connection, &h, NULL, 0, e);
    }
    return r;
}

static int take_output(struct console *s, struct error *e)
{
    struct wire_header h, finish = s->header;
    u8 *payload;
    size_t size;
    int r = connection_receive(s->connection, &h, &payload, &size, e);
    if (r < 0)
        return r;
    bool mine = h.type == WIRE_STREAM && h.serial == s->header.serial;
    if (mine && h.status == WIRE_ERROR)
        r = connection_failed(s->connection, payload, size, e);
    else if (mine && h.status == WIRE_OK)
        s->ended = true;
    else if (mine && size)
        r = write_all(payload, size) < 0
                ? error_set(e, errno, "cannot write to the terminal: %s", strerror(errno))
                : 0;
    else if (mine && !s->input_ended) { /* the machine has ended */
        s->input_ended = true;
        finish.status = WIRE_OK;
        r = connection_send(s->connection, &finish, NULL, 0, e);
    }
    free(payload);
    return r;
}

static int serve(struct console *s, struct error *e)
{
    int r = 0;
    while (!s->ended && r == 0) {
        struct pollfd p[] = {{.fd = s->connection->fd, .events = POLLIN},
                             {.fd = s->input_ended ? -1 : STDIN_FILENO, .events = POLLIN}};
        if (poll(p, ARRAY_SIZE(p), -1) < 0 && errno != EINTR)
            return error_set(e, errno, "cannot wait for the console: %s", strerror(errno));
        if (p[0].revents)
            r = take_output(s, e);
        else if (p[1].revents)
            r = take_input(s, e);
    }
    return r;
}

int console_attach(struct connection *c, const struct remote_domain *d, struct error *e)
{
    struct console s = {.connection = c,
                        .header = {.program = PROGRAM_REMOTE,
                                   .version = WIRE_VERSION,
                                   .procedure = PROC_DOMAIN_OPEN_CONSOLE,
                                   .type = WIRE_STREAM,
                                   .serial = c->serial}};
    struct termios before;
    int r = CALL(c, DOMAIN_OPEN_CONSOLE, domain_open_console, e, *d, NULL, 0);
    if (r < 0)
        return r;
    fprintf(stderr, "%s: Ctrl-] leaves the console\r\n", d->name);
    bool raw = terminal_raw(&before);
    r = serve(&s, e);
    if (raw) {
        tcsetattr(STDIN_FILENO, TCSANOW, &before);
        fputs("\r\n", stderr);
    }
    return r;
}

/* ---- the verb ---- */

struct console_arguments {
    struct target target;
};

static const struct argument table[] = {TARGET_PLACE(struct console_arguments, target), {0}};

static int run(int argc, char **argv, struct error *e)
{
    struct console_arguments a = {0};
    struct connection c;
    struct remote_domain d;
    const char *name;
    int r = arguments_parse(argc, argv, &verb_console, &a, &name, e);
    if (r < 0 || (r = connection_open(&c, &a.target, e)) < 0)
        return r;
    if ((r = connection_find(&c, name, &d, e)) == 0 && d.id < 0)
        r = error_set(e, EINVAL, "'%s' does not run: lodge start --console %s starts it", name, name);
    if (r == 0)
        r = console_attach(&c, &d, e);
    connection_close(&c);
    return r;
}

const struct verb verb_console = {
    .name = "console",
    .words = "NAME",
    .table = table,
    .help = "      a machine's serial console on this terminal; Ctrl-] leaves it\n",
    .run = run,
};
