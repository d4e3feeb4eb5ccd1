/* net_filter.c - which packets a network card receives, as its guest chooses (VIRTIO 1.2 section 5.1.6.5) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>
#include <string.h>

#include "machine/virtio/net_filter.h"
#include "machine/virtio/virtio.h"

enum { CLASS_RX, CLASS_MAC, CLASS_VLAN, HEAD = 2 };
enum { PROMISC, ALLMULTI, ALLUNI, NOMULTI, NOUNI, NOBCAST };
enum { MAC_TABLE_SET, MAC_ADDR_SET };
enum { VLAN_ADD, VLAN_DEL };

void net_filter_reset(struct net_filter *f, const u8 *mac)
{
    *f = (struct net_filter){.mode = {[PROMISC] = 1}, .vlan_all = true};
    memcpy(f->mac, mac, MAC_SIZE);
}

static bool set_mode(struct net_filter *f, u8 command, const struct iovec *iov, unsigned count)
{
    u8 on;
    if (command > NOBCAST || iov_read(iov, count, HEAD, &on, 1) < 1)
        return false;
    f->mode[command] = on;
    return true;
}

/* Reads a count and as many addresses from *at, and moves it behind them. */
static bool read_table(struct mac_table *t, const struct iovec *iov, unsigned count, size_t *at)
{
    u32 n;
    *t = (struct mac_table){0};
    if (iov_read(iov, count, *at, &n, sizeof(n)) < sizeof(n) || n > 65535)
        return false;
    *at += sizeof(n);
    t->overflow = n > MAC_TABLE;
    t->count = t->overflow ? 0 : n;
    u8 last;
    if (n && iov_read(iov, count, *at + n * MAC_SIZE - 1, &last, 1) < 1)
        return false;
    iov_read(iov, count, *at, t->mac, t->count * MAC_SIZE);
    *at += n * MAC_SIZE;
    return true;
}

static bool set_mac(struct net_filter *f, u8 command, const struct iovec *iov, unsigned count)
{
    size_t at = HEAD;
    if (command == MAC_ADDR_SET) {
        u8 mac[MAC_SIZE];
        if (iov_read(iov, count, HEAD, mac, MAC_SIZE) < MAC_SIZE)
            return false;
        memcpy(f->mac, mac, MAC_SIZE);
        return true;
    }
    struct mac_table unicast, multicast;
    if (command != MAC_TABLE_SET || !read_table(&unicast, iov, count, &at) ||
        !read_table(&multicast, iov, count, &at))
        return false;
    f->unicast = unicast;
    f->multicast = multicast;
    return true;
}

static bool set_vlan(struct net_filter *f, u8 command, const struct iovec *iov, unsigned count)
{
    u16 id;
    if (iov_read(iov, count, HEAD, &id, sizeof(id)) < sizeof(id) || id >= VLANS || command > VLAN_DEL)
        return false;
    u8 bit = (u8)(1 << id % 8);
    f->vlan[id / 8] = command == VLAN_ADD ? f->vlan[id / 8] | bit : f->vlan[id / 8] & (u8)~bit;
    return true;
}

bool net_filter_control(struct net_filter *f, u8 class, u8 command, const struct iovec *iov, unsigned count)
{
    static bool (*const handle[])(struct net_filter *, u8, const struct iovec *, unsigned) = {
        [CLASS_RX] = set_mode, [CLASS_MAC] = set_mac, [CLASS_VLAN] = set_vlan};
    return class <= CLASS_VLAN && handle[class](f, command, iov, count);
}

static bool has_vlan(const struct net_filter *f, unsigned id)
{
    return f->vlan_all || f->vlan[id / 8] >> id % 8 & 1;
}

static bool in_table(const struct mac_table *t, const u8 *mac)
{
    for (u32 i = 0; i < t->count; i++)
        if (!memcmp(t->mac[i], mac, MAC_SIZE))
            return true;
    return t->overflow;
}

bool net_filter_accepts(const struct net_filter *f, const u8 *packet, size_t len)
{
    static const u8 all[MAC_SIZE] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    if (f->mode[PROMISC])
        return true;
    if (len < 14 ||
        (len >= 16 && packet[12] == 0x81 && !packet[13] && !has_vlan(f, (packet[14] & 15) << 8 | packet[15])))
        return false;
    if (!memcmp(packet, all, MAC_SIZE))
        return !f->mode[NOBCAST];
    if (packet[0] & 1)
        return !f->mode[NOMULTI] && (f->mode[ALLMULTI] || in_table(&f->multicast, packet));
    return !f->mode[NOUNI] &&
           (f->mode[ALLUNI] || !memcmp(packet, f->mac, MAC_SIZE) || in_table(&f->unicast, packet));
}

/* ---- for monitors ---- */

static json_t *mac_text(const u8 *m)
{
    char text[32];
    snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5]);
    return json_string(text);
}

static json_t *table_list(const struct mac_table *t)
{
    json_t *list = json_array();
    for (u32 i = 0; i < t->count; i++)
        json_array_append_new(list, mac_text(t->mac[i]));
    return list;
}

static const char *state(const struct net_filter *f, unsigned none, unsigned every)
{
    return f->mode[none] ? "none" : f->mode[every] ? "all" : "normal";
}

json_t *net_filter_describe(const struct net_filter *f, const char *name)
{
    json_t *vlans = json_array();
    for (unsigned i = 0; i < VLANS && !f->vlan_all; i++)
        if (has_vlan(f, i))
            json_array_append_new(vlans, json_integer(i));
    return json_pack("{s:s,s:b,s:s,s:s,s:s,s:b,s:b,s:b,s:o,s:o,s:o,s:o}", "name", name, "promiscuous",
                     f->mode[PROMISC] != 0, "multicast", state(f, NOMULTI, ALLMULTI), "unicast",
                     state(f, NOUNI, ALLUNI), "vlan", f->vlan_all ? "all" : "normal", "broadcast-allowed",
                     !f->mode[NOBCAST], "multicast-overflow", f->multicast.overflow, "unicast-overflow",
                     f->unicast.overflow, "main-mac", mac_text(f->mac), "vlan-table", vlans, "unicast-table",
                     table_list(&f->unicast), "multicast-table", table_list(&f->multicast));
}
