/* connection.c - the client's end of libvirt's RPC */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "manager/rpc/connection.h"

/* ---- whom ---- */

const char *target_root(const struct target *t)
{
    const char *given = getenv("LODGE_ROOT");
    return t->root ? t->root : t->connect ? NULL : given && *given ? given : NULL;
}

/* A path, or a URI of libvirt's with socket=PATH in it. */
static int socket_path(const struct target *t, char *path, size_t size, struct error *e)
{
    const char *root = target_root(t), *named = t->connect ? strstr(t->connect, "socket=") : NULL;
    int n = root         ? snprintf(path, size, "%s/run/lodged-sock", root)
            : named      ? snprintf(path, size, "%.*s", (int)strcspn(named + 7, "&"), named + 7)
            : t->connect ? snprintf(path, size, "%s", t->connect)
                         : snprintf(path, size, "/run/lodge/lodged-sock");
    if (n < 0 || (size_t)n >= size)
        return error_set(e, ENAMETOOLONG, "the path of the daemon's socket is longer than %zu bytes",
                         size - 1);
    return 0;
}

static int connect_to(struct connection *c, const struct target *t, struct error *e)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int r = socket_path(t, c->path, sizeof(c->path), e);
    if (r < 0)
        return r;
    memcpy(at.sun_path, c->path, sizeof(at.sun_path));
    c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct timeval limit = {.tv_sec = t->patience};
    setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    if (c->fd >= 0 && connect(c->fd, (struct sockaddr *)&at, sizeof(at)) == 0)
        return 0;
    const char *advice = errno == EACCES ? "you may not: use sudo, or a daemon of your own with --root DIR"
                                         : "start lodged, or name its folder with --root DIR (or LODGE_ROOT)";
    return error_set(e, errno, "cannot connect to the daemon at '%s': %s: %s", c->path, strerror(errno),
                     advice);
}

/* ---- messages ---- */

static int lost(const struct connection *c, int err, struct error *e)
{
    return error_set(e, err, "the connection to the daemon at '%s' broke: %s", c->path,
                     err == EPIPE    ? "it has ended"
                     : err == EAGAIN ? "it does not answer"
                                     : strerror(err));
}

int connection_send(struct connection *c, const struct wire_header *h, const void *payload, size_t size,
                    struct error *e)
{
    struct buffer b = {0};
    size_t start = wire_begin(&b, h), sent = 0;
    buffer_append(&b, payload, size);
    wire_end(&b, start);
    int r = 0;
    while (sent < b.size && r == 0) {
        ssize_t n = send(c->fd, b.data + sent, b.size - sent, MSG_NOSIGNAL);
        if (n > 0)
            sent += (size_t)n;
        else if (errno != EINTR)
            r = lost(c, errno, e);
    }
    buffer_free(&b);
    return r;
}

static int read_all(struct connection *c, void *data, size_t size, struct error *e)
{
    while (size) {
        ssize_t n = recv(c->fd, data, size, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return lost(c, n < 0 ? errno : EPIPE, e);
        data = (char *)data + n;
        size -= (size_t)n;
    }
    return 0;
}

int connection_receive(struct connection *c, struct wire_header *h, u8 **payload, size_t *size,
                       struct error *e)
{
    u8 head[WIRE_HEADER_SIZE];
    int r = read_all(c, head, sizeof(head), e);
    if (r < 0)
        return r;
    u32 length = get_u32(head);
    if (length < WIRE_HEADER_SIZE || length > WIRE_MESSAGE_MAX)
        return lost(c, EPROTO, e);
    *h = wire_read_header(head);
    *size = length - WIRE_HEADER_SIZE;
    *payload = malloc(*size + 1);
    if (!*payload)
        return error_set(e, ENOMEM, "no memory for an answer of %zu bytes", *size);
    if ((r = read_all(c, *payload, *size, e)) < 0)
        free(*payload);
    return r;
}

/* Code, domain, message: what follows is not needed. */
int connection_failed(struct connection *c, const u8 *payload, size_t size, struct error *e)
{
    size_t length = size >= 16 && get_u32(payload + 8) ? get_u32(payload + 12) : 0;
    c->error_code = size >= 4 ? (s32)get_u32(payload) : 0;
    if (!length || length > size - 16)
        return error_set(e, EREMOTEIO, "the daemon refuses, and does not say why");
    return error_set(e, EREMOTEIO, "%.*s", (int)min(length, (size_t)1000), (const char *)payload + 16);
}

/* The reply to the call; events that come in between are for nobody. */
static int receive_reply(struct connection *c, u32 serial, const struct xdr_struct *type, void *ret,
                         struct error *e)
{
    for (;;) {
        struct wire_header h;
        u8 *payload;
        size_t size;
        int r = connection_receive(c, &h, &payload, &size, e);
        if (r < 0)
            return r;
        bool mine = h.type == WIRE_REPLY && h.serial == serial;
        if (mine && h.status != WIRE_OK)
            r = connection_failed(c, payload, size, e);
        else if (mine && type && !xdr_decode(payload, size, type, ret, &c->arena))
            r = lost(c, EPROTO, e);
        free(payload);
        if (mine)
            return r;
    }
}

int connection_call(struct connection *c, s32 procedure, const struct xdr_struct *args_type, const void *args,
                    const struct xdr_struct *ret_type, void *ret, struct error *e)
{
    const struct wire_header h = {.program = PROGRAM_REMOTE,
                                  .version = WIRE_VERSION,
                                  .procedure = procedure,
                                  .type = WIRE_CALL,
                                  .serial = c->serial++};
    struct buffer b = {0};
    c->error_code = 0;
    if (args_type)
        xdr_encode(&b, args_type, args);
    int r = connection_send(c, &h, b.data, b.size, e);
    buffer_free(&b);
    return r < 0 ? r : receive_reply(c, h.serial, ret_type, ret, e);
}

/* A libvirtd may want policykit's word for who is not root, which it gets by itself when it is asked to. */
static int authenticate(struct connection *c, struct error *e)
{
    enum { NONE = 0, POLKIT = 2, PROC_AUTH_POLKIT = 70 };
    struct remote_auth_list_ret auth;
    int r = connection_call(c, PROC_AUTH_LIST, NULL, NULL, &xdr_remote_auth_list_ret, &auth, e);
    s32 wanted = r == 0 && auth.types_count ? auth.types[0] : NONE;
    if (wanted == POLKIT)
        return connection_call(c, PROC_AUTH_POLKIT, NULL, NULL, NULL, NULL, e);
    return wanted == NONE
               ? r
               : error_set(e, EACCES,
                           "the daemon at '%s' wants a password (SASL), which lodge does not do: virsh does",
                           c->path);
}

/* A libvirtd is the system's or that of a user's session, and says no to the other name. */
static int open_driver(struct connection *c, struct error *e)
{
    struct error other;
    char system[] = "qemu:///system", session[] = "qemu:///session";
    int r = CALL(c, CONNECT_OPEN, connect_open, e, system, 0);
    return r < 0 && c->error_code && CALL(c, CONNECT_OPEN, connect_open, &other, session, 0) == 0 ? 0 : r;
}

int connection_open(struct connection *c, const struct target *t, struct error *e)
{
    *c = (struct connection){.fd = -1};
    int r = connect_to(c, t, e);
    if (r == 0 && (r = authenticate(c, e)) == 0)
        r = open_driver(c, e);
    if (r < 0)
        connection_close(c);
    return r;
}

void connection_close(struct connection *c)
{
    struct error e;
    if (c->fd >= 0) {
        if (connection_call(c, PROC_CONNECT_CLOSE, NULL, NULL, NULL, NULL, &e) < 0)
            c->error_code = 0; /* it is closed in any case */
        close(c->fd);
    }
    c->fd = -1;
    arena_free(&c->arena);
}

/* ---- domains ---- */

int connection_find(struct connection *c, const char *name, struct remote_domain *d, struct error *e)
{
    enum { NO_DOMAIN = 42 };
    struct remote_domain_lookup_by_name_ret ret;
    int r = CALL_RET(c, DOMAIN_LOOKUP_BY_NAME, domain_lookup_by_name, &ret, e, (char *)name);
    if (r == 0)
        *d = ret.dom;
    else if (c->error_code == NO_DOMAIN)
        error_set(e, ENOENT, "there is no machine '%s': lodge list --all shows those that there are", name);
    return r;
}

int connection_state(struct connection *c, const struct remote_domain *d, s32 *state, s32 *reason,
                     struct error *e)
{
    struct remote_domain_get_state_ret ret = {0};
    int r = CALL_RET(c, DOMAIN_GET_STATE, domain_get_state, &ret, e, *d, 0);
    *state = ret.state;
    *reason = ret.reason;
    return r;
}

const char *state_name(s32 state)
{
    static const char *const names[] = {"no state",      "running",  "blocked", "paused",
                                        "shutting down", "shut off", "crashed", "suspended"};
    return state >= 0 && (size_t)state < ARRAY_SIZE(names) ? names[state] : "unknown";
}
