/* rsp.h - a client of the GDB remote serial protocol (GDB manual, appendix E) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef LOCKSTEP_RSP_H
#define LOCKSTEP_RSP_H

#include "base/base.h"

struct rsp {
    int fd;
    s64 deadline;   /* of the call that is under way, in ms of the monotonic clock */
    char in[65536]; /* received and not yet used: from start to end */
    unsigned start, end;
    char reply[65536]; /* payload of the last packet, as a string */
};

/* Connects to the socket; false: errno. Sends a packet, waits for the one that answers. false: the other side
 * is gone, or the answer is not whole after two seconds; then nobody knows which answer comes next, and the
 * connection is of no use any more. */
bool rsp_open(struct rsp *r, const char *path);
void rsp_close(struct rsp *r);
bool rsp_call(struct rsp *r, const char *packet);
/* A command of QEMU's monitor; its text is in reply. */
bool rsp_monitor(struct rsp *r, const char *command);
unsigned rsp_unhex(const char *hex, char *out); /* gives the number of bytes */
bool rsp_write_register(struct rsp *r, unsigned number, u64 value);
bool rsp_write_memory(struct rsp *r, u64 at, const u8 *data, unsigned size);

#endif
