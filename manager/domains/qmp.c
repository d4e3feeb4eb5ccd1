/* qmp.c - the manager's end of a machine's monitor */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "manager/daemon/text.h"
#include "manager/domains/qmp.h"
#include "manager/rpc/xdr.h"

enum { LINE_MAX_BYTES = 64 << 20, CONNECT_PAUSE_NS = 2000000, GREETING_NS = 1000000000 };

/* A command that waits for its answer. */
struct pending {
    struct pending *next;
    u64 id;
    struct wait wait;
    json_t *answer;
};

struct qmp {
    struct tasks *tasks;
    struct loop_watch watch;
    const struct qmp_ops *ops;
    void *opaque;
    struct buffer in, out;
    size_t scanned, out_sent;
    u64 next_id;
    struct pending *pending;
    struct wait greeting;
    unsigned references; /* the owner, and each command under way */
    bool closed;
};

static void qmp_put(struct qmp *q)
{
    if (--q->references)
        return;
    buffer_free(&q->in);
    buffer_free(&q->out);
    free(q);
}

static void disconnect(struct qmp *q)
{
    if (q->closed)
        return;
    q->closed = true;
    loop_remove(q->tasks->loop, &q->watch);
    close(q->watch.fd);
    for (struct pending *p = q->pending; p; p = p->next)
        task_wake(q->tasks, &p->wait);
    task_wake(q->tasks, &q->greeting);
}

void qmp_close(struct qmp *q)
{
    q->ops = NULL;
    disconnect(q);
    qmp_put(q);
}

static void lose(struct qmp *q)
{
    disconnect(q);
    if (q->ops)
        q->ops->lost(q->opaque);
}

/* ---- input ---- */

static void take_answer(struct qmp *q, json_t *message)
{
    u64 id = (u64)json_number_value(json_object_get(message, "id"));
    for (struct pending *p = q->pending; p; p = p->next)
        if (p->id == id && !p->answer) {
            p->answer = json_incref(message);
            task_wake(q->tasks, &p->wait);
            return;
        }
}

static void take_message(struct qmp *q, json_t *message)
{
    const char *event = json_string_value(json_object_get(message, "event"));
    if (event && q->ops)
        q->ops->event(q->opaque, event, json_object_get(message, "data"), message);
    else if (json_object_get(message, "return") || json_object_get(message, "error"))
        take_answer(q, message);
    else if (json_object_get(message, "QMP"))
        task_wake(q->tasks, &q->greeting);
}

/* QEMU writes counters of 64 bits without a sign, which the library takes for reals or not at all. */
static json_t *parse(const u8 *text, size_t size)
{
    json_t *message = json_loadb((const char *)text, size, 0, NULL);
    return message ? message : json_loadb((const char *)text, size, JSON_DECODE_INT_AS_REAL, NULL);
}

/* The lines that are complete. False: what came is no QMP. */
static bool take_lines(struct qmp *q)
{
    size_t start = 0;
    for (size_t i = q->scanned; i < q->in.size && !q->closed; i++) {
        if (q->in.data[i] != '\n')
            continue;
        json_t *message = parse(q->in.data + start, i - start);
        bool blank = i - start <= 1;
        start = i + 1;
        if (!message && !blank)
            return false;
        if (message)
            take_message(q, message);
        json_decref(message);
    }
    q->in.size -= start;
    memmove(q->in.data, q->in.data + start, q->in.size);
    q->scanned = q->in.size;
    return q->in.size < LINE_MAX_BYTES;
}

static bool receive(struct qmp *q)
{
    u8 data[65536];
    ssize_t n = recv(q->watch.fd, data, sizeof(data), 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (n <= 0)
        return false;
    buffer_append(&q->in, data, (size_t)n);
    return take_lines(q);
}

/* ---- output ---- */

static bool flush(struct qmp *q)
{
    while (q->out_sent < q->out.size) {
        ssize_t n = send(q->watch.fd, q->out.data + q->out_sent, q->out.size - q->out_sent, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return false;
        if (n < 0 && errno == EAGAIN)
            break;
        q->out_sent += n > 0 ? (size_t)n : 0;
    }
    bool all = q->out_sent == q->out.size;
    if (all)
        q->out.size = q->out_sent = 0;
    loop_set_events(q->tasks->loop, &q->watch, all ? POLLIN : POLLIN | POLLOUT);
    return true;
}

static void qmp_ready(struct loop_watch *w, short revents)
{
    struct qmp *q = container_of(w, struct qmp, watch);
    q->references++;
    bool good = !(revents & POLLOUT) || flush(q);
    if (good && revents & (POLLIN | POLLHUP | POLLERR))
        good = receive(q);
    if (!good && !q->closed)
        lose(q);
    qmp_put(q);
}

/* Descriptors go with the first byte of the command, so nothing may be waiting to be sent before it. */
static int send_fd(struct qmp *q, int fd)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec part = {q->out.data, q->out.size};
    struct msghdr m = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control.space)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &fd, sizeof(fd));
    ssize_t n = sendmsg(q->watch.fd, &m, MSG_NOSIGNAL);
    if (n < 0)
        return -errno;
    q->out_sent = (size_t)n;
    return 0;
}

/* ---- commands ---- */

static int gone(struct vir_error *e)
{
    return vir_fail(e, VIR_ERR_OPERATION_FAILED, "domain is not running any more");
}

/* Sends it and waits for the answer, which the caller releases. */
static json_t *exchange(struct qmp *q, unsigned seconds, json_t *command, int fd, struct vir_error *e)
{
    struct pending p = {.next = q->pending, .id = ++q->next_id};
    const char *name = json_string_value(json_object_get(command, "execute"));
    if (q->closed) {
        gone(e);
        return NULL;
    }
    json_object_set_new(command, "id", json_integer((json_int_t)p.id));
    char *text = json_dumps(command, JSON_COMPACT);
    ASSERT(text);
    bool busy = q->out.size;
    buffer_append(&q->out, text, strlen(text));
    buffer_append(&q->out, "\r\n", 2);
    free(text);
    q->references++;
    q->pending = &p;
    bool sent = (fd < 0 || (!busy && send_fd(q, fd) == 0)) && flush(q);
    bool in_time = sent && task_wait(q->tasks, &p.wait, loop_now() + seconds * 1000000000ull);
    struct pending **at = &q->pending;
    while (*at != &p)
        at = &(*at)->next;
    *at = p.next;
    if (!p.answer && sent && !in_time)
        vir_fail(e, VIR_ERR_OPERATION_TIMEOUT, "the machine has not answered '%s' for %u seconds",
                 name ? name : "?", seconds);
    else if (!p.answer)
        gone(e);
    qmp_put(q);
    return p.answer;
}

static json_t *new_command(const char *name, json_t *arguments)
{
    json_t *command = json_object();
    json_object_set_new(command, "execute", json_string(name));
    if (arguments)
        json_object_set_new(command, "arguments", arguments);
    return command;
}

static int call(struct qmp *q, unsigned seconds, int fd, const char *name, json_t *arguments, json_t **result,
                struct vir_error *e)
{
    json_t *command = new_command(name, arguments), *answer = exchange(q, seconds, command, fd, e);
    json_decref(command);
    if (!answer)
        return -1;
    json_t *error = json_object_get(answer, "error");
    int r = 0;
    if (error) {
        const char *why = json_string_value(json_object_get(error, "desc"));
        r = vir_fail(e, VIR_ERR_INTERNAL_ERROR, "unable to execute QEMU command '%s': %s", name,
                     why ? why : "no reason given");
    } else if (result)
        *result = json_incref(json_object_get(answer, "return"));
    json_decref(answer);
    return r;
}

int qmp_call(struct qmp *q, unsigned seconds, const char *command, json_t *arguments, json_t **result,
             struct vir_error *e)
{
    return call(q, seconds, -1, command, arguments, result, e);
}

int qmp_call_fd(struct qmp *q, unsigned seconds, int fd, const char *command, json_t *arguments,
                struct vir_error *e)
{
    return call(q, seconds, fd, command, arguments, NULL, e);
}

char *qmp_pass(struct qmp *q, unsigned seconds, const char *command, struct vir_error *e)
{
    json_t *parsed = json_loads(command, 0, NULL), *answer;
    if (!json_is_object(parsed)) {
        json_decref(parsed);
        vir_fail(e, VIR_ERR_INTERNAL_ERROR, "cannot parse json %s", command);
        return NULL;
    }
    answer = exchange(q, seconds, parsed, -1, e);
    json_decref(parsed);
    char *text = answer ? json_dumps(answer, JSON_COMPACT) : NULL;
    json_decref(answer);
    return text;
}

/* ---- connecting ---- */

static int connect_once(const char *path)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(at.sun_path))
        return -ENAMETOOLONG;
    strcpy(at.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0)
        return fd;
    int r = -errno;
    close(fd);
    return r;
}

struct qmp *qmp_connect(struct tasks *t, const char *path, u64 deadline, const bool *give_up,
                        const struct qmp_ops *ops, void *opaque, struct vir_error *e)
{
    int fd;
    while ((fd = connect_once(path)) < 0 && loop_now() < deadline && !*give_up)
        task_sleep(t, CONNECT_PAUSE_NS);
    if (fd < 0) {
        vir_fail_errno(e, -fd, "failed to connect to monitor socket '%s'", path);
        return NULL;
    }
    struct qmp *q = calloc(1, sizeof(*q));
    ASSERT(q);
    *q = (struct qmp){.tasks = t,
                      .watch = {.fd = fd, .events = POLLIN, .ready = qmp_ready},
                      .ops = ops,
                      .opaque = opaque,
                      .references = 1};
    loop_add(t->loop, &q->watch);
    /* Who has just come in time is not sent away for that. */
    bool greeted = task_wait(t, &q->greeting, max(deadline, loop_now() + GREETING_NS)) && !q->closed;
    u64 now = loop_now();
    unsigned left = deadline > now ? (unsigned)((deadline - now) / 1000000000) + 1 : 1;
    if (!greeted)
        vir_fail(e, VIR_ERR_OPERATION_FAILED, "the machine's monitor does not greet");
    if (!greeted || qmp_call(q, left, "qmp_capabilities", NULL, NULL, e) < 0) {
        qmp_close(q);
        return NULL;
    }
    return q;
}
