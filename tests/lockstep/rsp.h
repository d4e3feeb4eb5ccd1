/* rsp.h - a client of the GDB remote serial protocol (GDB manual, appendix E) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef LOCKSTEP_RSP_H
#define LOCKSTEP_RSP_H

#include "base/base.h"

struct rsp {
    int fd;
    char in[65536]; /* received and not yet used: from start to end */
    unsigned start, end;
    char reply[65536]; /* payload of the last packet, as a string */
};

/* Connects to the socket; false: errno. Sends a packet, waits for the one that answers. */
bool rsp_open(struct rsp *r, const char *path);
bool rsp_call(struct rsp *r, const char *packet);
/* The next packet. false: nothing came for a second, or the other side is gone. */
bool rsp_receive(struct rsp *r);
void rsp_interrupt(struct rsp *r); /* what Ctrl-C does */
/* A command of QEMU's monitor; its text is in reply. */
bool rsp_monitor(struct rsp *r, const char *command);
unsigned rsp_unhex(const char *hex, char *out); /* gives the number of bytes */
bool rsp_write_register(struct rsp *r, unsigned number, u64 value);
bool rsp_write_memory(struct rsp *r, u64 at, const u8 *data, unsigned size);

#endif
