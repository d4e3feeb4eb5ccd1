/* dispatch.c - from a message to the handler of its procedure, and the answer back */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdlib.h>

#include "manager/rpc/server.h"
#include "manager/rpc/stream.h"

struct work {
    struct call call;
    void *args;
};

static struct wire_header reply_header(const struct call *call)
{
    return (struct wire_header){.program = call->program,
                                .version = WIRE_VERSION,
                                .procedure = call->number,
                                .type = WIRE_REPLY,
                                .serial = call->serial};
}

void call_hold(struct call *call, void *object, void (*put)(void *object))
{
    struct held *h = arena_new(&call->arena, struct held);
    *h = (struct held){call->held, object, put};
    call->held = h;
}

/* The task of one call. */
static void work_on(void *arg)
{
    struct work *w = arg;
    struct call *call = &w->call;
    const struct procedure *p = call->procedure;
    struct client *c = call->client;
    void *ret = p->ret ? arena_alloc(&call->arena, p->ret->size) : NULL;
    struct wire_header h = reply_header(call);
    if (p->handle(call, w->args, ret) < 0)
        client_send_error(c, &h, WIRE_REPLY, &call->error);
    else
        client_send(c, &h, p->ret, ret);
    for (struct held *held = call->held; held; held = held->next)
        held->put(held->object);
    arena_free(&call->arena);
    free(w);
    c->calls--;
    client_resume(c);
    client_put(c);
}

static const struct program *find_program(u32 number)
{
    for (unsigned i = 0; i < program_count; i++)
        if (programs[i].number == number)
            return &programs[i];
    return NULL;
}

static const struct procedure *find_procedure(const struct program *p, s32 number)
{
    return number >= 0 && (size_t)number < p->count ? p->procedures[number] : NULL;
}

static int rpc_fail(struct vir_error *e, const char *text, s64 number, const char *rest)
{
    vir_fail(e, VIR_ERR_RPC, "%s%ld%s", text, (long)number, rest);
    return -1;
}

/* Clients take both errors as "this server has no such thing", and try older procedures. */
static int fail_missing(const struct program *p, s32 number, struct vir_error *e)
{
    if (number > 0 && (size_t)number < p->lacks_count && p->lacks[number])
        return vir_fail(e, VIR_ERR_NO_SUPPORT, "%s", p->lacks[number]);
    return rpc_fail(e, "unknown procedure: ", number, "");
}

/* May this client make this call now? */
static int check_access(const struct client *c, const struct procedure *p, struct vir_error *e)
{
    if (p->access != ACCESS_ANY && !c->open)
        return vir_fail(e, VIR_ERR_INTERNAL_ERROR, "hypervisor connection not open");
    if (p->access == ACCESS_WRITE && c->read_only)
        return vir_fail(e, VIR_ERR_OPERATION_DENIED, "read only access prevents %s", p->name);
    return 0;
}

/* 0, or -1 with the error that the client gets; the texts are those by which clients know what to try next.
 */
static int prepare(struct client *c, const struct wire_header *h, const u8 *payload, size_t size,
                   struct work *w)
{
    struct vir_error *e = &w->call.error;
    const struct program *program = find_program(h->program);
    if (!program || h->version != WIRE_VERSION)
        return vir_fail(e, VIR_ERR_RPC, "Cannot find program %u version %u", h->program, h->version);
    if (h->type == WIRE_CALL_WITH_FDS)
        return rpc_fail(e, "procedure ", h->procedure, " takes no file descriptors here");
    if (h->status != WIRE_OK)
        return rpc_fail(e, "Unexpected message status ", h->status, "");
    const struct procedure *p = w->call.procedure = find_procedure(program, h->procedure);
    if (!p)
        return fail_missing(program, h->procedure, e);
    if (check_access(c, p, e) < 0)
        return -1;
    w->args = p->args ? arena_alloc(&w->call.arena, p->args->size) : NULL;
    if (p->args && !xdr_decode(payload, size, p->args, w->args, &w->call.arena))
        return vir_fail(e, VIR_ERR_RPC, "Unable to decode message payload");
    return 0;
}

static void dispatch_call(struct client *c, const struct wire_header *h, const u8 *payload, size_t size)
{
    struct work *w = calloc(1, sizeof(*w));
    ASSERT(w);
    w->call = (struct call){.client = c,
                            .manager = c->server->manager,
                            .program = h->program,
                            .number = h->procedure,
                            .serial = h->serial};
    if (prepare(c, h, payload, size, w) < 0) {
        client_send_error(c, h, WIRE_REPLY, &w->call.error);
        arena_free(&w->call.arena);
        free(w);
        return;
    }
    c->references++;
    c->calls++;
    task_start(c->server->tasks, work_on, w);
}

static void dispatch_keepalive(struct client *c, const struct wire_header *h)
{
    if (h->procedure != KEEPALIVE_PING)
        return; /* a PONG has done its work by arriving */
    struct wire_header pong = *h;
    pong.procedure = KEEPALIVE_PONG;
    client_send(c, &pong, NULL, NULL);
}

void dispatch_message(struct client *c, const u8 *message, size_t size)
{
    struct wire_header h = wire_read_header(message);
    const u8 *payload = message + WIRE_HEADER_SIZE;
    if (h.program == PROGRAM_KEEPALIVE)
        dispatch_keepalive(c, &h);
    else if (h.type == WIRE_CALL || h.type == WIRE_CALL_WITH_FDS)
        dispatch_call(c, &h, payload, size - WIRE_HEADER_SIZE);
    else if (h.type == WIRE_STREAM || h.type == WIRE_STREAM_HOLE)
        stream_receive(c, &h, payload, size - WIRE_HEADER_SIZE);
    else
        client_close(c, "it sent a message of a type that only servers send");
}
