/* coalesce.c - TCP segments that follow each other become one long packet (RFC 9293) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <endian.h>
#include <string.h>

#include "machine/net/coalesce.h"

enum { ETHERNET = 14, TYPE_IP4 = 0x0800, TYPE_IP6 = 0x86dd, PROTOCOL_TCP = 6 };
enum {
    IP4_LENGTH = 2,
    IP4_FRAGMENT = 6,
    IP4_PROTOCOL = 9,
    IP4_CHECKSUM = 10,
    IP4_ADDRESSES = 12,
    IP4_HEADER = 20
};
enum { IP6_LENGTH = 4, IP6_NEXT = 6, IP6_ADDRESSES = 8, IP6_HEADER = 40 };
enum {
    TCP_SEQ = 4,
    TCP_ACK = 8,
    TCP_OFFSET = 12,
    TCP_FLAGS = 13,
    TCP_WINDOW = 14,
    TCP_CHECKSUM = 16,
    TCP_HEADER = 20
};
enum { FLAG_PSH = 8, FLAG_ACK = 16 };

static u16 get16(const u8 *at)
{
    return (u16)(at[0] << 8 | at[1]);
}

static u32 get32(const u8 *at)
{
    return (u32)get16(at) << 16 | get16(at + 2);
}

static void put16(u8 *at, u16 v)
{
    at[0] = (u8)(v >> 8);
    at[1] = (u8)v;
}

/* A frame that can be one of several: data, and no flags but ACK and PSH. */
struct segment {
    const u8 *bytes;
    size_t len, tcp, data;
    bool v6;
};

static bool read_segment(struct segment *s, const u8 *frame, size_t len)
{
    const u8 *ip = frame + ETHERNET;
    *s = (struct segment){.bytes = frame};
    if (len < ETHERNET + IP6_HEADER + TCP_HEADER)
        return false;
    u16 type = get16(frame + 12);
    if (type == TYPE_IP4 && ip[0] == 0x45 && ip[IP4_PROTOCOL] == PROTOCOL_TCP &&
        !(get16(ip + IP4_FRAGMENT) & 0x3fff)) {
        s->tcp = ETHERNET + IP4_HEADER;
        s->len = ETHERNET + get16(ip + IP4_LENGTH);
    } else if (type == TYPE_IP6 && ip[IP6_NEXT] == PROTOCOL_TCP) {
        s->v6 = true;
        s->tcp = ETHERNET + IP6_HEADER;
        s->len = ETHERNET + IP6_HEADER + get16(ip + IP6_LENGTH);
    } else {
        return false;
    }
    s->data = s->tcp + (frame[s->tcp + TCP_OFFSET] >> 4 << 2);
    return s->data >= s->tcp + TCP_HEADER && s->len <= len && s->data < s->len &&
           (frame[s->tcp + TCP_FLAGS] & ~FLAG_PSH) == FLAG_ACK;
}

/* The next bytes of the same flow, with the same acknowledgement, window and options. */
static bool follows(const struct coalesce *c, const struct segment *s)
{
    const u8 *a = c->packet + c->tcp, *b = s->bytes + s->tcp;
    size_t ip = s->v6 ? ETHERNET + IP6_ADDRESSES : ETHERNET + IP4_ADDRESSES;
    return !c->closed && s->v6 == c->v6 && s->tcp == c->tcp && s->data == c->data &&
           !memcmp(c->packet + ip, s->bytes + ip, s->tcp - ip) && !memcmp(a, b, 4) &&
           get32(b + TCP_SEQ) == get32(a + TCP_SEQ) + (u32)(c->len - c->data) &&
           !memcmp(a + TCP_ACK, b + TCP_ACK, 4) && !memcmp(a + TCP_WINDOW, b + TCP_WINDOW, 2) &&
           !memcmp(a + TCP_HEADER, b + TCP_HEADER, s->data - s->tcp - TCP_HEADER) &&
           s->len - s->data <= c->piece && c->len + (s->len - s->data) <= COALESCE_MAX;
}

bool coalesce_add(struct coalesce *c, const u8 *frame, size_t len)
{
    struct segment s;
    if (!read_segment(&s, frame, len))
        return false;
    size_t data = s.len - s.data;
    if (!c->len) {
        memcpy(c->packet, frame, s.len);
        c->len = s.len;
        c->tcp = s.tcp;
        c->data = s.data;
        c->piece = data;
        c->segments = 1;
        c->v6 = s.v6;
        c->closed = false;
        return true;
    }
    if (!follows(c, &s))
        return false;
    memcpy(c->packet + c->len, frame + s.data, data);
    c->len += data;
    c->segments++;
    c->closed = data < c->piece;
    c->packet[c->tcp + TCP_FLAGS] |= frame[s.tcp + TCP_FLAGS];
    return true;
}

static void fix_ip(struct coalesce *c)
{
    u8 *ip = c->packet + ETHERNET;
    if (c->v6) {
        put16(ip + IP6_LENGTH, (u16)(c->len - ETHERNET - IP6_HEADER));
        return;
    }
    put16(ip + IP4_LENGTH, (u16)(c->len - ETHERNET));
    memset(ip + IP4_CHECKSUM, 0, sizeof(u16));
    u16 sum = net_checksum(net_sum(ip, IP4_HEADER, 0));
    memcpy(ip + IP4_CHECKSUM, &sum, sizeof(sum));
}

/* As NET_NEEDS_CSUM wants it: the field holds the pseudo header's sum. */
static void put_pseudo(struct coalesce *c)
{
    const u8 *ip = c->packet + ETHERNET;
    u64 sum = c->v6 ? net_sum(ip + IP6_ADDRESSES, 32, 0) : net_sum(ip + IP4_ADDRESSES, 8, 0);
    sum += (u64)htobe16(PROTOCOL_TCP) + htobe16((u16)(c->len - c->tcp));
    u16 folded = (u16)~net_checksum(sum);
    memcpy(c->packet + c->tcp + TCP_CHECKSUM, &folded, sizeof(folded));
}

struct net_header coalesce_finish(struct coalesce *c, size_t *len)
{
    struct net_header h = {.flags = NET_DATA_VALID};
    *len = c->len;
    if (c->segments > 1) {
        fix_ip(c);
        put_pseudo(c);
        h = (struct net_header){.flags = NET_NEEDS_CSUM,
                                .gso_type = c->v6 ? NET_GSO_TCPV6 : NET_GSO_TCPV4,
                                .hdr_len = (u16)c->data,
                                .gso_size = (u16)c->piece,
                                .csum_start = (u16)c->tcp,
                                .csum_offset = TCP_CHECKSUM};
    }
    c->len = 0;
    c->segments = 0;
    return h;
}
