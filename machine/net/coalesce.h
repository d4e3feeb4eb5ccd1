/* coalesce.h - TCP segments that follow each other become one long packet */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MACHINE_NET_COALESCE_H
#define MACHINE_NET_COALESCE_H

#include "machine/net/offload.h"

enum { COALESCE_MAX = 65535 };

/* What one burst of a flow has brought so far. A guest handles a long packet in little more time than a short
 * one (the kernel's generic receive offload, done by whoever makes the packets). */
struct coalesce {
    u8 packet[14 + COALESCE_MAX];
    size_t len;       /* 0: nothing is kept */
    size_t tcp, data; /* where in the packet they start */
    size_t piece;     /* bytes of data in the first segment, and in all but the last */
    unsigned segments;
    bool v6, closed; /* closed: the last segment was a short one */
};

/* Adds a frame, whose checksums are right. false: it does not go with what is there, which must be flushed;
 * and then, where nothing is there, it must be sent as it is. */
bool coalesce_add(struct coalesce *c, const u8 *frame, size_t len);

/* The header for what is there; its checksums have been put right for that. Then it is empty again. */
struct net_header coalesce_finish(struct coalesce *c, size_t *len);

#endif
