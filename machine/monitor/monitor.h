/* monitor.h - controlling the machine while it runs: QMP for programs, the human monitor for people */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MONITOR_MONITOR_H
#define MONITOR_MONITOR_H

#include <jansson.h>
#include <stdio.h>

#include "machine/chardevs.h"

/*
 * QMP as QEMU's docs/interop/qmp-spec.txt has it. One client for each -qmp, any number of those; events go to
 * all. Everything runs on the main thread but events, which any thread may send; all with loop.lock.
 *
 * A command is a row of commands.c and a function. It gets arguments that have been checked against the row,
 * and returns its answer, or NULL with call->e. A command for people is a row of human.c.
 */
struct machine;
struct monitor;

enum {
    MONITOR_FDS = 16,
    MONITOR_INPUT_MAX = 1 << 20,
    MONITOR_DEPTH_MAX = 128,
    MONITOR_OUTPUT_MAX = 16 << 20
};

/* ---- json_stream.c: finds the values in a stream of bytes ---- */

struct json_stream {
    char *text;
    size_t length, room;
    unsigned depth;
    bool in_string, escaped;
    bool skipping; /* until the end of a bad line */
};

enum json_stream_state { JSON_STREAM_MORE, JSON_STREAM_VALUE, JSON_STREAM_BAD };

/* VALUE: text[0, length) is one object or array, not yet looked into; BAD: what came cannot be part of one,
 * or is too large: the rest of its line is skipped. After a VALUE, json_stream_reset. */
enum json_stream_state json_stream_put(struct json_stream *s, u8 byte);
void json_stream_reset(struct json_stream *s);
void json_stream_free(struct json_stream *s);

/* ---- monitor.c: the clients ---- */

struct monitor {
    struct machine *machine;
    struct chardev *chardev;
    bool control, pretty;
    char *out; /* what the chardev does not take yet */
    size_t out_length, out_sent;
    struct json_stream in;
    bool negotiated; /* qmp_capabilities has been there */
    char line[1024]; /* of a person */
    size_t line_length;
};

struct named_fd {
    char *name; /* NULL: free */
    int fd;
};

enum { KEY_EVENTS_MAX = 1024 };

/* keys.c: what send-key has still to do. */
struct key_events {
    struct key_event {
        u8 number;
        bool down;
        u32 hold_ms; /* until the next */
    } event[KEY_EVENTS_MAX];
    unsigned head, count;
    struct loop_timer timer; /* armed while the last one is held */
};

struct monitors {
    struct monitor monitor[MONITOR_MAX];
    unsigned count;
    struct named_fd fds[MONITOR_FDS]; /* from getfd */
    struct event_limit *limits;       /* what was sent in the last second, and may come too often */
};

void monitors_create(struct machine *m, const struct chardevs *s);
void monitor_write(struct monitor *mon, const char *text, size_t size);
/* To all clients of QMP; what can come too often, once a second. Takes data; NULL: none. */
void monitor_event(struct machine *m, const char *name, json_t *data);
/* The descriptor that a client has given that name: it is the caller's from here on. -1: there is none. */
int monitor_claim_fd(struct machine *m, const char *name);

/* ---- qmp.c ---- */

void qmp_opened(struct monitor *mon);
void qmp_byte(struct monitor *mon, u8 byte);

/* ---- commands ---- */

struct qmp_call {
    struct machine *machine;
    struct monitor *monitor; /* NULL: called by the human monitor */
    const json_t *arguments; /* an object */
    const char *class;       /* of the error; "GenericError" unless set */
    struct error e;
};

/* arguments: "NAME:TYPE NAME:TYPE?", TYPE being s (string), i (integer), b (boolean), o (object), a (array),
 * v (any); ? where it may be left out; a * at the end: others are taken as well. */
struct qmp_command {
    const char *name, *arguments;
    json_t *(*run)(struct qmp_call *call);
};

/* One argument of a row's text, which moves behind it. false: there is no more. */
struct qmp_parameter {
    char name[40], type;
    bool optional;
};
bool qmp_next_parameter(const char **text, struct qmp_parameter *p);

extern const struct qmp_command qmp_commands[];
extern const unsigned qmp_command_count;

/* data: what comes with it, as arguments are written. */
struct qmp_event {
    const char *name, *data;
};
extern const struct qmp_event qmp_events[];
extern const unsigned qmp_event_count;
bool qmp_event_is_known(const char *name);

/* Finds, checks, runs. NULL with call->e and class. */
json_t *qmp_run(struct qmp_call *call, const char *name);

/* NULL with call->e: what handlers return on an error. */
json_t *qmp_fail(struct qmp_call *call, const char *class, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Of an argument that may have been left out. */
const char *qmp_string(const struct qmp_call *call, const char *name, const char *otherwise);
s64 qmp_integer(const struct qmp_call *call, const char *name, s64 otherwise);
bool qmp_bool(const struct qmp_call *call, const char *name, bool otherwise);

/* ---- human.c ---- */

void human_opened(struct monitor *mon);
void human_byte(struct monitor *mon, u8 byte);
/* One line as a person types it; its output goes to f. */
void human_run(struct machine *m, const char *line, FILE *f);
/* block.c: info block. */
void human_info_block(struct machine *m, FILE *f);
/* snapshot.c. tag "": a name that tells the time; the guest stands still until it is done. */
void human_savevm(struct machine *m, const char *tag, FILE *f);
void human_loadvm(struct machine *m, const char *tag, FILE *f);
void human_delvm(struct machine *m, const char *tag, FILE *f);
void human_info_snapshots(struct machine *m, FILE *f);

#endif
