/* procedure.h - a procedure is a row of protocol.def and a handler; this is what the row becomes */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef RPC_PROCEDURE_H
#define RPC_PROCEDURE_H

#include "manager/rpc/protocol.h"
#include "manager/rpc/vir_error.h"

enum access {
    ACCESS_ANY,   /* before CONNECT_OPEN, too */
    ACCESS_READ,  /* on a read-only connection, too: changes nothing */
    ACCESS_WRITE, /* on a connection that may change things */
};

struct client;
struct manager;

/* What a call must not lose while it waits; put at its end. */
struct held {
    struct held *next;
    void *object;
    void (*put)(void *object);
};

/* One call while it is being worked on, in a task of its own (daemon/task.h): its handler may wait. */
struct call {
    struct client *client;
    struct manager *manager;
    const struct procedure *procedure;
    u32 program, serial;
    s32 number;
    struct arena arena; /* what args point to and ret may point to */
    struct vir_error error;
    struct held *held;
};

/* The object, of which the caller has a reference for the call, until its end. */
void call_hold(struct call *call, void *object, void (*put)(void *object));

struct procedure {
    const char *name;
    enum access access;
    const struct xdr_struct *args, *ret;                           /* NULL: nothing */
    int (*handle)(struct call *call, const void *args, void *ret); /* 0, or -1 with call->error */
};

struct program {
    u32 number;
    const struct procedure *const *procedures; /* by number, with holes */
    size_t count;
    const char *const *lacks; /* by number: libvirt's function of a procedure that is not there */
    size_t lacks_count;
};

extern const struct program programs[];
extern const unsigned program_count;

#endif
