/* offload.c - checksums and segmentation in software, for who does not take the guest's (RFC 1071, RFC 9293)
 */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <endian.h>
#include <string.h>

#include "machine/net/offload.h"

enum { TCP_SEQ = 4, TCP_OFFSET = 12, TCP_FLAGS = 13, TCP_CHECKSUM = 16, TCP_HEADER = 20, UDP_CHECKSUM = 6 };
enum { TCP_FIN = 1, TCP_PSH = 8, TCP_CWR = 0x80 };
enum { IP4_LENGTH = 2, IP4_ID = 4, IP4_CHECKSUM = 10, IP4_ADDRESSES = 12, IP4_HEADER = 20 };
enum { IP6_LENGTH = 4, IP6_ADDRESSES = 8, IP6_HEADER = 40 };
enum { ETHERNET = 14, VLAN = 4, PROTOCOL_TCP = 6 };
enum { MAX_HEADERS = 256, MIN_PIECE = 64, MAX_PIECE = 16384 };

static u16 get16(const u8 *at)
{
    u16 v;
    memcpy(&v, at, sizeof(v));
    return be16toh(v);
}

static void put16(u8 *at, u16 v)
{
    v = htobe16(v);
    memcpy(at, &v, sizeof(v));
}

u64 net_sum(const u8 *bytes, size_t len, u64 sum)
{
    for (; len >= sizeof(u32); bytes += sizeof(u32), len -= sizeof(u32)) {
        u32 word;
        memcpy(&word, bytes, sizeof(word));
        sum += word; /* in the host's order: folding gives the same bytes (RFC 1071 section 2) */
    }
    if (len >= sizeof(u16)) {
        u16 word;
        memcpy(&word, bytes, sizeof(word));
        sum += word;
        bytes += sizeof(u16);
        len -= sizeof(u16);
    }
    return len ? sum + *bytes : sum;
}

u16 net_checksum(u64 sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (u16)~sum;
}

/* The field holds the sum of the pseudo header already. 0 means "none" in UDP, and 0xffff is the same. */
static bool write_checksum(const struct net_header *h, u8 *packet, size_t len)
{
    size_t start = h->csum_start, at = start + h->csum_offset;
    if (start >= len || at + sizeof(u16) > len)
        return false;
    u16 sum = net_checksum(net_sum(packet + start, len - start, 0));
    if (!sum && h->csum_offset == UDP_CHECKSUM)
        sum = 0xffff;
    memcpy(packet + at, &sum, sizeof(sum));
    return true;
}

/* ---- segmentation ---- */

/* A long TCP packet: where its headers are. */
struct long_packet {
    const u8 *bytes;
    size_t len, ip, tcp, headers; /* offsets; headers: all of them, and so the start of the data */
    bool v6;
    u16 piece; /* bytes of data in each */
};

static bool read_long(struct long_packet *l, const struct net_header *h, const u8 *packet, size_t len)
{
    *l = (struct long_packet){
        .bytes = packet, .len = len, .ip = ETHERNET, .tcp = h->csum_start, .piece = h->gso_size};
    l->v6 = (h->gso_type & ~NET_GSO_ECN) == NET_GSO_TCPV6;
    if (len >= ETHERNET + VLAN && get16(packet + 12) == 0x8100)
        l->ip += VLAN;
    if (!(h->flags & NET_NEEDS_CSUM) || h->csum_offset != TCP_CHECKSUM || l->piece < MIN_PIECE ||
        l->piece > MAX_PIECE || l->tcp < l->ip + (l->v6 ? IP6_HEADER : IP4_HEADER) ||
        l->tcp + TCP_HEADER > len)
        return false;
    size_t tcp_header = packet[l->tcp + TCP_OFFSET] >> 4 << 2;
    l->headers = l->tcp + tcp_header;
    return packet[l->ip] >> 4 == (l->v6 ? 6 : 4) && tcp_header >= TCP_HEADER && l->headers <= MAX_HEADERS &&
           l->headers < len;
}

static void fix_ip(const struct long_packet *l, u8 *out, size_t data, unsigned number)
{
    u8 *ip = out + l->ip;
    size_t header = l->tcp - l->ip;
    if (l->v6) {
        put16(ip + IP6_LENGTH, (u16)(l->headers + data - l->ip - IP6_HEADER));
        return;
    }
    put16(ip + IP4_LENGTH, (u16)(l->headers + data - l->ip));
    put16(ip + IP4_ID, (u16)(get16(ip + IP4_ID) + number));
    memset(ip + IP4_CHECKSUM, 0, sizeof(u16));
    u16 sum = net_checksum(net_sum(ip, header, 0));
    memcpy(ip + IP4_CHECKSUM, &sum, sizeof(sum));
}

static void fix_tcp(const struct long_packet *l, u8 *out, size_t done, size_t data)
{
    u8 *tcp = out + l->tcp;
    size_t segment = l->headers - l->tcp + data;
    u32 seq;
    memcpy(&seq, tcp + TCP_SEQ, sizeof(seq));
    seq = htobe32(be32toh(seq) + (u32)done);
    memcpy(tcp + TCP_SEQ, &seq, sizeof(seq));
    if (done)
        tcp[TCP_FLAGS] &= (u8)~TCP_CWR;
    if (l->headers + done + data < l->len)
        tcp[TCP_FLAGS] &= (u8) ~(TCP_FIN | TCP_PSH);
    memset(tcp + TCP_CHECKSUM, 0, sizeof(u16));
    u64 pseudo =
        l->v6 ? net_sum(out + l->ip + IP6_ADDRESSES, 32, 0) : net_sum(out + l->ip + IP4_ADDRESSES, 8, 0);
    pseudo += (u64)htobe16(PROTOCOL_TCP) + htobe16((u16)segment);
    u16 sum = net_checksum(net_sum(tcp, segment, pseudo));
    memcpy(tcp + TCP_CHECKSUM, &sum, sizeof(sum));
}

static void cut(const struct long_packet *l,
                void (*emit)(void *, const struct net_header *, const u8 *, size_t), void *opaque)
{
    static const struct net_header none = {0};
    u8 out[MAX_HEADERS + MAX_PIECE];
    unsigned number = 0;
    for (size_t done = 0; l->headers + done < l->len; done += l->piece) {
        size_t data = min((size_t)l->piece, l->len - l->headers - done);
        memcpy(out, l->bytes, l->headers);
        memcpy(out + l->headers, l->bytes + l->headers + done, data);
        fix_ip(l, out, data, number++);
        fix_tcp(l, out, done, data);
        emit(opaque, &none, out, l->headers + data);
    }
}

static bool takes_long(const struct net_header *h, unsigned takes)
{
    unsigned wanted = (h->gso_type & ~NET_GSO_ECN) == NET_GSO_TCPV6 ? NET_TAKES_TSO6 : NET_TAKES_TSO4;
    if (h->gso_type & NET_GSO_ECN)
        wanted |= NET_TAKES_ECN;
    return !(wanted & ~takes);
}

void net_resolve(const struct net_header *h, u8 *packet, size_t len, unsigned takes,
                 void (*emit)(void *opaque, const struct net_header *h, const u8 *packet, size_t len),
                 void *opaque)
{
    static const struct net_header none = {0};
    struct long_packet l;
    bool is_long = h->gso_type != NET_GSO_NONE;
    if (is_long && !read_long(&l, h, packet, len))
        return;
    if (is_long && !takes_long(h, takes))
        cut(&l, emit, opaque);
    else if (!(h->flags & NET_NEEDS_CSUM) || takes & NET_TAKES_CSUM)
        emit(opaque, takes & NET_TAKES_CSUM || is_long ? h : &none, packet, len);
    else if (write_checksum(h, packet, len))
        emit(opaque, is_long ? h : &none, packet, len);
}
