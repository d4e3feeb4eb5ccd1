/* connection.h - the client's end of libvirt's RPC: to lodged, or to a libvirtd */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef RPC_CONNECTION_H
#define RPC_CONNECTION_H

#include "base/error.h"
#include "manager/cli/arguments.h"
#include "manager/rpc/protocol.h"
#include "manager/rpc/wire.h"

/* What all verbs that talk to a daemon can be given. */
struct target {
    const char *root, *connect;
    bool json;
    unsigned patience; /* seconds that an answer may take; 0: for ever */
};
#define TARGET_PLACE(type, field)                                         \
    {"root", ARGUMENT_TEXT, offsetof(type, field.root), "DIR"},           \
    {                                                                     \
        "connect", ARGUMENT_TEXT, offsetof(type, field.connect), "SOCKET" \
    }
#define TARGET_ARGUMENTS(type, field) \
    {"json", ARGUMENT_FLAG, offsetof(type, field.json), NULL}, TARGET_PLACE(type, field)

struct connection {
    int fd;
    u32 serial;
    s32 error_code; /* virErrorNumber of the last call that failed; 0: the connection itself did */
    struct arena arena;
    char path[108];
};

/* The daemon of --connect, --root, LODGE_ROOT, or the system's lodged. 0 or -errno with e. */
int connection_open(struct connection *c, const struct target *t, struct error *e);
void connection_close(struct connection *c);

/* The folder of the lodged that is meant; NULL: the system's. */
const char *target_root(const struct target *t);

/* args, ret: structs of these types, or NULL; what ret points to lives as long as the connection. 0, or
 * -errno with e: the daemon's own words. */
int connection_call(struct connection *c, s32 procedure, const struct xdr_struct *args_type, const void *args,
                    const struct xdr_struct *ret_type, void *ret, struct error *e);

/* CALL(c, NAME, name, e, .field = ...): a call that gives nothing; its arguments in braces. */
#define CALL(c, NAME, name, e, ...)                                                                         \
    connection_call(c, PROC_##NAME, &xdr_remote_##name##_args, &(struct remote_##name##_args){__VA_ARGS__}, \
                    NULL, NULL, e)
/* The same of one that gives something. */
#define CALL_RET(c, NAME, name, ret, e, ...)                                                                \
    connection_call(c, PROC_##NAME, &xdr_remote_##name##_args, &(struct remote_##name##_args){__VA_ARGS__}, \
                    &xdr_remote_##name##_ret, ret, e)

/* The next message, of any kind; the payload is to be freed. */
int connection_receive(struct connection *c, struct wire_header *h, u8 **payload, size_t *size,
                       struct error *e);
int connection_send(struct connection *c, const struct wire_header *h, const void *payload, size_t size,
                    struct error *e);
/* What the payload of a message with status ERROR says. */
int connection_failed(struct connection *c, const u8 *payload, size_t size, struct error *e);

/* A domain by its name. */
int connection_find(struct connection *c, const char *name, struct remote_domain *d, struct error *e);
/* virDomainState and its reason. */
int connection_state(struct connection *c, const struct remote_domain *d, s32 *state, s32 *reason,
                     struct error *e);
const char *state_name(s32 state);

enum { STATE_RUNNING = 1, STATE_BLOCKED, STATE_PAUSED, STATE_SHUTDOWN, STATE_SHUTOFF, STATE_CRASHED };

#endif
