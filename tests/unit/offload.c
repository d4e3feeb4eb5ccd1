/* offload.c - test of checksums, of long packets cut and joined again, and of headers that lie */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "machine/net/coalesce.h"
#include "tests/unit/test.h"

enum { ETHERNET = 14, TCP_HEADER = 32, PIECE = 1000, DATA = 10500, SEQ = 0xfffff000 };

static u8 packet[65535], pieces[128][2048];
static size_t lengths[128];
static unsigned count;
static struct net_header last;

static void collect(void *opaque, const struct net_header *h, const u8 *bytes, size_t len)
{
    (void)opaque;
    CHECK(count < 128);
    last = *h;
    if (len <= sizeof(pieces[0]))
        memcpy(pieces[count], bytes, len);
    lengths[count++] = len;
}

static size_t ip_size(bool v6)
{
    return v6 ? 40 : 20;
}

/* A TCP packet as a guest leaves it, without a checksum. */
static struct net_header make(bool v6, size_t data, size_t *len)
{
    u8 *ip = packet + ETHERNET, *tcp = ip + ip_size(v6);
    size_t segment = TCP_HEADER + data;
    const u32 seq = htobe32(SEQ);
    memset(packet, 0, ETHERNET + 40 + TCP_HEADER);
    packet[12] = v6 ? 0x86 : 0x08;
    packet[13] = v6 ? 0xdd : 0x00;
    ip[0] = v6 ? 0x60 : 0x45;
    ip[v6 ? 6 : 9] = 6;
    for (unsigned i = 0; i < (v6 ? 32u : 8u); i++)
        ip[(v6 ? 8 : 12) + i] = (u8)(i * 7 + 1);
    tcp[1] = 80;
    memcpy(tcp + 4, &seq, sizeof(seq));
    tcp[12] = TCP_HEADER / 4 << 4;
    tcp[13] = 0x18; /* ACK, PSH */
    for (size_t i = 0; i < data; i++)
        tcp[TCP_HEADER + i] = (u8)(i * 31 >> 3);
    u64 sum = net_sum(ip + (v6 ? 8 : 12), v6 ? 32 : 8, htobe16(6) + (u64)htobe16((u16)segment));
    u16 folded = (u16)~net_checksum(sum);
    memcpy(tcp + 16, &folded, sizeof(folded));
    *len = (size_t)(tcp - packet) + segment;
    return (struct net_header){.flags = NET_NEEDS_CSUM,
                               .gso_type = v6 ? NET_GSO_TCPV6 : NET_GSO_TCPV4,
                               .gso_size = PIECE,
                               .csum_start = (u16)(tcp - packet),
                               .csum_offset = 16};
}

/* Both checksums of a packet that is whole sum up to nothing. */
static bool is_whole(const u8 *p, size_t len, bool v6)
{
    const u8 *ip = p + ETHERNET, *tcp = ip + ip_size(v6);
    u64 pseudo =
        net_sum(ip + (v6 ? 8 : 12), v6 ? 32 : 8, htobe16(6) + (u64)htobe16((u16)(len - (size_t)(tcp - p))));
    return (v6 || !net_checksum(net_sum(ip, 20, 0))) &&
           !net_checksum(net_sum(tcp, len - (size_t)(tcp - p), pseudo));
}

static void test_checksum(void)
{
    size_t len;
    struct net_header h = make(true, 501, &len);
    h.gso_type = NET_GSO_NONE;
    count = 0;
    net_resolve(&h, packet, len, 0, collect, NULL);
    CHECK_EQ(count, 1);
    CHECK_EQ(last.flags, 0);
    CHECK(is_whole(pieces[0], len, true));
    h = make(true, 501, &len);
    h.gso_type = NET_GSO_NONE;
    count = 0;
    net_resolve(&h, packet, len, NET_TAKES_CSUM, collect, NULL);
    CHECK_EQ(last.flags, NET_NEEDS_CSUM);
}

static void test_cut_and_join(bool v6)
{
    static struct coalesce joined;
    size_t len, headers = ETHERNET + ip_size(v6) + TCP_HEADER, got;
    const struct net_header h = make(v6, DATA, &len);
    count = 0;
    net_resolve(&h, packet, len, NET_TAKES_CSUM, collect, NULL);
    CHECK_EQ(count, 11);
    for (unsigned i = 0; i < count; i++) {
        u32 seq;
        memcpy(&seq, pieces[i] + headers - TCP_HEADER + 4, sizeof(seq));
        CHECK_EQ(be32toh(seq), (u32)(SEQ + i * PIECE));
        CHECK_EQ(lengths[i], headers + (i < 10 ? PIECE : 500));
        CHECK(is_whole(pieces[i], lengths[i], v6));
        CHECK_EQ(pieces[i][headers - TCP_HEADER + 13], i < 10 ? 0x10 : 0x18);
        CHECK(!memcmp(pieces[i] + headers, packet + headers + i * PIECE, lengths[i] - headers));
        CHECK(coalesce_add(&joined, pieces[i], lengths[i]));
    }
    CHECK(!coalesce_add(&joined, pieces[0], lengths[0])); /* not what follows */
    struct net_header back = coalesce_finish(&joined, &got);
    CHECK_EQ(got, len);
    CHECK_EQ(back.gso_type, h.gso_type);
    CHECK_EQ(back.gso_size, PIECE);
    CHECK_EQ(back.csum_start, h.csum_start);
    CHECK(!memcmp(joined.packet + headers, packet + headers, DATA));
    CHECK(!memcmp(joined.packet + headers - TCP_HEADER, packet + headers - TCP_HEADER, TCP_HEADER));
    CHECK(!joined.len);
}

/* Nothing outside of the packet is read or written, whatever the header says. */
static void test_lies(void)
{
    for (unsigned i = 0; i < 200000; i++) {
        size_t len;
        struct net_header h = make(i & 1, 300, &len);
        u8 *bytes = (u8 *)&h;
        for (unsigned k = 0; k < 3; k++)
            bytes[rand() % (int)sizeof(h)] = (u8)(rand() % 4 ? rand() % 128 : rand());
        len = (size_t)rand() % (len + 1);
        for (unsigned k = 0; k < 2; k++)
            packet[rand() % 90] = (u8)rand();
        u8 *exact = malloc(len + 1);
        memcpy(exact, packet, len);
        count = 0;
        net_resolve(&h, exact, len, (unsigned)rand() % 16, collect, NULL);
        static struct coalesce joined;
        coalesce_add(&joined, exact, len);
        if (i % 3 == 0)
            coalesce_finish(&joined, &len);
        free(exact);
    }
}

int main(void)
{
    test_checksum();
    test_cut_and_join(false);
    test_cut_and_join(true);
    test_lies();
    return TEST_DONE();
}
